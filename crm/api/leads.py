"""Leads over the API."""

from typing import Any

import django_filters
from django.db.models import Model, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from crm import leads
from crm.api.accounts import NeedsField
from crm.api.consolidation import named_account
from crm.api.decisions import RoutingSerializer
from crm.leads import MAX_EMPLOYEES, MAX_MESSAGE
from crm.models import Account, Lead, Opportunity, Queue
from crm.qualification import MAX_MONTHS, MAX_WORDS
from gtm.shared import db
from gtm.shared.api import fields, references
from gtm.shared.api.filters import ReferenceFilter, ResourceFilter
from gtm.shared.api.resources import Creates, ResourceSerializer, ResourceViewSet, StrictSerializer, resource_fields
from gtm.shared.models import TestClock, User


class AnswerSerializer(serializers.Serializer):
    """To a question of the form's own, as it was asked."""

    code = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]  # the name of a field here, not this one's
    answer = serializers.CharField()


class LeadSerializer(ResourceSerializer):
    """A person's request. `routing` says what was decided when it came in, and why; later decisions are the
    account's. Whoever sends or hands over one that is a colleague's from then on learns nothing of that account.
    """

    kind = serializers.ChoiceField(choices=Lead.Kind.choices, required=False, default=Lead.Kind.INBOUND)
    email = serializers.EmailField(max_length=254)
    employee_count = fields.IntegerField(required=False, allow_null=True, min_value=0, max_value=MAX_EMPLOYEES)
    country = fields.CountryField(required=False, allow_blank=True)
    needs = NeedsField(required=False)
    message = serializers.CharField(required=False, allow_blank=True, max_length=MAX_MESSAGE)
    account = fields.ReferenceField(Account, read_only=True, allow_null=True)
    owner = fields.ReferenceField(User, read_only=True, allow_null=True)
    queue = fields.ReferenceField(Queue, answers_code=True, read_only=True, allow_null=True)
    routing = RoutingSerializer(read_only=True, allow_null=True)
    credited_team = serializers.ChoiceField(choices=Lead.Credit.choices, read_only=True, allow_null=True)
    sla_due_at = fields.UtcDateTimeField(read_only=True, allow_null=True)
    answered_at = fields.UtcDateTimeField(read_only=True, allow_null=True)
    accepted_at = fields.UtcDateTimeField(read_only=True, allow_null=True)
    disqualified_at = fields.UtcDateTimeField(read_only=True, allow_null=True)
    first_touch_at = fields.UtcDateTimeField(read_only=True, allow_null=True)
    qualification = serializers.JSONField(read_only=True)
    rejected_reason: Any = serializers.SlugRelatedField(read_only=True, allow_null=True, slug_field="code")
    form: Any = serializers.SlugRelatedField(read_only=True, allow_null=True, slug_field="code")
    answers = AnswerSerializer(many=True, read_only=True)
    opportunity = serializers.SerializerMethodField()
    test_clock = fields.ReferenceField(TestClock, required=False, allow_null=True)

    class Meta:
        model = Lead
        fields = resource_fields(
            "kind",
            "name",
            "email",
            "company",
            "employee_count",
            "country",
            "needs",
            "message",
            "source",
            "lifecycle",
            "account",
            "owner",
            "queue",
            "routing",
            "sla_due_at",
            "answered_at",
            "qualification",
            "accepted_at",
            "opportunity",
            "rejected_reason",
            "rejection_note",
            "disqualified_at",
            "first_source",
            "first_touch_at",
            "credited_team",
            "form",
            "answers",
        )
        read_only_fields = ("lifecycle", "rejection_note", "first_source")

    def get_opportunity(self, lead: Lead) -> str | None:
        """The deal that it has become."""
        found = getattr(lead, "opportunity", None)
        return found.public_id if found else None


class QualificationSerializer(StrictSerializer):
    """The acceptance form: a path to a funded project in time, a good fit, a compelling event or a pain, and power or a
    way to it. A segment may ask for more, or less.
    """

    months_to_project = fields.IntegerField(required=False, allow_null=True, min_value=0, max_value=MAX_MONTHS)
    good_fit = serializers.BooleanField(required=False)
    compelling_event = serializers.CharField(required=False, allow_blank=True, max_length=MAX_WORDS)
    pain = serializers.CharField(required=False, allow_blank=True, max_length=MAX_WORDS)
    has_power = serializers.BooleanField(required=False)
    connects_with_power = serializers.BooleanField(required=False)


class LeadStepSerializer(StrictSerializer):
    """The next step. A rejection needs a reason, the code of one that founders keep or words; the step to `sal` needs
    the acceptance form.
    """

    to = serializers.ChoiceField(choices=Lead.Lifecycle.choices)
    reason = serializers.CharField(required=False, allow_blank=True, max_length=500)
    qualification = QualificationSerializer(required=False)


class DealSerializer(serializers.ModelSerializer):
    """The deal that an accepted lead becomes: what an opportunity needs to be made."""

    name = serializers.CharField(required=False, max_length=200)
    owner = fields.ReferenceField(User, required=False)
    amount = fields.MoneyField(required=False, allow_null=True, min_value=0)
    currency = fields.CurrencyField(required=False)
    close_date = fields.DateField(required=False)
    next_step_at = fields.UtcDateTimeField(required=False, allow_null=True)

    class Meta:
        model = Opportunity
        fields = (
            "name",
            "kind",
            "owner",
            "amount",
            "currency",
            "amount_basis",
            "close_date",
            "close_date_basis",
            "competitor",
            "next_step",
            "next_step_at",
        )


class AcceptanceSerializer(StrictSerializer):
    """Accepted by the acceptance form: on its own account or another one, and a deal in the same step where one is
    given.
    """

    qualification = QualificationSerializer()
    account = fields.ReferenceField(Account, required=False, allow_null=True)
    opportunity = DealSerializer(required=False, allow_null=True)


class RejectionSerializer(StrictSerializer):
    """The code of a reason that founders keep, which says what becomes of the lead, and words of one's own."""

    reason = serializers.CharField(max_length=60)
    note = serializers.CharField(required=False, allow_blank=True, max_length=500)


class LeadFilter(ResourceFilter):
    lifecycle = django_filters.ChoiceFilter(choices=Lead.Lifecycle.choices)
    kind = django_filters.ChoiceFilter(choices=Lead.Kind.choices)
    email = django_filters.CharFilter(lookup_expr="iexact")
    account = ReferenceFilter(Account)
    owner = ReferenceFilter(User)
    queue = ReferenceFilter(Queue)
    credited_team = django_filters.ChoiceFilter(choices=Lead.Credit.choices)


OTHERS: dict[str, Any] = {
    **dict.fromkeys(
        ("account", "owner", "queue", "routing", "sla_due_at", "first_touch_at", "credited_team", "opportunity")
    ),
    "first_source": "",
}


class LeadViewSet(Creates, ResourceViewSet):
    """Requests from people: taken in, matched to an account, given an owner or a queue."""

    model = Lead
    serializer_class = LeadSerializer
    filterset_class = LeadFilter

    def get_queryset(self) -> QuerySet[Lead]:
        found = Lead.objects.visible_to(self.principal)
        return found.select_related("queue", "rejected_reason", "form", "opportunity")

    def lock_before_version(self, instance: Lead) -> None:
        """Its account, and the one on which it is accepted."""
        db.lock(Account, [*filter(None, [instance.account_id]), *named_account(self)])

    def perform_create(self, data: dict[str, Any]) -> Lead:
        clock = data.pop("test_clock", None)
        at = db.now_for(Lead(test_clock=clock))
        return leads.submit(at=at, test_clock_id=clock.pk if clock else None, **data)

    def answer(self, instance: Model, *, status: int = status.HTTP_200_OK) -> Response:
        """As a read shows it; one that is a colleague's now, without what is known of the account."""
        shown = self.get_queryset().filter(pk=instance.pk).first()
        said = self.get_serializer(shown or instance).data
        return Response(said if shown else said | OTHERS, status=status)

    def _refuse_others(self, account: Account | None) -> None:
        """An SDR to whom a lead came back works the lead, and not the account, which is an AE's."""
        if account is not None and not references.is_workable(account, self.principal):
            raise exceptions.PermissionDenied

    @extend_schema(request=LeadStepSerializer, responses=LeadSerializer)
    @action(detail=True, methods=["post"])
    def transition(self, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """Lead the request on, or reject it."""
        data, lead = self.validated(LeadStepSerializer), self.get_object()
        if data["to"] == Lead.Lifecycle.SAL:
            self._refuse_others(lead.account)
        return self.answer(leads.transition(lead=lead, at=db.now_for(lead), **data))

    @extend_schema(request=AcceptanceSerializer, responses=LeadSerializer)
    @action(detail=True, methods=["post"])
    def acceptance(self, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """Accept it by the acceptance form, and make it a deal; again it is the same acceptance and the same deal."""
        lead, data = self.get_object(), self.validated(AcceptanceSerializer)
        self._refuse_others(data.get("account") or lead.account)
        accepted = leads.accept(lead=lead, at=db.now_for(lead), by=self.principal, **data)
        return self.answer(accepted)

    @extend_schema(request=RejectionSerializer, responses=LeadSerializer)
    @action(detail=True, methods=["post"])
    def rejection(self, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """Reject it for one of the founders' reasons. It can be taken up again: a transition to `lead`."""
        lead, data = self.get_object(), self.validated(RejectionSerializer)
        reason, note = data["reason"], data.get("note", "")
        return self.answer(leads.reject(lead=lead, at=db.now_for(lead), reason_code=reason, note=note))
