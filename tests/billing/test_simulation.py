"""What a plan would come to: the same invoices as a customer would get, and nothing written."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.test import Client

from billing import coupons, simulation
from billing.models import Meter, Plan, Price
from billing.simulation import Scenario
from gtm.shared.errors import Invalid
from tests import world
from tests.backoffice import address, errors, signed_in, submit
from tests.billing import makers
from tests.billing.api import BASE, caller, problem
from tests.world import JAN_1


@pytest.fixture
def plan() -> Plan:
    """49.00 a month, and 0.10 for each API call beyond 1,000 a month."""
    makers.legal_entity(timezone="UTC")
    made = makers.published_plan()
    meter = made.current_version.entitlements.get().feature.meter
    makers.price(
        plan=made,
        code="pro-calls",
        model="per_unit",
        unit_amount=10,
        included_units=1000,
        meter=meter,
        timing=Price.Timing.IN_ARREARS,
    )
    return made


def scenario(plan: Plan, **changed: Any) -> Scenario:
    used = changed.pop("used", 1250)
    terms: dict[str, Any] = {
        "plan_version": plan.current_version,
        "interval": "month",
        "quantity": 1,
        "currency": "USD",
        "country": "US",
        "months": 3,
        "use": {Meter.objects.get(code="api_calls"): Decimal(used)},
    }
    return Scenario(**terms | changed)


def rows() -> dict[str, int]:
    with connection.cursor() as cursor:
        tables = [model._meta.db_table for model in apps.get_models() if model._meta.managed]
        counts = {}
        for table in tables:
            cursor.execute(f'SELECT count(*) FROM "{table}"')  # noqa: S608 -- tables of ours
            counts[table] = cursor.fetchone()[0]
        return counts


@pytest.mark.django_db
class TestSimulate:
    def test_three_months_are_four_invoices(self, plan: Plan) -> None:
        found = simulation.simulate(scenario(plan), at=JAN_1)
        assert [invoice.subtotal for invoice in found.invoices] == [4900, 7400, 7400, 7400]
        assert [invoice.issue_date.isoformat() for invoice in found.invoices][:2] == ["2026-01-01", "2026-02-01"]
        usage = next(line for line in found.invoices[1].lines if line.amount == 2500)
        assert "1,000 are included" in usage.explanation
        assert found.by_year == [(2026, found.total)]

    def test_nothing_is_written(self, plan: Plan) -> None:
        before = rows()
        simulation.simulate(scenario(plan), at=JAN_1)
        assert rows() == before

    def test_tax_and_coupon_count(self, plan: Plan) -> None:
        makers.tax_rate("10")
        coupon = coupons.create(code="HALF", percent_off=Decimal(50), duration="forever", at=JAN_1)
        found = simulation.simulate(scenario(plan, coupon=coupon, months=1), at=JAN_1)
        first = found.invoices[0]
        assert (first.discount_total, first.tax_total, first.total) == (2450, 245, 2695)

    def test_from_the_end_of_a_month_in_any_year(self, plan: Plan) -> None:
        found = simulation.simulate(scenario(plan, months=2), at=datetime(2027, 1, 31, 15, tzinfo=UTC))
        assert [str(invoice.issue_date) for invoice in found.invoices] == ["2027-01-31", "2027-02-28", "2027-03-31"]

    @pytest.mark.parametrize(
        ("changed", "attr"),
        [
            ({"months": 37}, "months"),
            ({"months": 0}, "months"),
            ({"quantity": -1}, "quantity"),
            ({"used": -1}, "use"),
            ({"used": "1.5"}, "use"),
            ({"interval": "week"}, "interval"),
        ],
    )
    def test_bad_input_names_its_field(self, plan: Plan, changed: dict[str, Any], attr: str) -> None:
        with pytest.raises(Invalid) as refusal:
            simulation.simulate(scenario(plan, **changed), at=JAN_1)
        assert refusal.value.attr == attr

    def test_an_unknown_place_is_said(self, plan: Plan) -> None:
        makers.tax_rate("19", country="DE")
        with pytest.raises(Invalid, match="The country of the simulated customer is needed") as refusal:
            simulation.simulate(scenario(plan, country=""), at=JAN_1)
        assert refusal.value.attr == "country"


@pytest.mark.django_db
class TestAdmin:
    def test_a_founder_sees_the_invoices_to_come(self, plan: Plan) -> None:
        client: Client = signed_in(world.fay())
        asked = {"months": "2", "interval": "month", "quantity": "1", "currency": "USD", "country": "US"}
        path = address("billing_plan_simulate", plan.pk)
        page = submit(client, path, **asked, use_api_calls="1250").content.decode()
        assert "$74.00" in page
        assert "What Pro would come to" in page

    def test_an_unknown_coupon_is_said_at_its_field(self, plan: Plan) -> None:
        page = submit(signed_in(world.fay()), address("billing_plan_simulate", plan.pk), coupon="NO")
        assert "coupon" in errors(page)

    def test_an_older_version_and_each_month_are_shown(self, plan: Plan) -> None:
        makers.subscribed(makers.customer(), plan=plan)
        newer = makers.price(plan=plan, code="pro-month-2", unit_amount=9900)
        assert newer.plan_versions.get() != plan.versions.earliest("number")
        asked = {"months": "2", "currency": "USD", "country": "US", "version": plan.versions.earliest("number").pk}
        page = submit(signed_in(world.fay()), address("billing_plan_simulate", plan.pk), **asked)
        months = page.context["result"].by_month
        assert [total for _month, total in months] == [4900, 4900, 4900]


@pytest.mark.django_db
class TestTransactions:
    def test_a_price_that_looks_at_each_sees_them(self, plan: Plan) -> None:
        volume = makers.meter(code="volume", event_name="paid", aggregation="sum", property="amount")
        terms = {"model": "percentage", "unit_amount": None, "percentage": Decimal(1), "fixed_amount": Decimal(30)}
        makers.price(plan=plan, code="fees", meter=volume, timing="in_arrears", **terms)
        used = {volume: Decimal(100000), Meter.objects.get(code="api_calls"): Decimal()}
        found = simulation.simulate(scenario(plan, use=used, months=1, transactions=10), at=JAN_1)
        assert [line.amount for line in found.invoices[1].lines if line.amount not in {0, 4900}] == [1000 + 300]
        with pytest.raises(Invalid) as refusal:
            simulation.simulate(scenario(plan, transactions=1001), at=JAN_1)
        assert refusal.value.attr == "transactions"


@pytest.mark.django_db
class TestApi:
    PATH = f"{BASE}/simulations"

    def test_a_key_that_reads_gets_the_invoices_to_come(self, plan: Plan) -> None:
        body = {"plan": "pro", "months": 2, "currency": "USD", "country": "US", "usage": {"api_calls": 1250}}
        api = caller(scope="read")
        before = rows()
        found = api.post(self.PATH, body).json()
        assert [invoice["total"] for invoice in found["invoices"]] == [4900, 7400, 7400]
        assert found["total"] == sum(month["total"] for month in found["by_month"]) == 19700
        assert {name: count for name, count in rows().items() if count != before[name]} == {}

    @pytest.mark.parametrize(
        ("body", "attr"),
        [
            ({}, "plan"),
            ({"plan": "nothing"}, "plan"),
            ({"months": 37}, "months"),
            ({"usage": {"nothing": 1}}, "usage"),
            ({"usage": {"api_calls": -1}}, "usage.api_calls"),
            ({"coupon": "NO"}, "coupon"),
            ({"interval": "week"}, "interval"),
            ({"quantity": "many"}, "quantity"),
            ({"currency": "XXX"}, "currency"),
        ],
    )
    def test_bad_input_names_its_field(self, plan: Plan, body: dict[str, Any], attr: str) -> None:
        asked = {"plan": "pro", "currency": "USD", "country": "US", "months": 1} | body if body else body
        assert problem(caller().post(self.PATH, asked), status=400)[1] == attr
