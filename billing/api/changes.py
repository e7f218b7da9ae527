"""Changes of subscriptions over the API: made, previewed, scheduled, undone; and what has happened and will."""

from typing import Any

from django.db.models import Prefetch, QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from billing import change_preview, changes, wording
from billing.api.instants import WhenField
from billing.change_preview import ChangePreview, Sum
from billing.changes import Wanted
from billing.models import LineKind, LineReason, Phase, PhaseItem, Plan, Price, SubscriptionChange
from billing.queries import upcoming
from billing.selection import ItemTerms
from gtm.shared import db, ids
from gtm.shared.api import fields
from gtm.shared.api.resources import NoInput, StrictSerializer

INTERVALS = [choice for choice in Price.Interval.choices if choice[0] != Price.Interval.ONE_TIME]
PRORATION = [("prorate", "Prorated"), ("none", "None")]
TIMELINE_LENGTH = 100


class ItemTermsSerializer(StrictSerializer):
    """A price at a quantity; what a meter counts needs none."""

    price = fields.ReferenceField(Price)
    quantity = fields.QuantityField(required=False, default=1, min_value=0, max_value=10**9)


class ChangeSerializer(StrictSerializer):
    """``items`` is the whole new list; ``plan`` without it brings the plan's own items for as many seats.

    Without ``effective`` an upgrade and a longer interval count now, a downgrade and a shorter interval from the end of
    the period. Without ``invoicing`` quantities alone wait for the next invoice.
    """

    plan = fields.ReferenceField(Plan, required=False, allow_null=True)
    items = ItemTermsSerializer(many=True, required=False, allow_null=True)
    interval = serializers.ChoiceField(choices=INTERVALS, required=False, allow_null=True)
    effective = WhenField(required=False, allow_null=True)
    proration = serializers.ChoiceField(choices=PRORATION, required=False, default="prorate")
    invoicing = serializers.ChoiceField(choices=["now", "next"], required=False, allow_null=True)
    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=500)


class UndoQuerySerializer(StrictSerializer):
    all = serializers.BooleanField(required=False, default=False)


class PhaseItemSerializer(serializers.ModelSerializer):
    price = fields.PublicIdField("price", source="price_id")
    quantity = fields.QuantityField(read_only=True)

    class Meta:
        model = PhaseItem
        fields = ("price", "quantity")
        read_only_fields = fields


class PhaseSerializer(serializers.ModelSerializer):
    """A scheduled change: what the subscription consists of from ``starts_at`` on."""

    id = fields.PublicIdField("ph")
    plan = fields.PublicIdField("plan", source="plan_version.plan_id")
    plan_version = fields.PublicIdField("pv", source="plan_version_id")
    starts_at = fields.UtcDateTimeField(read_only=True)
    items = PhaseItemSerializer(many=True, read_only=True)
    proration = serializers.SerializerMethodField()

    class Meta:
        model = Phase
        fields = ("id", "starts_at", "plan", "plan_version", "items", "proration", "kind", "locked", "origin", "reason")
        read_only_fields = fields

    @extend_schema_field(serializers.ChoiceField(choices=PRORATION))
    def get_proration(self, phase: Phase) -> str:
        return "prorate" if phase.prorate else "none"


class PreviewLineSerializer(serializers.Serializer):
    """A line as it will stand on an invoice; with ``credit_note`` on a credit note beside it."""

    kind = serializers.ChoiceField(choices=LineKind.choices, read_only=True)
    reason = serializers.ChoiceField(choices=LineReason.choices, read_only=True)
    description = serializers.CharField(read_only=True)
    price = fields.PublicIdField("price", source="price_id", allow_null=True)
    quantity = fields.QuantityField(read_only=True)
    unit_amount = fields.RateField(read_only=True, allow_null=True)
    amount = fields.MoneyField(read_only=True)
    discount_amount = fields.MoneyField(read_only=True)
    tax_amount = fields.MoneyField(read_only=True)
    period_start = fields.UtcDateTimeField(read_only=True, allow_null=True)
    period_end = fields.UtcDateTimeField(read_only=True, allow_null=True)
    explanation = serializers.SerializerMethodField()
    credit_note = serializers.BooleanField(read_only=True)

    def get_explanation(self, line: change_preview.Line) -> str:
        return "\n".join(wording.explain(line.explanation, self.context["currency"]))


class SumSerializer(serializers.Serializer):
    """``total`` is ``invoice_total`` less ``credit_note_total``, which credit notes give back."""

    lines = PreviewLineSerializer(many=True, read_only=True)
    subtotal = fields.MoneyField(read_only=True)
    discount_total = fields.MoneyField(read_only=True)
    tax_total = fields.MoneyField(read_only=True)
    total = fields.MoneyField(read_only=True)
    invoice_total = fields.MoneyField(read_only=True)
    credit_note_total = fields.MoneyField(read_only=True)


class NextInvoiceSerializer(SumSerializer):
    at = fields.UtcDateTimeField(read_only=True)


class ChangePreviewSerializer(SumSerializer):
    """What the change itself comes to, below zero where it gives back, and the next invoice after it."""

    effective_at = fields.UtcDateTimeField(read_only=True)
    currency = serializers.CharField(read_only=True)
    next_invoice = NextInvoiceSerializer(read_only=True, allow_null=True)


class TimelineEntrySerializer(serializers.ModelSerializer):
    """What changed, when it takes effect, and the monthly revenue before and after."""

    id = serializers.UUIDField(read_only=True)
    mrr_before = fields.MoneyField(read_only=True)
    mrr_after = fields.MoneyField(read_only=True)
    detail = fields.JsonObjectField(read_only=True)
    effective_at = fields.UtcDateTimeField(read_only=True)
    recorded_at = fields.UtcDateTimeField(read_only=True)

    class Meta:
        model = SubscriptionChange
        fields = (
            "id",
            "kind",
            "origin",
            "actor",
            "reason",
            "currency",
            "mrr_before",
            "mrr_after",
            "detail",
            "effective_at",
            "booked_on",
            "recorded_at",
        )
        read_only_fields = fields


class UpcomingSerializer(serializers.Serializer):
    """Something that is known to come, and the change or the invoice that it is about."""

    at = fields.UtcDateTimeField(read_only=True)
    kind = serializers.CharField(read_only=True)
    phase = PhaseSerializer(read_only=True, allow_null=True)
    invoice = serializers.SerializerMethodField()

    @extend_schema_field({"type": "string", "nullable": True})
    def get_invoice(self, found: upcoming.Upcoming) -> str | None:
        return ids.encode("inv", found.invoice.pk) if found.invoice else None


class TimelineSerializer(serializers.Serializer):
    upcoming = UpcomingSerializer(many=True, read_only=True)
    results = TimelineEntrySerializer(many=True, read_only=True)


def scheduled() -> "Prefetch[str, QuerySet[Phase], str]":
    """The phases to come of many subscriptions, as the representation shows them."""
    waiting = Phase.objects.filter(applied_at=None).select_related("plan_version").order_by("starts_at")
    rows = PhaseItem.objects.order_by("pk")
    return Prefetch("phases", waiting.prefetch_related(Prefetch("items", rows)))


class Changes:
    """The verbs of a subscription's change, for its view set."""

    @extend_schema(request=ChangeSerializer, responses=ChangePreviewSerializer, methods=["post"])
    @action(detail=True, methods=["post"], url_path="change/preview")
    def change_preview(self: Any, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """What a change would come to, and the invoice after it. Writes nothing."""
        data = self.validated(ChangeSerializer)
        subscription = self.get_object()
        found = change_preview.preview(
            subscription=subscription, wanted=Wanted(**_asked(data)), at=db.now_for(subscription)
        )
        return Response(ChangePreviewSerializer(_shown(found), context={"currency": found.currency}).data)

    @extend_schema(request=ChangeSerializer)
    @action(detail=True, methods=["post"])
    def change(self: Any, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """Change the plan, the prices or the quantities: now, or from a later time on.

        The answer comes after what it costs is invoiced and, by card, tried.
        """
        data = self.validated(ChangeSerializer)
        subscription = self.get_object()
        changed = changes.change(
            subscription=subscription,
            at=db.now_for(subscription),
            idempotency_id=self.request.idempotency_key_id,
            **_asked(data),
        )
        return self.answer(changed)

    @extend_schema(request=None, parameters=[UndoQuerySerializer])
    @change.mapping.delete
    def undo_change(self: Any, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """Drop the next change that is scheduled; ``?all=true`` drops all of them. What a contract says stays."""
        self.validated(NoInput)
        query = UndoQuerySerializer(data=request.query_params.dict())
        query.is_valid(raise_exception=True)
        subscription, all_ = self.get_object(), query.validated_data["all"]
        return self.answer(changes.undo(subscription=subscription, all_=all_, at=db.now_for(subscription)))

    @extend_schema(responses=TimelineSerializer)
    @action(detail=True, methods=["get"])
    def timeline(self: Any, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """What is known to come, the next first, and what has changed, the newest first (100 of it)."""
        subscription = self.get_object()
        past = SubscriptionChange.objects.filter(subscription=subscription).order_by("-recorded_at", "-pk")
        found = {"upcoming": upcoming.of_subscription(subscription), "results": past[:TIMELINE_LENGTH]}
        return Response(TimelineSerializer(found).data)


def _asked(data: dict[str, Any]) -> dict[str, Any]:
    """The body's words in those of the operation."""
    asked = dict(data)
    asked["prorate"] = asked.pop("proration") == "prorate"
    if asked.get("items") is not None:
        asked["items"] = [ItemTerms(**item) for item in asked["items"]]
    return asked


def _shown(found: ChangePreview) -> dict[str, Any]:
    following = found.next_invoice
    return {
        **_sum(found.change),
        "effective_at": found.effective_at,
        "currency": found.currency,
        "next_invoice": None if following is None else {**_sum(following), "at": found.next_invoice_at},
    }


_SUMS = ("lines", "subtotal", "discount_total", "tax_total", "total", "invoice_total", "credit_note_total")


def _sum(found: Sum) -> dict[str, Any]:
    return {name: getattr(found, name) for name in _SUMS}
