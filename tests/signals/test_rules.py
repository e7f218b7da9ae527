"""The pure decision: requirements A22, A23, A24 and the sentence a rep reads aloud."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signals import rules

JAN_1 = datetime(2026, 1, 1, tzinfo=UTC)
FEB_1 = datetime(2026, 2, 1, tzinfo=UTC)
MAR_1 = datetime(2026, 3, 1, tzinfo=UTC)
OVER_80 = rules.Threshold("usage_over_80", Decimal("0.8"))
OVER_100 = rules.Threshold("usage_over_100", Decimal(1))
SUBJECT = rules.Subject(clock=None, account="acct", customer="cus", subscription="sub", meter="calls")


def usage(
    used: int | str, limit: int | str | None = 1000, start: datetime | None = JAN_1, end: datetime | None = FEB_1
) -> rules.Usage:
    return rules.Usage(
        used=Decimal(used),
        limit=None if limit is None else Decimal(limit),
        unit="API calls",
        period_start=start,
        period_end=end,
    )


class TestDecide:
    @pytest.mark.parametrize(
        ("used", "fires"), [(0, False), (799, False), (800, False), (801, True), (950, True), (1200, True)]
    )
    def test_it_fires_strictly_above_the_threshold(self, used: int, fires: bool) -> None:
        assert bool(rules.decide(usage(used), [OVER_80]).winner) is fires

    def test_it_takes_a_fraction_above_the_threshold(self) -> None:
        assert rules.decide(usage("800.000001"), [OVER_80]).winner == OVER_80

    def test_it_never_fires_without_a_limit(self) -> None:
        assert rules.decide(usage(10**9, limit=None), [OVER_80]) == rules.Decision(rules.NO_LIMIT)

    def test_it_says_that_a_limit_of_zero_cannot_be_evaluated(self) -> None:
        assert rules.decide(usage(5, limit=0), [OVER_80]) == rules.Decision(rules.ZERO_LIMIT)

    def test_it_tells_only_the_highest_of_several_and_names_all(self) -> None:
        decision = rules.decide(usage(1010), [OVER_100, OVER_80])
        assert decision.winner == OVER_100
        assert decision.passed == (OVER_80, OVER_100)

    def test_it_gives_the_reason_when_nothing_is_passed(self) -> None:
        assert rules.decide(usage(10), [OVER_80]).reason == rules.BELOW

    @given(limit=st.integers(1, 10**9), used=st.integers(0, 2 * 10**9))
    def test_it_agrees_with_whole_number_arithmetic(self, limit: int, used: int) -> None:
        assert bool(rules.decide(usage(used, limit), [OVER_80]).passed) is (10 * used > 8 * limit)


class TestDedupKey:
    def test_it_gives_none_fire_none_fire_for_800_801_950_and_820_in_the_next_period(self) -> None:
        known: set[str] = set()
        fired = []
        for step in (usage(800), usage(801), usage(950), usage(820, start=FEB_1, end=MAR_1)):
            winner = rules.decide(step, [OVER_80]).winner
            key = rules.dedup_key(winner, SUBJECT, step) if winner else None
            fired.append(key is not None and key not in known)
            known.update({key} if key else ())
        assert fired == [False, True, False, True]

    def test_it_is_the_same_however_the_numbers_are_written(self) -> None:
        written = rules.dedup_key(
            rules.Threshold("usage_over_80", Decimal("0.8000")), SUBJECT, usage(801, limit="1000.000000")
        )
        assert written == rules.dedup_key(OVER_80, SUBJECT, usage(950))

    def test_it_differs_once_the_limit_is_raised(self) -> None:
        assert rules.dedup_key(OVER_80, SUBJECT, usage(1900, limit=2000)) != rules.dedup_key(
            OVER_80, SUBJECT, usage(1900)
        )

    def test_it_tells_customers_without_a_subscription_apart(self) -> None:
        keys = {
            rules.dedup_key(OVER_80, rules.Subject(None, "acct", customer, None, "calls"), usage(900))
            for customer in ("cus1", "cus2")
        }
        assert len(keys) == 2

    def test_it_fits_its_column(self) -> None:
        uid = "0192f0c1-2345-7000-8000-000000000000"
        subject = rules.Subject(uid, uid, uid, None, uid)
        long = rules.Threshold("r" * 60, Decimal("0.8123"))
        assert len(rules.dedup_key(long, subject, usage(1, limit="123456789012345678901234.123456"))) <= 300


class TestEvidence:
    def test_it_reads_as_a_sentence(self) -> None:
        at = FEB_1 - timedelta(days=9)
        assert rules.evidence(usage(842), at=at) == "used 842 of 1,000 API calls (84.2 %), 9 days left in the period"

    @pytest.mark.parametrize(
        ("left", "words"),
        [
            (timedelta(days=8, seconds=1), "9 days left in the period"),
            (timedelta(days=1, seconds=1), "2 days left in the period"),
            (timedelta(days=1), "last day of the period"),
            (timedelta(seconds=1), "last day of the period"),
        ],
    )
    def test_it_counts_a_begun_day(self, left: timedelta, words: str) -> None:
        assert rules.evidence(usage(842), at=FEB_1 - left).endswith(words)

    @pytest.mark.parametrize(("used", "written"), [("842.5", "84.3 %"), ("842.49", "84.2 %"), (12500, "1,250.0 %")])
    def test_it_rounds_the_share_half_up(self, used: str, written: str) -> None:
        assert f"({written})" in rules.evidence(usage(used), at=JAN_1)

    def test_it_groups_thousands_and_drops_trailing_zeros(self) -> None:
        sentence = rules.evidence(usage("1234567.500000", limit="1500000.000000"), at=JAN_1)
        assert sentence.startswith("used 1,234,567.5 of 1,500,000 API calls")

    def test_it_leaves_out_the_period_where_there_is_none(self) -> None:
        assert rules.evidence(usage(842, end=None), at=JAN_1) == "used 842 of 1,000 API calls (84.2 %)"
