"""Whatever was charged, paid, credited and carried over: who gets everything back gets every cent, and no more."""

from fractions import Fraction

import pytest
from django.db import transaction
from django.db.models import F, Sum
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import drafting, invoices
from billing.credit_notes import LineCredit
from billing.credits import give_back
from billing.models import BalanceEntry, Charge, CustomerBalance, Invoice, InvoiceLine, Payment, Refund
from gtm.shared import vendors
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
WAYS = ["line", "balance", "refund"]
STEPS = st.one_of(
    st.tuples(st.just("owe"), st.integers(1, 20000)),
    st.tuples(st.just("bill")),
    st.tuples(st.just("pay"), st.integers(1, 20000)),
    st.tuples(
        st.just("give"), st.integers(0, 9), st.integers(1, 20000), st.sampled_from(["line", "balance", "refund"])
    ),
)


class Books:
    """One payer at 20 % tax, and what is done with it."""

    def __init__(self) -> None:
        self.payer = makers.customer(collection_method="send_invoice")

    def owe(self, amount: int) -> None:
        kind = {"kind": "one_off", "reason": "subscription_start", "quantity": 1, "description": "Work"}
        Charge.objects.create(
            customer=self.payer, payer=self.payer, currency="USD", amount=amount, invoice_at=JAN_1, **kind
        )

    def bill(self) -> None:
        with transaction.atomic():
            context = drafting.context(vendor=vendors.current(), at=JAN_1)
            invoices.bill_pending(payers=[self.payer], subscriptions=[], context=context)

    def pay(self, amount: int | None = None) -> None:
        for invoice in Invoice.objects.filter(customer=self.payer, status="open").order_by("pk"):
            makers.paid(invoice, amount)
            if amount is not None:
                break

    def give(self, number: int, amount: int, settle: str) -> None:
        lines = list(InvoiceLine.objects.filter(customer=self.payer, amount__gt=0).order_by("pk"))
        if lines:
            self.give_back([LineCredit(lines[number % len(lines)], amount)], settle)

    def give_back(self, credits_given: list[LineCredit], settle: str) -> None:
        terms = {"invoice_at": JAN_1, "reason": "subscription_change", "origin": "api", "at": JAN_1}
        with transaction.atomic():
            give_back(credits=credits_given, settle=settle, **terms)

    def give_all_back(self) -> None:
        lines = InvoiceLine.objects.filter(customer=self.payer, amount__gt=0).order_by("pk")
        self.give_back([LineCredit(line, line.amount) for line in lines], "balance")

    def check(self) -> None:
        noted = Invoice.objects.annotate(notes=Sum("credit_notes__total", default=0))
        assert not noted.exclude(notes=F("credit_note_total")).exists()
        assert not Invoice.objects.filter(credit_note_total__gt=F("total")).exists()
        for balance in CustomerBalance.objects.filter(customer=self.payer):
            entries = BalanceEntry.objects.filter(customer=self.payer)
            assert balance.amount == sum(entries.values_list("amount", flat=True))

    def came_in(self) -> int:
        return sum(Payment.objects.filter(customer=self.payer).values_list("amount", flat=True))

    def went_back(self) -> int:
        held = sum(CustomerBalance.objects.filter(customer=self.payer).values_list("amount", flat=True))
        return held + sum(Refund.objects.filter(customer=self.payer).values_list("amount", flat=True))


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, min_size=4, max_size=12))
def test_every_cent_comes_back(steps, db):
    with transaction.atomic():
        makers.tax_rate("20")
        books = Books()
        for name, *terms in [("owe", 6000), *steps]:
            getattr(books, name)(*terms)
            books.check()
        books.bill()
        books.pay()
        books.give_all_back()
        books.bill()
        books.check()
        assert books.went_back() == books.came_in()
        assert not Charge.objects.filter(payer=books.payer, status="pending").exists()
        transaction.set_rollback(True)


def test_what_was_used_is_paid_once_however_often_it_changes(db):
    """Bought for 60.00, and at half time each changed to something dearer: what was used is owed, and no more."""
    makers.tax_rate("20")
    books, rest = Books(), Fraction(1)
    for price in (6000, 10000, 15000):
        books.owe(int(price * rest))
        books.bill()
        books.pay()
        rest /= 2
        line = InvoiceLine.objects.filter(customer=books.payer, amount__gt=0).latest("pk")
        books.give_back([LineCredit(line, line.amount // 2)], "line")
    books.bill()
    used = 3000 + 2500 + 1875
    assert books.came_in() - books.went_back() == used * 120 // 100
