"""Plans, prices, features, meters and tax rates over the API."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing import catalog
from billing.models import Plan, Price
from tests import world
from tests.billing import makers
from tests.billing.api import BASE, caller, problem
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
PLANS, PRICES = f"{BASE}/plans", f"{BASE}/prices"


class TestPlans:
    def test_a_founder_sets_up_a_plan_from_nothing(self) -> None:
        api = caller()
        meter = {"code": "api_calls", "name": "API calls", "event_name": "api.call", "aggregation": "count"}
        assert api.post(f"{BASE}/meters", meter).status_code == 201
        feature = {"code": "api_calls", "name": "API calls", "type": "limit", "meter": "api_calls"}
        assert api.post(f"{BASE}/features", feature).status_code == 201
        entitlements = [{"feature": "api_calls", "limit": 1000, "hard": False, "reset": "billing_period"}]
        body = {"code": "pro", "name": "Pro", "trial_days": 14, "entitlements": entitlements}
        plan = api.post(PLANS, body).json()
        price = {"plan": "pro", "code": "pro-month", "currency": "USD", "model": "flat", "unit_amount": "4900"}
        assert api.post(PRICES, price).status_code == 201

        published = api.patch(f"{PLANS}/pro", {"published": True}).json()

        assert (published["published"], published["id"]) == (True, plan["id"])
        assert published["plan_version"].startswith("pv_")
        assert (published["trial_days"], published["trial_end"], published["purchase_mode"]) == (
            14,
            "charge",
            "self_serve",
        )
        assert published["entitlements"] == [
            {"feature": "api_calls", "granted": True, "limit": 1000, "hard": False, "reset": "billing_period"}
        ]

    def test_a_change_to_what_is_sold_makes_a_new_plan_version(self) -> None:
        api, plan = caller(), makers.published_plan()
        first = api.get(f"{PLANS}/pro").json()
        catalog.seal(plan_version=plan.current_version, at=JAN_1)

        changed = api.patch(f"{PLANS}/pro", {"trial_days": 7, "entitlements": []}).json()

        assert changed["plan_version"] != first["plan_version"]
        assert (changed["trial_days"], changed["entitlements"], first["trial_days"]) == (7, [], 0)
        assert changed["version"] > first["version"]

    def test_what_is_read_can_be_written_back_whole(self) -> None:
        api = caller()
        makers.published_plan()
        content = api.get(f"{PLANS}/pro").json()

        assert api.patch(f"{PLANS}/pro", content).json() == content

    @pytest.mark.parametrize(
        ("change", "attr"),
        [
            ({"demo_policy": "required"}, "demo_policy"),
            ({"purchase_mode": "other"}, "purchase_mode"),
            ({"trial_days": -1}, "trial_days"),
            ({"entitlements": [{"feature": "nothing"}]}, "entitlements.0.feature"),
            ({"position": -1}, "position"),
        ],
    )
    def test_it_refuses_what_makes_no_plan(self, change: dict[str, Any], attr: str) -> None:
        response = caller().post(PLANS, {"code": "pro", "name": "Pro"} | change)

        assert problem(response, status=400)[1] == attr
        assert not Plan.objects.exists()

    def test_a_code_is_taken_once(self) -> None:
        makers.plan()

        assert problem(caller().post(PLANS, {"code": "pro", "name": "Pro"}), status=400) == ("unique", "code")

    def test_it_is_not_published_without_a_price(self) -> None:
        makers.plan()

        response = caller().patch(f"{PLANS}/pro", {"published": True, "name": "Changed"})

        assert problem(response, status=409) == ("plan_has_no_price", "published")
        assert Plan.objects.get().name == "Pro"

    def test_a_stale_change_is_refused(self) -> None:
        api = caller()
        makers.plan()
        assert api.patch(f"{PLANS}/pro", {"name": "One"}, headers={"If-Match": '"1"'}).status_code == 200

        stale = api.patch(f"{PLANS}/pro", {"name": "Two"}, headers={"If-Match": '"1"'})

        assert problem(stale, status=409)[0] == "stale_version"

    def test_a_list_is_a_fixed_number_of_queries(self) -> None:
        def queries() -> int:
            with CaptureQueriesContext(connection) as captured:
                assert api.get(PLANS).status_code == 200
            return len(captured)

        api = caller()
        makers.published_plan()
        queries()  # the key's first use is noted
        one = queries()
        for n in range(5):
            makers.published_plan(code=f"plan-{n}")
        assert queries() == one

    def test_only_founders_and_finance_change_the_catalogue(self) -> None:
        makers.plan()

        assert caller(user=world.fay()).patch(f"{PLANS}/pro", {"name": "New"}).status_code == 200
        rep = caller(user=world.ann())
        assert rep.get(PLANS).status_code == 200
        assert problem(rep.patch(f"{PLANS}/pro", {"name": "Other"}), status=403)


class TestPrices:
    def test_rates_are_exact_strings(self) -> None:
        makers.plan()
        tiers = [
            {"up_to": 10, "unit_amount": "0.123456789012", "flat_amount": "0"},
            {"up_to": None, "unit_amount": "0.1", "flat_amount": "5"},
        ]
        body = {"plan": "pro", "code": "tiered", "currency": "usd", "model": "graduated", "tiers": tiers}

        shown = caller().post(PRICES, body).json()

        assert (shown["tiers"], shown["currency"], shown["unit_amount"], shown["meter"]) == (tiers, "USD", None, None)
        assert (shown["interval"], shown["timing"], shown["published"], shown["included_units"]) == (
            "month",
            "in_advance",
            True,
            0,
        )

    def test_a_metered_price_is_in_arrears(self) -> None:
        makers.plan()
        makers.meter()
        body = {"plan": "pro", "code": "use", "currency": "USD", "model": "per_unit", "unit_amount": 0.5}

        shown = caller().post(PRICES, body | {"meter": "api_calls"}).json()

        assert (shown["timing"], shown["unit_amount"]) == ("in_arrears", "0.5")

    @pytest.mark.parametrize(
        ("change", "attr"),
        [
            ({"plan": "nothing"}, "plan"),
            ({"currency": "XTS"}, "currency"),
            ({"unit_amount": None}, "unit_amount"),
            ({"unit_amount": "x"}, "unit_amount"),
            ({"unit_amount": "-1"}, "unit_amount"),
            ({"model": "auction"}, "model"),
            ({"model": "graduated", "unit_amount": None, "tiers": [{"up_to": 3}]}, "tiers"),
            ({"interval_count": 0}, "interval_count"),
            ({"minimum_amount": -1}, "minimum_amount"),
            ({"package_size": 0}, "package_size"),
        ],
    )
    def test_it_refuses_what_makes_no_price(self, change: dict[str, Any], attr: str) -> None:
        makers.plan()
        body = {"plan": "pro", "code": "p", "currency": "USD", "model": "flat", "unit_amount": "1"}

        assert problem(caller().post(PRICES, body | change), status=400)[1] == attr
        assert not Price.objects.exists()

    def test_a_sold_price_is_only_withdrawn(self) -> None:
        api, plan = caller(), makers.published_plan()
        catalog.seal(plan_version=plan.current_version, at=JAN_1)
        content = api.get(f"{PRICES}/pro-month").json()

        assert problem(api.patch(f"{PRICES}/pro-month", {"unit_amount": "1"}), status=409)[0] == "price_in_use"
        assert api.patch(f"{PRICES}/pro-month", content | {"published": False}).json()["published"] is False

    def test_they_are_filtered_by_plan(self) -> None:
        api, plan = caller(), makers.published_plan()
        makers.price(plan=makers.plan(code="other"), code="other-month")

        for reference in ("pro", plan.public_id):
            found = api.get(PRICES, {"plan": reference}).json()["results"]
            assert {one["code"] for one in found} == {"pro-month", "pro-year"}


class TestMetersAndFeatures:
    def test_a_used_meter_keeps_its_meaning(self) -> None:
        makers.published_plan()
        api = caller()

        assert api.patch(f"{BASE}/meters/api_calls", {"name": "Calls"}).json()["name"] == "Calls"
        refused = api.patch(f"{BASE}/meters/api_calls", {"aggregation": "sum"})
        assert problem(refused, status=409) == ("meter_in_use", "aggregation")
        refused = api.patch(f"{BASE}/features/api_calls", {"type": "metered"})
        assert problem(refused, status=409) == ("feature_in_use", "type")

    def test_a_meter_shows_its_filters_as_lists(self) -> None:
        body = {"code": "eu", "name": "EU", "event_name": "call", "aggregation": "sum", "filters": {"region": "eu"}}

        assert caller().post(f"{BASE}/meters", body).json()["filters"] == {"region": ["eu"]}

    def test_it_refuses_a_meter_without_the_property_it_needs(self) -> None:
        body = {"code": "peak", "name": "Peak", "event_name": "peak", "aggregation": "max"}

        assert problem(caller().post(f"{BASE}/meters", body), status=400) == ("required", "property")


class TestTaxRates:
    def test_a_rate_begins_today_and_can_be_ended(self) -> None:
        api = caller()
        body = {"code": "de", "name": "USt", "percentage": "19", "country": "DE"}

        rate = api.post(f"{BASE}/tax_rates", body).json()

        assert (rate["percentage"], rate["valid_to"], rate["tax_class"]) == ("19", None, "standard")
        assert api.patch(f"{BASE}/tax_rates/de", {"valid_to": "2999-01-01"}).json()["valid_to"] == "2999-01-01"
        assert problem(api.patch(f"{BASE}/tax_rates/de", {"percentage": "20"}), status=400) == (
            "read_only",
            "percentage",
        )
