"""A customer who is taxed in another way in the middle of a period: what a change is said to cost is what it costs."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from billing import agreed_changes, catalog, change_preview, changes, customers, runs, subscriptions
from billing.agreed_changes import Choice
from billing.changes import Wanted
from billing.models import CreditNote, Customer, Invoice, Price, Subscription
from billing.selection import ItemTerms
from tests.billing import makers
from tests.billing.api import BASE, caller
from tests.billing.test_changes_money import cost
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
REGIMES: dict[str, dict[str, Any]] = {
    "as before": {},
    "reverse charge": {"tax_id": "NL854502130B01"},
    "another rate": {"country": "FR"},
    "outside": {"country": "US"},
    "exempt": {"tax_exempt": "exempt"},
}


def june(day: int) -> datetime:
    return datetime(2026, 6, day, tzinfo=UTC)


def of(**quantities: int) -> list[ItemTerms]:
    return [ItemTerms(Price.objects.get(code=code), quantity) for code, quantity in quantities.items()]


@pytest.fixture
def dutch() -> Customer:
    """Of a German vendor, whose prices leave cents to round at each rate."""
    makers.legal_entity(country="DE")
    team = makers.plan(code="team", name="Team")
    makers.price(plan=team, code="seat", model="per_unit", unit_amount=1033)
    makers.price(plan=team, code="better", model="per_unit", unit_amount=2077)
    catalog.publish(plan=team, at=JAN_1)
    makers.tax_rate("21", code="nl", country="NL")
    makers.tax_rate("19.6", code="fr", country="FR")
    customer = makers.customer(country="NL")
    makers.card(customer)
    return customer


def begun(customer: Customer, **terms: Any) -> Subscription:
    return subscriptions.create(customer=customer, items=of(seat=7), at=june(1), **terms)


@pytest.mark.parametrize("paid", [True, False])
@pytest.mark.parametrize("regime", REGIMES)
def test_a_change_comes_to_what_was_said(dutch: Customer, regime: str, paid: bool) -> None:
    subscription = begun(dutch, **{} if paid else {"collection_method": "send_invoice"})
    customers.change(customer=dutch, at=june(5), **REGIMES[regime])
    subscription = Subscription.objects.get()
    known, before = set(Invoice.objects.values_list("pk", flat=True)), cost(subscription)
    wanted = of(better=7)
    said = change_preview.preview(subscription=subscription, wanted=Wanted(items=wanted), at=june(11))
    changes.change(subscription=subscription, items=wanted, at=june(11))
    invoice = Invoice.objects.exclude(pk__in=known).get()
    noted = sum(CreditNote.objects.values_list("total", flat=True))
    assert (said.change.invoice_total, said.change.credit_note_total) == (invoice.total, noted)
    assert said.change.total == cost(subscription) - before == invoice.total - noted
    assert said.to_pay == invoice.amount_paid + invoice.amount_due
    assert (noted > 0) == (not paid or regime in {"reverse charge", "outside", "exempt"})


@pytest.mark.parametrize("regime", REGIMES)
def test_what_waits_for_the_next_invoice_comes_to_what_was_said(dutch: Customer, regime: str) -> None:
    subscription = begun(dutch)
    customers.change(customer=dutch, at=june(5), **REGIMES[regime])
    before, wanted = cost(subscription), of(seat=11)
    subscription = Subscription.objects.get()
    said = change_preview.preview(subscription=subscription, wanted=Wanted(items=wanted), at=june(11))
    changes.change(subscription=subscription, items=wanted, at=june(11))
    runs.bill_due(at=datetime(2026, 7, 1, tzinfo=UTC))
    invoice, following = Invoice.objects.latest("gathered_at"), said.next_invoice
    noted = sum(CreditNote.objects.values_list("total", flat=True))
    assert following is not None
    assert (following.invoice_total, following.credit_note_total) == (invoice.total, noted)
    assert following.total == cost(subscription) - before
    assert said.change.credit_note_total == noted
    assert [line.credit_note for line in said.change.lines] == [noted > 0, False]
    assert [line.credit_note for line in following.lines] == [noted > 0, False, False]


def test_the_api_and_the_portal_say_it(client: Client, dutch: Customer) -> None:
    subscription = begun(dutch)
    customers.change(customer=dutch, at=june(5), tax_id="NL854502130B01")
    offered = agreed_changes.preview(subscription=Subscription.objects.get(), choice=Choice(seats=9), at=june(11))
    agreed_changes.confirm(subscription=subscription, token=offered.token, at=june(11))
    runs.bill_due(at=datetime(2026, 7, 1, tzinfo=UTC))
    assert offered.preview.change.credit_note_total == CreditNote.objects.get().total
    wanted = {"items": [{"price": "seat", "quantity": 12}], "invoicing": "now"}
    answer = caller().post(f"{BASE}/subscriptions/{subscription.public_id}/change/preview", wanted).json()
    assert answer["total"] == answer["invoice_total"] - answer["credit_note_total"]
