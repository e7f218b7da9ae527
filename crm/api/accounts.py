"""Accounts over the API: facts, and why an account is treated as it is."""

from typing import Any, cast
from uuid import UUID

import django_filters
from django.db import transaction
from django.db.models import Prefetch, Q, QuerySet
from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from crm import accounts, hierarchy, owners
from crm.api.consolidation import HasDomains, Merges, named_account
from crm.api.decisions import Decides
from crm.blockers import LABELS as BLOCKERS
from crm.leads import MAX_EMPLOYEES
from crm.lists.matching import accounts as matching
from crm.models import Account, AccountCustomer, AccountDomain, Motion, Queue
from crm.needs import MAX_LENGTH, MAX_NEEDS
from crm.queries import revenue
from gtm.shared import db
from gtm.shared.api import fields, references
from gtm.shared.api.events import EventSerializer
from gtm.shared.api.filters import FlagFilter, ReferenceFilter, ResourceFilter, refuse_unknown
from gtm.shared.api.resources import Creates, ResourceSerializer, ResourceViewSet, Updates, resource_fields
from gtm.shared.errors import NotFound
from gtm.shared.models import Event, User


class NeedsField(serializers.ListField):
    """What a company asks for before it can buy: `sso`, `security_review`, `msa`, `custom_dpa`, `po`, or another
    word.
    """

    child = serializers.CharField(max_length=MAX_LENGTH)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=MAX_NEEDS, **kwargs)


class AccountSerializer(ResourceSerializer):
    """The company that a rep owns. `arr` is in minor units of `currency`, the vendor's; null where it is unknown."""

    employee_count = fields.IntegerField(required=False, allow_null=True, min_value=0, max_value=MAX_EMPLOYEES)
    country = fields.CountryField(required=False, allow_blank=True)
    needs = NeedsField(required=False)
    blockers = serializers.ListField(child=serializers.ChoiceField(choices=list(BLOCKERS)), required=False)
    parent = fields.ReferenceField(Account, required=False, allow_null=True)  # type: ignore[assignment]  # a column
    feedback_url = serializers.URLField(required=False, allow_blank=True, max_length=500)
    custom = fields.JsonObjectField(required=False)
    domain = serializers.SerializerMethodField()
    domains = serializers.SerializerMethodField()
    customers = serializers.SerializerMethodField()
    owner = fields.ReferenceField(User, required=False)
    queue = fields.ReferenceField(Queue, answers_code=True, read_only=True, allow_null=True)
    owner_reason = serializers.CharField(write_only=True, required=False, allow_blank=True, max_length=500)
    expected_value = fields.MoneyField(required=False, allow_null=True, min_value=0)
    company_revenue = fields.MoneyField(required=False, allow_null=True, min_value=0)
    value_currency = fields.CurrencyField(required=False, allow_blank=True)
    score = fields.QuantityField(read_only=True, allow_null=True)
    arr = serializers.SerializerMethodField()
    currency = serializers.SerializerMethodField()

    class Meta:
        model = Account
        fields = resource_fields(
            "name",
            "domain",
            "domains",
            "employee_count",
            "industry",
            "country",
            "customers",
            "segment",
            "motion",
            "owner",
            "queue",
            "engagement_policy",
            "score",
            "arr",
            "currency",
            "target_list",
            "needs",
            "blockers",
            "parent",
            "expected_value",
            "company_revenue",
            "value_currency",
            "dead_zone",
            "owner_role",
            "owner_reason",
            "is_referenceable",
            "feedback_url",
            "custom",
            "personal",
            "first_source",
            "first_touch_at",
        )
        read_only_fields = (
            *("segment", "motion", "engagement_policy", "personal", "first_source", "first_touch_at"),
            *("dead_zone", "owner_role"),
        )

    def get_domain(self, account: Account) -> str | None:
        """The primary one."""
        return next((row.domain for row in account.domains.all() if row.is_primary), None)

    def get_domains(self, account: Account) -> list[str]:
        return [row.domain for row in account.domains.all()]

    def get_customers(self, account: Account) -> list[str]:
        return [link.customer.public_id for link in account.customer_links.all()]

    def get_arr(self, account: Account) -> int | None:
        worth = self._worth().get(account.pk)
        return worth.amount if worth else None

    def get_currency(self, account: Account) -> str | None:
        worth = self._worth().get(account.pk)
        return worth.currency if worth else None

    def _worth(self) -> dict[UUID, revenue.Revenue]:
        """ARR of all accounts of this answer, asked for once."""
        context = cast("dict[str, Any]", self.context)
        if "worth" not in context:
            shown = getattr(self.root, "instance", None)
            rows = shown if isinstance(shown, list) else [shown] if isinstance(shown, Account) else []
            keys = [account.pk for account in rows]
            context["worth"] = revenue.arr_of(account_ids=keys, at=db.now()) if keys else {}
        return cast("dict[UUID, revenue.Revenue]", context["worth"])


class AccountFilter(ResourceFilter):
    q = django_filters.CharFilter(method="matching", label="Name or domain")
    domain = django_filters.CharFilter(field_name="domains__domain")
    motion = django_filters.ChoiceFilter(choices=Motion.choices)
    segment = django_filters.CharFilter()
    owner = ReferenceFilter(User)
    queue = ReferenceFilter(Queue)
    target_list = FlagFilter()
    dead_zone = django_filters.CharFilter()
    in_dead_zone = FlagFilter(method="in_a_zone", label="Whether it lies in any dead zone")

    def in_a_zone(self, queryset: QuerySet[Account], name: str, value: bool) -> QuerySet[Account]:
        return queryset.exclude(dead_zone="") if value else queryset.filter(dead_zone="")

    def matching(self, queryset: QuerySet[Account], name: str, value: str) -> QuerySet[Account]:
        return matching(queryset, value)


class AccountViewSet(Decides, HasDomains, Merges, Creates, Updates, ResourceViewSet):
    """The companies behind customers and leads, which make them; their facts can be set here, and new ones made."""

    model = Account
    serializer_class = AccountSerializer
    filterset_class = AccountFilter

    def get_queryset(self) -> QuerySet[Account]:
        links = AccountCustomer.objects.filter(valid_to=None).select_related("customer").order_by("valid_from", "id")
        domains = AccountDomain.objects.order_by("-is_primary", "domain")
        return (
            Account.objects.visible_to(self.principal)
            .select_related("owner", "queue")
            .prefetch_related(Prefetch("customer_links", queryset=links), Prefetch("domains", queryset=domains))
        )

    def get_object(self) -> Account:
        """Of a merged account: where it went, to whoever sees that."""
        try:
            return cast("Account", super().get_object())
        except Http404:
            merged = references.find(Account.everything.exclude(merged_into=None), self.kwargs["id"])
            survivor = self.get_queryset().filter(merged=merged).first() if merged else None
            if survivor is None:
                raise
            raise NotFound(f"It was merged into {survivor.public_id}.", code="merged") from None

    def lock_before_version(self, instance: Account) -> None:
        """Pools, the hierarchy, and with the one that is to be merged into it both by id."""
        owners.lock_pools(at=db.now_for(instance))
        hierarchy.lock(instance.test_clock_id)
        if self.action == "merge":
            db.lock(Account, [instance.pk, *named_account(self)])

    @transaction.atomic
    def perform_create(self, data: dict[str, Any]) -> Account:
        given = {name: data.pop(name, None) for name in ("owner", "parent")}
        reason = data.pop("owner_reason", "")
        made = accounts.create(at=db.now(), **data)
        return self._placed(made, reason, **given)

    @transaction.atomic
    def perform_update(self, instance: Account, data: dict[str, Any]) -> Account:
        at, owner = db.now_for(instance), data.pop("owner", None)
        if "parent" in data:  # these come before the account, which is locked when its facts are set
            owners.lock_pools(at=at)
            hierarchy.lock(instance.test_clock_id)
        parent = data.pop("parent", instance.parent)
        changed = accounts.change_and_give(account=instance, at=at, owner=owner, **data)
        return changed if parent == changed.parent else hierarchy.place(account=changed, parent=parent, at=at)

    def _placed(self, account: Account, reason: str, *, owner: User | None, parent: Account | None) -> Account:
        at = db.now_for(account)
        if parent is not None:
            account = hierarchy.place(account=account, parent=parent, at=at)
        return accounts.give(account=account, owner=owner, at=at, reason=reason) if owner else account

    @extend_schema(responses=EventSerializer(many=True))
    @action(detail=True, methods=["get"], ordering=("-position",), filter_backends=())
    def timeline(self, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """The facts about the account and its customers, newest first."""
        refuse_unknown(request, {"limit", "cursor"})
        account = self.get_object()
        customers = [link.customer_id for link in account.customer_links.all()]
        accounts_told = [account.pk, *Account.everything.filter(merged_into=account).values_list("pk", flat=True)]
        events = Event.objects.filter(Q(account_id__in=accounts_told) | Q(customer_id__in=customers))
        page = self.paginate_queryset(events)
        rows = EventSerializer(page, many=True, context=self.get_serializer_context()).data
        return self.get_paginated_response(rows)
