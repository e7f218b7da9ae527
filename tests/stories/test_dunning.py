"""When money doesn't come: each try, mail and state at its day, by cards and on Net 30, by the API alone."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db.models import QuerySet

from gtm.shared import ids
from gtm.shared.models import Mail
from tests import world
from tests.billing import api, replay
from tests.billing.lives import Life, local
from tests.crm import makers as crm

pytestmark = pytest.mark.django_db
PAYER = "accounts@acme.example"
OTHERS = {"plan_canceled": "team@acme.example", "alert": "ann@vendor.example"}
FUNDS, STOLEN = "pm_card_chargeDeclinedInsufficientFunds", "pm_card_chargeDeclinedStolenCard"
FAILED_AT = local("2025-02-01", "Europe/Berlin")
State = tuple[str, bool, int, list[str]]


def living(**customer: Any) -> Life:
    """A customer in Berlin, from 1 January at ten, with a plan that grants one feature."""
    begun = {"zone": "Europe/Berlin", "email": "team@acme.example", "billing_emails": [PAYER]} | customer
    life = Life.begin(local("2025-01-01T09:00"), **begun)
    life.send("features", code="reports", name="Reports", type="boolean")
    life.plan("pro", entitlements=[{"feature": "reports"}])
    return life


def failing(card: str, *, amount: int = 4900, **customer: Any) -> Life:
    """Paid in January, and with another card since, which fails as February begins."""
    life = living(**customer)
    life.price("pro", "pro", unit_amount=str(amount))
    life.subscribe(plan="pro")
    life.go(local("2025-01-20"))
    life.send(f"customers/{life.customer}/payment_methods", gateway_token=card)
    return life


class Watch:
    """What is new since it was last looked at."""

    def __init__(self, life: Life) -> None:
        self.life, self._seen = life, 0
        life.go(local(life.get(f"test_clocks/{life.clock}")["frozen_time"]))
        self._seen = self._written().count()

    def day(self, at: datetime) -> State:
        """Status, access, how often the latest payment was tried, and the mails since: of a day, at its noon."""
        self.life.go(at + timedelta(hours=12))
        return self.life.state["status"], self.has_access, self.tries, self.mails()

    def mails(self) -> list[str]:
        """Templates in their order; what is about money goes where bills go, what is about people to these."""
        new = list(self._written().values_list("template", "recipient", "status")[self._seen :])
        self._seen += len(new)
        for template, recipient, status in new:
            assert (recipient, status) == (OTHERS.get(template, PAYER), "kept")
        return [template for template, _recipient, _status in new]

    def _written(self) -> QuerySet[Mail]:
        return Mail.objects.filter(customer_id=ids.decode(self.life.customer, prefix="cus")).order_by("pk")

    @property
    def has_access(self) -> bool:
        (state,) = self.life.get(f"customers/{self.life.customer}/entitlements")["results"]
        return bool(state["granted"])

    @property
    def tries(self) -> int:
        found = self.life.all(f"payments?customer={self.life.customer}")
        return max((one["attempt"] for one in found if one["status"] != "succeeded"), default=0)

    def told(self) -> list[str]:
        kind = "billing.dunning."
        return [fact.removeprefix(kind) for fact in self.life.facts() if fact.startswith(kind)]

    def stays(self, *days: int, since: datetime = FAILED_AT) -> None:
        """Nothing more is tried or mailed on any of these days."""
        before = (self.life.state["status"], self.has_access, self.tries, self.told())
        for day in days:
            state = self.day(since + timedelta(days=day))
            assert (*state[:3], self.told()) == before
            assert state[3] == []


def test_a_card_without_funds_is_tried_on_its_days_until_the_plan_ends() -> None:
    life = failing(FUNDS)
    watch = Watch(life)
    at_its_day: dict[int, State] = {
        0: ("past_due", True, 1, ["payment_failed"]),
        1: ("past_due", True, 2, ["payment_failed"]),
        3: ("past_due", True, 3, ["payment_failed"]),
        7: ("past_due", False, 4, ["payment_failed", "final_notice"]),
        14: ("canceled", False, 5, ["payment_failed", "plan_canceled"]),
    }
    expected: State = ("active", True, 0, [])
    for day in (-1, 0, 1, 2, 3, 6, 7, 8, 13, 14, 15):
        expected = at_its_day.get(day, (*expected[:3], []))
        assert (day, *watch.day(FAILED_AT + timedelta(days=day))) == (day, *expected)
        if day == 3:
            assert life.issued()[-1]["next_payment_attempt"] == "2025-02-07T23:00:00Z"
    assert (watch.told(), ending(life)) == (["opened", "access_ended", "exhausted"], "cancel")
    owed = life.issued()[-1]
    assert (owed["status"], owed["payment_status"], owed["next_payment_attempt"]) == ("open", "failed", None)
    watch.stays(60)
    life.bills_nothing_more()
    replay.agrees()


def test_a_stolen_card_is_not_tried_again_and_another_one_is_at_once() -> None:
    life = failing(STOLEN)
    watch = Watch(life)
    assert watch.day(FAILED_AT) == ("past_due", True, 1, ["payment_failed"])
    assert "/card/" in Mail.objects.filter(template="payment_failed").latest("pk").text
    assert life.issued()[-1]["next_payment_attempt"] is None
    watch.stays(1, 5)
    life.send(f"customers/{life.customer}/payment_methods", gateway_token="pm_card_visa")
    assert (life.state["status"], life.issued()[-1]["status"]) == ("active", "paid")
    assert watch.day(FAILED_AT + timedelta(days=6)) == ("active", True, 0, ["receipt"])
    assert watch.told() == ["opened", "recovered"]
    watch.stays(14)


def test_paying_in_the_middle_mends_everything() -> None:
    life = failing(FUNDS)
    watch = Watch(life)
    for day in (0, 1, 3, 7):
        watch.day(FAILED_AT + timedelta(days=day))
    assert not watch.has_access
    life.send(f"customers/{life.customer}/payment_methods", gateway_token="pm_card_visa")
    assert watch.day(FAILED_AT + timedelta(days=8)) == ("active", True, 0, ["receipt"])
    assert watch.told() == ["opened", "access_ended", "recovered"]
    watch.stays(14, 27)
    assert watch.day(local("2025-03-01", "Europe/Berlin")) == ("active", True, 0, ["receipt"])
    replay.agrees()


def test_whom_sales_owns_keeps_access_and_its_owner_is_told_first() -> None:
    ann = world.ann()
    crm.sales(ann)
    life = failing(FUNDS, amount=500_000, currency="USD")
    watch = Watch(life)
    account = life.get(f"customers/{life.customer}")["account"]
    life.client.patch(f"{api.BASE}/accounts/{account}", {"owner": ann.public_id}, format="json")
    at_its_day = {day: ["payment_failed"] for day in (0, 1, 3, 7, 14)}
    at_its_day[0], at_its_day[14] = ["payment_failed", "alert"], ["payment_failed", "alert"]
    for day in (0, 1, 3, 7, 13, 14, 16):
        state = watch.day(FAILED_AT + timedelta(days=day))
        assert (day, state[:2], state[3]) == (day, ("past_due", True), at_its_day.get(day, []))
    assert watch.told() == ["opened", "final_action_due"]
    late, decide = reversed(life.all(f"alerts?customer={life.customer}"))
    assert (late["owner"], decide["owner"]) == (ann.public_id, ann.public_id)
    assert (late["severity"], late["raised_at"]) == ("medium", "2025-01-31T23:00:00Z")
    assert (decide["severity"], decide["raised_at"]) == ("high", "2025-02-14T23:00:00Z")
    assert decide["evidence"].endswith("(insufficient funds). Nothing is cut off by itself.")
    assert watch.day(FAILED_AT + timedelta(days=17)) == ("past_due", True, 5, [])
    assert watch.told()[-1] == "exhausted"
    assert ending(life) == "leave"


def ending(life: Life) -> str:
    """What was done in the end."""
    (fact,) = life.all(f"events?customer={life.customer}&type=billing.dunning.exhausted")
    return str(fact["data"]["action"])


def on_terms() -> tuple[Life, Watch]:
    """A year at once, on Net 30."""
    life = living(card="", collection_method="send_invoice", net_terms_days=30)
    life.price("pro", "pro", unit_amount="120000", interval="year")
    life.subscribe(plan="pro", interval="year")
    return life, Watch(life)


DUE = local("2025-01-31", "Europe/Berlin")


def test_a_bill_on_net_30_is_reminded_of_on_its_days_and_left_in_the_end() -> None:
    life, watch = on_terms()
    assert life.issued()[0]["due_date"] == "2025-01-31"
    at_its_day: dict[int, State] = {
        -3: ("active", True, 0, ["invoice_reminder"]),
        1: ("past_due", True, 0, ["invoice_reminder"]),
        7: ("past_due", True, 0, ["invoice_reminder"]),
        14: ("past_due", True, 0, ["invoice_reminder"]),
        30: ("past_due", True, 0, ["final_notice"]),
    }
    expected: State = ("active", True, 0, [])
    for day in (-4, -3, 0, 1, 6, 7, 13, 14, 29, 30):
        expected = at_its_day.get(day, (*expected[:3], []))
        assert (day, *watch.day(DUE + timedelta(days=day))) == (day, *expected)
    assert watch.told() == ["reminded", "opened", "overdue", *["reminded"] * 4, "exhausted"]
    assert ending(life) == "leave"
    watch.stays(60, since=DUE)


def test_a_bill_that_is_paid_late_is_not_reminded_of_again() -> None:
    life, watch = on_terms()
    for day in (-3, 1, 7):
        watch.day(DUE + timedelta(days=day))
    life.send(f"invoices/{life.issued()[0]['id']}/payment", method="bank_transfer")
    assert watch.day(DUE + timedelta(days=8)) == ("active", True, 0, ["receipt"])
    assert watch.told()[-1] == "recovered"
    watch.stays(14, 30, since=DUE)
