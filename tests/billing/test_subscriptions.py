"""Subscriptions: what they consist of, when they begin, and how they end."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from billing import catalog, first_payments, runs, subscriptions
from billing.models import Charge, Grant, Invoice, Payment, Price, Subscription, SubscriptionChange
from billing.payments import NoPaymentMethod
from billing.queries import entitlements_of
from billing.subscriptions import ItemTerms
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import Event
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
FEB_1 = datetime(2026, 2, 1, tzinfo=UTC)
Status = Subscription.Status


@pytest.fixture
def plan():
    return makers.published_plan()


@pytest.fixture
def acme():
    """A customer with a good card."""
    customer = makers.customer()
    makers.card(customer)
    return customer


def price(code: str) -> Price:
    return Price.objects.get(code=code)


class TestCreateByCard:
    def test_is_active_and_paid_when_it_returns(self, plan, acme):
        subscription = subscriptions.create(customer=acme, plan=plan, at=JAN_1)
        invoice = Invoice.objects.get()
        assert subscription.status == Status.ACTIVE
        assert (invoice.number, invoice.status, invoice.total) == ("INV-2026-000001", Invoice.Status.PAID, 4900)
        assert invoice.payment_status == Invoice.PaymentStatus.PAID
        assert subscription.next_bill_at == subscription.current_period_end == FEB_1

    def test_tells_what_happened(self, plan, acme):
        subscriptions.create(customer=acme, plan=plan, at=JAN_1)
        told = Event.objects.filter(object_type__in=["subscription", "invoice", "payment"]).order_by("position")
        assert [event.type.removeprefix("billing.") for event in told] == [
            "subscription.created",
            "invoice.finalized",
            "payment.succeeded",
            "invoice.paid",
            "subscription.activated",
        ]
        assert {event.customer_id for event in told} == {acme.pk}

    def test_counts_its_revenue_from_when_it_is_active(self, plan, acme):
        subscription = subscriptions.create(customer=acme, plan=plan, interval="year", at=JAN_1)
        rows = subscription.changes.order_by("recorded_at", "pk").values_list("kind", "mrr_before", "mrr_after")
        assert list(rows) == [("created", 0, 0), ("activated", 0, 4083)]

    def test_grants_what_the_plan_holds(self, plan, acme):
        subscriptions.create(customer=acme, plan=plan, at=JAN_1)
        state = entitlements_of(customer_id=acme.pk, at=JAN_1)[0]
        assert (state.feature, state.granted, state.limit) == ("api_calls", True, 1000)

    def test_needs_a_card(self, plan):
        with pytest.raises(NoPaymentMethod) as refusal:
            subscriptions.create(customer=makers.customer(), plan=plan, at=JAN_1)
        assert refusal.value.attr == "payment_method"
        assert not Subscription.objects.exists()

    def test_needs_no_card_for_what_is_free(self):
        free = makers.plan(code="free", name="Free")
        makers.price(plan=free, code="free-month", unit_amount=0)
        subscription = subscriptions.create(customer=makers.customer(), plan=free, at=JAN_1)
        assert subscription.status == Status.ACTIVE
        assert Invoice.objects.get().status == Invoice.Status.PAID
        assert not Payment.objects.exists()


class TestDeclinedCard:
    @pytest.fixture
    def declined(self, plan):
        customer = makers.customer()
        makers.card(customer, "pm_card_chargeDeclined")
        return subscriptions.create(customer=customer, plan=plan, at=JAN_1)

    def test_leaves_it_incomplete_and_grants_nothing(self, declined):
        invoice = Invoice.objects.get()
        assert declined.status == Status.INCOMPLETE
        assert declined.next_bill_at is None
        assert (invoice.status, invoice.payment_status) == (Invoice.Status.OPEN, Invoice.PaymentStatus.FAILED)
        assert Payment.objects.get().failure_code == "card_declined"
        assert not any(state.granted for state in entitlements_of(customer_id=declined.customer_id, at=JAN_1))

    def test_is_active_after_a_second_try_with_another_card(self, declined):
        card = makers.card(declined.customer)
        again = first_payments.retry_payment(subscription=declined, payment_method=card, at=JAN_1)
        assert again.status == Status.ACTIVE
        assert again.next_bill_at == FEB_1
        assert Invoice.objects.get().status == Invoice.Status.PAID
        assert Payment.objects.get().attempt == 2

    def test_expires_after_a_day_with_its_invoice_void_and_nothing_owed(self, declined):
        assert first_payments.expire_incomplete(at=JAN_1 + timedelta(hours=23)) == 0
        assert first_payments.expire_incomplete(at=JAN_1 + timedelta(hours=24)) == 1
        declined.refresh_from_db()
        assert (declined.status, declined.ended_at) == (Status.EXPIRED, JAN_1 + timedelta(hours=24))
        assert Invoice.objects.get().status == Invoice.Status.VOID
        assert list(Charge.objects.values_list("status", flat=True)) == [Charge.Status.WAIVED]
        assert runs.bill_due(at=FEB_1)._state.adding

    def test_an_unconfirmed_card_leaves_it_incomplete_too(self, plan):
        customer = makers.customer()
        makers.card(customer, "pm_card_authenticationRequired")
        subscription = subscriptions.create(customer=customer, plan=plan, at=JAN_1)
        assert subscription.status == Status.INCOMPLETE
        assert Invoice.objects.get().payment_status == Invoice.PaymentStatus.REQUIRES_ACTION


class TestSendInvoice:
    def test_is_active_at_once_with_an_open_invoice(self, plan):
        customer = makers.customer(net_terms_days=14)
        subscription = subscriptions.create(
            customer=customer, plan=plan, collection_method="send_invoice", po_number="PO-7", at=JAN_1
        )
        invoice = Invoice.objects.get()
        assert subscription.status == Status.ACTIVE
        assert (invoice.status, invoice.payment_status) == (Invoice.Status.OPEN, Invoice.PaymentStatus.NONE)
        assert (invoice.due_date - invoice.issue_date).days == 14
        assert (invoice.po_number, invoice.next_payment_attempt) == ("PO-7", None)

    def test_terms_default_to_thirty_days(self, plan):
        subscriptions.create(customer=makers.customer(), plan=plan, collection_method="send_invoice", at=JAN_1)
        invoice = Invoice.objects.get()
        assert (invoice.due_date - invoice.issue_date).days == 30

    def test_is_refused_where_the_payer_may_only_pay_by_card(self, plan, acme):
        acme.allowed_collection, acme.allowed_collection_reason = ["charge_automatically"], "Terms need a contract."
        acme.save()
        with pytest.raises(Invalid, match="Terms need a contract") as refusal:
            subscriptions.create(customer=acme, plan=plan, collection_method="send_invoice", at=JAN_1)
        assert refusal.value.attr == "collection_method"


class TestItems:
    def test_are_the_plans_prices_of_the_interval_with_its_metered_ones(self, plan, acme):
        meter = plan.current_version.entitlements.get().feature.meter
        for interval in ("month", "year"):
            makers.price(
                plan=plan, code=f"calls-{interval}", meter=meter, timing="in_arrears", model="per_unit",
                interval=interval, unit_amount=1,
            )  # fmt: skip
        makers.price(plan=plan, code="hidden", published=False)
        makers.price(plan=plan, code="extra", add_on=True)
        subscription = subscriptions.create(customer=acme, plan=plan, interval="year", at=JAN_1)
        assert {item.price.code for item in subscription.items.all()} == {"pro-year", "calls-year"}

    def test_an_annual_plan_may_have_monthly_overage(self, plan, acme):
        meter = plan.current_version.entitlements.get().feature.meter
        makers.price(plan=plan, code="calls", meter=meter, timing="in_arrears", model="per_unit", unit_amount=1)
        subscription = subscriptions.create(customer=acme, plan=plan, interval="year", at=JAN_1)
        assert subscription.next_bill_at == FEB_1
        assert subscription.current_period_end == datetime(2027, 1, 1, tzinfo=UTC)

    def test_can_be_given_with_a_quantity(self, plan, acme):
        makers.price(plan=plan, code="seat", model="per_unit", unit_amount=1500)
        subscriptions.create(customer=acme, items=[ItemTerms(price("seat"), 7)], at=JAN_1)
        assert Invoice.objects.get().total == 10500

    @pytest.mark.parametrize("quantity", [-1, Decimal("1000000001")])
    def test_refuse_absurd_quantities(self, plan, acme, quantity):
        with pytest.raises(Invalid) as refusal:
            subscriptions.create(customer=acme, items=[ItemTerms(price("pro-month"), quantity)], at=JAN_1)
        assert refusal.value.attr == "items.0.quantity"

    def test_refuse_a_price_of_another_plan(self, plan, acme):
        other = makers.published_plan(code="team")
        with pytest.raises(Invalid) as refusal:
            subscriptions.create(customer=acme, plan=other, items=[ItemTerms(price("pro-month"))], at=JAN_1)
        assert (refusal.value.code, refusal.value.attr) == ("unknown_price", "items.0.price")

    def test_refuse_another_currency_than_the_payers(self, plan, acme):
        euro = makers.price(plan=plan, code="pro-month-eur", currency="EUR")
        with pytest.raises(Invalid) as refusal:
            subscriptions.create(customer=acme, items=[ItemTerms(euro)], at=JAN_1)
        assert (refusal.value.code, refusal.value.attr) == ("currency_differs", "items.0.price")

    def test_refuse_the_same_price_twice(self, plan, acme):
        twice = [ItemTerms(price("pro-month")), ItemTerms(price("pro-month"))]
        with pytest.raises(Invalid) as refusal:
            subscriptions.create(customer=acme, items=twice, at=JAN_1)
        assert refusal.value.code == "listed_twice"

    def test_of_an_interval_that_has_no_price_are_refused(self, plan, acme):
        with pytest.raises(Invalid) as refusal:
            subscriptions.create(customer=acme, plan=plan, interval="week", at=JAN_1)
        assert (refusal.value.code, refusal.value.attr) == ("no_price", "interval")

    def test_a_meter_is_billed_by_one_subscription(self, plan, acme):
        meter = plan.current_version.entitlements.get().feature.meter
        makers.price(plan=plan, code="calls", meter=meter, timing="in_arrears", model="per_unit", unit_amount=1)
        subscriptions.create(customer=acme, plan=plan, at=JAN_1)
        with pytest.raises(Conflict) as refusal:
            subscriptions.create(customer=acme, plan=plan, at=JAN_1)
        assert refusal.value.code == "meter_in_use"


class TestPlan:
    def test_is_sealed_so_that_a_change_makes_the_next_version(self, plan, acme):
        subscription = subscriptions.create(customer=acme, plan=plan, at=JAN_1)
        catalog.set_entitlements(plan=plan, entitlements=[], at=JAN_1)
        assert plan.current_version.number == 2
        assert subscription.plan_version.number == 1
        assert Grant.objects.filter(subscription=subscription).exists()

    def test_that_is_archived_can_not_be_bought(self, plan, acme):
        catalog.archive(plan=plan, at=JAN_1)
        with pytest.raises(Invalid) as refusal:
            subscriptions.create(customer=acme, plan=plan, at=JAN_1)
        assert (refusal.value.code, refusal.value.attr) == ("plan_archived", "plan")

    @pytest.mark.parametrize("origin", ["checkout", "portal"])
    def test_that_is_not_published_is_not_for_buyers(self, plan, acme, origin):
        catalog.withdraw(plan=plan, at=JAN_1)
        with pytest.raises(Invalid) as refusal:
            subscriptions.create(customer=acme, plan=plan, origin=origin, at=JAN_1)
        assert refusal.value.code == "plan_not_published"
        assert subscriptions.create(customer=acme, plan=plan, origin="api", at=JAN_1).status == Status.ACTIVE

    def test_that_is_sold_by_quote_is_not_for_buyers(self, plan, acme):
        catalog.change_plan(plan=plan, purchase_mode="quote_only", at=JAN_1)
        with pytest.raises(Invalid) as refusal:
            subscriptions.create(customer=acme, plan=plan, origin="checkout", at=JAN_1)
        assert refusal.value.code == "plan_quote_only"


class TestCurrency:
    def test_is_fixed_by_the_first_subscription(self, plan):
        customer = makers.customer(currency="")
        makers.card(customer)
        subscriptions.create(customer=customer, plan=plan, at=JAN_1)
        customer.refresh_from_db()
        assert customer.currency == "USD"
        assert Event.objects.filter(type="billing.customer.changed", customer_id=customer.pk).exists()

    def test_of_the_payer_decides_which_prices(self, plan):
        makers.price(plan=plan, code="pro-month-eur", currency="EUR", unit_amount=4500)
        customer = makers.customer(currency="EUR")
        makers.card(customer)
        subscription = subscriptions.create(customer=customer, plan=plan, at=JAN_1)
        assert subscription.currency == Invoice.objects.get().currency == "EUR"


class TestPayer:
    def test_pays_for_another_customer(self, plan, acme):
        workspace = makers.customer(name="Acme Labs")
        subscription = subscriptions.create(customer=workspace, payer=acme, plan=plan, at=JAN_1)
        invoice = Invoice.objects.get()
        assert (subscription.customer, invoice.customer) == (workspace, acme)
        assert invoice.lines.get().customer == workspace

    def test_stands_on_the_same_clock(self, plan, acme):
        clocked = makers.customer(test_clock=makers.clock())
        with pytest.raises(Invalid) as refusal:
            subscriptions.create(customer=clocked, payer=acme, plan=plan, at=JAN_1)
        assert refusal.value.attr == "payer"

    def test_does_not_lend_its_card(self, plan, acme):
        other = makers.customer(name="Other")
        foreign = makers.card(other)
        with pytest.raises(Invalid) as refusal:
            subscriptions.create(customer=acme, plan=plan, payment_method=foreign, at=JAN_1)
        assert refusal.value.attr == "payment_method"


class TestTrial:
    def test_charges_at_its_end(self, acme):
        plan = makers.published_plan(trial_days=14)
        subscription = subscriptions.create(customer=acme, plan=plan, at=JAN_1)
        end = datetime(2026, 1, 15, tzinfo=UTC)
        assert (subscription.status, subscription.trial_end, subscription.next_bill_at) == (Status.TRIALING, end, end)
        assert not Invoice.objects.exists()
        runs.bill_due(at=end)
        subscription.refresh_from_db()
        assert subscription.status == Status.ACTIVE
        assert subscription.next_bill_at == datetime(2026, 2, 15, tzinfo=UTC)
        assert Invoice.objects.get().lines.get().period_start == end
        assert list(subscription.changes.values_list("mrr_after", flat=True).order_by("recorded_at", "pk"))[-1] == 4900

    @pytest.mark.parametrize(("policy", "status"), [("cancel", Status.CANCELED), ("pause", Status.PAUSED)])
    def test_can_end_without_a_charge(self, acme, policy, status):
        plan = makers.published_plan(trial_days=14, trial_end=policy)
        subscription = subscriptions.create(customer=acme, plan=plan, at=JAN_1)
        runs.bill_due(at=FEB_1)
        subscription.refresh_from_db()
        assert (subscription.status, subscription.next_bill_at) == (status, None)
        assert not Invoice.objects.exists()
        assert runs.bill_due(at=FEB_1)._state.adding

    def test_costs_nothing_when_it_is_canceled_in_time(self, acme):
        plan = makers.published_plan(trial_days=14)
        subscription = subscriptions.create(customer=acme, plan=plan, at=JAN_1)
        subscription = subscriptions.cancel(subscription=subscription, at=JAN_1 + timedelta(days=3))
        assert subscription.cancel_at == subscription.trial_end
        runs.bill_due(at=FEB_1)
        subscription.refresh_from_db()
        assert subscription.status == Status.CANCELED
        assert not Invoice.objects.exists()

    def test_needs_a_card_only_where_the_plan_says_so(self):
        customer = makers.customer()
        with pytest.raises(NoPaymentMethod):
            subscriptions.create(customer=customer, plan=makers.published_plan(trial_days=14), at=JAN_1)
        lenient = makers.published_plan(code="lite", trial_days=14, trial_requires_payment_method=False)
        assert subscriptions.create(customer=customer, plan=lenient, at=JAN_1).status == Status.TRIALING

    def test_is_had_once_per_family_of_plans(self, acme):
        for code in ("pro", "team"):
            makers.published_plan(code=code, family="main", trial_days=14)
        first = subscriptions.create(customer=acme, plan=price("pro-month").plan, at=JAN_1)
        second = subscriptions.create(customer=acme, plan=price("team-month").plan, at=JAN_1)
        assert (first.status, second.status) == (Status.TRIALING, Status.ACTIVE)
        with pytest.raises(Conflict) as refusal:
            subscriptions.create(customer=acme, plan=price("team-month").plan, trial_days=7, at=JAN_1)
        assert refusal.value.code == "trial_used"


class TestStart:
    def test_in_the_future_bills_when_it_comes(self, plan, acme):
        subscription = subscriptions.create(customer=acme, plan=plan, start_at=FEB_1, at=JAN_1)
        assert (subscription.status, subscription.next_bill_at) == (Status.INCOMPLETE, FEB_1)
        assert not Invoice.objects.exists()
        assert first_payments.expire_incomplete(at=FEB_1) == 0
        runs.bill_due(at=FEB_1)
        subscription.refresh_from_db()
        assert subscription.status == Status.ACTIVE
        assert Invoice.objects.get().lines.get().period_start == FEB_1

    def test_in_the_past_bills_the_periods_begun_since(self, plan, acme):
        subscription = subscriptions.create(
            customer=acme, plan=plan, start_at=datetime(2025, 11, 15, tzinfo=UTC), at=JAN_1
        )
        invoice = Invoice.objects.get()
        assert invoice.total == 2 * 4900
        assert [line.period_start.month for line in invoice.lines.order_by("position")] == [11, 12]
        assert subscription.next_bill_at == datetime(2026, 1, 15, tzinfo=UTC)

    @pytest.mark.parametrize("start", [datetime(2006, 1, 1, tzinfo=UTC), datetime(1960, 1, 1, tzinfo=UTC)])
    def test_long_ago_is_refused(self, plan, acme, start):
        with pytest.raises(Invalid) as refusal:
            subscriptions.create(customer=acme, plan=plan, start_at=start, at=JAN_1)
        assert refusal.value.attr == "start_at"

    def test_far_ahead_is_refused(self, plan, acme):
        with pytest.raises(Invalid) as refusal:
            subscriptions.create(customer=acme, plan=plan, start_at=datetime(2999, 1, 1, tzinfo=UTC), at=JAN_1)
        assert refusal.value.attr == "start_at"

    def test_on_a_calendar_bills_the_stub_by_its_days(self, plan, acme):
        subscription = subscriptions.create(
            customer=acme, plan=plan, alignment="calendar", at=datetime(2026, 1, 22, 15, tzinfo=UTC)
        )
        line = Invoice.objects.get().lines.get()
        assert subscription.next_bill_at == FEB_1
        assert line.amount == round(4900 * 10 / 31)
        assert line.explanation[-1] == {
            "code": "proration", "part": "10", "whole": "31", "unit": "day", "amount": "4900",
        }  # fmt: skip


class TestCancellation:
    @pytest.fixture
    def active(self, plan, acme):
        return subscriptions.create(customer=acme, plan=plan, at=JAN_1)

    def test_takes_effect_at_the_end_of_the_period(self, active):
        canceled = subscriptions.cancel(subscription=active, reason="too dear", at=JAN_1 + timedelta(days=4))
        assert (canceled.status, canceled.cancel_at, canceled.next_bill_at) == (Status.ACTIVE, FEB_1, FEB_1)
        runs.bill_due(at=FEB_1)
        active.refresh_from_db()
        assert (active.status, active.ended_at, active.next_bill_at) == (Status.CANCELED, FEB_1, None)
        assert Invoice.objects.count() == 1
        change = active.changes.get(kind="canceled")
        assert (change.mrr_before, change.mrr_after, change.effective_at) == (4900, 0, FEB_1)
        assert active.changes.get(kind="cancellation_scheduled").reason == "too dear"

    def test_can_be_undone_until_then(self, active):
        subscriptions.cancel(subscription=active, at=JAN_1)
        restored = subscriptions.undo_cancellation(subscription=active, at=JAN_1)
        assert (restored.cancel_at, restored.canceled_at, restored.next_bill_at) == (None, None, FEB_1)
        runs.bill_due(at=FEB_1)
        assert Invoice.objects.count() == 2

    def test_can_not_be_undone_when_there_is_none(self, active):
        with pytest.raises(Conflict):
            subscriptions.undo_cancellation(subscription=active, at=JAN_1)

    def test_can_be_now(self, active):
        at = JAN_1 + timedelta(days=4)
        canceled = subscriptions.cancel(subscription=active, when="now", at=at)
        assert (canceled.status, canceled.ended_at, canceled.next_bill_at) == (Status.CANCELED, at, None)
        with pytest.raises(Conflict):
            subscriptions.cancel(subscription=active, at=at)

    def test_bills_usage_until_it_takes_effect(self, plan, acme):
        meter = plan.current_version.entitlements.get().feature.meter
        makers.price(plan=plan, code="calls", meter=meter, timing="in_arrears", model="per_unit", unit_amount=3)
        subscription = subscriptions.create(customer=acme, plan=plan, at=JAN_1)
        makers.calls(acme, 40, at=JAN_1 + timedelta(days=2))
        makers.calls(acme, 60, at=JAN_1 + timedelta(days=6))
        subscriptions.cancel(subscription=subscription, when="now", at=JAN_1 + timedelta(days=4))
        line = Invoice.objects.get(status=Invoice.Status.DRAFT).lines.get()
        assert (line.reason, line.quantity, line.amount) == ("subscription_end", 40, 120)

    @pytest.mark.parametrize("when", ["now", "period_end"])
    def test_has_its_reason_on_the_change_and_a_code_in_the_facts(self, active, when):
        words = "Ann Lee (ann@acme.example) left"
        subscriptions.cancel(subscription=active, when=when, reason=words, origin="portal", at=JAN_1)
        if when == "period_end":
            subscriptions.undo_cancellation(subscription=active, reason=words, origin="portal", at=JAN_1)
        kinds = {"now": ["cancellation_scheduled", "canceled"]}.get(
            when, ["cancellation_scheduled", "cancellation_undone"]
        )
        assert [active.changes.get(kind=kind).reason for kind in kinds] == [words] * 2
        told = Event.objects.filter(type__in=[f"billing.subscription.{kind}" for kind in kinds])
        assert [event.reason for event in told] == ["requested_by_portal"] * 2

    def test_in_the_past_is_refused(self, active):
        with pytest.raises(Invalid):
            subscriptions.cancel(subscription=active, when=JAN_1 - timedelta(days=1), at=JAN_1)

    def test_of_a_fixed_price_in_arrears_bills_the_days_with_the_last_one(self, acme):
        plan = makers.plan(code="late")
        makers.price(plan=plan, code="late-month", timing="in_arrears", unit_amount=3100)
        subscription = subscriptions.create(customer=acme, plan=plan, at=JAN_1)
        assert subscription.status == Status.ACTIVE
        subscriptions.cancel(subscription=subscription, when="now", at=JAN_1 + timedelta(days=9, hours=5))
        assert Invoice.objects.get().total == 1000


class TestIdempotencyId:
    def test_a_second_call_goes_on_where_the_first_was_interrupted(self, plan, acme):
        key = SubscriptionChange().pk  # any UUID
        first = subscriptions.create(customer=acme, plan=plan, at=JAN_1, idempotency_id=key)
        second = subscriptions.create(customer=acme, plan=plan, at=JAN_1, idempotency_id=key)
        assert first == second
        assert first.pk == key
        assert Invoice.objects.count() == Payment.objects.count() == 1

    def test_an_external_id_is_taken_once(self, plan, acme):
        subscriptions.create(customer=acme, plan=plan, at=JAN_1, external_id="s-1")
        with pytest.raises(Invalid) as refusal:
            subscriptions.create(customer=acme, plan=plan, at=JAN_1, external_id="s-1")
        assert (refusal.value.code, refusal.value.attr) == ("unique", None) or refusal.value.attr == "external_id"


class TestTimezone:
    def test_periods_end_at_the_customers_midnight(self, plan):
        customer = makers.customer(timezone="Asia/Kolkata")
        makers.card(customer)
        subscription = subscriptions.create(customer=customer, plan=plan, at=datetime(2026, 1, 31, 20, tzinfo=UTC))
        assert subscription.next_bill_at == datetime(2026, 2, 28, 18, 30, tzinfo=UTC)  # 1 March in Kolkata
