"""The catalogue: what may change until somebody buys it, and what may not."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing import catalog, rating
from billing.catalog import EntitlementTerms
from billing.models import Meter, Plan, PlanVersion, Price, UsageRollup
from billing.pricing import rate
from gtm.shared.errors import Conflict, DomainError, Invalid
from gtm.shared.models import Event
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
TIERS: list[dict[str, Any]] = [
    {"up_to": 10, "unit_amount": "100"},
    {"up_to": None, "unit_amount": "50.5", "flat_amount": 200},
]


def facts() -> list[str]:
    return list(Event.objects.order_by("position").values_list("type", flat=True))


def seal(plan: Plan) -> PlanVersion:
    return catalog.seal(plan_version=plan.current_version, at=JAN_1)


class TestPlans:
    def test_a_plan_has_a_first_version_with_its_trial_terms(self) -> None:
        plan = makers.plan(trial_days=14, trial_end="cancel")

        version = plan.current_version
        assert (version.number, version.trial_days, version.trial_end, version.sealed_at) == (1, 14, "cancel", None)
        assert facts() == ["billing.plan.created"]

    def test_two_plans_cannot_have_one_code(self) -> None:
        makers.plan()

        with pytest.raises(Invalid) as refusal:
            makers.plan()
        assert (refusal.value.attr, refusal.value.code) == ("code", "unique")

    @pytest.mark.parametrize(
        ("fields", "attr"),
        [
            ({"code": "has space"}, "code"),
            ({"purchase_mode": "maybe"}, "purchase_mode"),
            ({"name": ""}, "name"),
            ({"demo_policy": "required"}, "demo_policy"),
            ({"trial_days": 40_000}, "trial_days"),
        ],
    )
    def test_it_refuses_what_makes_no_plan(self, fields: dict[str, Any], attr: str) -> None:
        with pytest.raises(Invalid) as refusal:
            makers.plan(**fields)
        assert refusal.value.attr == attr

    def test_a_demo_can_be_required_where_sales_assist_and_the_founder_is_warned(self) -> None:
        plan = makers.plan(purchase_mode="sales_assisted", demo_policy="required")

        assert "buy button" in catalog.warnings(plan=plan)[0]
        with pytest.raises(Invalid):
            catalog.change_plan(plan=plan, at=JAN_1, purchase_mode="self_serve")

    def test_a_change_tells_what_was_before_but_no_long_texts(self) -> None:
        plan = catalog.change_plan(plan=makers.plan(), at=JAN_1, position=3, name="Professional", trial_days=7)

        assert (plan.name, plan.position, plan.current_version.trial_days) == ("Professional", 3, 7)
        fact = Event.objects.get(type="billing.plan.changed")
        assert fact.previous == {"position": 0, "trial_days": 0}
        assert fact.data["changed"] == ["name", "position", "trial_days"]

    def test_a_change_to_the_same_tells_nothing(self) -> None:
        plan = makers.plan()

        catalog.change_plan(plan=plan, at=JAN_1, name=plan.name, trial_days=0)

        assert facts() == ["billing.plan.created"]

    def test_an_archived_plan_stays_as_it_is(self) -> None:
        plan = catalog.archive(plan=makers.published_plan(), at=JAN_1)

        assert not Plan.objects.for_sale().exists()
        for change in (catalog.publish, catalog.withdraw, catalog.change_plan):
            with pytest.raises(Conflict):
                change(plan=plan, at=JAN_1)
        with pytest.raises(Conflict):
            makers.price(plan=plan, code="late")
        assert catalog.archive(plan=plan, at=JAN_1).archived_at == JAN_1


class TestPublishing:
    def test_a_plan_without_a_published_price_is_not_for_sale(self) -> None:
        plan = makers.plan()
        makers.price(plan=plan, published=False)
        makers.price(plan=plan, code="extra", add_on=True)

        with pytest.raises(Conflict) as refusal:
            catalog.publish(plan=plan, at=JAN_1)
        assert refusal.value.code == "plan_has_no_price"

    def test_a_quote_only_plan_needs_no_price(self) -> None:
        assert catalog.publish(plan=makers.plan(purchase_mode="quote_only"), at=JAN_1).published

    def test_publishing_and_withdrawing_are_told_once_each(self) -> None:
        plan = makers.published_plan()
        before = len(facts())

        for change in (catalog.publish, catalog.withdraw, catalog.withdraw, catalog.publish):
            change(plan=plan, at=JAN_1)

        assert facts()[before:] == ["billing.plan.changed", "billing.plan.published"]

    def test_a_plan_made_as_published_waits_for_its_first_price(self) -> None:
        plan = makers.plan(published=True)

        assert catalog.warnings(plan=plan)
        assert plan not in Plan.objects.for_sale()
        makers.price(plan=plan)
        assert catalog.warnings(plan=plan) == []
        assert plan in Plan.objects.for_sale()


class TestVersions:
    def test_a_draft_changes_in_place(self) -> None:
        plan = makers.published_plan()

        catalog.change_plan(plan=plan, at=JAN_1, trial_days=30, entitlements=[])

        assert plan.versions.count() == 1
        assert (plan.current_version.trial_days, plan.current_version.entitlements.count()) == (30, 0)

    def test_a_sold_version_is_kept_and_the_next_one_carries_all_over(self) -> None:
        plan = makers.published_plan(trial_days=14)
        first = seal(plan)

        catalog.change_plan(plan=plan, at=JAN_1, trial_days=30)

        second = plan.current_version
        assert (first.number, second.number, second.sealed_at) == (1, 2, None)
        assert (PlanVersion.objects.get(pk=first.pk).trial_days, second.trial_days) == (14, 30)
        assert set(second.prices.all()) == set(first.prices.all())
        assert second.entitlements.get().limit == first.entitlements.get().limit == 1000

    def test_new_prices_and_limits_go_into_one_next_version(self) -> None:
        plan = makers.published_plan()
        first = seal(plan)
        feature = first.entitlements.get().feature

        makers.price(plan=plan, code="pro-quarter", interval="quarter")
        catalog.set_entitlements(plan=plan, entitlements=[EntitlementTerms(feature=feature, limit=9)], at=JAN_1)

        assert plan.versions.count() == 2
        assert (first.prices.count(), plan.current_version.prices.count()) == (2, 3)
        assert (first.entitlements.get().limit, plan.current_version.entitlements.get().limit) == (1000, 9)

    def test_the_same_entitlements_make_no_version(self) -> None:
        plan = makers.published_plan()
        first = seal(plan)
        feature = first.entitlements.get().feature

        terms = [EntitlementTerms(feature=feature, limit=Decimal("1000.0"))]
        assert catalog.set_entitlements(plan=plan, entitlements=terms, at=JAN_1) == first

    def test_it_is_sealed_once(self) -> None:
        first = seal(makers.published_plan())
        later = catalog.seal(plan_version=PlanVersion.objects.get(), at=datetime(2026, 5, 1, tzinfo=UTC))

        assert later.sealed_at == first.sealed_at == JAN_1

    @pytest.mark.parametrize(
        "terms",
        [
            {"limit": -1},
            {"limit": Decimal("0.0000001")},
            {"limit": Decimal(10**25)},
            {"reset": "weekly"},
            {"limit": None, "hard": True},
        ],
    )
    def test_it_refuses_what_is_no_limit(self, terms: dict[str, Any]) -> None:
        plan = makers.published_plan()
        feature = plan.current_version.entitlements.get().feature

        with pytest.raises(Invalid):
            catalog.set_entitlements(plan=plan, entitlements=[EntitlementTerms(feature, **terms)], at=JAN_1)

    def test_a_switch_has_no_limit_and_no_feature_comes_twice(self) -> None:
        plan, switch = makers.plan(), makers.feature(code="sso")

        with pytest.raises(Invalid, match="switch"):
            catalog.set_entitlements(plan=plan, entitlements=[EntitlementTerms(switch, limit=1)], at=JAN_1)
        with pytest.raises(Invalid, match="twice"):
            catalog.set_entitlements(plan=plan, entitlements=[EntitlementTerms(switch)] * 2, at=JAN_1)


class TestPrices:
    def test_a_price_is_rated_by_its_terms(self) -> None:
        price = makers.price(plan=makers.plan(), model="graduated", unit_amount=None, tiers=TIERS)

        assert price.tiers[1] == {"up_to": None, "unit_amount": "50.5", "flat_amount": "200"}
        assert rate(rating.terms_of(price), Decimal(12)).amount == 1000 + 200 + 101

    def test_a_price_on_a_meter_is_in_arrears(self) -> None:
        terms: dict[str, Any] = {"model": "per_unit", "unit_amount": "0.5", "meter": makers.meter()}
        price = makers.price(plan=makers.plan(), **terms)

        assert price.timing == "in_arrears"
        with pytest.raises(Invalid) as refusal:
            makers.price(plan=price.plan, code="advance", timing="in_advance", **terms)
        assert refusal.value.attr == "timing"

    @pytest.mark.parametrize(
        ("terms", "attr"),
        [
            ({"currency": "XXX"}, "currency"),
            ({"unit_amount": None}, "unit_amount"),
            ({"unit_amount": Decimal("0.1234567890123")}, "unit_amount"),
            ({"unit_amount": -1}, "unit_amount"),
            ({"interval": "fortnight"}, "interval"),
            ({"interval_count": 0}, "interval_count"),
            ({"interval_count": 121}, "interval_count"),
            ({"interval": "one_time", "interval_count": 2}, "interval_count"),
            ({"interval": "one_time", "timing": "in_arrears"}, "timing"),
            ({"model": "graduated", "unit_amount": None}, "tiers"),
            ({"model": "graduated", "unit_amount": None, "tiers": [{"up_to": "x"}]}, "tiers"),
            ({"model": "graduated", "unit_amount": None, "tiers": [{"up_to": 1.5}]}, "tiers"),
            ({"model": "graduated", "unit_amount": None, "tiers": 7}, "tiers"),
            ({"model": "graduated", "unit_amount": None, "tiers": [{"up_to": 5}]}, "tiers"),
            ({"code": "pro month"}, "code"),
        ],
    )
    def test_it_refuses_what_makes_no_price(self, terms: dict[str, Any], attr: str) -> None:
        with pytest.raises(Invalid) as refusal:
            makers.price(plan=makers.plan(), **terms)
        assert refusal.value.attr == attr
        assert not Price.objects.exists()

    def test_a_price_that_nobody_bought_can_be_corrected_and_deleted(self) -> None:
        price = makers.price(plan=makers.plan())

        changed = catalog.change_price(price=price, at=JAN_1, unit_amount=Decimal(5000), currency="eur")
        assert (changed.unit_amount, changed.currency) == (5000, "EUR")
        catalog.delete_price(price=price, at=JAN_1)
        assert facts()[-2:] == ["billing.price.changed", "billing.price.deleted"]

    def test_a_sold_price_says_why_it_stays(self) -> None:
        plan = makers.published_plan()
        price = plan.prices.get(code="pro-month")
        seal(plan)

        for refused in (
            lambda: catalog.change_price(price=price, at=JAN_1, unit_amount=Decimal(1)),
            lambda: catalog.delete_price(price=price, at=JAN_1),
        ):
            with pytest.raises(Conflict, match="version 1 of Pro, which has been sold since 1 January 2026") as refusal:
                refused()
            assert refusal.value.code == "price_in_use"
        assert Price.objects.get(pk=price.pk).unit_amount == 4900

    def test_a_sold_price_can_still_be_withdrawn(self) -> None:
        plan = makers.published_plan()
        price = plan.prices.get(code="pro-month")
        seal(plan)

        assert not catalog.change_price(price=price, at=JAN_1, published=False, unit_amount=Decimal(4900)).published
        assert plan.versions.count() == 1


class TestMeters:
    @pytest.mark.parametrize(
        ("fields", "attr"),
        [
            ({"aggregation": "max"}, "property"),
            ({"aggregation": "median"}, "aggregation"),
            ({"event_name": ""}, "event_name"),
            ({"filters": ["x"]}, "filters"),
            ({"filters": {"x": []}}, "filters"),
            ({"filters": {"x": {"y": 1}}}, "filters"),
            ({"filters": {"": "x"}}, "filters"),
        ],
    )
    def test_it_refuses_what_makes_no_meter(self, fields: dict[str, Any], attr: str) -> None:
        with pytest.raises(Invalid) as refusal:
            makers.meter(**fields)
        assert refusal.value.attr == attr

    def test_a_single_value_is_a_list_of_one(self) -> None:
        assert makers.meter(filters={"region": "eu"}).filters == {"region": ["eu"]}

    def test_a_used_meter_keeps_its_meaning_but_not_its_name(self) -> None:
        meter = makers.meter()
        makers.feature(meter=meter)

        assert catalog.change_meter(meter=meter, at=JAN_1, name="Calls", event_name="api.call").name == "Calls"
        with pytest.raises(Conflict) as refusal:
            catalog.change_meter(meter=meter, at=JAN_1, event_name="other")
        assert (refusal.value.code, refusal.value.attr) == ("meter_in_use", "event_name")

    def test_an_unused_meter_that_is_defined_anew_counts_the_past_anew(self) -> None:
        from billing import usage

        meter, acme = makers.meter(), makers.customer()
        events = [makers.usage_event(acme, name, name=name) for name in ("api.call", "other")]
        usage.record(events=events, at=JAN_1)

        catalog.change_meter(meter=meter, at=JAN_1, aggregation="sum", event_name="other")

        assert UsageRollup.objects.get().meter_id == Meter.objects.get().pk

    def test_making_one_is_a_fixed_number_of_queries(self) -> None:
        with CaptureQueriesContext(connection) as captured:
            makers.meter()

        assert len(captured) <= 9


class TestFeatures:
    @pytest.mark.parametrize(("fields", "attr"), [({"type": "metered"}, "meter"), ({"type": "other"}, "type")])
    def test_it_refuses_what_makes_no_feature(self, fields: dict[str, Any], attr: str) -> None:
        with pytest.raises(Invalid) as refusal:
            makers.feature(**fields)
        assert refusal.value.attr == attr

    def test_a_switch_has_no_meter(self) -> None:
        with pytest.raises(Invalid):
            makers.feature(type="boolean", meter=makers.meter())

    def test_a_granted_feature_keeps_its_meaning(self) -> None:
        feature = makers.published_plan().current_version.entitlements.get().feature

        assert catalog.change_feature(feature=feature, at=JAN_1, name="Calls").name == "Calls"
        with pytest.raises(Conflict) as refusal:
            catalog.change_feature(feature=feature, at=JAN_1, type="metered")
        assert refusal.value.code == "feature_in_use"


class TestTaxRates:
    def make(self, **fields: Any) -> Any:
        values: dict[str, Any] = {"code": "de", "name": "USt", "percentage": Decimal(19), "country": "de"}
        return catalog.create_tax_rate(at=JAN_1, **values | {"valid_from": date(2026, 1, 1)} | fields)

    def test_a_rate_is_ended_and_not_changed(self) -> None:
        rate = self.make()

        assert rate.country == "DE"
        assert catalog.change_tax_rate(rate=rate, at=JAN_1, valid_to=date(2027, 1, 1)).valid_to == date(2027, 1, 1)
        assert facts() == ["billing.tax_rate.created", "billing.tax_rate.changed"]

    @pytest.mark.parametrize(
        "fields",
        [{"percentage": Decimal(101)}, {"percentage": Decimal(-1)}, {"valid_to": date(2026, 1, 1)}, {"country": "ZZ"}],
    )
    def test_it_refuses_what_makes_no_rate(self, fields: dict[str, Any]) -> None:
        with pytest.raises(DomainError):
            self.make(**fields)
