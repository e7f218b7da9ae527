"""Where a change cuts a period, and what its parts cost: to the cent, and never more than the whole."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing import pricing, proration
from billing.price_terms import PriceTerms, Tier
from billing.pricing import Rated
from billing.proration import MeteredSegment, Part
from gtm.shared import periods
from gtm.shared.periods import Anchor, Interval, Period

D = Decimal
MONTH = Interval("month")
ZONES = ["UTC", "America/New_York", "Europe/Berlin", "Asia/Karachi", "Pacific/Chatham", "America/Santiago"]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def days(length: int, whole: int = 31) -> Part:
    return Part(Fraction(length), Fraction(whole), "day")


class TestBoundary:
    @pytest.mark.parametrize(
        ("unit", "timezone", "expected"),
        [
            ("day", "UTC", "2026-03-16T00:00"),
            ("day", "Asia/Karachi", "2026-03-16T19:00"),  # the 17th has begun there
            ("day", "America/New_York", "2026-03-16T04:00"),
            ("second", "Asia/Karachi", "2026-03-16T20:15"),
        ],
    )
    def test_is_the_midnight_before_in_the_customers_zone(self, unit, timezone, expected):
        found = proration.boundary(utc("2026-03-16T20:15"), unit=unit, timezone=timezone, not_before=utc("2026-03-01"))
        assert found == utc(expected)

    def test_does_not_go_back_beyond_the_start_of_the_period(self):
        start = utc("2026-03-16T12:12")
        found = proration.boundary(utc("2026-03-16T13:12"), unit="day", timezone="UTC", not_before=start)
        assert found == start

    def test_follows_a_midnight_that_the_clocks_skip(self):
        found = proration.boundary(
            utc("2024-09-08T15:00"), unit="day", timezone="America/Santiago", not_before=utc("2024-09-01")
        )
        assert found == utc("2024-09-08T04:00")  # 01:00 there: midnight doesn't exist


class TestClosing:
    @pytest.mark.parametrize(
        ("unit", "at", "expected"),
        [
            ("day", "2026-03-16T20:15", "2026-03-17"),
            ("day", "2026-03-16T00:00", "2026-03-17"),
            ("day", "2026-03-31T10:00", "2026-03-31T12:00"),  # where its period ends
            ("second", "2026-03-16T20:15", "2026-03-16T20:15"),
        ],
    )
    def test_bills_the_day_of_the_end(self, unit, at, expected):
        found = proration.closing(utc(at), unit=unit, timezone="UTC", not_after=utc("2026-03-31T12:00"))
        assert found == utc(expected)


class TestPart:
    def test_counts_days_of_the_whole_period(self):
        anchor = Anchor(utc("2024-03-05T12:12"), "UTC", "day", "calendar")
        first = periods.period(anchor, MONTH, 0)
        assert proration.part_of(first, anchor=anchor, interval=MONTH) == days(27)
        rest = Period(utc("2024-03-12"), first.end, 0)
        assert proration.part_of(rest, anchor=anchor, interval=MONTH) == days(20)

    def test_counts_seconds(self):
        anchor = Anchor(utc("2024-01-21T21:55:18"), "UTC", "second", "calendar")
        part = proration.part_of(periods.period(anchor, MONTH, 0), anchor=anchor, interval=MONTH)
        assert (part.length, part.whole) == (871482, 2678400)

    @pytest.mark.parametrize(
        ("price", "part", "amount"),
        [
            (1000, days(20), 645),  # lago-upg-cal-2
            (1500, days(20), 968),
            (1500, days(24), 1161),  # lago-upg-ann-1
            (2500, days(17), 1371),  # flex-add-item
            (300000, days(166, 366), 136066),  # polar-switch-5
            (4900, days(31), 4900),
            (4900, days(32), 4900),
        ],
    )
    def test_costs_its_share(self, price, part, amount):
        whole = Rated(price, D(price), ())
        found = proration.prorated(whole, part)
        assert found.amount == amount
        assert [step.code for step in found.steps] == ([] if part.is_whole else ["proration"])


class TestUnused:
    @pytest.mark.parametrize(
        ("net", "start", "end", "from_", "unused"),
        [
            (871, "2024-03-05T12:12", "2024-04-01", "2024-03-12", 645),  # lago-upg-cal-2
            (10000, "2025-06-01", "2025-07-01", "2025-06-11", 6667),  # polar-switch-2
            (99800, "2025-01-01", "2026-01-01", "2025-01-29", 92144),
            (1000, "2024-03-05", "2024-04-05", "2024-03-05", 1000),
            (1000, "2024-03-05", "2024-04-05", "2024-03-01", 1000),
            (1000, "2024-03-05", "2024-04-05", "2024-04-05", 0),
            (1000, "2024-03-05", "2024-04-05", "2024-05-01", 0),
        ],
    )
    def test_is_the_lines_share(self, net, start, end, from_, unused):
        found = proration.unused_net(
            net, line_start=utc(start), line_end=utc(end), from_=utc(from_), unit="day", timezone="UTC"
        )
        assert found == unused


def segments(*parts: tuple[PriceTerms, Part, object]) -> list[MeteredSegment]:
    return [MeteredSegment(terms, part, D(str(quantity))) for terms, part, quantity in parts]


class TestUsageOnSegments:
    PER_UNIT = PriceTerms(model="per_unit", unit_amount=D(10), included_units=D(1000))
    GRADUATED = PriceTerms(model="graduated", tiers=(Tier(100, D(10), D(310)), Tier(None, D(5))))
    VOLUME = PriceTerms(model="volume", tiers=(Tier(100, D(10)), Tier(None, D(5))))
    PACKAGE = PriceTerms(model="package", unit_amount=D(500), package_size=100, included_units=D(310))

    def amounts(self, *parts: tuple[PriceTerms, Part, object]) -> list[int]:
        return [rated.amount for rated in proration.rate_segments(segments(*parts))]

    def test_a_whole_period_costs_what_it_always_did(self):
        for terms in (self.PER_UNIT, self.GRADUATED, self.VOLUME, self.PACKAGE):
            assert proration.rate_segments(segments((terms, days(31), 1234))) == [pricing.rate(terms, D(1234))]

    def test_what_is_included_shrinks_with_a_stub(self):
        assert self.amounts((self.PER_UNIT, days(1, 4), 300)) == [500]

    def test_what_is_included_is_pooled_by_days_and_used_in_time_order(self):
        other = replace(self.PER_UNIT, unit_amount=D(20), included_units=D(3000))
        # 10/40 of 1000 and 30/40 of 3000: 2500 together
        early = self.amounts((self.PER_UNIT, days(10, 40), 2600), (other, days(30, 40), 100))
        assert early == [1000, 2000]
        late = self.amounts((self.PER_UNIT, days(10, 40), 100), (other, days(30, 40), 2500))
        assert late == [0, 2000]

    def test_an_allowance_outlives_the_price_that_gave_it(self):
        without = replace(self.PER_UNIT, included_units=D(0))
        assert self.amounts((self.PER_UNIT, days(20, 40), 100), (without, days(20, 40), 500)) == [0, 1000]

    def test_tier_bounds_and_fees_scale(self):
        # Half a period: the first tier ends at 50, its fee is 155
        assert self.amounts((self.GRADUATED, days(15, 30), 60)) == [50 * 10 + 155 + 10 * 5]
        assert self.amounts((self.VOLUME, days(15, 30), 50)) == [500]
        assert self.amounts((self.VOLUME, days(15, 30), 51)) == [255]

    def test_a_package_keeps_its_size(self):
        assert self.amounts((self.PACKAGE, days(10), 101)) == [500]

    def test_a_minimum_scales(self):
        terms = replace(self.PER_UNIT, minimum_amount=3100)
        assert self.amounts((terms, days(10), 0)) == [1000]
        assert self.amounts((terms, days(15), 0)) == [1500]

    def test_free_transactions_are_pooled(self):
        terms = PriceTerms(model="percentage", percentage=D(10), free_units=D(4))
        two = tuple(D(100) for _ in range(2))
        four = [MeteredSegment(terms, days(15, 30), D(200), two), MeteredSegment(terms, days(15, 30), D(200), two)]
        assert [rated.amount for rated in proration.rate_segments(four)] == [0, 0]
        five = [replace(four[0], quantity=D(300), transactions=(D(100),) * 3), four[1]]
        assert [rated.amount for rated in proration.rate_segments(five)] == [0, 10]

    def test_money_that_is_free_is_pooled_and_once_it_is_spent_no_transaction_is_free(self):
        terms = PriceTerms(model="percentage", percentage=D(10), free_units=D(10), included_units=D(600))
        first = MeteredSegment(terms, days(15, 30), D(600), ((D(600), 3),))
        second = MeteredSegment(terms, days(15, 30), D(100), (D(100),))
        assert [rated.amount for rated in proration.rate_segments([first, second])] == [0, 10]
        (own, other) = proration.pooled([(terms, days(15, 30)), (terms, days(15, 30))])
        assert own.free_transactions == other.free_transactions == (10, D(600))

    def test_a_half_stays_a_half(self):
        """A third of a bound has no end in decimals, and yet three of them are one."""
        terms = PriceTerms(model="graduated", tiers=(Tier(1, D("1.5")), Tier(None, D(0))))
        assert self.amounts((terms, days(10, 30), 1)) == [1]
        assert self.amounts(*[(terms, days(10, 30), "0.333333333333")] * 3) == [0, 0, 0]
        flat = PriceTerms(model="per_unit", unit_amount=D(0), flat_amount=D("1.5"))
        assert self.amounts((flat, days(10, 30), 0)) == [1]  # 0.5, not 0.49999

    def test_says_which_part_it_is_and_shows_numbers_that_can_be_read(self):
        (rated,) = proration.rate_segments(segments((self.PER_UNIT, days(20), 1000)))
        steps = {step.code: step.params for step in rated.steps}
        assert steps["part"] == {"part": "20", "whole": "31", "unit": "day"}
        assert steps["included"]["included"] == "645.16129"


@settings(max_examples=50, deadline=None)
@given(
    start=st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),
    zone=st.sampled_from(ZONES),
    unit=st.sampled_from(["day", "second"]),
    alignment=st.sampled_from(["anniversary", "calendar"]),
    interval=st.builds(Interval, st.sampled_from(["week", "month", "quarter", "year"]), st.integers(1, 3)),
    index=st.integers(0, 30),
    cuts=st.lists(st.floats(0, 1), max_size=4),
    price=st.integers(0, 10**9),
)
def test_the_parts_of_a_period_sum_to_it(start, zone, unit, alignment, interval, index, cuts, price):
    anchor = Anchor(start, zone, unit, alignment)
    whole = periods.period(anchor, interval, index)
    bounds = [whole.start]
    for cut in sorted(cuts):
        at = whole.start + (whole.end - whole.start) * cut
        bounds.append(proration.boundary(at, unit=unit, timezone=zone, not_before=bounds[-1]))
    pieces = [Period(*pair, index) for pair in pairwise([*bounds, whole.end])]
    parts = [proration.part_of(piece, anchor=anchor, interval=interval) for piece in pieces]
    full = proration.part_of(whole, anchor=anchor, interval=interval)
    assert sum(part.length for part in parts) == full.length
    amounts = [proration.prorated(Rated(price, D(price), ()), part).amount for part in parts]
    expected = proration.prorated(Rated(price, D(price), ()), full).amount
    assert abs(sum(amounts) - expected) <= len(amounts) / 2 + 1


@settings(max_examples=50, deadline=None)
@given(
    low=st.integers(0, 10**7),
    high=st.integers(0, 10**7),
    day=st.integers(0, 30),
    later=st.integers(0, 30),
)
def test_up_and_back_gains_nothing(low, high, day, later):
    """What is charged and given back for the same days cancels out, but for a rounded unit."""
    start, end = utc("2026-03-01"), utc("2026-04-01")
    up, back = sorted(start + timedelta(days=count) for count in (day, later))

    def rest(price: int, from_: datetime) -> int:
        part = days((end - from_).days)
        return proration.prorated(Rated(price, D(price), ()), part).amount if part.length else 0

    def credit(net: int, line_start: datetime, from_: datetime) -> int:
        return proration.unused_net(net, line_start=line_start, line_end=end, from_=from_, unit="day", timezone="UTC")

    charged = low - credit(low, start, up) + rest(high, up) - credit(rest(high, up), up, back) + rest(low, back)
    held_high = Fraction(high - low) * (back - up).days / 31
    assert abs(charged - low - held_high) <= 3
    if up == back:
        assert abs(charged - low) <= 1


@settings(max_examples=50, deadline=None)
@given(
    low=st.integers(0, 10**7),
    high=st.integers(0, 10**7),
    bent=st.integers(-30, 30),
    hour=st.integers(0, 31 * 24 - 1),
)
def test_up_and_back_gains_nothing_where_a_changed_zone_has_bent_the_period(low, high, bent, hour):
    """Counted in seconds, with its start some hours off: what is given back is counted as what is charged is."""
    anchor, month = Anchor(utc("2026-02-01"), "UTC", "second"), Interval("month")
    end, start = utc("2026-04-01"), utc("2026-03-01") + timedelta(hours=bent)
    cut = min(max(utc("2026-03-01") + timedelta(hours=hour), start), end)
    whole = Fraction((end - utc("2026-03-01")) // timedelta(seconds=1))
    rest = proration.part_of(Period(cut, end, 1), anchor=anchor, interval=month)

    def charged(price: int) -> int:
        return proration.prorated(Rated(price, D(price), ()), rest).amount

    def credit(net: int, line_start: datetime, as_: Part) -> int:
        return proration.unused_net(
            net, line_start=line_start, line_end=end, from_=cut, unit="second", timezone="UTC", charged=as_
        )

    given = credit(low, start, Part(whole, whole, "second"))
    if rest.length:
        assert abs(charged(low) - given) <= 1
        assert credit(charged(high), cut, rest) == charged(high)
    front = proration.part_of(Period(start, cut, 1), anchor=anchor, interval=month, from_start=True)
    assert front.share + rest.share == 1


@settings(max_examples=50, deadline=None)
@given(
    quantities=st.lists(st.integers(0, 5000), min_size=1, max_size=5),
    included=st.integers(0, 5000),
    rate=st.integers(0, 1000),
)
def test_one_price_on_many_segments_costs_what_it_costs_on_one(quantities, included, rate):
    """An allowance that is pooled can't be lost, or had twice, by a change that changes nothing."""
    terms = PriceTerms(model="per_unit", unit_amount=D(rate), included_units=D(included))
    count = len(quantities)
    found = proration.rate_segments(segments(*[(terms, days(1, count), quantity) for quantity in quantities]))
    whole = pricing.rate(terms, D(sum(quantities)))
    assert abs(sum(rated.amount for rated in found) - whole.amount) <= count / 2
