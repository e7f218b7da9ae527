"""Answers in time: A43 over holidays and teams, the ladder, other reps, and what a clock takes from nobody."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest

from crm import accounts, alerts, clock, lead_steps, sla
from crm.models import Account, Holiday, HolidayCalendar, Lead, SlaClock, Team, WorkingHours
from crm.queries import schedules
from gtm.shared import outbox
from gtm.shared.errors import Invalid
from gtm.shared.models import Event, Mail, PendingFact, User
from tests import world
from tests.billing import makers as billing
from tests.crm import makers

pytestmark = pytest.mark.django_db
NOON = makers.NOON  # a Wednesday; the vendor's day is 9 to 18 UTC
HOUR = timedelta(hours=1)


@pytest.fixture
def reps() -> list[User]:
    found = [world.ann(), world.bob(), world.otto()]
    makers.sales(*found, manager=world.user(email="mia@vendor.example", name="Mia", roles=("sales_manager",)))
    return found


def of(lead: Lead) -> SlaClock:
    return SlaClock.objects.filter(lead=lead).latest("recorded_at")


def settle() -> None:
    while PendingFact.objects.exists():
        assert outbox.relay()


class TestHours:
    def test_a43_by_the_hours_and_holidays_of_the_owners_team(self, reps: list[User]) -> None:
        """Friday 17:30 in Berlin, 4 hours, Monday a day of one's own: Tuesday 12:30."""
        calendar = HolidayCalendar.objects.create(code="de-by", name="Bavaria", country="DE", subdivision="BY")
        Holiday.objects.create(calendar=calendar, on=date(2026, 11, 23), name="Company day")
        team = Team.objects.get(code="sales")
        WorkingHours.objects.create(team=team, zone="Europe/Berlin", opens=time(9), closes=time(18), calendar=calendar)
        lead = makers.lead(at=datetime(2026, 11, 20, 16, 30, tzinfo=UTC))
        assert lead.sla_due_at == datetime(2026, 11, 24, 11, 30, tzinfo=UTC)
        assert of(lead).reasons[0] | {"policy_version": 1} == of(lead).reasons[0]

    def test_public_holidays_count_but_for_those_one_works_on(self, reps: list[User]) -> None:
        calendar = HolidayCalendar.objects.create(code="de", name="Germany", country="DE")
        Holiday.objects.create(calendar=calendar, on=date(2026, 12, 26), is_working=True)
        WorkingHours.objects.create(zone="UTC", opens=time(9), closes=time(18), calendar=calendar)
        free = schedules.of(owner_ids=[], queue_ids=[], at=NOON)(None, None).holidays
        assert date(2026, 12, 25) in free
        assert date(2026, 12, 26) not in free

    def test_the_target_list_is_answered_fastest(self, reps: list[User]) -> None:
        account = makers.account()
        accounts.change(account=account, at=NOON, target_list=True)
        lead = makers.lead(email="dora@acme.com")
        assert lead.sla_due_at == NOON + timedelta(minutes=30)
        assert of(lead).reasons[0]["code"] == "sla_target_list"

    def test_terms_have_versions_and_bad_ones_are_refused(self, reps: list[User]) -> None:
        sla.publish(at=NOON, name="Faster", lead_minutes=60)
        assert makers.lead().sla_due_at == NOON + HOUR
        for terms, attr in (
            ({"lead_minutes": 0}, "lead_minutes"),
            ({"lead_minutes": 10, "target_minutes": 20}, "target_minutes"),
            ({"alert_minutes": {"huge": 5}}, "alert_minutes"),
        ):
            with pytest.raises(Invalid) as refused:
                sla.publish(at=NOON, name="?", **terms)  # type: ignore[arg-type]
            assert refused.value.attr == attr


class TestLadder:
    def test_remind_then_the_manager_then_another_rep_twice_then_the_queue(self, reps: list[User]) -> None:
        lead = makers.lead()  # due at 16:00, reminded at 15:00, to another at 18:00
        assert lead.owner == reps[0]
        assert sla.run_due(at=NOON + 3 * HOUR - timedelta(seconds=1)) == 0
        assert sla.run_due(at=NOON + 3 * HOUR) == 1
        assert sla.run_due(at=NOON + 4 * HOUR) == 1
        found = of(lead)
        assert (found.state, found.warned_at, found.escalated_at) == ("breached", NOON + 3 * HOUR, NOON + 4 * HOUR)
        settle()
        assert set(Mail.objects.filter(template="answer_due").values_list("recipient", flat=True)) == {
            reps[0].email,
            "mia@vendor.example",
        }
        owners, at = [], NOON
        for _time in range(3):
            at = sla_due(lead)
            sla.run_due(at=at)
            lead.refresh_from_db()
            owners.append(lead.owner)
        assert owners == [reps[1], reps[2], None]
        assert (lead.queue, lead.account and lead.account.queue) == (makers.inbound(), makers.inbound())
        found = of(lead)
        assert (found.reroutes, found.passed_over) == (3, [rep.pk for rep in reps])
        assert (found.state, lead.sla_due_at) == ("pending", found.due_at)
        assert lead.account is not None
        accounts.review_all(at=at + HOUR)  # the night gives it back to nobody who let it lie
        accounts.change(account=lead.account, at=at + HOUR, employee_count=300)
        lead.refresh_from_db()
        assert (lead.owner, lead.queue) == (None, makers.inbound())
        again = makers.lead(email="dora@acme.com", at=at + HOUR)  # a new request is routed by the rules, in turn
        assert again.routing["reasons"][-1]["code"] == "round_robin"

    def test_the_first_answer_stops_it(self, reps: list[User]) -> None:
        in_time, late = makers.lead(), makers.lead(email="x@late.com")
        lead_steps.transition(lead=in_time, to="mql", at=NOON + HOUR)
        sla.run_due(at=NOON + 5 * HOUR)
        lead_steps.transition(lead=late, to="mql", at=NOON + 5 * HOUR)
        assert [(of(lead).state, of(lead).next_at) for lead in (in_time, late)] == [("met", None), ("breached", None)]
        assert sla.run_due(at=NOON + 99 * HOUR) == 0
        told = Event.objects.filter(type__startswith="crm.sla.", object_id=of(late).pk).order_by("position")
        assert [event.type for event in told][-1] == "crm.sla.answered_late"

    def test_a_customers_account_and_an_alert_stay_with_the_owner(self, reps: list[User]) -> None:
        customer = billing.customer(at=NOON, email="p@acme.com")
        account = accounts.for_customer(customer=customer, at=NOON)
        accounts.give(account=account, owner=reps[2], at=NOON)
        lead, alert = makers.lead(email="q@acme.com"), makers.alert(account=account, severity="critical")
        sla.run_due(at=NOON + 99 * HOUR)
        lead.refresh_from_db()
        assert lead.owner == reps[2]
        assert SlaClock.objects.get(alert=alert).state == "breached"
        alerts.transition(alert=alert, to="acknowledged", at=NOON + 99 * HOUR)
        assert SlaClock.objects.get(alert=alert).answered_at == NOON + 99 * HOUR
        assert makers.alert(account=account, severity="low").sla_clocks.count() == 0

    def test_nobody_loses_an_account_by_what_another_was_to_answer_nor_one_with_a_deal(self, reps: list[User]) -> None:
        asked, sold = makers.lead(), makers.lead(email="d@deal.com")
        accounts.give(account=Account.objects.get(pk=asked.account_id), owner=reps[2], at=NOON)
        for model in (Lead, SlaClock):  # as of an SDR to whom the account's owner sent the lead back
            model.objects.filter(**{"pk" if model is Lead else "lead": asked.pk}).update(owner=reps[1])
        makers.opportunity(account=Account.objects.get(pk=sold.account_id))
        before = dict(Account.objects.values_list("pk", "owner"))
        sla.run_due(at=NOON + 99 * HOUR)
        assert dict(Account.objects.values_list("pk", "owner")) == before
        assert [(of(lead).state, of(lead).next_step) for lead in (asked, sold)] == [("breached", "")] * 2

    def test_all_that_waits_at_an_account_begins_anew_with_its_next_owner(self, reps: list[User]) -> None:
        first, second = makers.lead(), makers.lead(email="dora@acme.com", at=NOON + timedelta(minutes=10))
        at = sla_due(first)
        sla.run_due(at=at)
        found = of(second)
        assert (found.owner, found.passed_over, found.started_at) == (reps[1], [reps[0].pk], at)
        assert (found.next_step, of(first).passed_over) == ("remind", [reps[0].pk])
        sla.run_due(at=at + 16 * HOUR)
        assert Account.objects.get().owner == reps[1]

    def test_it_runs_on_a_test_clock_and_goes_with_the_account(self, reps: list[User]) -> None:
        stopped = billing.clock(frozen_time=NOON)
        lead = makers.lead(test_clock_id=stopped.pk)
        assert clock.next_due(clock=stopped) == NOON + 3 * HOUR
        assert sla.run_due(at=NOON + 9 * HOUR) == 0
        clock.run_due(clock=stopped, at=NOON + 3 * HOUR)
        assert of(lead).warned_at == NOON + 3 * HOUR
        assert lead.account is not None
        accounts.give(account=lead.account, owner=reps[2], at=NOON + 3 * HOUR)
        assert of(lead).owner == reps[2]


def sla_due(lead: Lead) -> Any:
    """When another rep gets it: the last step of its ladder."""
    found = of(lead)
    while found.next_step != "reroute":
        assert found.next_at is not None
        sla.run_due(at=found.next_at)
        found = of(lead)
    return found.next_at
