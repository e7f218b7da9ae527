"""What is billed once: set-up fees with a new subscription, add-ons beside them, and invoices made by hand."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import transaction

from billing import cancellation, catalog, entities, invoices, one_off, parking, runs, subscriptions
from billing.models import Charge, Invoice, LegalEntity
from billing.one_off import LineTerms
from billing.selection import ItemTerms
from gtm.shared.errors import Conflict, Invalid
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
FEB_1 = datetime(2026, 2, 1, tzinfo=UTC)


@pytest.fixture
def plan():
    """49.00 a month, an add-on of 10.00 a month for each unit, and 99.00 to set it up."""
    plan = makers.plan()
    makers.price(plan=plan)
    makers.price(plan=plan, code="support", model="per_unit", unit_amount=1000, add_on=True)
    makers.price(plan=plan, code="setup", interval="one_time", unit_amount=9900)
    return catalog.publish(plan=plan, at=JAN_1)


@pytest.fixture
def acme():
    return makers.customer(collection_method="send_invoice")


def items(plan, *codes: str) -> list[ItemTerms]:
    by_code = {price.code: price for price in plan.prices.all()}
    return [ItemTerms(by_code[code], 2 if code == "support" else 1) for code in codes]


def billed(customer) -> list[list[tuple[str, str, int]]]:
    found = Invoice.objects.filter(customer=customer).order_by("pk")
    return [list(one.lines.order_by("position").values_list("kind", "reason", "amount")) for one in found]


class TestSetUpFee:
    def test_stands_once_on_the_first_invoice_beside_the_plan_and_its_add_on(self, plan, acme):
        subscription = makers.subscribed(acme, plan=plan, items=items(plan, "pro-month", "support", "setup"))
        runs.bill_due(at=FEB_1)
        assert sorted(billed(acme)[0]) == [
            ("one_off", "subscription_start", 9900),
            ("recurring", "subscription_start", 2000),
            ("recurring", "subscription_start", 4900),
        ]
        assert sorted(billed(acme)[1]) == [
            ("recurring", "subscription_cycle", 2000),
            ("recurring", "subscription_cycle", 4900),
        ]
        assert (subscription.items.count(), subscription.mrr) == (2, 6900)

    def test_waits_for_the_end_of_a_trial(self, plan, acme):
        makers.subscribed(acme, plan=plan, items=items(plan, "pro-month", "setup"), trial_days=14)
        assert billed(acme) == []
        runs.bill_due(at=JAN_1 + timedelta(days=15))
        assert [kind for kind, _reason, _amount in billed(acme)[0]] == ["one_off", "recurring"]

    def test_a_trial_that_is_canceled_costs_nothing(self, plan, acme):
        subscription = makers.subscribed(acme, plan=plan, items=items(plan, "pro-month", "setup"), trial_days=14)
        cancellation.cancel(subscription=subscription, at=JAN_1 + timedelta(days=3))
        runs.bill_due(at=FEB_1)
        assert billed(acme) == []
        assert Charge.objects.get().status == "waived"

    def test_nothing_but_a_fee_is_no_subscription(self, plan, acme):
        with pytest.raises(Invalid) as refusal:
            makers.subscribed(acme, plan=plan, items=items(plan, "setup"))
        assert (refusal.value.code, refusal.value.attr) == ("one_time_price", "items.0.price")

    def test_a_void_first_invoice_asks_for_it_again(self, plan, acme):
        subscription = makers.subscribed(acme, plan=plan, items=items(plan, "pro-month", "setup"))
        invoices.void(invoice=Invoice.objects.get(), at=JAN_1)
        runs.bill_due(at=FEB_1)
        assert sorted(amount for _kind, _reason, amount in billed(acme)[1]) == [4900, 4900, 9900]
        assert subscription.charges.filter(status="replaced").count() == 2


class TestPurchaseOrders:
    def test_two_never_stand_on_one_invoice(self, plan, acme):
        for number in ("PO-1", "PO-2", "PO-1"):
            subscriptions.create(customer=acme, plan=plan, items=items(plan, "pro-month"), po_number=number, at=JAN_1)
        runs.bill_due(at=FEB_1)
        renewals = Invoice.objects.filter(issue_date=date(2026, 2, 1)).order_by("po_number")
        assert [(one.po_number, one.lines.count()) for one in renewals] == [("PO-1", 2), ("PO-2", 1)]


class TestByHand:
    def create(self, customer, **terms) -> Invoice:
        lines = [LineTerms(description="Workshop", unit_amount=15000, quantity=2)]
        return one_off.create(**{"customer": customer, "lines": lines, "at": JAN_1} | terms)

    def test_a_customer_without_a_currency_gets_it(self):
        acme = makers.customer(currency="", collection_method="send_invoice")
        invoice = self.create(acme, currency="EUR")
        acme.refresh_from_db()
        assert (invoice.currency, acme.currency) == ("EUR", "EUR")

    def test_by_card_it_is_due_at_once_whatever_the_terms(self, acme):
        invoice = self.create(acme, collection_method="charge_automatically", net_terms_days=30, finalize=True)
        assert (invoice.net_terms_days, invoice.due_date, invoice.next_payment_attempt) == (0, date(2026, 1, 1), JAN_1)

    def test_the_same_id_makes_one(self, acme):
        first = self.create(acme)
        assert self.create(acme, invoice_id=first.pk) == first
        assert Invoice.objects.count() == 1

    def test_a_void_one_is_not_asked_for_again(self, acme):
        invoice = self.create(acme, finalize=True)
        invoices.void(invoice=invoice, at=JAN_1)
        assert Charge.objects.get().status == "waived"

    def test_waits_for_somebody_to_finalize_it(self, acme):
        self.create(acme)
        runs.bill_due(at=FEB_1)
        assert Invoice.objects.get().status == "draft"

    def test_a_payer_that_is_held_up_is_refused(self, acme):
        parking.park(customer=acme, error=Invalid("No country"), at=JAN_1)
        with pytest.raises(Conflict) as refusal:
            self.create(acme)
        assert refusal.value.code == "payer_parked"

    def test_a_way_of_collecting_that_is_not_allowed_is_refused(self, acme):
        acme.allowed_collection = ["charge_automatically"]
        acme.save()
        with pytest.raises(Invalid) as refusal:
            self.create(acme)
        assert refusal.value.attr == "collection_method"

    def test_half_cents_round_up(self, acme):
        lines = [LineTerms(description="Calls", unit_amount=Decimal("0.5"), quantity=3)]
        assert self.create(acme, lines=lines).total == 2


class TestClosedBooks:
    def test_today_stays_open(self):
        entity = makers.legal_entity()
        with pytest.raises(Invalid) as refusal:
            entities.change(entity=entity, closed_through=date(2026, 1, 1), at=JAN_1)
        assert refusal.value.attr == "closed_through"
        entities.change(entity=entity, closed_through=date(2025, 12, 31), at=JAN_1)
        assert LegalEntity.objects.get(pk=entity.pk).closed_through == date(2025, 12, 31)

    def test_no_credit_note_is_dated_before(self):
        acme = makers.customer(collection_method="send_invoice")
        invoice = makers.invoiced(acme, 1000)
        LegalEntity.objects.update(closed_through=date(2026, 1, 31))
        with pytest.raises(Conflict) as refusal, transaction.atomic():
            makers.credited(invoice, 100)
        assert refusal.value.code == "period_closed"
