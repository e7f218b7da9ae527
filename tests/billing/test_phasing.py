"""Scheduled changes and the changes before them: none is lost, none undoes another."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from billing import phasing
from billing.comparison import Line
from billing.phasing import Content, Scheduled
from gtm.shared.periods import Interval

D = Decimal
JAN, FEB, MAR, APR = (datetime(2026, month, 1, tzinfo=UTC) for month in range(1, 5))


def content(version: str, **quantities: int) -> Content[str]:
    lines = (Line(price, None, Interval("month"), False, D(quantity)) for price, quantity in quantities.items())
    return Content(version, tuple(lines))


def shown(phases: list[Scheduled[str]]) -> list[tuple[datetime, str, dict[str, int]]]:
    return [
        (one.at, one.content.version, {line.price: int(line.quantity) for line in one.content.lines}) for one in phases
    ]


PRO, PRO_8 = content("pro", seat=5), content("pro", seat=8)
BASIC_LATER = Scheduled(FEB, content("basic", basic=5), key="row")


class TestAQuantityNow:
    def test_is_replayed_onto_the_plan_that_is_to_come(self):
        """polar-seats-1: the seat change dropped the scheduled change of the plan."""
        after = phasing.now([BASIC_LATER], old=PRO, new=PRO_8, at=JAN)
        assert shown(after) == [(FEB, "basic", {"basic": 8})]
        assert after[0].key == "row"

    def test_goes_down_too(self):
        fewer = phasing.now([BASIC_LATER], old=PRO, new=content("pro", seat=2), at=JAN)
        assert shown(fewer) == [(FEB, "basic", {"basic": 2})]

    def test_keeps_the_steps_of_a_ramp(self):
        ramp = [Scheduled(FEB, content("pro", seat=10)), Scheduled(MAR, content("pro", seat=20))]
        after = phasing.now(ramp, old=PRO, new=PRO_8, at=JAN)
        assert shown(after) == [(FEB, "pro", {"seat": 13}), (MAR, "pro", {"seat": 23})]

    def test_never_goes_below_nothing(self):
        low = [Scheduled(FEB, content("pro", seat=2))]
        assert shown(phasing.now(low, old=PRO_8, new=PRO, at=JAN)) == [(FEB, "pro", {"seat": 0})]

    def test_leaves_what_a_contract_has_locked(self):
        locked = Scheduled(FEB, content("pro", seat=10), locked=True)
        assert phasing.now([locked], old=PRO, new=PRO_8, at=JAN) == [locked]


class TestWhatComesBeside:
    def test_an_addition_is_replayed_onto_phases_of_the_same_version(self):
        ramp = [Scheduled(FEB, content("pro", seat=10)), Scheduled(MAR, content("basic", basic=5))]
        after = phasing.now(ramp, old=PRO, new=content("pro", seat=5, extra=1), at=JAN)
        assert shown(after) == [(FEB, "pro", {"seat": 10, "extra": 1}), (MAR, "basic", {"basic": 5})]

    def test_what_goes_goes_later_too(self):
        both = content("pro", seat=5, extra=1)
        ramp = [Scheduled(FEB, content("pro", seat=10, extra=1))]
        assert shown(phasing.now(ramp, old=both, new=PRO, at=JAN)) == [(FEB, "pro", {"seat": 10})]


class TestAnotherPlan:
    def test_takes_the_place_of_the_next_one(self):
        ramp = [BASIC_LATER, Scheduled(MAR, content("basic", basic=9))]
        assert phasing.now(ramp, old=PRO, new=content("max", max=5), at=JAN) == ramp[1:]

    def test_so_does_one_that_is_scheduled(self):
        after = phasing.later([BASIC_LATER], old=PRO, new=content("max", max=5), at=FEB)
        assert shown(after) == [(FEB, "max", {"max": 5})]

    def test_steps_can_be_scheduled_one_after_the_other(self):
        phases: list[Scheduled[str]] = []
        for at, version in ((FEB, "basic"), (MAR, "pro-2"), (APR, "max")):
            phases = phasing.later(phases, old=PRO, new=content(version, **{version.replace("-", "_"): 5}), at=at)
        assert [one.at for one in phases] == [FEB, MAR, APR]

    def test_another_price_of_the_same_plan_is_one(self):
        yearly = content("pro", year=5)
        assert phasing.now([BASIC_LATER], old=PRO, new=yearly, at=JAN) == []

    def test_leaves_what_a_contract_has_locked(self):
        locked = Scheduled(FEB, content("pro", seat=10), locked=True)
        after = phasing.later([locked], old=PRO, new=content("max", max=5), at=MAR)
        assert [one.at for one in after] == [FEB, MAR]


class TestWhatThereIsNow:
    def test_asked_for_later_comes_back(self):
        after = phasing.later([BASIC_LATER], old=PRO, new=PRO, at=MAR)
        assert [(one.at, one.content.version) for one in after] == [(FEB, "basic"), (MAR, "pro")]

    def test_asked_for_instead_of_what_is_to_come_takes_that_back(self):
        assert phasing.later([BASIC_LATER], old=PRO, new=PRO, at=FEB) == []
        assert phasing.later([], old=PRO, new=PRO, at=FEB) == []

    def test_a_phase_that_has_come_about_otherwise_goes(self):
        down_and_up = [Scheduled(FEB, content("pro", seat=0)), Scheduled(MAR, content("pro", seat=1))]
        after = phasing.now(down_and_up, old=PRO, new=content("pro", seat=2), at=JAN)
        assert shown(after) == [(FEB, "pro", {"seat": 0})]


class TestAQuantityLater:
    def test_is_a_phase_of_its_own(self):
        assert shown(phasing.later([], old=PRO, new=PRO_8, at=FEB)) == [(FEB, "pro", {"seat": 8})]

    def test_joins_the_phase_of_that_instant(self):
        after = phasing.later([BASIC_LATER], old=PRO, new=PRO_8, at=FEB)
        assert shown(after) == [(FEB, "basic", {"basic": 8})]
        assert after[0].key == "row"

    def test_starts_from_the_phase_before_it_and_goes_on_after(self):
        ramp = [BASIC_LATER, Scheduled(APR, content("max", max=7))]
        after = phasing.later(ramp, old=PRO, new=PRO_8, at=MAR)
        assert shown(after) == [(FEB, "basic", {"basic": 5}), (MAR, "basic", {"basic": 8}), (APR, "max", {"max": 10})]


class TestUndone:
    def test_the_next_one_goes_and_the_others_stay(self):
        ramp = [BASIC_LATER, Scheduled(MAR, content("max", max=7)), Scheduled(APR, PRO)]
        assert [one.at for one in phasing.undone(ramp, key="row", current=PRO)] == [MAR, APR]

    def test_a_step_of_a_quantity_is_taken_back_later_too(self):
        steps = phasing.later([], old=PRO, new=PRO_8, at=FEB)
        steps = phasing.later(steps, old=PRO, new=content("pro", seat=5, extra=1), at=MAR)
        assert shown(steps) == [(FEB, "pro", {"seat": 8}), (MAR, "pro", {"seat": 8, "extra": 1})]
        steps[0] = replace(steps[0], key="first")
        assert shown(phasing.undone(steps, key="first", current=PRO)) == [(MAR, "pro", {"seat": 5, "extra": 1})]

    def test_what_is_left_without_any_change_goes_with_it(self):
        assert phasing.undone([BASIC_LATER, Scheduled(MAR, PRO)], key="row", current=PRO) == []

    def test_a_contract_stays(self):
        locked = Scheduled(FEB, content("pro", seat=10), locked=True)
        assert phasing.undone([BASIC_LATER, locked], key="row", current=PRO) == [locked]
        assert phasing.undone([locked], key="row", current=PRO) == [locked]


def test_a_cancellation_ends_what_would_come():
    ramp = [BASIC_LATER, Scheduled(MAR, PRO), Scheduled(APR, PRO, locked=True)]
    assert [one.at for one in phasing.truncated(ramp, ends_at=MAR)] == [FEB, APR]
