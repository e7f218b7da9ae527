"""Changes of subscriptions: what they charge and give back, to the cent, and what they refuse."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.apps import apps

from billing import catalog, change_preview, changes, runs, subscriptions
from billing.changes import Wanted
from billing.models import (
    Charge,
    CreditNote,
    Customer,
    CustomerBalance,
    Grant,
    Invoice,
    InvoiceLine,
    Phase,
    Price,
    Subscription,
    SubscriptionItem,
)
from billing.selection import ItemTerms
from gtm.shared import vendors
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import Event
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
Status = Subscription.Status


def utc(month: int, day: int = 1, hour: int = 0) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


JUN_1, JUN_16, JUL_1, AUG_1 = utc(6), utc(6, 16), utc(7), utc(8)


@pytest.fixture(autouse=True)
def shop():
    """Basic at 100.00, Pro at 300.00 a month or 1,000.00 a year, seats at 10.00 with 100 calls each, an add-on."""
    meter = makers.meter()
    feature = makers.feature(meter=meter)
    for code, amount in (("basic", 10000), ("pro", 30000)):
        plan = makers.plan(code=code, name=code.title())
        makers.price(plan=plan, code=f"{code}-month", unit_amount=amount)
        makers.price(plan=plan, code=f"{code}-year", interval="year", unit_amount=amount * 10)
        catalog.publish(plan=plan, at=JAN_1)
    team = makers.plan(code="team", name="Team")
    makers.price(plan=team, code="seat", model="per_unit", unit_amount=1000)
    makers.price(plan=team, code="extra", add_on=True, unit_amount=2500)
    makers.price(plan=team, code="calls", model="per_unit", meter=meter, unit_amount=10, included_units=300)
    terms = catalog.EntitlementTerms(feature=feature, limit=100)
    catalog.set_entitlements(plan=team, entitlements=[terms], at=JAN_1)
    catalog.publish(plan=team, at=JAN_1)
    makers.legal_entity()


@pytest.fixture
def acme() -> Customer:
    customer = makers.customer()
    makers.card(customer)
    return customer


def price(code: str) -> Price:
    return Price.objects.select_related("plan", "meter").get(code=code)


def of(**quantities: int) -> list[ItemTerms]:
    return [ItemTerms(price(code.replace("_", "-")), quantity) for code, quantity in quantities.items()]


def start(customer: Customer, *codes: str, at: datetime = JUN_1, quantity: int = 1, **terms: object) -> Subscription:
    items = [ItemTerms(price(code), quantity) for code in codes]
    return subscriptions.create(customer=customer, items=items, at=at, **terms)


def lines(*, after: datetime) -> list[tuple[str, int]]:
    """Kind and amount of the lines of invoices gathered from then on."""
    found = InvoiceLine.objects.filter(invoice__gathered_at__gte=after).order_by("invoice", "position")
    return [(line.kind, line.amount) for line in found]


def owed() -> int:
    return sum(invoice.amount_due for invoice in Invoice.objects.all())


def net_paid() -> int:
    return sum(invoice.amount_paid for invoice in Invoice.objects.all())


class TestUpgrade:
    def test_charges_the_rest_and_gives_back_the_unused_as_lines_of_their_own(self, acme):
        """polar-switch-1"""
        changed = changes.change(subscription=start(acme, "basic-month"), items=of(pro_month=1), at=JUN_16)
        assert lines(after=JUN_16) == [("proration_credit", -5000), ("proration_charge", 15000)]
        invoice = Invoice.objects.get(gathered_at=JUN_16)
        assert (invoice.status, invoice.total) == (Invoice.Status.PAID, 10000)
        assert (changed.current_period_start, changed.current_period_end) == (JUN_1, JUL_1)
        assert changed.plan_version.plan.code == "pro"

    def test_says_why(self, acme):
        changes.change(subscription=start(acme, "basic-month"), items=of(pro_month=1), at=JUN_16)
        credit, charge = InvoiceLine.objects.filter(invoice__gathered_at=JUN_16).order_by("position")
        unused = credit.explanation[-1]
        assert (unused["code"], unused["part"], unused["whole"]) == ("unused", "15", "30")
        assert credit.credits_line is not None
        assert (credit.quantity, credit.unit_amount) == (-1, 10000)
        assert charge.explanation[-1]["code"] == "proration"
        assert {line.reason for line in (credit, charge)} == {"subscription_change"}

    def test_renews_at_the_new_price_and_counts_its_revenue(self, acme):
        subscription = start(acme, "basic-month")
        changed = changes.change(subscription=subscription, items=of(pro_month=1), at=JUN_16)
        assert (changed.mrr, changed.next_bill_at) == (30000, JUL_1)
        row = changed.changes.get(kind="changed")
        assert (row.mrr_before, row.mrr_after, row.effective_at) == (10000, 30000, JUN_16)
        runs.bill_due(at=JUL_1)
        assert lines(after=JUL_1) == [("recurring", 30000)]

    def test_tells_of_it(self, acme):
        changes.change(subscription=start(acme, "basic-month"), items=of(pro_month=1), at=JUN_16, reason="Grew.")
        event = Event.objects.get(type="billing.subscription.changed")
        assert (event.data["plan"], event.data["mrr"], event.previous["mrr"]) == ("pro", 30000, 10000)
        assert event.reason == "requested_by_api"

    def test_the_day_of_the_change_belongs_to_the_new_plan(self, acme):
        changed = changes.change(subscription=start(acme, "basic-month"), items=of(pro_month=1), at=utc(6, 16, 23))
        assert lines(after=JUN_16) == [("proration_credit", -5000), ("proration_charge", 15000)]
        (item,) = [item for item in changed.items.all() if item.ended_at is None]
        assert (item.started_at, item.current_period_start, item.current_period_end) == (JUN_16, JUN_16, JUL_1)
        assert item.replaces.ended_at == JUN_16

    def test_by_the_second_where_the_vendor_wants_it(self, acme):
        vendors.change(proration_unit="second")
        changes.change(subscription=start(acme, "basic-month"), items=of(pro_month=1), at=utc(6, 16, 12))
        assert lines(after=JUN_16) == [("proration_credit", -4833), ("proration_charge", 14500)]

    def test_owes_what_was_used_once_where_the_invoice_is_open(self):
        """An unpaid Net-30 invoice: the old one is offset by a credit note, and nothing is credited as money."""
        acme = makers.customer(collection_method="send_invoice")
        subscription = start(acme, "basic-month")
        changes.change(subscription=subscription, items=of(pro_month=1), at=JUN_16)
        assert [one.amount_due for one in Invoice.objects.order_by("gathered_at")] == [5000, 15000]
        assert owed() == 20000
        note = CreditNote.objects.get()
        assert (note.total, note.offset_amount, note.balance_amount) == (5000, 5000, 0)
        assert not Charge.objects.filter(kind="proration_credit").exists()


class TestDowngrade:
    def test_waits_for_the_end_of_the_period(self, acme):
        subscription = start(acme, "pro-month")
        changed = changes.change(subscription=subscription, items=of(basic_month=1), at=JUN_16)
        assert changed.plan_version.plan.code == "pro"
        assert (changed.next_change_at, changed.next_bill_at) == (JUL_1, JUL_1)
        assert lines(after=JUN_16) == []
        runs.bill_due(at=JUL_1)
        assert lines(after=JUL_1) == [("recurring", 10000)]
        changed = Subscription.objects.get(pk=subscription.pk)
        assert (changed.plan_version.plan.code, changed.mrr, changed.next_change_at) == ("basic", 10000, None)
        assert Phase.objects.get().applied_at == JUL_1

    def test_a_late_run_bills_as_one_in_time(self, acme):
        subscription = start(acme, "pro-month")
        changes.change(subscription=subscription, items=of(basic_month=1), at=JUN_16)
        runs.bill_due(at=utc(8, 2))
        found = InvoiceLine.objects.filter(invoice__gathered_at=utc(8, 2)).order_by("period_start")
        assert [(line.amount, line.period_start) for line in found] == [(10000, JUL_1), (10000, AUG_1)]

    def test_can_count_at_once(self, acme):
        subscription = start(acme, "pro-month")
        changes.change(subscription=subscription, items=of(basic_month=1), effective="now", at=JUN_16)
        assert sum(amount for _kind, amount in lines(after=JUN_16)) <= 5000
        acme.refresh_from_db()
        assert net_paid() - balance(acme) == 30000 - 15000 + 5000

    def test_can_be_undone(self, acme):
        subscription = start(acme, "pro-month")
        changes.change(subscription=subscription, items=of(basic_month=1), at=JUN_16)
        undone = changes.undo(subscription=subscription, at=JUN_16)
        assert undone.next_change_at is None
        runs.bill_due(at=JUL_1)
        assert lines(after=JUL_1) == [("recurring", 30000)]
        kinds = Event.objects.filter(object_type="subscription").values_list("type", flat=True)
        assert {"billing.subscription.change_scheduled", "billing.subscription.change_undone"} < set(kinds)
        with pytest.raises(Conflict, match="No change"):
            changes.undo(subscription=subscription, at=JUN_16)

    def test_customers_take_back_what_they_asked_for_and_nothing_else(self, acme):
        subscription = start(acme, "pro-month")
        changes.change(subscription=subscription, items=of(basic_month=1), at=JUN_16, origin="portal")
        changes.change(subscription=subscription, items=of(seat=3), effective=AUG_1, at=JUN_16, origin="admin")
        changes.undo(subscription=subscription, all_=True, origin="portal", at=JUN_16)
        assert Phase.objects.get().origin == "admin"
        with pytest.raises(Conflict, match="No change"):
            changes.undo(subscription=subscription, all_=True, origin="portal", at=JUN_16)

    @pytest.mark.parametrize(("first", "second"), [("portal", "admin"), ("admin", "portal")])
    def test_what_joins_another_s_change_is_not_the_customers_to_take_back(self, acme, first, second):
        subscription = start(acme, "seat", quantity=5)
        changes.change(subscription=subscription, items=of(seat=4), effective=AUG_1, at=JUN_16, origin=first)
        wanted = Wanted(items=of(seat=8), effective=AUG_1, origin=second)
        found = change_preview.preview(subscription=subscription, wanted=wanted, at=JUN_16)
        assert found.may_undo == (second == "admin")  # who drops what anybody has scheduled
        changes.change(subscription=subscription, items=of(seat=8), effective=AUG_1, at=JUN_16, origin=second)
        with pytest.raises(Conflict, match="No change"):
            changes.undo(subscription=subscription, all_=True, origin="portal", at=JUN_16)
        phase = Phase.objects.get()
        assert (phase.origin, phase.items.get().quantity) == ("admin", 7)


def balance(customer: Customer) -> int:
    return sum(row.amount for row in CustomerBalance.objects.filter(customer=customer))


class TestInterval:
    def test_a_longer_one_counts_now_from_a_new_anchor(self, acme):
        """polar-switch-7"""
        changed = changes.change(subscription=start(acme, "basic-month"), items=of(basic_year=1), at=JUN_16)
        assert lines(after=JUN_16) == [("proration_credit", -5000), ("recurring", 100000)]
        assert (changed.current_period_start, changed.current_period_end) == (JUN_16, datetime(2027, 6, 16, tzinfo=UTC))

    def test_a_shorter_one_waits(self, acme):
        changed = changes.change(subscription=start(acme, "basic-year"), items=of(basic_month=1), at=JUN_16)
        assert changed.next_change_at == datetime(2027, 6, 1, tzinfo=UTC)

    def test_a_shorter_one_can_count_at_once(self, acme):
        """polar-switch-10, with what has no room credited."""
        subscription = start(acme, "basic-year")
        changes.change(subscription=subscription, items=of(basic_month=1), effective="now", at=utc(8, 13))
        assert net_paid() - balance(acme) == 100000 - 80000 + 10000
        assert Subscription.objects.get().current_period_end == utc(9, 13)

    def test_31_january_survives_another_plan(self, acme):
        subscription = start(acme, "basic-month", at=utc(1, 31))
        changes.change(subscription=subscription, items=of(pro_month=1), at=utc(2, 14))
        runs.bill_due(at=utc(5, 1))
        charged = Charge.objects.filter(price__code="pro-month").order_by("period_start")
        assert [charge.period_end for charge in charged] == [utc(2, 28), utc(3, 31), utc(4, 30), utc(5, 31)]


class TestOnce:
    def test_a_one_time_price_is_charged_at_once_and_an_end_takes_nothing_of_it_back(self, acme):
        subscription = start(acme, "seat")
        setup = makers.price(plan=price("seat").plan, code="setup", interval="one_time", unit_amount=700, add_on=True)
        catalog.publish(plan=setup.plan, at=JUN_1)
        changes.change(subscription=subscription, items=of(seat=1, setup=1), at=JUN_16)
        assert lines(after=JUN_16) == [("one_off", 700)]

    def test_nor_where_it_waits_for_the_next_invoice(self, acme):
        subscription = start(acme, "seat")
        setup = makers.price(plan=price("seat").plan, code="setup", interval="one_time", unit_amount=700, add_on=True)
        catalog.publish(plan=setup.plan, at=JUN_1)
        changes.change(subscription=subscription, items=of(seat=1, setup=1), invoicing="next", at=JUN_16)
        subscriptions.cancel(subscription=subscription, at=JUN_16)
        runs.bill_due(at=JUL_1)
        assert lines(after=JUL_1) == [("one_off", 700)]


class TestSeats:
    def test_wait_for_the_next_invoice(self, acme):
        subscription = start(acme, "seat", quantity=5)
        changed = changes.change(subscription=subscription, items=of(seat=8), at=JUN_16)
        assert lines(after=JUN_16) == []
        assert changed.mrr == 8000
        runs.bill_due(at=JUL_1)
        assert lines(after=JUL_1) == [("proration_credit", -2500), ("proration_charge", 4000), ("recurring", 8000)]

    def test_many_changes_in_a_period_are_cut_at_each_of_them(self, acme):
        subscription = start(acme, "seat", quantity=5)
        changes.change(subscription=subscription, items=of(seat=8), at=utc(6, 11))
        changes.change(subscription=subscription, items=of(seat=6), effective="now", at=utc(6, 21))
        runs.bill_due(at=JUL_1)
        amounts = [amount for _kind, amount in lines(after=JUL_1)]
        assert sorted(amounts) == sorted([-3333, 2667, 2000, 6000])  # 5 unused from the 11th; 8 for 10 days, 6 for 10

    def test_switching_back_and_forth_on_a_day_gains_nothing(self, acme):
        subscription = start(acme, "seat", quantity=5)
        for quantity in (8, 5, 9, 5):
            changes.change(
                subscription=subscription, items=of(seat=quantity), effective="now", invoicing="now", at=utc(6, 11, 9)
            )
        assert net_paid() - balance(acme) == 5000
        assert owed() == 0

    def test_give_limits_for_each(self, acme):
        subscription = start(acme, "seat", quantity=5)
        assert Grant.objects.get().limit == 500
        changes.change(subscription=subscription, items=of(seat=8), at=JUN_16)
        assert Grant.objects.get().limit == 800

    def test_do_not_lose_a_change_of_the_plan_that_is_scheduled(self, acme):
        """polar-seats-1: seats 5 to 8 now, while another price is to come."""
        other = makers.price(plan=price("seat").plan, code="seat-2", model="per_unit", unit_amount=2500)
        subscription = start(acme, "seat", quantity=5)
        changes.change(subscription=subscription, items=[ItemTerms(other, 5)], effective="period_end", at=utc(6, 2))
        changes.change(subscription=subscription, items=of(seat=8), at=JUN_16)
        runs.bill_due(at=JUL_1)
        assert sum(amount for _kind, amount in lines(after=JUL_1)) == 1500 + 20000

    def test_an_add_on_renews_with_the_rest(self, acme):
        """flex-add-item, in a month of 30 days."""
        subscription = start(acme, "seat", quantity=5)
        changed = changes.change(subscription=subscription, items=of(seat=5, extra=1), at=JUN_16)
        assert lines(after=JUN_16) == [("proration_charge", 1250)]
        assert {item.current_period_end for item in changed.items.all()} == {JUL_1}
        changes.change(subscription=subscription, items=of(seat=5), effective="now", at=utc(6, 21))
        assert net_paid() - balance(acme) == 5000 + 1250 - 833


class TestUsage:
    def test_is_cut_where_the_price_changes_and_pools_what_is_included(self, acme):
        other = makers.price(
            plan=price("calls").plan,
            code="calls-2",
            model="per_unit",
            meter=price("calls").meter,
            unit_amount=20,
            included_units=600,
        )
        subscription = start(acme, "seat", "calls")
        makers.calls(acme, 460, at=utc(6, 10))
        makers.calls(acme, 10, at=utc(6, 20))
        changes.change(subscription=subscription, items=[*of(seat=1), ItemTerms(other)], at=JUN_16)
        assert not Charge.objects.filter(kind="usage").exists()
        runs.bill_due(at=JUL_1)
        found = Charge.objects.filter(kind="usage").order_by("period_start")
        # 150 of 300 and 300 of 600 are included: 450 together, of which the first half took all
        assert [(one.quantity, one.amount) for one in found] == [(460, 100), (10, 200)]
        assert [(one.period_start, one.period_end) for one in found] == [(JUN_1, JUN_16), (JUN_16, JUL_1)]
        assert not SubscriptionItem.objects.filter(ended_at__isnull=False, next_bill_at__isnull=False).exists()

    def test_is_billed_at_the_boundary_where_nothing_takes_over(self, acme):
        subscription = start(acme, "seat", "calls")
        makers.calls(acme, 200, at=utc(6, 10))
        changes.change(subscription=subscription, items=of(seat=1), effective="now", at=JUN_16)
        usage = Charge.objects.get(kind="usage")
        assert (usage.quantity, usage.amount, usage.period_end, usage.reason) == (
            200,
            500,
            JUN_16,
            "subscription_change",
        )

    def test_counts_on_towards_limits(self, acme):
        subscription = start(acme, "seat", "calls", quantity=1)
        changed = changes.change(subscription=subscription, items=of(seat=2, calls=1), at=JUN_16)
        assert changed.current_period_start == JUN_1

    def test_needs_its_meter_for_itself(self, acme):
        start(acme, "seat", "calls")
        other = start(acme, "extra")
        with pytest.raises(Conflict) as refusal:
            changes.change(subscription=other, items=of(extra=1, calls=1), at=JUN_16)
        assert (refusal.value.code, refusal.value.attr) == ("meter_in_use", "items")

    def test_of_a_stub_has_its_share_of_what_is_included(self, acme):
        start(acme, "calls", at=JUN_16, alignment="calendar")
        makers.calls(acme, 200, at=utc(6, 20))
        runs.bill_due(at=JUL_1)
        assert Charge.objects.get().amount == 500


class TestInTrial:
    def test_keeps_the_remaining_days_and_costs_nothing(self, acme):
        subscription = start(acme, "basic-month", trial_days=14)
        changed = changes.change(subscription=subscription, items=of(pro_year=1), at=utc(6, 5))
        assert (changed.status, changed.trial_end) == (Status.TRIALING, utc(6, 15))
        assert not Charge.objects.exists()
        runs.bill_due(at=utc(6, 15))
        assert lines(after=utc(6, 15)) == [("recurring", 300000)]
        assert InvoiceLine.objects.get().period_start == utc(6, 15)

    def test_a_downgrade_waits_for_its_end_and_is_charged_then(self, acme):
        subscription = start(acme, "pro-month", trial_days=14)
        changed = changes.change(subscription=subscription, items=of(basic_month=1), at=utc(6, 5))
        assert changed.next_change_at == utc(6, 15)
        runs.bill_due(at=utc(6, 15))
        assert lines(after=utc(6, 15)) == [("recurring", 10000)]
        assert Subscription.objects.get().status == Status.ACTIVE


class TestWithoutProration:
    def test_bills_the_new_price_from_the_next_period(self, acme):
        subscription = start(acme, "basic-month")
        changed = changes.change(subscription=subscription, items=of(pro_month=1), prorate=False, at=JUN_16)
        assert lines(after=JUN_16) == []
        assert (changed.plan_version.plan.code, changed.mrr) == ("pro", 30000)
        runs.bill_due(at=JUL_1)
        assert lines(after=JUL_1) == [("recurring", 30000)]

    def test_and_a_change_after_it_gives_back_what_was_paid_once(self, acme):
        subscription = start(acme, "basic-month")
        changes.change(subscription=subscription, items=of(pro_month=1), prorate=False, at=utc(6, 11))
        changes.change(subscription=subscription, items=of(basic_month=1), effective="now", at=utc(6, 21))
        assert net_paid() - balance(acme) == 10000

    def test_another_interval_begins_after_the_running_one(self, acme):
        subscription = start(acme, "basic-month")
        changes.change(subscription=subscription, items=of(basic_year=1), prorate=False, at=JUN_16)
        runs.bill_due(at=JUL_1)
        assert lines(after=JUN_16) == [("recurring", 100000)]
        assert InvoiceLine.objects.get(amount=100000).period_start == JUL_1

    def test_and_an_end_before_that_gives_back_the_rest_of_the_running_one(self, acme):
        subscription = start(acme, "basic-month")
        changes.change(subscription=subscription, items=of(basic_year=1), prorate=False, at=JUN_16)
        at = utc(6, 20)
        subscriptions.cancel(subscription=subscription, when="now", credit="prorate", at=at)
        assert balance(acme) == 10000 * 10 // 30


class TestScheduled:
    def test_at_a_time_within_a_period_is_prorated_there(self, acme):
        subscription = start(acme, "basic-month")
        changes.change(subscription=subscription, items=of(pro_month=1), effective=JUN_16, at=utc(6, 2))
        runs.bill_due(at=JUN_16)
        assert lines(after=JUN_16) == [("proration_credit", -5000), ("proration_charge", 15000)]

    def test_an_upgrade_takes_the_place_of_a_downgrade_to_come(self, acme):
        subscription = start(acme, "basic-month")
        changes.change(subscription=subscription, plan=price("seat").plan, at=utc(6, 2))
        assert Phase.objects.count() == 1
        changed = changes.change(subscription=subscription, items=of(pro_month=1), at=JUN_16)
        assert changed.next_change_at is None
        assert not Phase.objects.exists()

    def test_a_cancellation_ends_it(self, acme):
        subscription = start(acme, "pro-month")
        changes.change(subscription=subscription, items=of(basic_month=1), at=JUN_16)
        canceled = subscriptions.cancel(subscription=subscription, at=JUN_16)
        assert canceled.next_change_at is None
        assert not Phase.objects.exists()
        with pytest.raises(Conflict, match="ends before"):
            changes.change(subscription=subscription, items=of(basic_month=1), at=JUN_16)


class TestAPlanByItself:
    def test_brings_its_own_items_at_the_present_interval(self, acme):
        changed = changes.change(subscription=start(acme, "basic-year"), plan=price("pro-month").plan, at=JUN_16)
        assert [item.price.code for item in changed.items.all() if item.ended_at is None] == ["pro-year"]

    def test_for_as_many_seats(self, acme):
        other = makers.plan(code="more", name="More")
        makers.price(plan=other, code="more-seat", model="per_unit", unit_amount=2000)
        catalog.publish(plan=other, at=JAN_1)
        changed = changes.change(subscription=start(acme, "seat", quantity=7), plan=other, at=JUN_16)
        (item,) = [item for item in changed.items.all() if item.ended_at is None]
        assert (item.price.code, item.quantity) == ("more-seat", 7)

    def test_whoever_bought_keeps_the_version_that_they_bought(self, acme):
        subscription = start(acme, "seat", quantity=5)
        makers.price(plan=price("seat").plan, code="seat-new", model="per_unit", unit_amount=9)
        changed = changes.change(subscription=subscription, items=of(seat=6), at=JUN_16)
        assert changed.plan_version_id == subscription.plan_version_id
        newer = changes.change(subscription=subscription, items=of(seat_new=6), effective="now", at=JUN_16)
        assert newer.plan_version.number == changed.plan_version.number + 1


class TestWhatIsDue:
    def test_is_billed_first(self, acme):
        """The renewal was due an hour ago, and no run has come to it."""
        subscription = start(acme, "basic-month")
        changes.change(subscription=subscription, items=of(pro_month=1), at=JUL_1 + timedelta(hours=1))
        assert net_paid() == 10000 + 30000
        assert Charge.objects.filter(price__code="basic-month", status="replaced").count() == 1

    def test_a_draft_is_finalized_before_part_of_it_is_given_back(self, acme):
        subscription = start(acme, "seat", "calls", quantity=5)
        runs.bill_due(at=JUL_1)
        assert Invoice.objects.filter(status=Invoice.Status.DRAFT).count() == 1
        changes.change(subscription=subscription, items=of(seat=6, calls=1), at=JUL_1 + timedelta(minutes=5))
        assert not Invoice.objects.filter(status=Invoice.Status.DRAFT).exists()


class TestRefusals:
    @pytest.mark.parametrize(
        ("wanted", "code", "attr"),
        [
            ({}, "required", "items"),
            ({"items": []}, "required", "items"),
            ({"items": {"basic_month": -1}}, "invalid", "items.0.quantity"),
            ({"items": {"basic_month": 1, "pro_month": 1}}, "unknown_price", "items.0.price"),
            ({"items": {"pro_month": 1}, "effective": utc(6, 15)}, "in_the_past", "effective"),
            ({"items": {"pro_month": 1}, "effective": datetime(9999, 1, 1, tzinfo=UTC)}, "invalid", "effective"),
            ({"items": {"pro_month": 1}, "effective": "soon"}, "invalid", "effective"),
            ({"items": {"pro_month": 1}, "interval": None, "plan": "seat"}, "unknown_price", "items.0.price"),
        ],
    )
    def test_name_the_field_and_write_nothing(self, acme, wanted, code, attr):
        subscription = start(acme, "basic-month")
        before = counts()
        asked = dict(wanted)
        if asked.get("items"):
            asked["items"] = of(**asked["items"])
        if "plan" in asked:
            asked["plan"] = price(asked["plan"]).plan
        with pytest.raises(Invalid) as refusal:
            changes.change(subscription=subscription, **asked, at=JUN_16)
        assert (refusal.value.code, refusal.value.attr) == (code, attr)
        assert counts() == before

    def test_another_currency(self, acme):
        euro = makers.price(plan=price("pro-month").plan, code="pro-eur", currency="EUR")
        with pytest.raises(Invalid) as refusal:
            changes.change(subscription=start(acme, "basic-month"), items=[ItemTerms(euro)], at=JUN_16)
        assert refusal.value.code == "currency_differs"

    def test_what_changes_nothing(self, acme):
        subscription = start(acme, "basic-month")
        for effective in ("now", "period_end"):
            with pytest.raises(Conflict) as refusal:
                changes.change(subscription=subscription, items=of(basic_month=1), effective=effective, at=JUN_16)
            assert refusal.value.code == "nothing_changes"

    @pytest.mark.parametrize("status", [Status.CANCELED, Status.INCOMPLETE, Status.PAUSED, Status.UNPAID])
    def test_what_is_not_live(self, acme, status):
        subscription = start(acme, "basic-month")
        Subscription.objects.update(status=status, ended_at=JUN_1, next_bill_at=None)
        with pytest.raises(Conflict) as refusal:
            changes.change(subscription=subscription, items=of(pro_month=1), at=JUN_16)
        assert refusal.value.code == "not_changeable"


def counts() -> dict[str, int]:
    models = [model for app in ("billing", "shared") for model in apps.get_app_config(app).get_models()]
    return {model._meta.label: model._default_manager.count() for model in models}


class TestPreview:
    def test_shows_what_the_change_does_and_writes_nothing(self, acme):
        subscription, wanted = start(acme, "basic-month"), Wanted(items=of(pro_month=1))
        before = counts()
        found = change_preview.preview(subscription=subscription, wanted=wanted, at=JUN_16)
        assert counts() == before
        assert [(line.kind, line.amount) for line in found.change.lines] == [
            ("proration_credit", -5000),
            ("proration_charge", 15000),
        ]
        assert (found.effective_at, found.change.total) == (JUN_16, 10000)
        assert found.next_invoice is not None
        assert (found.next_invoice_at, found.next_invoice.total) == (JUL_1, 30000)
        changes.change(subscription=subscription, items=of(pro_month=1), at=JUN_16)
        assert Invoice.objects.get(gathered_at=JUN_16).total == found.change.total

    def test_shows_what_is_taken_off_an_open_invoice(self):
        acme = makers.customer(collection_method="send_invoice")
        subscription, wanted = start(acme, "basic-month"), Wanted(items=of(pro_month=1))
        found = change_preview.preview(subscription=subscription, wanted=wanted, at=JUN_16)
        assert [(line.amount, line.credit_note) for line in found.change.lines] == [(-5000, True), (15000, False)]
        assert found.change.total == 10000

    def test_shows_what_waits_for_the_next_invoice(self, acme):
        subscription, wanted = start(acme, "seat", quantity=5), Wanted(items=of(seat=8))
        found = change_preview.preview(subscription=subscription, wanted=wanted, at=JUN_16)
        assert found.change.total == 1500
        assert found.next_invoice is not None
        assert found.next_invoice.total == 9500

    def test_shows_a_downgrade_with_the_renewal_at_the_new_price(self, acme):
        subscription, wanted = start(acme, "pro-month"), Wanted(items=of(basic_month=1))
        found = change_preview.preview(subscription=subscription, wanted=wanted, at=JUN_16)
        assert (found.effective_at, found.change.lines, found.change.total) == (JUL_1, (), 0)
        assert found.next_invoice is not None
        assert found.next_invoice.total == 10000

    def test_refuses_what_the_change_refuses(self, acme):
        subscription = start(acme, "pro-month")
        with pytest.raises(Conflict, match="already"):
            change_preview.preview(subscription=subscription, wanted=Wanted(items=of(pro_month=1)), at=JUN_16)


def test_a_second_call_with_the_same_key_changes_nothing(acme):
    subscription = start(acme, "basic-month")
    key = Phase().pk
    for _time in range(2):
        changes.change(subscription=subscription, items=of(pro_month=1), idempotency_id=key, at=JUN_16)
    assert subscription.changes.filter(kind="changed").count() == 1
    assert Decimal(net_paid()) == 20000
