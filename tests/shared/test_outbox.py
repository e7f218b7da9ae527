"""The outbox on real connections: each handler deals with each fact once, whatever fails, races or is killed."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
import redis
from django.conf import LazySettings, settings
from django.db import connections, transaction

from gtm.shared import context, db, nudges, outbox
from gtm.shared.models import Event, HandledFact, PendingFact, TestClock, Vendor
from tests import children
from tests.shared import handlers

JAN_1 = datetime(2026, 1, 1, tzinfo=UTC)
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _wired_to_the_tests_handlers(settings: LazySettings) -> Iterator[None]:
    settings.OUTBOX_WIRING = "tests.shared.handlers.HANDLERS"
    outbox.wiring.cache_clear()
    handlers.failing.clear()
    handlers.actors.clear()
    yield
    outbox.wiring.cache_clear()


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[redis.Redis]:
    """The queues of this test, empty at first and at last."""
    with closing(redis.Redis.from_url(settings.REDIS_URL)) as client:
        client.delete("signals", "delivery")
        monkeypatch.setattr(nudges, "_away_until", 0.0)
        yield client
        client.delete("signals", "delivery")


def publish(type: str = "test.happened", *, at: datetime = JAN_1, **fields: Any) -> Event:  # noqa: A002
    with transaction.atomic():
        return outbox.publish(type, Vendor(pk=1), at=at, **fields)


def due_now() -> None:
    PendingFact.objects.update(next_attempt_at=db.now() - timedelta(seconds=1))


class TestPublish:
    def test_it_needs_the_transaction_of_the_change(self) -> None:
        with pytest.raises(AssertionError, match="in the transaction of its change"):
            outbox.publish("test.happened", Vendor(pk=1), at=JAN_1)

    def test_it_goes_with_a_change_that_is_rolled_back(self) -> None:
        with transaction.atomic():
            outbox.publish("test.happened", Vendor(pk=1), at=JAN_1)
            transaction.set_rollback(True)
        assert not Event.objects.exists()
        assert not PendingFact.objects.exists()

    def test_it_makes_no_work_of_a_fact_that_nobody_handles(self) -> None:
        publish("test.unheard")
        assert not PendingFact.objects.exists()

    def test_it_writes_who_acted_and_in_which_request(self) -> None:
        with context.acting("user:usr_1", on_behalf_of="cus_1", request_id="req-7"):
            event = publish()
        assert (event.actor, event.on_behalf_of, event.request_id) == ("user:usr_1", "cus_1", "req-7")
        assert context.request_id() == ""


class TestRelay:
    def test_it_offers_a_fact_to_each_of_its_handlers_once(self) -> None:
        event = publish()
        assert outbox.relay() == 1
        assert outbox.relay() == 0
        assert handlers.traces("first") == handlers.traces("second") == [event.public_id]
        assert HandledFact.objects.filter(event=event).count() == 2
        assert not PendingFact.objects.exists()

    def test_it_deals_with_each_fact_once_when_two_workers_relay_at_the_same_time(self) -> None:
        published = {publish().public_id for _ in range(40)}
        together = Barrier(2)

        def work() -> int:
            try:
                together.wait()
                return outbox.relay()
            finally:
                connections.close_all()

        with ThreadPoolExecutor(2) as pool:
            finished = [future.result() for future in [pool.submit(work), pool.submit(work)]]
        assert sum(finished) == 40
        assert sorted(handlers.traces("first")) == sorted(handlers.traces("second")) == sorted(published)

    def test_it_lets_the_handlers_act_as_the_system_on_behalf_of_whoever_caused_the_fact(self) -> None:
        with context.acting("user:usr_1", request_id="req-7"):
            publish()
        outbox.relay()
        assert handlers.actors["first"] == [("system", "user:usr_1", "req-7")]

    def test_it_goes_on_with_facts_that_handlers_publish(self) -> None:
        publish("test.chained")
        assert outbox.relay() == 2
        assert len(handlers.traces("first")) == 2

    def test_it_stops_at_its_limit(self) -> None:
        for _ in range(3):
            publish()
        assert outbox.relay(limit=2) == 2
        assert PendingFact.objects.count() == 1


class TestAFailingHandler:
    def test_it_is_postponed_with_its_error_in_words_while_the_other_commits(self) -> None:
        handlers.failing.add("second")
        event = publish()
        assert outbox.relay() == 0
        pending = PendingFact.objects.get(event=event)
        assert pending.last_error == "tests.shared.handlers.second: RuntimeError: the moon is in the wrong house"
        assert pending.attempts == 1
        assert pending.next_attempt_at > db.now()
        assert handlers.traces("first") == [event.public_id]
        assert handlers.traces("second") == []

    def test_it_is_offered_again_alone_and_then_the_fact_is_finished(self) -> None:
        handlers.failing.add("second")
        event = publish()
        outbox.relay()
        handlers.failing.clear()
        due_now()
        assert outbox.relay() == 1
        assert handlers.traces("first") == handlers.traces("second") == [event.public_id]

    def test_it_holds_up_no_other_fact(self) -> None:
        handlers.failing.add("second")
        publish()
        other = publish("test.added_later")
        assert outbox.relay() == 1
        assert other.public_id in handlers.traces("first")

    def test_it_is_tried_less_and_less_often(self) -> None:
        handlers.failing.add("second")
        publish()
        waits = []
        for _ in range(9):
            due_now()
            outbox.relay()
            waits.append(round((PendingFact.objects.get().next_attempt_at - db.now()).total_seconds()))
        assert waits == [1, 5, 15, 60, 300, 900, 3600, 3600, 3600]

    def test_it_says_so_when_the_handler_cannot_be_found(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(handlers.HANDLERS, "test.happened", ("tests.shared.handlers.nobody",))
        publish()
        outbox.relay()
        assert "nobody" in PendingFact.objects.get().last_error


class TestAKilledWorker:
    def test_its_fact_is_dealt_with_once_afterwards(self, monkeypatch: pytest.MonkeyPatch) -> None:
        event = publish("test.slow")
        child = children.start(
            "from django.conf import settings\nsettings.OUTBOX_WIRING = 'tests.shared.handlers.HANDLERS'\n"
            "from gtm.shared import outbox\noutbox.relay()"
        )
        try:
            _wait_until(lambda: not _claimable(event))
        finally:
            child.kill()
            child.wait()
        _wait_until(lambda: _claimable(event))
        assert handlers.traces("slow") == []
        monkeypatch.setattr(handlers.time, "sleep", lambda seconds: None)
        assert outbox.relay() == 1
        assert handlers.traces("slow") == [event.public_id]


class TestReplay:
    def test_it_offers_past_facts_to_a_handler_that_was_added_since(self, monkeypatch: pytest.MonkeyPatch) -> None:
        event = publish("test.added_later")
        outbox.relay()
        both = ("tests.shared.handlers.first", "tests.shared.handlers.second")
        monkeypatch.setitem(handlers.HANDLERS, "test.added_later", both)
        assert outbox.replay(types=["test.added_later"], since=db.now() - timedelta(hours=1)) == 1
        assert outbox.relay() == 1
        assert handlers.traces("first") == handlers.traces("second") == [event.public_id]

    def test_it_leaves_other_types_and_earlier_facts(self) -> None:
        publish()
        outbox.relay()
        assert outbox.replay(types=["test.other"], since=db.now() - timedelta(hours=1)) == 0
        assert outbox.replay(types=["test.happened"], since=db.now() + timedelta(hours=1)) == 0


class TestFactsOfATestClock:
    def clock(self, status: str = TestClock.Status.READY) -> TestClock:
        return TestClock.objects.create(name="a clock", frozen_time=JAN_1, status=status)

    def test_they_are_drained_inline_with_what_they_lead_to_and_no_others(self) -> None:
        clock = self.clock(TestClock.Status.ADVANCING)
        publish("test.chained", test_clock_id=clock.pk)
        ours = publish()
        assert outbox.drain(clock.pk) == 2
        assert PendingFact.objects.get().event_id == ours.pk

    def test_a_failing_handler_stops_the_drain_and_nothing_of_its_fact_stays(self) -> None:
        clock = self.clock(TestClock.Status.ADVANCING)
        handlers.failing.add("second")
        publish(test_clock_id=clock.pk)
        with pytest.raises(RuntimeError, match="the moon"):
            outbox.drain(clock.pk)
        assert handlers.traces("first") == []
        assert PendingFact.objects.count() == 1

    def test_the_relay_deals_with_them_while_the_clock_is_at_rest(self) -> None:
        clock = self.clock()
        event = publish(test_clock_id=clock.pk)
        assert outbox.relay() == 1
        assert handlers.traces("first") == [event.public_id]

    @pytest.mark.parametrize("status", [TestClock.Status.ADVANCING, TestClock.Status.FAILED])
    def test_the_relay_leaves_them_to_whoever_advances_the_clock(self, status: str) -> None:
        publish(test_clock_id=self.clock(status).pk)
        assert outbox.relay() == 0
        assert PendingFact.objects.count() == 1

    def test_nobody_can_start_to_advance_a_clock_while_the_relay_deals_with_its_fact(self) -> None:
        clock = self.clock()
        publish(test_clock_id=clock.pk)
        with transaction.atomic(), ThreadPoolExecutor(1) as pool:
            TestClock.objects.select_for_update().get(pk=clock.pk)
            assert pool.submit(_relay_in_a_thread).result(timeout=5) == 0
        assert outbox.relay() == 1


class TestNudge:
    def test_a_worker_is_asked_once_per_transaction(self, broker: redis.Redis) -> None:
        with transaction.atomic():
            for _ in range(5):
                outbox.publish("test.happened", Vendor(pk=1), at=JAN_1)
            assert broker.llen("signals") == 0
        assert broker.llen("signals") == 1

    def test_nobody_is_asked_when_the_change_is_rolled_back(self, broker: redis.Redis) -> None:
        with transaction.atomic():
            outbox.publish("test.happened", Vendor(pk=1), at=JAN_1)
            transaction.set_rollback(True)
        assert broker.llen("signals") == 0

    def test_an_inner_rollback_takes_only_its_own_question_back(self, broker: redis.Redis) -> None:
        with transaction.atomic():
            with transaction.atomic():
                outbox.publish("test.happened", Vendor(pk=1), at=JAN_1)
                transaction.set_rollback(True)
            outbox.publish("test.happened", Vendor(pk=1), at=JAN_1)
        assert broker.llen("signals") == 1

    @pytest.mark.parametrize("ailment", ["refuses", "hangs"])
    def test_a_broker_that_is_away_neither_fails_nor_holds_up_the_change(
        self, ailment: str, broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as server:  # takes connections and never answers
            port = server.getsockname()[1]
            if ailment == "refuses":
                server.close()
            monkeypatch.setenv("CELERY_BROKER_WRITE_URL", f"redis://127.0.0.1:{port}/0")
            nudges._broker.cache_clear()
            monkeypatch.setattr(nudges, "_PAUSE_SECONDS", 3600)
            events = [publish()]
            given_up = nudges._away_until
            events += [publish(), publish()]
        nudges._broker.cache_clear()
        assert 0 < given_up == nudges._away_until  # the second and the third didn't wait for it
        assert PendingFact.objects.filter(event__in=events).count() == 3

    def test_the_broker_is_asked_again_soon_after_it_was_away(
        self, broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(nudges, "_away_until", time.monotonic() + 60)
        publish()
        assert broker.llen("signals") == 0
        monkeypatch.setattr(nudges, "_away_until", time.monotonic())
        publish()
        assert broker.llen("signals") == 1


def _relay_in_a_thread() -> int:
    try:
        return outbox.relay()
    finally:
        connections.close_all()


def _claimable(event: Event) -> bool:
    with transaction.atomic():
        return PendingFact.objects.select_for_update(skip_locked=True).filter(pk=event.pk).first() is not None


def _wait_until(condition: Any, *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
