"""What dunning does, and when: the policy sheet as tables."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing import dunning
from billing.dunning import Bill, CardTrack, Schedule

FAILED = datetime(2026, 3, 10, 14, 30, tzinfo=UTC)
DUE = date(2026, 3, 31)
ISSUED = datetime(2026, 3, 1, tzinfo=UTC)
BILL = Bill(UUID(int=7), DUE, ISSUED)


def told(schedule=Schedule(), *, card=None, bills=(), timezone="UTC", managed=False, done=None):  # noqa: B008 -- frozen
    found = dunning.actions(schedule, card=card, bills=bills, timezone=timezone, managed=managed, done=done or {})
    return [(one.kind, one.day, one.at) for one in found]


def days(*steps):
    return [(kind, day, FAILED + timedelta(days=on)) for kind, day, on in steps]


class TestCards:
    def test_a_soft_decline_is_tried_again_four_times_and_access_ends_with_the_first_week(self) -> None:
        assert told(card=CardTrack(FAILED)) == days(
            ("retry", 1, 1),
            ("retry", 3, 3),
            ("retry", 7, 7),
            ("end_access", 7, 7),
            ("retry", 14, 14),
            ("final", 14, 14),
        )

    def test_a_hard_decline_is_not_tried_again(self) -> None:
        assert told(card=CardTrack(FAILED, needs_method=True)) == days(("end_access", 7, 7), ("final", 14, 14))

    def test_a_new_method_is_tried_at_once(self) -> None:
        at = FAILED + timedelta(days=2)
        found = told(card=CardTrack(FAILED, retry_at=at), done={("retry", None): 1})
        assert found[0] == ("new_method", 0, at)
        assert [step[:2] for step in found[1:]] == [
            ("retry", 3),
            ("retry", 7),
            ("end_access", 7),
            ("retry", 14),
            ("final", 14),
        ]

    def test_nothing_is_taken_from_a_managed_customer_before_its_owner_had_time_to_act(self) -> None:
        assert told(card=CardTrack(FAILED), managed=True) == days(
            ("retry", 1, 1), ("retry", 3, 3), ("retry", 7, 7), ("retry", 14, 14), ("notice", 14, 14), ("final", 14, 17)
        )

    def test_days_are_local_days(self) -> None:
        """The clock goes forward in Berlin on 29 March: the time of day stays."""
        failed = datetime(2026, 3, 28, 9, tzinfo=UTC)
        (first, *_) = told(Schedule(retry_days=(1,)), card=CardTrack(failed), timezone="Europe/Berlin")
        assert first == ("retry", 1, datetime(2026, 3, 29, 8, tzinfo=UTC))

    def test_of_what_was_missed_only_the_last_is_done(self) -> None:
        card = CardTrack(FAILED)
        todo = dunning.actions(Schedule(), card=card, bills=[], timezone="UTC", managed=False, done={})
        due = dunning.due(todo, at=FAILED + timedelta(days=30))
        assert [(one.kind, one.day) for one in due] == [("retry", 14), ("end_access", 7), ("final", 14)]


class TestTerms:
    def test_reminders_leave_around_the_due_date(self) -> None:
        assert [(kind, day, f"{at:%m-%d %H}") for kind, day, at in told(bills=[BILL])] == [
            ("reminder", -3, "03-28 09"),
            ("overdue", 1, "04-01 00"),
            ("reminder", 1, "04-01 09"),
            ("reminder", 7, "04-07 09"),
            ("reminder", 14, "04-14 09"),
            ("reminder", 30, "04-30 09"),
            ("final", 30, "04-30 09"),
        ]

    def test_nobody_is_reminded_before_the_bill_was_issued(self) -> None:
        found = told(bills=[Bill(BILL.id, DUE, datetime(2026, 3, 31, 8, tzinfo=UTC))])
        assert [step[:2] for step in found][:2] == [("overdue", 1), ("reminder", 1)]

    def test_the_oldest_bill_decides_when_it_is_over(self) -> None:
        later = Bill(UUID(int=3), DUE + timedelta(days=20), ISSUED)
        finals = [step for step in told(bills=[later, BILL]) if step[0] == "final"]
        assert [f"{at:%m-%d}" for _kind, _day, at in finals] == ["04-30"]

    def test_the_owner_is_told_before_a_managed_customer_is_canceled(self) -> None:
        found = told(Schedule(terms_final_action="cancel"), bills=[BILL], managed=True)
        assert [(kind, f"{at:%m-%d}") for kind, _day, at in found[-2:]] == [("notice", "04-30"), ("final", "05-03")]

    def test_what_was_done_makes_up_for_what_was_before_it(self) -> None:
        found = told(bills=[BILL], done={("reminder", BILL.id): 7, ("overdue", BILL.id): 1})
        assert [step[:2] for step in found] == [("reminder", 14), ("reminder", 30), ("final", 30)]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"retry_days": (0,)}, "retry_days"),
        ({"retry_days": (3, 1)}, "retry_days"),
        ({"retry_days": (1, 1)}, "retry_days"),
        ({"retry_days": (181,)}, "retry_days"),
        ({"reminder_days": (-181,)}, "reminder_days"),
        ({"access_days": -1}, "access_days"),
        ({"notice_days": 999}, "notice_days"),
        ({"final_action": "sue"}, "final_action"),
    ],
)
def test_bad_policies_are_told_by_field(changes: dict[str, object], field: str) -> None:
    assert list(dunning.problems(Schedule(**changes))) == [field]  # type: ignore[arg-type]
    assert dunning.problems(Schedule()) == {}


@settings(max_examples=60, deadline=None)
@given(
    retries=st.sets(st.integers(1, 40), max_size=5),
    access=st.integers(0, 40),
    seen=st.lists(st.integers(0, 60), min_size=1, max_size=8),
    managed=st.booleans(),
)
def test_whenever_it_is_looked_at_each_step_is_done_once_and_the_end_comes_last(
    retries: set[int], access: int, seen: list[int], managed: bool
) -> None:
    schedule = Schedule(retry_days=tuple(sorted(retries)), access_days=access)
    done: dict[tuple[str, UUID | None], int] = {}
    log = []
    for day in [*sorted(seen), 200]:
        todo = dunning.actions(schedule, card=CardTrack(FAILED), bills=[], timezone="UTC", managed=managed, done=done)
        for action in dunning.due(todo, at=FAILED + timedelta(days=day)):
            done[action.kind, action.bill] = action.day
            log.append((action.kind, action.day))
    assert len(log) == len(set(log))
    assert log[-1] == ("final", schedule.last_card_day)
    assert [kind for kind, _day in log].count("end_access") == (0 if managed else 1)
