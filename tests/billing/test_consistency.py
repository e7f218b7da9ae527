"""Each check finds the fault it is named for, planted behind the operations' backs, and nothing where there is none."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction

from billing import consistency, runs, subscriptions
from billing.models import BillingRun, Invoice, PaymentAttempt, SubscriptionItem
from billing.queries.faults import FAULTS
from gtm.shared import db, ids
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
FEB_1 = datetime(2026, 2, 1, tzinfo=UTC)
MAR_1 = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
SETTLED = FEB_1 + HOUR


@pytest.fixture
def plan():
    """With usage in arrears beside its monthly price."""
    plan = makers.published_plan()
    meter = plan.current_version.entitlements.get().feature.meter
    makers.price(plan=plan, code="calls", meter=meter, model="per_unit", unit_amount=200)
    return plan


@pytest.fixture
def books(plan):
    """A customer with tax, a coupon and usage, two months of invoices, one paid, one credited to the balance."""
    makers.tax_rate("20")
    acme = makers.customer(collection_method="send_invoice")
    five = makers.coupon("FIVE", amount_off=500, currency="USD", duration="forever")
    subscriptions.create(customer=acme, plan=plan, coupons=[five], at=JAN_1)
    makers.calls(acme, 42, at=JAN_1 + timedelta(days=3))
    runs.bill_due(at=FEB_1, collect=False)
    runs.bill_due(at=SETTLED, collect=False)
    first, second = Invoice.objects.order_by("number")
    makers.paid(first)
    makers.paid(second, 2000)
    makers.credited(first, 1000)
    return acme


def found(at: datetime = SETTLED) -> dict[str, list[str]]:
    return {one.name: list(one.found) for one in consistency.check(at=at) if not one.is_fine}


def plant(statement: str, *params: object) -> None:
    """Change rows without triggers and foreign keys. Exactly one must have been there to change."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(statement, params)
        assert cursor.rowcount == 1
        cursor.execute("SET LOCAL session_replication_role = DEFAULT")


PLANTED = {
    "billed_when_due": "UPDATE billing_subscription SET next_bill_at = '2026-01-30'",
    "billed_up_to_its_period": """
        UPDATE billing_subscriptionitem SET billed_until = '2026-01-15' FROM billing_price p
        WHERE p.id = price_id AND p.meter_id IS NULL""",
    "line_has_its_charge": "UPDATE billing_charge SET amount = amount + 1 WHERE kind = 'usage'",
    "invoice_adds_up": """
        UPDATE billing_invoice SET subtotal = subtotal + 1, total = total + 1 WHERE number = 'INV-2026-000001'""",
    "discount_of_line": """
        UPDATE billing_discountuse SET amount = amount - 1 WHERE amount > 1 AND period_start = '2026-01-01'""",
    "discount_within_coupon": "UPDATE billing_coupon SET amount_off = 499",
    "settled_by_allocations": """
        UPDATE billing_invoice SET amount_paid = amount_paid - 1 WHERE number = 'INV-2026-000002'""",
    "credited_within_invoice": "UPDATE billing_invoice SET credit_note_total = 1 WHERE credit_note_total > 0",
    "balance_is_its_entries": "UPDATE billing_customerbalance SET amount = amount + 1",
    "numbers_have_no_gap": "UPDATE billing_numberseries SET last_number = 3 WHERE kind = 'invoice'",
    "periods_tile": """
        UPDATE billing_charge SET period_start = '2026-02-02' WHERE kind = 'recurring' AND period_index = 1""",
    "revenue_is_its_changes": "UPDATE billing_subscription SET mrr = mrr + 1",
    "usage_was_billed": "UPDATE billing_usagerollup SET count = count + 1",
}


class TestBooksInOrder:
    def test_have_no_finding(self, books):
        assert found() == {}

    def test_nor_have_empty_ones(self):
        assert found() == {}
        assert len({fault.name for fault in FAULTS}) == len(FAULTS)


class TestPlanted:
    def test_is_found_by_its_check_alone(self, books):
        seen = {}
        for name, statement in PLANTED.items():
            with transaction.atomic():
                plant(statement)
                seen[name] = list(found())
                transaction.set_rollback(True)
        assert seen == {name: [name] for name in PLANTED}

    def test_ids_are_those_of_the_api(self, books):
        plant(PLANTED["invoice_adds_up"])
        assert found() == {"invoice_adds_up": [Invoice.objects.get(number="INV-2026-000001").public_id]}

    def test_a_billed_charge_without_its_line(self, books):
        plant("UPDATE billing_charge SET invoice_line_id = %s WHERE kind = 'usage'", ids.uuid7())
        assert list(found()) == ["billed_charge_has_line", "line_has_its_charge"]

    def test_a_gap_in_the_numbers(self, books):
        """The one after the gap is named."""
        plant("UPDATE billing_invoice SET number = 'INV-2026-000003' WHERE number = 'INV-2026-000002'")
        assert found() == {"numbers_have_no_gap": ["INV-2026-000003"]}

    def test_a_period_charged_for_twice(self, books):
        charge = SubscriptionItem.objects.get(price__meter=None).charges.get(period_index=1)
        charge.pk, charge.revision, charge.status, charge.invoice_line = ids.uuid7(), 1, "pending", None
        charge.save(force_insert=True)
        assert list(found()) == ["periods_tile"]

    def test_two_items_on_one_meter(self, books):
        item = SubscriptionItem.objects.get(price__meter__isnull=False)
        item.pk, item.external_id = ids.uuid7(), None
        item.save(force_insert=True)
        assert found() == {"meter_counts_once": [books.public_id]}

    def test_a_draft_left_lying(self, books):
        runs.bill_due(at=MAR_1, collect=False)
        assert found(at=MAR_1 + HOUR) == {}
        assert list(found(at=MAR_1 + 3 * HOUR)) == ["drafts_are_issued"]

    def test_a_first_payment_that_is_awaited_for_ever(self, books, plan):
        declined = makers.customer(name="Declined")
        makers.card(declined, "pm_card_chargeDeclined")
        subscription = subscriptions.create(customer=declined, plan=plan, at=FEB_1)
        assert found(at=FEB_1 + 24 * HOUR) == {}
        assert found(at=FEB_1 + 26 * HOUR) == {"first_payment_is_awaited_a_day": [subscription.public_id]}

    def test_a_card_payment_without_an_answer(self, books):
        invoice = Invoice.objects.get(number="INV-2026-000002")
        payment, method = invoice.allocations.get().payment, makers.card(books)
        attempt = PaymentAttempt.objects.create(
            payment=payment, payment_method=method, amount=1, started_at=FEB_1, created_at=db.now() - 2 * HOUR
        )
        attempt.shares.create(invoice=invoice, amount=1)
        assert found() == {"payments_are_answered": [invoice.public_id]}


class TestScope:
    def test_a_clock_has_books_of_its_own(self, plan):
        clock = makers.clock()
        makers.subscribed(makers.customer(test_clock=clock), plan=plan)
        plant("UPDATE billing_subscription SET mrr = mrr + 1")
        assert found() == {}
        (wrong,) = [one for one in consistency.check(at=JAN_1, test_clock=clock) if not one.is_fine]
        assert wrong.name == "revenue_is_its_changes"

    def test_what_was_checked_before_is_not_looked_at_again(self, books):
        """But for a margin, in which it may have been under way."""
        plant(PLANTED["invoice_adds_up"])
        BillingRun.objects.update(checks=[], started_at=db.now() - 9 * HOUR)
        assert found() != {}
        BillingRun.objects.filter(pk=BillingRun.objects.latest("pk").pk).update(checks=[{"name": "any"}])
        assert found() != {}
        BillingRun.objects.update(started_at=db.now() + 3 * HOUR)
        assert found() == {}

    def test_only_the_first_ids_are_kept(self, books):
        for number in range(consistency.SHOWN + 2):
            makers.customer(name=f"Customer {number}")
        subscription = SubscriptionItem.objects.first().subscription
        for _number in range(consistency.SHOWN + 1):
            subscription.pk, subscription.next_bill_at = ids.uuid7(), JAN_1
            subscription.save(force_insert=True)
        (one,) = [one for one in consistency.check(at=SETTLED) if one.name == "billed_when_due"]
        assert (len(one.found), one.more) == (consistency.SHOWN, True)

    def test_a_check_that_can_not_be_made_says_so_and_the_others_are(self, books, monkeypatch):
        monkeypatch.setattr(consistency, "USAGE_CHARGES", -1)
        assert found() == {"usage_was_billed": []}
        kept = consistency.recalled(consistency.stored(consistency.check(at=SETTLED)))
        assert [one.error for one in kept if not one.is_fine] == ["DataError"]
