"""Webhooks on real connections: no fact is skipped or sent twice, whoever commits late, races or is killed."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier, Event
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection, connections, transaction

from gtm.shared import ids, outbox, tasks
from gtm.shared.models import Pulse, UnsentFact, Vendor, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from gtm.shared.webhooks import deliveries, endpoints
from gtm.shared.webhooks.transport import Answer, Request
from tests import children, world
from tests.receivers import Receiver, listening
from tests.shared.webhooks_world import NOW, deliver, endpoint, happen, only, sender

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _loopback_is_allowed(settings: LazySettings) -> None:
    settings.WEBHOOK_ALLOWED_HOSTS = frozenset({"127.0.0.1"})


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with listening() as found:
        yield found


def apart(act: Callable[[], Any]) -> Callable[[], Any]:
    """With a connection of its own, given up at the end."""

    def run() -> Any:
        try:
            return act()
        finally:
            connections.close_all()

    return run


def positions(receiver: Receiver) -> list[int]:
    return sorted(json.loads(received.body)["position"] for received in receiver.received)


class TestLateCommits:
    def test_a_fact_that_commits_after_later_ones_is_not_skipped(self, receiver: Receiver) -> None:
        endpoint(receiver)
        written, may_commit = Event(), Event()

        def slowly() -> int:
            with transaction.atomic():
                event = outbox.publish("billing.run.slow", Vendor(pk=1), at=NOW())
                event.refresh_from_db()
                written.set()
                assert may_commit.wait(20)
            return event.position

        with ThreadPoolExecutor(1) as pool:
            slow = pool.submit(apart(slowly))
            assert written.wait(20)
            later = [happen().position for _ in range(3)]
            assert deliver() == 3
            assert positions(receiver) == later
            may_commit.set()
            first = slow.result(20)
        assert first < later[0]
        assert deliver() == 1
        assert positions(receiver) == [first, *later]

    def test_one_that_is_rolled_back_is_never_sent(self, receiver: Receiver) -> None:
        endpoint(receiver)
        with transaction.atomic():
            outbox.publish("billing.run.failed", Vendor(pk=1), at=NOW())
            transaction.set_rollback(True)
        happen()
        assert deliver() == 1

    def test_facts_that_are_copied_in_are_listed_too(self) -> None:
        endpoint()
        given = {
            "type": "billing.invoice.issued",
            "object_type": "invoice",
            "object_id": ids.uuid7(),
            "object_version": 1,
            "actor": "system",
            "occurred_at": world.JAN_1,
            "data": "{}",
            "previous": "{}",
        } | dict.fromkeys(("on_behalf_of", "request_id", "reason"), "")
        statement = f"COPY shared_event (id, {', '.join(given)}) FROM STDIN"
        with transaction.atomic(), connection.cursor() as cursor, cursor.copy(statement) as copy:
            for _ in range(2500):
                copy.write_row((ids.uuid7(), *given.values()))
        assert UnsentFact.objects.count() == 2500
        assert [deliveries.fan_out(at=NOW()) for _ in range(4)] == [1000, 1000, 500, 0]
        assert WebhookDelivery.objects.count() == 2500


class TestTwoWorkers:
    def test_they_send_each_fact_once(self, receiver: Receiver) -> None:
        endpoint(receiver)
        published = sorted(happen().position for _ in range(60))
        together = Barrier(2)

        def work() -> int:
            together.wait()
            return deliver()

        with ThreadPoolExecutor(2) as pool:
            made = [future.result(30) for future in [pool.submit(apart(work)), pool.submit(apart(work))]]
        assert sum(made) + deliver() == 60
        assert positions(receiver) == published
        assert WebhookAttempt.objects.filter(finished_at=None).count() == 0

    def test_a_slow_receiver_keeps_nothing_from_another(self, receiver: Receiver) -> None:
        with listening() as slow:
            slow.gate.clear()
            endpoint(slow)
            endpoint(receiver)
            for _ in range(20):
                happen()
            with ThreadPoolExecutor(1) as pool:
                run = pool.submit(apart(lambda: deliver(send=sender(exchange_seconds=2.0))))
                _wait_until(lambda: len(receiver.received) == 20)
                assert len(slow.received) == deliveries.AT_ONCE
                slow.gate.set()
                run.result(30)

    def test_no_transaction_is_open_while_a_request_is_under_way(self) -> None:
        endpoint()
        happen()
        found: list[int] = []

        def send(request: Request) -> Answer:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
                )
                found.append(cursor.fetchone()[0])
            connection.close()
            return Answer(status=200)

        assert deliver(send=send) == 1
        assert found == [0]

    def test_removing_an_endpoint_and_making_its_deliveries_do_not_collide(self) -> None:
        for _ in range(5):
            found = endpoint()
            for _ in range(20):
                happen()
            together = Barrier(2)

            def remove(found: WebhookEndpoint = found, together: Barrier = together) -> None:
                together.wait()
                endpoints.remove(endpoint=found, at=NOW())

            def make(together: Barrier = together) -> None:
                together.wait()
                deliver(send=lambda request: Answer(status=500))

            with ThreadPoolExecutor(2) as pool:
                for future in [pool.submit(apart(remove)), pool.submit(apart(make))]:
                    future.result(30)
            assert not WebhookDelivery.objects.exists()


class TestAKilledWorker:
    def test_its_delivery_is_sent_again_when_its_lease_is_over(self, receiver: Receiver) -> None:
        endpoint(receiver)
        happen()
        receiver.gate.clear()
        child = children.start(
            "from gtm.shared import tasks\ntasks.deliver_webhooks()", WEBHOOK_ALLOWED_HOSTS="127.0.0.1"
        )
        try:
            _wait_until(lambda: len(receiver.received) == 1)
        finally:
            child.kill()
            child.wait()
        receiver.gate.set()
        attempt = WebhookAttempt.objects.get()
        assert attempt.finished_at is None
        assert deliver() == 0
        assert deliver(deliveries.LEASE + timedelta(seconds=1)) == 1
        assert only().status == WebhookDelivery.Status.SUCCEEDED
        assert receiver.received[0].body == receiver.received[1].body
        assert receiver.received[0].headers["webhook-id"] == receiver.received[1].headers["webhook-id"]


class TestTasks:
    def test_they_deliver_review_and_purge(self, receiver: Receiver) -> None:
        endpoint(receiver)
        happen()
        tasks.deliver_webhooks()
        assert only().status == WebhookDelivery.Status.SUCCEEDED
        WebhookDelivery.objects.update(queued_at=NOW() - timedelta(days=31))
        tasks.review_webhooks()
        assert not WebhookDelivery.objects.exists()
        names = {"job:deliver webhooks", "job:review webhooks"}
        assert set(Pulse.objects.exclude(last_succeeded_at=None).values_list("name", flat=True)) == names


def _wait_until(condition: Callable[[], bool], *, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
