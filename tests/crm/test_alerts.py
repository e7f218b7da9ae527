"""Alerts: on whose desk, told once by mail, and worked off."""

from datetime import timedelta
from uuid import uuid4

import pytest

from crm import accounts, alerts
from crm.models import Account, Alert
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import Event, Mail, TestClock
from tests import world
from tests.crm import makers

pytestmark = pytest.mark.django_db
LATER = makers.NOON + timedelta(hours=1)


class TestRaise:
    def test_the_owner_gets_it_and_one_mail_that_can_be_read_aloud(self) -> None:
        ann = world.ann()
        makers.sales(ann, manager=world.max_manager())
        alert = makers.alert(account=makers.account())
        assert (alert.owner, alert.queue, alert.state) == (ann, None, "open")
        mail = Mail.objects.get()
        assert (mail.recipient, mail.event, mail.account_id) == (
            ann.email,
            Event.objects.get(type="crm.alert.raised"),
            alert.account_id,
        )
        assert "acme.com used 842 of 1,000 API calls (84.2 %), 9 days left in the period." in mail.text
        assert "At stake: $1,200.00 a year." in mail.text
        assert alert.account.public_id in mail.text
        assert alert.account.public_id in mail.html

    def test_a_signal_raises_one_alert_however_often_it_is_handled(self) -> None:
        makers.sales(world.ann())
        account, signal = makers.account(), uuid4()
        first = makers.alert(account=account, signal_id=signal)
        assert makers.alert(account=account, signal_id=signal) == first
        assert (Alert.objects.count(), Mail.objects.count()) == (1, 1)

    def test_of_a_sales_led_account_the_manager_is_told_too(self) -> None:
        ann, manager = world.ann(), world.max_manager()
        makers.sales(ann, manager=manager)
        makers.alert(account=makers.account(employee_count=5000))
        assert set(Mail.objects.values_list("recipient", flat=True)) == {ann.email, manager.email}

    def test_without_an_owner_the_queues_team_is_told(self) -> None:
        ann, bob = world.ann(), world.bob()
        makers.sales(ann, bob)
        bob.is_active = False
        bob.save()
        alert = makers.alert(account=makers.account(employee_count=100))
        assert (alert.owner, alert.queue) == (None, makers.inbound())
        assert list(Mail.objects.values_list("recipient", flat=True)) == [ann.email]
        assert "waits in the queue Inbound" in Mail.objects.get().text

    def test_an_owner_who_left_is_replaced_first(self) -> None:
        ann, bob = world.ann(), world.bob()
        makers.sales(ann, bob)
        account = makers.account()
        ann.is_active = False
        ann.save()
        assert makers.alert(account=account).owner == bob

    def test_mail_about_a_clocked_account_is_kept(self) -> None:
        makers.sales(world.ann())
        clock = TestClock.objects.create(frozen_time=makers.NOON)
        makers.alert(account=makers.account(test_clock_id=clock.pk))
        assert Mail.objects.get().status == Mail.Status.KEPT

    def test_open_alerts_go_with_the_account(self) -> None:
        ann, bob = world.ann(), world.bob()
        makers.sales(ann)
        account = makers.account()
        done, still_open = makers.alert(account=account), makers.alert(account=account)
        alerts.transition(alert=done, to="done", at=LATER)
        accounts.give(account=account, owner=bob, at=LATER)
        assert dict(Alert.objects.values_list("pk", "owner")) == {done.pk: ann.pk, still_open.pk: bob.pk}


class TestTransition:
    @pytest.fixture
    def alert(self) -> Alert:
        makers.sales(world.ann())
        return makers.alert(account=makers.account())

    def test_it_is_taken_snoozed_and_done(self, alert: Alert) -> None:
        alert = alerts.transition(alert=alert, to="acknowledged", at=LATER)
        alert = alerts.transition(alert=alert, to="snoozed", at=LATER, until=LATER + timedelta(days=1))
        assert alert.snoozed_until == LATER + timedelta(days=1)
        alert = alerts.transition(alert=alert, to="done", at=LATER)
        assert (alert.state, alert.snoozed_until, alert.closed_at) == ("done", None, LATER)
        assert Event.objects.filter(type="crm.alert.changed").count() == 3

    def test_not_useful_keeps_the_reason(self, alert: Alert) -> None:
        alert = alerts.transition(alert=alert, to="dismissed", at=LATER, feedback="not_useful", reason="known")
        assert (alert.feedback, alert.feedback_reason, alert.closed_at) == ("not_useful", "known", LATER)

    def test_what_is_done_is_not_taken_but_can_be_opened_again(self, alert: Alert) -> None:
        alert = alerts.transition(alert=alert, to="done", at=LATER)
        with pytest.raises(Conflict):
            alerts.transition(alert=alert, to="acknowledged", at=LATER)
        assert alerts.transition(alert=alert, to="open", at=LATER).closed_at is None

    def test_two_reps_do_not_take_the_same_alert(self, alert: Alert) -> None:
        alerts.transition(alert=alert, to="acknowledged", at=LATER)
        with pytest.raises(Conflict):
            alerts.transition(alert=alert, to="acknowledged", at=LATER)

    @pytest.mark.parametrize(
        ("arguments", "attr"),
        [
            ({"to": "gone"}, "to"),
            ({"to": "snoozed"}, "until"),
            ({"to": "snoozed", "until": LATER}, "until"),
            ({"to": "done", "until": LATER + timedelta(days=1)}, "until"),
            ({"to": "done", "feedback": "meh"}, "feedback"),
        ],
    )
    def test_what_cannot_be_meant_is_refused(self, alert: Alert, arguments: dict[str, object], attr: str) -> None:
        with pytest.raises(Invalid) as refused:
            alerts.transition(alert=alert, at=LATER, **arguments)  # type: ignore[arg-type]
        assert refused.value.attr == attr

    def test_a_snoozed_alert_wakes_on_time(self, alert: Alert) -> None:
        until = LATER + timedelta(days=1)
        alerts.transition(alert=alert, to="snoozed", at=LATER, until=until)
        assert alerts.wake(at=until - timedelta(seconds=1)) == 0
        assert alerts.wake(at=until) == 1
        alert.refresh_from_db()
        assert (alert.state, alert.snoozed_until) == ("open", None)

    def test_wall_time_wakes_nothing_on_a_test_clock(self, alert: Alert) -> None:
        clock = TestClock.objects.create(frozen_time=makers.NOON)
        clocked = makers.alert(account=makers.account(test_clock_id=clock.pk))
        alerts.transition(alert=clocked, to="snoozed", at=LATER, until=LATER + timedelta(days=1))
        assert alerts.wake(at=LATER + timedelta(days=9)) == 0
        assert alerts.wake(at=LATER + timedelta(days=9), test_clock_id=clock.pk) == 1


class TestScope:
    def test_who_sees_what(self) -> None:
        ann, bob, otto, manager = world.ann(), world.bob(), world.otto(), world.max_manager()
        makers.sales(ann, bob, manager=manager)
        owned, waiting = makers.account(), makers.account(domain="small.com", employee_count=5)
        makers.alert(account=owned)
        seen = {
            user.name: set(Account.objects.visible_to(user))
            for user in (ann, bob, otto, manager, world.fay(), world.user(email="cora@acme.com", name="Cora"))
        }
        assert owned.owner == ann
        assert seen == {
            "Ann": {owned, waiting},
            "Bob": {waiting},
            "Otto": set(),
            "Max": {owned, waiting},
            "Fay": {owned, waiting},
            "Cora": set(),
        }
        assert [Alert.objects.visible_to(user).count() for user in (ann, bob, otto, manager)] == [1, 0, 0, 1]
