"""Changes of subscriptions over the API, on a test clock: made, previewed, scheduled, undone."""

from datetime import datetime

import pytest
from django.apps import apps
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing.models import SubscriptionChange
from tests import world
from tests.billing import api
from tests.billing.lives import Life, lines_of, local

pytestmark = pytest.mark.django_db
JUN_1, JUN_16, JUL_1 = (local(f"2026-{day}") for day in ("06-01", "06-16", "07-01"))


@pytest.fixture(params=["day", "second"])
def unit(request: pytest.FixtureRequest) -> str:
    return request.param


def life(at: datetime = JUN_1, **terms: str) -> Life:
    """Small at 1,000.00 and large at 1,500.00 a month, large at 15,000.00 a year, and seats at 10.00."""
    one = Life.begin(at, **terms)
    one.plan("small", 100000)
    one.plan("large", 150000)
    one.price("large", "large-year", interval="year", unit_amount="1500000")
    one.plan("team")
    one.price("team", "seat", model="per_unit", unit_amount="1000")
    return one


class TestOwedOnce:
    def test_an_open_invoice_and_an_upgrade_at_half_period(self, unit):
        """1,000.00 open and an upgrade to 1,500.00: 1,250.00 owed in all."""
        acme = life(unit=unit)
        acme.subscribe(plan="small", collection_method="send_invoice", net_terms_days=30)
        acme.go(JUN_16)
        acme.act("change", plan="large")
        assert [one["amount_due"] for one in acme.issued()] == [50000, 75000]
        assert [(one["total"], one["settle"]) for one in acme.notes()] == [(50000, "balance")]
        assert acme.balance == 0
        acme.go(JUL_1)
        assert [one["amount_due"] for one in acme.issued()] == [50000, 75000, 150000]
        acme.bills_nothing_more()

    def test_with_its_tax(self):
        acme = life(tax="20")
        acme.subscribe(plan="small", collection_method="send_invoice", net_terms_days=30)
        acme.go(JUN_16)
        acme.act("change", plan="large")
        assert sum(one["amount_due"] for one in acme.issued()) == 150000

    def test_a_paid_one_is_credited_on_the_next(self, unit):
        acme = life(unit=unit, tax="20")
        acme.subscribe(plan="small")
        acme.go(JUN_16)
        acme.act("change", plan="large")
        upgrade = acme.issued()[-1]
        assert lines_of(upgrade, "kind", "amount") == [("proration_credit", -50000), ("proration_charge", 75000)]
        assert (upgrade["subtotal"], upgrade["tax_total"], upgrade["status"]) == (25000, 5000, "paid")
        credit = upgrade["lines"][0]
        assert credit["credits_line"] == acme.issued()[0]["lines"][0]["id"]
        assert "15 of 30 days" in credit["explanation"] or "seconds" in credit["explanation"]


class TestPeriods:
    def test_a_longer_interval_counts_now_from_a_new_anchor(self):
        acme = life()
        acme.subscribe(plan="large")
        acme.go(JUN_16)
        changed = acme.act("change", items=[{"price": "large-year"}])
        assert changed["current_period_end"] == "2027-06-16T00:00:00Z"
        assert [item["current_period_start"] for item in changed["items"]] == ["2026-06-16T00:00:00Z"]
        assert lines_of(acme.issued()[-1]) == [-75000, 1500000]

    def test_the_31st_survives_another_plan(self):
        acme = life(local("2026-01-31"))
        acme.subscribe(plan="small")
        acme.go(local("2026-02-10"))
        acme.act("change", plan="large")
        acme.go(local("2026-05-31"))
        ends = [one["lines"][-1]["period_end"][:10] for one in acme.issued()]
        assert ends == ["2026-02-28", "2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31", "2026-06-30"]


class TestScheduled:
    def test_is_shown_undone_and_made(self):
        acme = life()
        acme.subscribe(plan="large")
        acme.go(JUN_16)
        changed = acme.act("change", plan="small")
        (phase,) = changed["phases"]
        assert (phase["starts_at"], phase["proration"], phase["locked"]) == ("2026-07-01T00:00:00Z", "prorate", False)
        assert [item["quantity"] for item in phase["items"]] == [1]
        address = f"{api.BASE}/subscriptions/{acme.subscription}/change"
        assert acme.client.delete(address).json()["phases"] == []
        assert api.problem(acme.client.delete(address), status=409)[0] == "not_scheduled"
        acme.act("change", plan="small", effective=local("2026-08-01").isoformat())
        acme.act("change", plan="large", effective=local("2026-09-01").isoformat())
        assert api.problem(acme.client.delete(f"{address}?every=1"), status=400)[1] == "every"
        acme.act("change", plan="small")
        assert [phase["starts_at"][:10] for phase in acme.state["phases"]] == ["2026-07-01", "2026-09-01"]
        assert acme.client.delete(f"{address}?all=true").json()["phases"] == []
        acme.act("change", plan="small")
        acme.go(JUL_1)
        assert acme.state["phases"] == []
        assert lines_of(acme.issued()[-1]) == [100000]
        told = {fact for fact in acme.facts() if fact.startswith("billing.subscription.change")}
        assert told == {f"billing.subscription.change{end}" for end in ("_scheduled", "_undone", "d")}

    def test_seats_wait_for_the_next_invoice(self):
        acme = life()
        acme.subscribe(items=[{"price": "seat", "quantity": 5}])
        acme.go(JUN_16)
        acme.act("change", items=[{"price": "seat", "quantity": 8}])
        assert len(acme.issued()) == 1
        acme.go(JUL_1)
        assert lines_of(acme.issued()[-1]) == [-2500, 4000, 8000]

    def test_at_a_time(self):
        acme = life()
        acme.subscribe(plan="small")
        acme.act("change", plan="large", effective=JUN_16.isoformat())
        acme.go(JUN_16)
        assert lines_of(acme.issued()[-1]) == [-50000, 75000]


class TestPreview:
    def test_shows_what_the_change_then_does_and_writes_nothing(self, unit):
        acme = life(unit=unit, tax="20")
        acme.subscribe(plan="small")
        acme.go(JUN_16)
        before = counts()
        shown = acme.act("change/preview", plan="large")
        assert counts() == before
        acme.act("change", plan="large")
        invoice = acme.issued()[-1]
        names = ("subtotal", "tax_total", "total")
        assert [shown[name] for name in names] == [invoice[name] for name in names]
        kept = ("kind", "amount", "description", "period_start", "period_end", "explanation", "tax_amount")
        assert [[line[name] for name in kept] for line in shown["lines"]] == [
            [line[name] for name in kept] for line in invoice["lines"]
        ]
        acme.go(JUL_1)
        assert shown["effective_at"] == "2026-06-16T00:00:00Z"
        assert (shown["next_invoice"]["at"], shown["next_invoice"]["total"]) == ("2026-07-01T00:00:00Z", 180000)
        assert acme.issued()[-1]["total"] == 180000

    def test_of_a_downgrade_shows_when_it_comes(self):
        acme = life()
        acme.subscribe(plan="large")
        shown = acme.act("change/preview", plan="small")
        assert (shown["effective_at"], shown["total"], shown["lines"]) == ("2026-07-01T00:00:00Z", 0, [])
        assert shown["next_invoice"]["total"] == 100000


def counts() -> dict[str, int]:
    """The rows of all tables, but for those that any call writes."""
    models = [model for app in apps.get_app_configs() for model in app.get_models(include_auto_created=True)]
    return {model._meta.label: model._default_manager.count() for model in models if model._meta.managed}


class TestTimeline:
    def test_says_what_comes_and_what_was(self):
        acme = life()
        acme.subscribe(plan="large")
        acme.go(JUN_16)
        acme.act("change", plan="small")
        found = acme.get(f"subscriptions/{acme.subscription}/timeline")
        assert [(one["kind"], one["at"][:10]) for one in found["upcoming"]] == [
            ("change", "2026-07-01"),
            ("invoice", "2026-07-01"),
        ]
        assert found["upcoming"][0]["phase"]["id"] == acme.state["phases"][0]["id"]
        assert [one["kind"] for one in found["results"]] == ["change_scheduled", "activated", "created"]
        acme.go(JUL_1)
        newest = acme.get(f"subscriptions/{acme.subscription}/timeline")["results"][0]
        assert (newest["kind"], newest["mrr_before"], newest["mrr_after"]) == ("changed", 150000, 100000)
        assert newest["detail"]["items"][0]["quantity"] == "1"


class TestRefusals:
    @pytest.mark.parametrize(
        ("body", "status", "code", "attr"),
        [
            ({}, 400, "required", "items"),
            ({"items": []}, 400, "required", "items"),
            ({"plan": "nothing"}, 400, "not_found", "plan"),
            ({"items": [{"price": "large", "quantity": -1}]}, 400, "min_value", "items.0.quantity"),
            ({"items": [{"price": "small"}, {"price": "large"}]}, 400, "unknown_price", "items.0.price"),
            ({"plan": "large", "effective": "2026-05-31T00:00:00Z"}, 400, "in_the_past", "effective"),
            ({"plan": "large", "effective": "9999-12-31T00:00:00Z"}, 400, "out_of_range", "effective"),
            ({"plan": "large", "effective": "2900-01-01T00:00:00Z"}, 400, "invalid", "effective"),
            ({"plan": "large", "effective": "tomorrow"}, 400, "invalid", "effective"),
            ({"plan": "large", "proration": "half"}, 400, "invalid_choice", "proration"),
            ({"plan": "large", "invoicing": "never"}, 400, "invalid_choice", "invoicing"),
            ({"plan": "large", "interval": "week"}, 400, "no_price", "interval"),
            ({"plan": "large", "colour": "blue"}, 400, "unknown_field", "colour"),
            ({"items": [{"price": "small"}]}, 409, "nothing_changes", None),
        ],
    )
    def test_name_the_field_and_write_nothing(self, body, status, code, attr):
        acme = life()
        acme.subscribe(plan="small")
        before = SubscriptionChange.objects.count()
        for verb in ("change", "change/preview"):
            assert acme.refused(f"subscriptions/{acme.subscription}/{verb}", status=status, **body) == (code, attr)
        assert SubscriptionChange.objects.count() == before
        assert len(acme.invoices()) == 1

    def test_what_has_ended(self):
        acme = life()
        acme.subscribe(plan="small")
        acme.act("cancellation", when="now")
        address = f"subscriptions/{acme.subscription}/change"
        assert acme.refused(address, status=409, plan="large") == ("not_changeable", None)

    def test_whoever_may_not(self):
        acme = life()
        acme.subscribe(plan="small")
        rep = api.caller(user=world.otto())
        for verb in ("change", "change/preview"):
            response = rep.post(f"{api.BASE}/subscriptions/{acme.subscription}/{verb}", {"plan": "large"})
            assert response.status_code in (403, 404)
        assert rep.get(f"{api.BASE}/subscriptions/{acme.subscription}/timeline").status_code == 404


def test_the_same_key_changes_once():
    acme = life()
    acme.subscribe(plan="small")
    acme.go(JUN_16)
    address = f"{api.BASE}/subscriptions/{acme.subscription}/change"
    answers = [
        acme.client.post(address, {"plan": "large"}, format="json", headers={"Idempotency-Key": "k-1"})
        for _ in range(2)
    ]
    assert answers[0].content == answers[1].content
    assert len(acme.issued()) == 2


def test_a_list_asks_a_constant_number_of_queries_however_much_was_changed():
    acme = life()
    acme.subscribe(items=[{"price": "seat", "quantity": 1}])
    few = _queries(acme)
    for quantity in range(2, 6):
        acme.act("change", items=[{"price": "seat", "quantity": quantity}])
    acme.act("change", items=[{"price": "seat", "quantity": 1}])
    assert len(acme.state["items"]) == 1
    assert _queries(acme) == few + 1  # the items of what is scheduled


def _queries(acme: Life) -> int:
    with CaptureQueriesContext(connection) as queries:
        acme.get("subscriptions")
    return len(queries)
