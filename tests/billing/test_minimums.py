"""Minimum commitments: what is missing at the end of a period, and what late usage makes of it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from billing import changes, commitment, cycles, discounts, pauses, runs, subscriptions, true_ups
from billing.cycles import Cycles, Span
from billing.models import Charge, Invoice, InvoiceLine, Plan, Subscription
from billing.proration import Part
from gtm.shared import vendors
from gtm.shared.errors import Invalid
from gtm.shared.periods import Anchor, Interval
from tests.billing import makers
from tests.world import JAN_1

JAN_15, FEB_1, MAR_1, MAR_10 = (datetime(2026, *day, tzinfo=UTC) for day in ((1, 15), (2, 1), (3, 1), (3, 10)))
GRACE = timedelta(hours=2)


def monthly(since: datetime = JAN_1, *, until: datetime | None = None) -> Cycles:
    found = cycles.of_items([Span(since, until, Anchor(since, "UTC"), Interval("month"))], start_at=since)
    assert found is not None
    return found


class TestWindows:
    @pytest.mark.parametrize(
        ("since", "until", "ends_at", "expected"),
        [
            (JAN_1, FEB_1 - timedelta(seconds=1), None, []),
            (JAN_1, FEB_1, None, [(JAN_1, FEB_1, 1)]),
            (JAN_1, MAR_1, None, [(JAN_1, FEB_1, 1), (FEB_1, MAR_1, 1)]),
            (JAN_1, FEB_1, JAN_15, [(JAN_1, JAN_15, Fraction(15, 31))]),
            (JAN_15, FEB_1, None, [(JAN_15, FEB_1, Fraction(17, 31))]),
            (JAN_15, FEB_1, JAN_15, []),
        ],
    )
    def test_are_periods_cut_at_the_end(
        self, since: datetime, until: datetime, ends_at: datetime | None, expected: list[tuple[Any, ...]]
    ) -> None:
        found = commitment.windows(monthly(), since=since, until=until, ends_at=ends_at)
        assert [(one.period.start, one.period.end, one.part.share) for one in found] == expected

    def test_end_with_the_interval_that_they_are_counted_by(self) -> None:
        known = cycles.of_items(
            [
                Span(JAN_1, JAN_15, Anchor(JAN_1, "UTC"), Interval("month")),
                Span(JAN_15, None, Anchor(JAN_15, "UTC"), Interval("year")),
            ],
            start_at=JAN_1,
        )
        assert known is not None
        (window,) = commitment.windows(known, since=JAN_1, until=FEB_1, ends_at=None)
        assert (window.period.end, window.part.share) == (JAN_15, Fraction(14, 31))


class TestTrueUp:
    @pytest.mark.parametrize(
        ("case", "minimum", "part", "rated", "amount"),
        [
            ("nothing missing", 10000, (1, 1), 10000, 0),
            ("more than enough", 10000, (1, 1), 10001, 0),
            ("lago-mincommit-year-cal", 1000000, (334, 365), 91507, 823561),
            ("lago-mincommit-usage-ann 1", 1000000, (1, 1), 10000 + 3000, 987000),
            ("lago-mincommit-usage-ann 2", 1000000, (1, 1), 10000 + 1000, 989000),
            ("lago-mincommit-usage-quarter", 1000000, (20, 91), 2198 + 3000, 214582),
            ("half a cent", 1, (1, 2), 0, 1),
        ],
    )
    def test_is_what_is_missing_to_the_share(
        self, case: str, minimum: int, part: tuple[int, int], rated: int, amount: int
    ) -> None:
        length, whole = map(Fraction, part)
        assert commitment.true_up(minimum, Part(length, whole, "day"), rated=rated).amount == amount, case


@pytest.fixture
def plan(db: None) -> Plan:
    """49.00 USD a month in advance, and 1.00 USD for each call."""
    makers.legal_entity()
    plan = makers.published_plan()
    meter = plan.current_version.entitlements.get().feature.meter
    makers.price(plan=plan, code="calls", meter=meter, timing="in_arrears", model="per_unit", unit_amount=100)
    return plan


def committed(plan: Plan, minimum: int = 10000, **terms: Any) -> Subscription:
    return makers.subscribed(makers.customer(), plan=plan, minimum_amount=minimum, **terms)


def true_ups_of(subscription: Subscription) -> list[tuple[datetime, int]]:
    found = InvoiceLine.objects.filter(subscription=subscription, kind="minimum").order_by("period_start", "pk")
    return list(found.values_list("period_start", "amount"))


def bill(*times: datetime) -> None:
    for at in times:
        runs.bill_due(at=at)


class TestDue:
    @pytest.mark.parametrize("unit", ["day", "second"])
    def test_asks_for_what_is_missing_at_the_end_of_each_period(self, plan: Plan, unit: str) -> None:
        vendors.change(proration_unit=unit)
        subscription = committed(plan)
        makers.calls(subscription.customer, 20, at=JAN_15)
        bill(FEB_1, FEB_1 + GRACE, MAR_1, MAR_1 + GRACE)
        assert true_ups_of(subscription) == [(JAN_1, 10000 - 4900 - 2000), (FEB_1, 10000 - 4900)]
        line = InvoiceLine.objects.get(subscription=subscription, kind="minimum", period_start=JAN_1)
        assert (line.period_end, line.invoice.gathered_at, line.reason) == (FEB_1, FEB_1, "subscription_cycle")
        assert line.explanation == [{"code": "commitment", "committed": 10000, "rated": 6900, "amount": 3100}]

    def test_leaves_a_trace_where_nothing_is_missing(self, plan: Plan) -> None:
        subscription = committed(plan, 4900)
        bill(FEB_1, FEB_1 + GRACE)
        assert true_ups_of(subscription) == []
        assert Charge.objects.get(kind="minimum").status == "waived"

    def test_stragglers_lower_it_on_the_draft(self, plan: Plan) -> None:
        subscription = committed(plan)
        bill(FEB_1)
        makers.calls(subscription.customer, 30, at=JAN_15)
        bill(FEB_1 + GRACE)
        assert true_ups_of(subscription) == [(JAN_1, 2100)]
        invoice = Invoice.objects.get(gathered_at=FEB_1)
        assert (invoice.status, invoice.subtotal) == ("paid", 4900 + 3000 + 2100)

    def test_a_coupon_changes_nothing_about_what_is_missing(self, plan: Plan) -> None:
        subscription = committed(plan, coupons=[makers.coupon(percent_off=50, duration="forever")])
        bill(FEB_1, FEB_1 + GRACE)
        assert true_ups_of(subscription) == [(JAN_1, 5100)]
        assert Invoice.objects.get(gathered_at=FEB_1).discount_total == 5000

    def test_a_trial_is_not_committed(self, plan: Plan) -> None:
        subscription = committed(plan, trial_days=14)
        bill(JAN_15, JAN_15 + timedelta(days=31), JAN_15 + timedelta(days=31) + GRACE)
        assert true_ups_of(subscription) == [(JAN_15, 5100)]

    @pytest.mark.parametrize(("unit", "days"), [("day", 10), ("second", 9)])
    def test_an_end_within_the_period_commits_to_its_days(self, plan: Plan, unit: str, days: int) -> None:
        vendors.change(proration_unit=unit)
        subscription = committed(plan, 20000)
        bill(FEB_1, FEB_1 + GRACE, MAR_1, MAR_1 + GRACE)
        subscriptions.cancel(subscription=subscription, when="now", at=MAR_10)
        bill(MAR_10 + GRACE)
        assert true_ups_of(subscription)[-1] == (MAR_1, round(20000 * days / 31) - 4900)

    def test_a_stub_before_the_calendar_s_bound_commits_to_its_days(self, plan: Plan) -> None:
        subscription = committed(plan, 20000, at=JAN_15, alignment="calendar")
        bill(FEB_1, FEB_1 + GRACE)
        assert true_ups_of(subscription) == [(JAN_15, round(20000 * 17 / 31) - round(4900 * 17 / 31))]

    def test_periods_that_are_over_are_made_up_for_at_once(self, plan: Plan) -> None:
        subscription = committed(plan, at=MAR_10, start_at=JAN_1)
        assert true_ups_of(subscription) == [(JAN_1, 5100), (FEB_1, 5100)]
        subscription.refresh_from_db()
        assert (subscription.minimum_since, subscription.mrr) == (MAR_1, 10000)

    @pytest.mark.parametrize("minimum", [-1, 10**15 + 1])
    def test_refuses_what_no_invoice_could_hold(self, plan: Plan, minimum: int) -> None:
        with pytest.raises(Invalid) as refused:
            committed(plan, minimum)
        assert refused.value.attr == "minimum_amount"

    def test_the_work_does_not_grow_with_the_batch(self, plan: Plan) -> None:
        def queries(at: datetime) -> int:
            with CaptureQueriesContext(connection) as captured:
                runs.bill_due(at=at, collect=False)
            return len(captured)

        committed(plan)
        one = queries(FEB_1)
        for number in range(3):
            makers.subscribed(makers.customer(name=f"Customer {number}"), plan=plan, minimum_amount=10000)
        assert queries(FEB_1) <= one
        assert InvoiceLine.objects.filter(kind="minimum").count() == 4


class TestSettleAgain:
    """What late usage calls when it has written its charges."""

    @pytest.fixture
    def billed(self, plan: Plan) -> Subscription:
        """January lacked 51.00, of which a coupon took 10 %; it is paid."""
        subscription = committed(plan, coupons=[makers.coupon(percent_off=10, duration="forever")])
        bill(FEB_1, FEB_1 + GRACE)
        runs.collect_waiting(at=FEB_1 + GRACE)
        return subscription

    @pytest.fixture
    def late(self, billed: Subscription) -> Callable[[int], None]:
        """So much more usage in January, in minor units; less where negative."""
        first = Charge.objects.get(subscription=billed, kind="usage", period_start=JAN_1)

        def happen(amount: int) -> None:
            revision = Charge.objects.filter(item=first.item, kind="usage", period_index=0).count()
            copied = {name: getattr(first, name) for name in ("customer", "payer", "subscription", "item", "currency")}
            charge = Charge.objects.create(
                **copied,
                kind="usage",
                reason="late_usage",
                revision=revision,
                amount=amount,
                quantity=1,
                description="late",
                period_start=JAN_1,
                period_end=FEB_1,
                invoice_at=MAR_1,
            )
            with transaction.atomic():
                true_ups.settle_again(charges=[charge], at=FEB_1 + timedelta(days=1))

        return happen

    def asked(self) -> list[tuple[str, int]]:
        """What is pending for January besides its usage."""
        found = Charge.objects.filter(status="pending").exclude(kind="usage").order_by("created_at", "pk")
        return list(found.values_list("kind", "amount"))

    def test_late_usage_first_reduces_what_was_billed(self, late: Callable[[int], None]) -> None:
        late(3000)
        assert self.asked() == [("proration_credit", -2700)]
        late(3000)
        assert self.asked() == [("proration_credit", -2700), ("proration_credit", -1890)]
        late(3000)
        assert len(self.asked()) == 2

    def test_usage_that_is_taken_back_leaves_it_missing(self, late: Callable[[int], None]) -> None:
        late(3000)
        late(-3000)
        assert self.asked() == [("proration_credit", -2700), ("minimum", 3000)]
        late(1000)
        assert self.asked() == [("proration_credit", -2700), ("minimum", 2000)]
        late(-500)
        assert self.asked()[1:] == [("minimum", 2000), ("minimum", 500)]

    def test_without_a_minimum_it_does_nothing(self, plan: Plan, django_assert_num_queries: Any) -> None:
        subscription = makers.subscribed(makers.customer(), plan=plan)
        charges = list(Charge.objects.filter(subscription=subscription))
        with transaction.atomic(), django_assert_num_queries(1):
            true_ups.settle_again(charges=charges, at=FEB_1)


def test_revenue_is_the_commitment_where_that_is_higher(plan: Plan) -> None:
    subscription = committed(plan, 12000)
    subscription.refresh_from_db()
    assert subscription.mrr == 12000
    coupon = makers.coupon(amount_off=1000, currency="USD", duration="forever")
    discounts.redeem(coupon=coupon, subscription=subscription, at=JAN_15)
    subscription.refresh_from_db()
    assert subscription.mrr == 12000


class TestThroughChanges:
    """What is measured is what was charged for service, whoever has paid for what."""

    @pytest.fixture
    def bigger(self, plan: Plan) -> Plan:
        """120.00 USD a month, or 1,200.00 a year."""
        bigger = makers.plan(code="bigger")
        makers.price(plan=bigger, code="bigger-month", unit_amount=12000)
        makers.price(plan=bigger, code="bigger-year", interval="year", unit_amount=120000)
        return bigger

    @pytest.mark.parametrize("method", ["charge_automatically", "send_invoice"])
    @pytest.mark.parametrize("percent", [None, 20, 100])
    def test_an_upgrade_counts_the_time_of_each_plan(
        self, plan: Plan, bigger: Plan, method: str, percent: int | None
    ) -> None:
        vendors.change(proration_unit="second")
        customer = makers.customer(collection_method=method)
        given = [makers.coupon(percent_off=percent, duration="forever")] if percent else []
        subscription = makers.subscribed(customer, plan=plan, minimum_amount=20000, coupons=given)
        half = JAN_1 + timedelta(days=15.5)
        changes.change(subscription=subscription, plan=bigger, effective="now", invoicing="now", at=half)
        bill(FEB_1, FEB_1 + GRACE)
        assert true_ups_of(subscription) == [(JAN_1, 20000 - 4900 // 2 - 12000 // 2)]

    def test_another_interval_cuts_the_window(self, plan: Plan, bigger: Plan) -> None:
        subscription = committed(plan, 20000)
        at = datetime(2026, 1, 16, 12, tzinfo=UTC)
        changes.change(subscription=subscription, plan=bigger, interval="year", effective="now", at=at)
        boundary, used = at.replace(hour=0), 4900 - round(4900 * 16 / 31)
        assert true_ups_of(subscription) == [(JAN_1, round(20000 * 15 / 31) - used)]
        subscription.refresh_from_db()
        assert subscription.minimum_since == boundary
        bill(FEB_1, boundary.replace(year=2027), boundary.replace(year=2027) + GRACE)
        assert len(true_ups_of(subscription)) == 1
        assert list(Charge.objects.filter(kind="minimum").values_list("status", flat=True)).count("waived") == 1

    def test_a_pause_ends_the_window_with_its_day(self, plan: Plan) -> None:
        subscription = committed(plan, 20000)
        pauses.pause(subscription=subscription, at=JAN_15)
        runs.bill_due(at=JAN_15 + GRACE)
        used = 4900 - round(4900 * 16 / 31)
        assert true_ups_of(subscription) == [(JAN_1, round(20000 * 15 / 31) - used)]
        pauses.resume(subscription=subscription, at=MAR_1)
        bill(MAR_1 + timedelta(days=31), MAR_1 + timedelta(days=31) + GRACE)
        assert true_ups_of(subscription)[1:] == [(MAR_1, 15100)]
