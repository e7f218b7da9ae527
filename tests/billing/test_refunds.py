"""Refunds: counted before they are sent, sent once, and nothing lost where the gateway's answer is."""

import pytest

from billing import attempts, balances, gateways, refunds, tasks
from billing.balances import BalanceTooLow
from billing.gateways import RefundResult
from billing.models import BalanceEntry, CustomerBalance, Invoice, Plan, Refund
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import Event
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def acme():
    """Paid 49.00 by card."""
    makers.published_plan()
    customer = makers.customer()
    makers.subscribed(customer, plan=Plan.objects.get())
    return customer


def balance(customer) -> int:
    return sum(CustomerBalance.objects.filter(customer=customer).values_list("amount", flat=True))


class Away:
    """A gateway whose answer is lost the first time."""

    name, keys_last = "sandbox", None

    def __init__(self) -> None:
        self.asked: list[object] = []

    def refund(self, *, refund_id, reference, amount, currency) -> RefundResult:
        self.asked.append(refund_id)
        if len(self.asked) == 1:
            raise ConnectionError
        return RefundResult(status="succeeded", reference=f"re_{refund_id.hex}")


class TestSend:
    def test_a_lost_answer_is_asked_for_again_with_the_same_key(self, acme, monkeypatch):
        away = Away()
        monkeypatch.setattr(gateways, "named", lambda name: away)
        makers.credited(Invoice.objects.get(), 1000, settle="refund")
        refund = Refund.objects.get()
        with pytest.raises(ConnectionError):
            refunds.send(refund=refund, at=JAN_1)
        refund.refresh_from_db()
        assert (refund.status, refund.payment.amount_refunded) == ("pending", 1000)
        tasks.send_refunds()
        refund.refresh_from_db()
        assert (refund.status, away.asked) == ("succeeded", [refund.pk, refund.pk])

    def test_one_gateway_that_is_away_does_not_hold_up_the_others(self, acme, monkeypatch):
        away = Away()
        monkeypatch.setattr(gateways, "named", lambda name: away)
        makers.credited(Invoice.objects.get(), 1000, settle="refund")
        makers.credited(Invoice.objects.get(), 1000, settle="refund")
        assert refunds.send_pending() == 1
        assert refunds.send_pending() == 1
        assert set(Refund.objects.values_list("status", flat=True)) == {"succeeded"}

    def test_an_answer_counts_once(self, acme):
        makers.credited(Invoice.objects.get(), 1000, settle="refund")
        refund = Refund.objects.get()
        failed = RefundResult(status="failed", reference="re_1", failure_code="lost_or_stolen_card")
        for _time in range(2):
            refunds._settle(refund=refund, result=failed, at=JAN_1)
        assert (balance(acme), acme.payments.get().amount_refunded) == (1000, 0)
        assert Event.objects.filter(type="billing.refund.failed").count() == 1

    def test_what_failed_can_be_refunded_again(self, acme):
        makers.credited(Invoice.objects.get(), 1000, settle="refund")
        failed = RefundResult(status="failed", reference="re_1", failure_code="lost_or_stolen_card")
        refunds._settle(refund=Refund.objects.get(), result=failed, at=JAN_1)
        again = refunds.create(payment=acme.payments.get(), amount=1000, at=JAN_1)
        assert (again.status, balance(acme)) == ("succeeded", 0)


class TestCreate:
    def test_pays_out_what_an_early_end_left(self, acme):
        """kb-early-cancel-refund: the credit of unused time is refunded afterwards, and everything ends at 0."""
        makers.credited(Invoice.objects.get(), 3267)
        payment = acme.payments.get()
        refunds.create(payment=payment, amount=3267, at=JAN_1)
        payment.refresh_from_db()
        assert (balance(acme), payment.amount_refunded, Invoice.objects.get().amount_due) == (0, 3267, 0)
        entries = list(BalanceEntry.objects.order_by("pk").values_list("kind", "amount", "balance_after"))
        assert entries == [("credit_note", 3267, 3267), ("refunded", -3267, 0)]

    @pytest.mark.parametrize("amount", [0, -1, 4901])
    def test_never_more_than_the_payment(self, acme, amount):
        balances.adjust(customer=acme, amount=10000, reason="An outage", at=JAN_1)
        with pytest.raises(Invalid) as refusal:
            refunds.create(payment=acme.payments.get(), amount=amount, at=JAN_1)
        assert refusal.value.attr == "amount"
        assert not Refund.objects.exists()

    def test_never_more_than_the_credit(self, acme):
        with pytest.raises(BalanceTooLow):
            refunds.create(payment=acme.payments.get(), amount=1, at=JAN_1)
        assert not Refund.objects.exists()
        assert acme.payments.get().amount_refunded == 0

    def test_a_payment_that_brought_nothing_gives_nothing_back(self):
        makers.published_plan()
        late = makers.customer()
        makers.card(late, "pm_card_chargeDeclined")
        makers.subscribed(late, plan=Plan.objects.get())
        with pytest.raises(Conflict) as refusal:
            refunds.create(payment=late.payments.get(), amount=1, at=JAN_1)
        assert refusal.value.code == "payment_not_succeeded"


class TestByHand:
    def test_a_card_is_refunded_by_its_gateway_alone(self, acme):
        makers.credited(Invoice.objects.get(), 1000, settle="refund")
        for way in (refunds.pay_out, refunds.give_up):
            with pytest.raises(Conflict) as refusal:
                way(refund=Refund.objects.get(), at=JAN_1)
            assert refusal.value.code == "refund_not_by_hand"

    def test_is_said_once(self):
        acme = makers.customer(collection_method="send_invoice")
        invoice = makers.invoiced(acme, 1000)
        makers.paid(invoice)
        makers.credited(invoice, 1000, settle="refund")
        refunds.pay_out(refund=Refund.objects.get(), at=JAN_1)
        with pytest.raises(Conflict) as refusal:
            refunds.give_up(refund=Refund.objects.get(), at=JAN_1)
        assert refusal.value.code == "refund_settled"


class TestCreditWhileACardIsCharged:
    """A credit note needn't wait for the gateway: what comes in too much stands to the credit."""

    def test_the_money_that_comes_too_much_is_credit(self):
        acme = makers.customer(collection_method="send_invoice")
        makers.card(acme)
        invoice = makers.invoiced(acme, 1000)
        attempt = attempts.begin(invoices=[invoice], at=JAN_1)
        makers.credited(invoice, 600, settle="offset")
        payment = attempts.settle(attempt=attempt, result=attempts.call(attempt), at=JAN_1)
        invoice.refresh_from_db()
        assert (invoice.status, invoice.amount_paid, invoice.amount_credited) == ("paid", 400, 600)
        assert (payment.status, balance(acme)) == ("succeeded", 600)

    def test_a_card_that_is_declined_for_what_is_settled_changes_nothing(self):
        acme = makers.customer(collection_method="send_invoice")
        makers.card(acme, "pm_card_chargeDeclined")
        invoice = makers.invoiced(acme, 1000)
        attempt = attempts.begin(invoices=[invoice], at=JAN_1)
        makers.credited(invoice, 1000, settle="offset")
        attempts.settle(attempt=attempt, result=attempts.call(attempt), at=JAN_1)
        invoice.refresh_from_db()
        assert (invoice.status, invoice.payment_status) == ("paid", "paid")
