"""Two accounts that are one company over the API: suggestions, merges and the way back; and an account's domains."""

from dataclasses import asdict
from typing import Any, cast
from uuid import UUID

import django_filters
from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from crm import account_domains, merges, merging, suggestions
from crm.models import Account, AccountDomain, MergeLog, Suggestion
from gtm.shared import db
from gtm.shared.api import fields, references
from gtm.shared.api.filters import ReferenceFilter, ResourceFilter, refuse_unknown
from gtm.shared.api.resources import ResourceSerializer, ResourceViewSet, StrictSerializer, resource_fields
from gtm.shared.errors import Conflict


# --- domains -----------------------------------------------------------------------------------
class DomainSerializer(serializers.ModelSerializer):
    """A registrable domain of the account. `caution`: in a word, why it says little about who has an address there."""

    verified_at = fields.UtcDateTimeField(allow_null=True)
    caution = serializers.SerializerMethodField()

    class Meta:
        model = AccountDomain
        fields = ("domain", "is_primary", "verified_at", "caution")

    def get_caution(self, row: AccountDomain) -> str:
        return account_domains.caution(row.domain)


class NewDomainSerializer(StrictSerializer):
    domain = serializers.CharField(max_length=253)
    verified = fields.StrictBooleanField(required=False, default=False)


class DomainChangeSerializer(StrictSerializer):
    """Only true is taken: a domain becomes the primary one, or is verified."""

    is_primary = serializers.ChoiceField(choices=[True], required=False)
    verified = serializers.ChoiceField(choices=[True], required=False)


class HasDomains:
    """For the accounts' view set."""

    @extend_schema(methods=["get"], responses=DomainSerializer(many=True))
    @extend_schema(methods=["post"], request=NewDomainSerializer, responses={201: DomainSerializer})
    @action(detail=True, methods=["get", "post"], pagination_class=None, filter_backends=())
    def domains(self: Any, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """The account's domains; POST adds one, which no other account may have."""
        refuse_unknown(request, ())
        account = self.get_object()
        if request.method == "POST":
            data = self.validated(NewDomainSerializer)
            row = account_domains.add(account=account, at=db.now_for(account), **data)
            return Response(DomainSerializer(row).data, status=status.HTTP_201_CREATED)
        return Response(DomainSerializer(account.domains.order_by("-is_primary", "domain"), many=True).data)

    @extend_schema(methods=["patch"], request=DomainChangeSerializer, responses=DomainSerializer)
    @extend_schema(methods=["delete"], request=None, responses={204: None})
    @action(detail=True, methods=["patch", "delete"], url_path="domains/(?P<domain>[^/]+)", pagination_class=None)
    def domain(self: Any, request: Request, id: str, domain: str) -> Response:  # noqa: A002 -- the address's name
        """Verify a domain, make it the primary one, or take it away."""
        account = self.get_object()
        row = AccountDomain.objects.filter(account=account, domain=domain.lower().replace("\0", "")).first()
        if row is None:
            raise Http404
        at = db.now_for(account)
        if request.method == "DELETE":
            account_domains.remove(domain=row, at=at)
            return Response(status=status.HTTP_204_NO_CONTENT)
        data = self.validated(DomainChangeSerializer)
        if data.get("verified"):
            row = account_domains.verify(domain=row, at=at)
        if data.get("is_primary"):
            row = account_domains.make_primary(domain=row, at=at)
        return Response(DomainSerializer(row).data)


# --- merges ------------------------------------------------------------------------------------
class MergeSerializer(StrictSerializer):
    """`account` goes over into the addressed one. `fields` picks `survivor` or `merged` per field, the former by
    itself; what is empty never overwrites what is filled.
    """

    account = fields.ReferenceField(Account)
    fields_ = serializers.DictField(  # `fields` is the serializer's own
        source="picks", child=serializers.ChoiceField(choices=[merging.OURS, merging.THEIRS]), required=False
    )
    keep_customers_apart = fields.StrictBooleanField(required=False, default=False)

    def get_fields(self) -> dict[str, Any]:
        found = super().get_fields()
        found["fields"] = found.pop("fields_")
        return cast("dict[str, Any]", found)


class LineSerializer(serializers.Serializer):
    field = serializers.CharField()
    ours = serializers.JSONField(allow_null=True)
    theirs = serializers.JSONField(allow_null=True)
    taken = serializers.ChoiceField(choices=[merging.OURS, merging.THEIRS, merging.BOTH])
    value = serializers.JSONField(allow_null=True)


class MergePreviewSerializer(serializers.Serializer):
    """What would be said, how many rows of each kind would go over, and whether both pay for a subscription."""

    lines = LineSerializer(many=True)
    moving = serializers.DictField(child=serializers.IntegerField())
    both_pay = serializers.BooleanField()


class Merges:
    """For the accounts' view set."""

    @extend_schema(methods=["delete"], request=None)
    @extend_schema(methods=["post"], request=MergeSerializer)
    @action(detail=True, methods=["post", "delete"])
    def merge(self: Any, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """Merge another account into this one; DELETE undoes the latest merge, for 30 days."""
        survivor = self.get_object()
        if request.method == "DELETE":
            log = _latest(survivor)
            return cast("Response", self.answer(merges.undo(log=log, at=db.now_for(survivor)).survivor))
        data = self.validated(MergeSerializer)
        merges.merge(survivor=survivor, at=db.now_for(survivor), **_named(data))
        return cast("Response", self.answer(survivor))

    @extend_schema(request=MergeSerializer, responses=MergePreviewSerializer)
    @action(detail=True, methods=["post"], url_path="merge/preview")
    def merge_preview(self: Any, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """What a merge would do; writes nothing."""
        survivor, data = self.get_object(), _named(self.validated(MergeSerializer))
        shown = merges.preview(survivor=survivor, merged=data["merged"], fields=data["fields"])
        lines = [asdict(line) for line in shown.lines]
        told = {"lines": lines, "moving": shown.moving, "both_pay": shown.both_pay}
        return Response(MergePreviewSerializer(told).data)


def named_account(view: Any) -> list[UUID]:
    """The key of the account that the body names beside the addressed object, if it is one that the caller sees."""
    body = view.request.data
    text = body.get("account") if isinstance(body, dict) else None
    found = references.find(Account.objects.visible_to(view.principal), text) if isinstance(text, str) else None
    return [found.pk] if found else []


def _named(data: dict[str, Any]) -> dict[str, Any]:
    """As the operation takes it."""
    return {
        "merged": data["account"],
        "fields": data.get("picks") or {},
        "keep_customers_apart": data["keep_customers_apart"],
    }


def _latest(survivor: Account) -> MergeLog:
    found = MergeLog.objects.filter(survivor=survivor, undone_at=None).select_related("survivor", "merged")
    log = found.order_by("-merged_at", "-id").first()
    if log is None:
        raise Conflict("Nothing was merged into this account.", code="wrong_state")
    return log


# --- suggestions -------------------------------------------------------------------------------
class SuggestionSerializer(ResourceSerializer):
    """Two accounts with people of one registrable domain."""

    accounts = serializers.SerializerMethodField()
    closed_at = fields.UtcDateTimeField(read_only=True, allow_null=True)

    class Meta:
        model = Suggestion
        fields = resource_fields("accounts", "domain", "state", "reason", "closed_at")
        read_only_fields = ("domain", "state", "reason")

    def get_accounts(self, suggestion: Suggestion) -> list[str]:
        return [suggestion.first.public_id, suggestion.second.public_id]


class DismissalSerializer(StrictSerializer):
    reason = serializers.CharField(max_length=500)


class SuggestionFilter(ResourceFilter):
    state = django_filters.ChoiceFilter(choices=Suggestion.State.choices)
    domain = django_filters.CharFilter()
    account = ReferenceFilter(Account, method="about")

    def about(self, queryset: Any, name: str, value: dict[str, Any]) -> Any:
        accounts = Account.objects.filter(**value)
        return queryset.filter(first__in=accounts) | queryset.filter(second__in=accounts)


class SuggestionViewSet(ResourceViewSet):
    """Pairs of accounts that may be one company. Merge them, or dismiss the suggestion for good."""

    model = Suggestion
    serializer_class = SuggestionSerializer
    filterset_class = SuggestionFilter

    def get_queryset(self) -> Any:
        return Suggestion.objects.visible_to(self.principal).select_related("first", "second")

    @extend_schema(request=DismissalSerializer, responses=SuggestionSerializer)
    @action(detail=True, methods=["post"])
    def dismissal(self, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """They are two companies; nobody is asked again."""
        found, data = self.get_object(), self.validated(DismissalSerializer)
        return self.answer(suggestions.dismiss(suggestion=found, at=db.now_for(found), **data))
