"""Which upgrades are large, where a course of use leads, and what a year by the year saves."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest

from billing import projection, upgrades
from billing.upgrades import Tier

START = datetime(2026, 1, 1, tzinfo=UTC)
END = datetime(2026, 1, 31, tzinfo=UTC)
PRO, TEAM, BUSINESS = Tier("pro", 0, False), Tier("team", 1, False), Tier("business", 2, False)
ASSISTED = Tier("scale", 1, True)


@pytest.mark.parametrize(
    ("added", "old", "new", "cause"),
    [
        (500_000, PRO, PRO, "delta_arr"),
        (499_999, PRO, PRO, None),
        (1, PRO, TEAM, None),
        (1, PRO, BUSINESS, "tier_jump"),
        (1, PRO, ASSISTED, "tier_jump"),
        (1, BUSINESS, PRO, None),
        (None, PRO, TEAM, None),
        (None, PRO, BUSINESS, "tier_jump"),
    ],
)
def test_an_upgrade_is_large_by_what_it_adds_or_how_far_it_jumps(
    added: int | None, old: Tier, new: Tier, cause: str | None
) -> None:
    assert upgrades.cause(added=added, threshold=500_000, old=old, new=new) == cause


def test_amounts_are_brought_to_the_base_currency() -> None:
    assert upgrades.delta_arr(before=Fraction(4900), after=Fraction(9900)) == 60_000
    assert upgrades.in_base(90_000, rate=Decimal("0.9"), places=0) == 100_000
    assert upgrades.in_base(150_000, rate=Decimal(150), places=-2) == 100_000  # yen to dollars
    assert upgrades.in_base(90_000, rate=None, places=0) is None


class TestProjection:
    def ask(self, used: str, *, day: int, limit: str = "1000") -> tuple[Decimal | None, datetime | None]:
        known = {"used": Decimal(used), "start": START, "at": START + timedelta(days=day), "end": END}
        return projection.projected(**known), projection.reaches(**known, limit=Decimal(limit))  # type: ignore[arg-type]

    def test_it_goes_on_at_the_same_pace(self) -> None:
        assert self.ask("300", day=10) == (Decimal(900), None)
        assert self.ask("400", day=10) == (Decimal(1200), START + timedelta(days=25))

    @pytest.mark.parametrize(("used", "day"), [("0", 10), ("5", 0), ("1000", 10), ("5", 30)])
    def test_nothing_is_said_that_isnt_known(self, used: str, day: int) -> None:
        assert self.ask(used, day=day)[1] is None

    def test_nor_on_the_first_day(self) -> None:
        assert self.ask("5", day=0)[0] is None
