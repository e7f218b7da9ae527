"""The database's clock and locks, and the signs of life that processes leave."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Event as Signal
from types import SimpleNamespace

import pytest
from django.core.exceptions import ValidationError
from django.db import connections, transaction

from gtm.shared import db, pulse, tasks, vendors
from gtm.shared.errors import Conflict
from gtm.shared.models import Event, IdempotencyRecord, Pulse, TestClock

JAN_1 = datetime(2026, 1, 1, tzinfo=UTC)


def clock(name: str = "a clock") -> TestClock:
    return TestClock.objects.create(name=name, frozen_time=JAN_1)


@pytest.mark.django_db
class TestNow:
    def test_it_goes_on_within_a_transaction(self) -> None:
        before = db.now()
        assert db.now() > before
        assert before.tzinfo == UTC

    def test_it_stands_still_for_what_is_on_a_test_clock(self) -> None:
        clocked = SimpleNamespace(test_clock_id=clock().pk)
        assert db.now_for(clocked) == JAN_1  # type: ignore[arg-type]
        assert db.now_for(SimpleNamespace(test_clock_id=None)) > JAN_1  # type: ignore[arg-type]
        assert db.now_for(None) > JAN_1


@pytest.mark.django_db(transaction=True)
class TestLock:
    def test_it_needs_a_transaction(self) -> None:
        with pytest.raises(AssertionError, match="needs a transaction"):
            db.lock_one(clock())

    def test_it_reads_again_what_was_read_before_the_lock(self) -> None:
        stale = clock("before")
        TestClock.objects.update(name="after")
        with transaction.atomic():
            assert db.lock_one(stale).name == "after"

    def test_it_says_that_the_row_has_gone(self) -> None:
        gone = clock()
        TestClock.objects.all().delete()
        with transaction.atomic(), pytest.raises(Conflict):
            db.lock_one(gone)

    def test_it_takes_the_rows_in_the_order_of_their_keys(self) -> None:
        first, second, third = clock(), clock(), clock()
        with transaction.atomic():
            assert db.lock(TestClock, [third.pk, first.pk, second.pk]) == [first, second, third]

    def test_an_advisory_lock_is_held_until_the_transaction_ends(self) -> None:
        with transaction.atomic():
            assert db.advisory_lock("bill", 7, wait=False)
            with ThreadPoolExecutor(1) as pool:
                assert not pool.submit(_try_lock, "bill", 7).result()
                assert pool.submit(_try_lock, "bill", 8).result()
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(_try_lock, "bill", 7).result()

    def test_an_advisory_lock_is_waited_for(self) -> None:
        held, let_go = Signal(), Signal()
        with ThreadPoolExecutor(1) as pool, transaction.atomic():
            future = pool.submit(_hold_briefly, held, let_go)
            held.wait(60)
            db.advisory_lock("bill")
            assert let_go.is_set()
            future.result()


def _try_lock(*parts: object) -> bool:
    try:
        with transaction.atomic():
            return db.advisory_lock(*parts, wait=False)
    finally:
        connections.close_all()


def _hold_briefly(held: Signal, let_go: Signal) -> None:
    try:
        with transaction.atomic():
            db.advisory_lock("bill")
            held.set()
            time.sleep(0.3)
            let_go.set()
    finally:
        connections.close_all()


@pytest.mark.django_db
class TestPulse:
    def test_a_job_leaves_its_last_success_and_its_last_failure_in_words(self) -> None:
        with pulse.job("count sheep"):
            pass
        with pytest.raises(ValueError, match="a wolf"), pulse.job("count sheep"):
            raise ValueError("a wolf")
        left = Pulse.objects.get(name="job:count sheep")
        assert left.last_error == "ValueError: a wolf"
        assert left.last_succeeded_at is not None
        assert left.last_failed_at is not None
        assert left.last_failed_at > left.last_succeeded_at

    def test_a_process_leaves_its_last_sign_of_life(self) -> None:
        pulse.beat("beat", version="1")
        pulse.beat("beat", version="2")
        left = Pulse.objects.get()
        assert (left.name, left.detail) == ("beat", {"version": "2"})
        assert left.beat_at is not None
        assert db.now() - left.beat_at < timedelta(seconds=5)


@pytest.mark.django_db(transaction=True)
class TestWorkerHeartbeat:
    def test_it_is_written_every_ten_seconds_at_most(self, monkeypatch: pytest.MonkeyPatch) -> None:
        heart = SimpleNamespace(eventer=SimpleNamespace(hostname="celery@here"))
        monkeypatch.setattr(tasks, "_last_heartbeat", float("-inf"))
        tasks.worker_heartbeat(sender=heart)
        first = Pulse.objects.get(name="worker:celery@here").beat_at
        tasks.worker_heartbeat(sender=heart)
        assert Pulse.objects.get().beat_at == first
        monkeypatch.setattr(tasks, "_last_heartbeat", time.monotonic() - tasks.HEARTBEAT_SECONDS)
        tasks.worker_heartbeat(sender=SimpleNamespace(hostname="celery@here"))
        assert Pulse.objects.get().beat_at != first

    def test_it_keeps_no_connection_that_a_forked_child_would_share(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tasks, "_last_heartbeat", float("-inf"))
        tasks.worker_heartbeat(sender=None)
        assert connections["default"].connection is None


@pytest.mark.django_db
class TestSweep:
    def test_it_forgets_old_answers_and_silent_workers_only(self) -> None:
        old, new = db.now() - timedelta(hours=25), db.now() - timedelta(hours=23)
        for key, at in (("old", old), ("new", new)):
            IdempotencyRecord.objects.create(
                owner="key", key=key, method="POST", path="/", body_digest="", created_at=at
            )
            Pulse.objects.create(name=f"worker:{key}", beat_at=at)
            Pulse.objects.create(name=f"job:{key}", last_succeeded_at=at)
        tasks.sweep()
        assert list(IdempotencyRecord.objects.values_list("key", flat=True)) == ["new"]
        assert set(Pulse.objects.values_list("name", flat=True)) == {"worker:new", "job:old", "job:new", "job:sweep"}


@pytest.mark.django_db
class TestVendors:
    def test_a_change_is_a_fact_with_the_previous_values(self) -> None:
        vendor = vendors.change(name="Acme Cloud", base_currency="USD")
        fact = Event.objects.get(type="vendor.changed")
        assert vendor.version == 2
        assert (fact.data, fact.previous) == ({"name": "Acme Cloud"}, {"name": "Tandem"})
        assert vendors.current().name == "Acme Cloud"

    def test_nothing_changed_is_no_fact(self) -> None:
        vendors.change(name="Tandem")
        assert not Event.objects.exists()

    def test_it_refuses_nonsense(self) -> None:
        with pytest.raises(ValidationError):
            vendors.change(fiscal_year_start=13)
        assert vendors.current().fiscal_year_start == 1

    def test_defaults_stand_in_before_the_first_change(self) -> None:
        assert vendors.current().base_currency == "USD"
