"""Plans, prices, features, meters and tax rates over the API."""

from datetime import datetime
from typing import Any

import django_filters
from django.db.models import Prefetch, QuerySet
from rest_framework import serializers

from billing import catalog
from billing.catalog import EntitlementTerms
from billing.models import Coupon, Entitlement, Feature, Meter, Plan, PlanVersion, Price, TaxRate
from gtm.shared import db
from gtm.shared.api import fields
from gtm.shared.api.filters import FlagFilter, ReferenceFilter, ResourceFilter
from gtm.shared.api.resources import (
    Creates,
    ResourceSerializer,
    ResourceViewSet,
    StrictSerializer,
    Updates,
    resource_fields,
)

NOBODY_BUT_FOUNDERS: tuple[str, ...] = ()  # and finance: those who see all


class CatalogViewSet(Creates, Updates, ResourceViewSet):
    """What is sold is decided by founders and finance."""

    write_roles = NOBODY_BUT_FOUNDERS


class EntitlementSerializer(StrictSerializer):
    """What the plan grants of a feature; `limit` null is unlimited."""

    feature = fields.ReferenceField(Feature, answers_code=True)
    granted = fields.StrictBooleanField(required=False, default=True)
    limit = fields.QuantityField(required=False, allow_null=True, default=None, min_value=0)
    hard = fields.StrictBooleanField(required=False, default=False)
    reset = serializers.ChoiceField(choices=Entitlement.Reset.choices, required=False, default="billing_period")


class PlanSerializer(ResourceSerializer):
    """A plan with the terms of its newest version, `plan_version`. Whoever bought keeps the version that was bought."""

    plan_version = fields.PublicIdField("pv", source="plan_version_id")
    trial_days = fields.IntegerField(required=False, min_value=0, max_value=730)
    trial_requires_payment_method = fields.StrictBooleanField(required=False)
    trial_end = serializers.ChoiceField(choices=PlanVersion.TrialEnd.choices, required=False)
    cancel_coupon = fields.ReferenceField(Coupon, answers_code=True, required=False, allow_null=True)
    cancel_plan = fields.ReferenceField(Plan, answers_code=True, required=False, allow_null=True)
    entitlements = EntitlementSerializer(many=True, required=False, max_length=200)  # type: ignore[call-arg]  # of the list

    class Meta:
        model = Plan
        fields = resource_fields(
            "code",
            "name",
            "description",
            "family",
            "purchase_mode",
            "talk_to_us",
            "demo_policy",
            "published",
            "archived_at",
            "position",
            "plan_version",
            "trial_days",
            "trial_requires_payment_method",
            "trial_end",
            "cancel_offer",
            "cancel_coupon",
            "cancel_plan",
            "entitlements",
        )
        read_only_fields = ("archived_at",)
        create_only_fields = ("code",)

    def to_representation(self, instance: Any) -> dict[str, Any]:
        (version,) = instance.newest
        instance.plan_version_id = version.pk
        instance.entitlements = list(version.entitlements.all())
        for name in catalog.VERSION_FIELDS:
            setattr(instance, name, getattr(version, name))
        shown: dict[str, Any] = super().to_representation(instance)
        return shown


class PlanFilter(ResourceFilter):
    code = django_filters.CharFilter()
    published = FlagFilter()
    purchase_mode = django_filters.ChoiceFilter(choices=Plan.PurchaseMode.choices)


_GRANTED = Entitlement.objects.select_related("feature").order_by("feature__code")
_NEWEST = PlanVersion.objects.order_by("plan_id", "-number").distinct("plan_id")


class PlanViewSet(CatalogViewSet):
    """What is sold. A change to terms that somebody bought makes a new `plan_version`."""

    model = Plan
    serializer_class = PlanSerializer
    filterset_class = PlanFilter

    def get_queryset(self) -> QuerySet[Plan]:
        newest = _NEWEST.prefetch_related(Prefetch("entitlements", queryset=_GRANTED))
        plans = super().get_queryset().select_related("cancel_coupon", "cancel_plan")
        return plans.prefetch_related(Prefetch("versions", queryset=newest, to_attr="newest"))

    def perform_create(self, data: dict[str, Any]) -> Plan:
        return catalog.create_plan(at=db.now(), **_with_terms(data))

    def perform_update(self, instance: Plan, data: dict[str, Any]) -> Plan:
        return catalog.change_plan(plan=instance, at=db.now_for(instance), **_with_terms(data))


def _with_terms(data: dict[str, Any]) -> dict[str, Any]:
    if "entitlements" in data:
        data["entitlements"] = [EntitlementTerms(**terms) for terms in data["entitlements"]]
    return data


class TierSerializer(StrictSerializer):
    """Units up to and including `up_to` (null: all further ones)."""

    up_to = fields.IntegerField(allow_null=True, min_value=1, max_value=10**15)
    unit_amount = fields.RateField(required=False, min_value=0, max_digits=30)
    flat_amount = fields.RateField(required=False, min_value=0, max_digits=30)

    def to_representation(self, instance: Any) -> dict[str, Any]:
        """As it is kept: its rates are text."""
        return dict(instance)


class PriceSerializer(ResourceSerializer):
    """How one item of a plan is priced; amounts are in minor units. Whatever somebody could buy stays as it is."""

    plan = fields.ReferenceField(Plan)
    currency = fields.CurrencyField()
    interval_count = fields.IntegerField(required=False, min_value=1, max_value=120)
    tiers = TierSerializer(many=True, required=False, max_length=100)  # type: ignore[call-arg]  # of the list
    package_size = fields.IntegerField(required=False, allow_null=True, min_value=1, max_value=fields.BIGINT)
    included_units = fields.QuantityField(required=False, decimal_places=12, min_value=0)
    free_units = fields.QuantityField(required=False, allow_null=True, decimal_places=12, min_value=0)
    meter = fields.ReferenceField(Meter, required=False, allow_null=True)

    class Meta:
        model = Price
        fields = resource_fields(
            "plan",
            "code",
            "name",
            "currency",
            "interval",
            "interval_count",
            "timing",
            "model",
            "unit_amount",
            "flat_amount",
            "tiers",
            "package_size",
            "included_units",
            "minimum_amount",
            "percentage",
            "fixed_amount",
            "free_units",
            "per_transaction_min",
            "per_transaction_max",
            "meter",
            "tax_class",
            "published",
            "add_on",
        )
        create_only_fields = ("plan", "code")


class PriceFilter(ResourceFilter):
    plan = ReferenceFilter(Plan)
    meter = ReferenceFilter(Meter)
    code = django_filters.CharFilter()
    currency = django_filters.CharFilter()
    published = FlagFilter()
    add_on = FlagFilter()


class PriceViewSet(CatalogViewSet):
    """Prices. A price that was part of something bought can only be withdrawn (`published`)."""

    model = Price
    serializer_class = PriceSerializer
    filterset_class = PriceFilter

    def perform_create(self, data: dict[str, Any]) -> Price:
        return catalog.create_price(at=db.now_for(data["plan"]), **data)

    def perform_update(self, instance: Price, data: dict[str, Any]) -> Price:
        return catalog.change_price(price=instance, at=db.now_for(instance), **data)


class FeatureSerializer(ResourceSerializer):
    """Something that plans grant: a switch, a limit, or metered use."""

    meter = fields.ReferenceField(Meter, required=False, allow_null=True)

    class Meta:
        model = Feature
        fields = resource_fields("code", "name", "type", "meter")
        create_only_fields = ("code",)


class FeatureFilter(ResourceFilter):
    code = django_filters.CharFilter()
    type = django_filters.ChoiceFilter(choices=Feature.Type.choices)
    meter = ReferenceFilter(Meter)


class FeatureViewSet(CatalogViewSet):
    """Features; what one is can't change once a plan grants it."""

    model = Feature
    serializer_class = FeatureSerializer
    filterset_class = FeatureFilter

    def perform_create(self, data: dict[str, Any]) -> Feature:
        return catalog.create_feature(at=db.now(), **data)

    def perform_update(self, instance: Feature, data: dict[str, Any]) -> Feature:
        return catalog.change_feature(feature=instance, at=db.now(), **data)


class MeterSerializer(ResourceSerializer):
    """What is counted of the usage stream. `filters` names the values of properties that count."""

    filters = fields.JsonObjectField(required=False)

    class Meta:
        model = Meter
        fields = resource_fields("code", "name", "event_name", "aggregation", "property", "filters", "unit")
        create_only_fields = ("code",)


class MeterFilter(ResourceFilter):
    code = django_filters.CharFilter()
    event_name = django_filters.CharFilter()


class MeterViewSet(CatalogViewSet):
    """Meters count past events too; what one counts can't change once a price or a feature uses it."""

    model = Meter
    serializer_class = MeterSerializer
    filterset_class = MeterFilter

    def perform_create(self, data: dict[str, Any]) -> Meter:
        return catalog.create_meter(at=db.now(), **data)

    def perform_update(self, instance: Meter, data: dict[str, Any]) -> Meter:
        return catalog.change_meter(meter=instance, at=db.now(), **data)


class TaxRateSerializer(ResourceSerializer):
    """A rate for a place and a class of goods, valid on [valid_from, valid_to); from today unless told otherwise."""

    percentage = fields.RateField(max_digits=8, decimal_places=5, min_value=0, max_value=100)
    country = fields.CountryField()
    valid_from = fields.DateField(required=False)

    class Meta:
        model = TaxRate
        fields = resource_fields(
            "code", "name", "percentage", "country", "region", "tax_class", "valid_from", "valid_to"
        )
        create_only_fields = ("code", "percentage", "country", "region", "tax_class", "valid_from")


class TaxRateFilter(ResourceFilter):
    code = django_filters.CharFilter()
    country = django_filters.CharFilter()


class TaxRateViewSet(CatalogViewSet):
    """Tax rates. One that taxed something is ended, and another takes over."""

    model = TaxRate
    serializer_class = TaxRateSerializer
    filterset_class = TaxRateFilter

    def perform_create(self, data: dict[str, Any]) -> TaxRate:
        at: datetime = db.now()
        return catalog.create_tax_rate(at=at, **{"valid_from": at.date()} | data)

    def perform_update(self, instance: TaxRate, data: dict[str, Any]) -> TaxRate:
        return catalog.change_tax_rate(rate=instance, at=db.now(), **data)
