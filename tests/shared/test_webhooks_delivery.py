"""From a fact to a verified request: who gets it, what it says, and what happens when it isn't taken."""

import json
from collections.abc import Iterator
from datetime import UTC, timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import IntegrityError, transaction
from standardwebhooks import Webhook, WebhookVerificationError

from gtm import clocks
from gtm.shared import context, ids, outbox
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import (
    Event,
    Mail,
    TestClock,
    UnsentFact,
    Vendor,
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
)
from gtm.shared.webhooks import deliveries, endpoints, messages, retries
from tests import world
from tests.receivers import Receiver, listening
from tests.shared.webhooks_world import NOW, deliver, endpoint, happen, only, refusing, with_secret

pytestmark = pytest.mark.django_db
Status = WebhookDelivery.Status


@pytest.fixture(autouse=True)
def _loopback_is_allowed(settings: LazySettings) -> None:
    settings.WEBHOOK_ALLOWED_HOSTS = frozenset({"127.0.0.1"})


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with listening() as found:
        yield found


def facts(prefix: str = "webhook_endpoint.") -> list[str]:
    events = Event.objects.filter(type__startswith=prefix).order_by("position")
    return [event.type.removeprefix(prefix) for event in events]


class TestTheRequest:
    def test_its_signature_is_verified_by_the_standard_library(self, receiver: Receiver) -> None:
        _, secret = with_secret(receiver)
        clock = TestClock.objects.create(name="Year", frozen_time=world.JAN_1)
        customer, account = ids.uuid7(), ids.uuid7()
        event = happen(
            at=world.JAN_1,
            customer_id=customer,
            account_id=account,
            test_clock_id=clock.pk,
            data={"amount": 5},
            previous={"amount": 4},
            reason="because",
        )
        assert deliver() == 1
        (received,) = receiver.received
        assert received.path == "/hooks?tenant=1"
        assert received.headers["content-type"] == "application/json"
        assert received.headers["host"] == f"127.0.0.1:{receiver.port}"
        assert received.verified(secret) == {
            "id": event.public_id,
            "type": "billing.invoice.paid",
            "position": event.position,
            "occurred_at": "2026-01-01T00:00:00Z",
            "object": {"type": "vendor", "id": ids.encode("vendor", event.object_id), "version": 1},
            "customer": ids.encode("cus", customer),
            "account": ids.encode("acct", account),
            "test_clock": clock.public_id,
            "data": {"amount": 5},
            "previous": {"amount": 4},
            "reason": "because",
            "api_version": "v1",
        }
        assert received.headers["webhook-id"] == event.public_id

    def test_another_secret_or_another_body_is_found_out(self, receiver: Receiver) -> None:
        _, secret = with_secret(receiver)
        happen()
        deliver()
        (received,) = receiver.received
        with pytest.raises(WebhookVerificationError):
            received.verified("whsec_" + "A" * 32)
        received.body = received.body.replace(b"invoice.paid", b"invoice.void")
        with pytest.raises(WebhookVerificationError):
            received.verified(secret)

    def test_it_is_the_same_each_time_but_for_time_and_signature(self, receiver: Receiver) -> None:
        _, secret = with_secret(receiver)
        happen(data={"b": 1, "a": [1, 2], "ü": "ü"})
        receiver.status = 500
        deliver()
        receiver.status = 200
        deliver(timedelta(seconds=10))
        first, second = receiver.received
        assert first.body == second.body
        assert first.headers["webhook-id"] == second.headers["webhook-id"]
        assert first.verified(secret) == second.verified(secret)

    def test_after_a_rotation_both_secrets_sign_until_the_overlap_ends(self, receiver: Receiver) -> None:
        found, old = with_secret(receiver)
        _, new = endpoints.rotate_secret(endpoint=found, at=NOW(), overlap=timedelta(hours=1))
        happen()
        deliver()
        assert receiver.received[0].headers["webhook-signature"].count("v1,") == 2
        for secret in (old, new):
            receiver.received[0].verified(secret)
        found.refresh_from_db()
        assert endpoints.signing_secrets(found, at=NOW() + timedelta(hours=2)) == [new]
        _, newest = endpoints.rotate_secret(endpoint=found, at=NOW(), overlap=timedelta(0))
        found.refresh_from_db()
        assert endpoints.signing_secrets(found, at=NOW()) == [newest]

    def test_a_secret_that_cannot_be_read_is_said_and_sends_nothing(
        self, receiver: Receiver, settings: LazySettings
    ) -> None:
        endpoint(receiver)
        happen()
        settings.SECRET_KEY = "another"
        deliver()
        assert receiver.received == []
        assert "Rotate the secret" in only().last_error

    def test_the_signature_covers_the_very_bytes(self) -> None:
        event = happen(data={"name": "ü"})
        content = messages.body(event, api_version="v1")
        headers = messages.headers(event, content, secrets=["whsec_" + "A" * 32], at=NOW().astimezone(UTC))
        assert Webhook("whsec_" + "A" * 32).verify(content, dict(headers)) == json.loads(content)


class TestFanOut:
    def test_each_endpoint_gets_each_fact_that_it_wants_once(self) -> None:
        every, invoices = endpoint(), endpoint(event_types=["billing.invoice.*"])
        endpoint(event_types=["crm.*"])
        endpoint(enabled=False)
        paid, changed = happen("billing.invoice.paid"), happen("user.changed")
        assert deliveries.fan_out(at=NOW()) == 2
        assert deliveries.fan_out(at=NOW()) == 0
        found = set(WebhookDelivery.objects.values_list("endpoint", "event"))
        assert found == {(every.pk, paid.pk), (every.pk, changed.pk), (invoices.pk, paid.pk)}

    def test_the_database_lets_no_second_delivery_be(self) -> None:
        endpoint()
        happen()
        deliveries.fan_out(at=NOW())
        twin = only()
        twin.pk = ids.uuid7()
        with pytest.raises(IntegrityError), transaction.atomic():
            twin.save(force_insert=True)

    def test_a_fact_costs_nothing_while_nobody_listens(self) -> None:
        happen()
        endpoint(enabled=False)
        happen()
        assert not UnsentFact.objects.exists()

    def test_a_fact_that_was_replayed_before_it_was_taken_off_the_list_is_sent_once(self) -> None:
        found = endpoint()
        happen()
        assert deliveries.replay(endpoint=found, since=NOW() - timedelta(hours=1), at=NOW()) == 1
        assert deliveries.fan_out(at=NOW()) == 1
        assert WebhookDelivery.objects.count() == 1

    def test_facts_of_before_are_not_sent(self) -> None:
        endpoint()
        happen()
        late = endpoint(url="https://late.example.com/")
        happen()
        deliveries.fan_out(at=NOW())
        assert WebhookDelivery.objects.filter(endpoint=late).count() == 1

    def test_facts_about_endpoints_are_sent_to_none(self) -> None:
        found = endpoint()
        endpoints.change(endpoint=found, at=NOW(), event_types=["*"])
        endpoints.rotate_secret(endpoint=found, at=NOW())
        assert not UnsentFact.objects.exists()
        assert deliver(send=refusing) == 0

    def test_a_fact_that_went_with_its_change_leaves_nothing(self) -> None:
        endpoint()
        with transaction.atomic():
            happen()
            transaction.set_rollback(True)
        assert not UnsentFact.objects.exists()

    def test_it_takes_as_many_questions_for_one_fact_as_for_many(self, django_assert_num_queries: Any) -> None:
        endpoint()
        endpoint()
        happen()
        at = NOW()
        with django_assert_num_queries(8):  # two of them are its savepoint
            deliveries.fan_out(at=at)
        for _ in range(30):
            happen()
        with django_assert_num_queries(8):
            assert deliveries.fan_out(at=at) == 30
        assert WebhookDelivery.objects.count() == 62

    def test_publishing_takes_no_more_questions_than_before(self, django_assert_num_queries: Any) -> None:
        endpoint()
        written = [outbox.fact("user.changed", Vendor(pk=1), at=world.JAN_1) for _ in range(50)]
        with transaction.atomic(), django_assert_num_queries(1):
            outbox.publish_many(written)
        assert UnsentFact.objects.count() == 50

    def test_the_facts_of_a_test_clock_go_with_it(self) -> None:
        endpoint()
        clock = clocks.create(name="Year", frozen_time=world.JAN_1)
        happen(test_clock_id=clock.pk)
        happen(test_clock_id=clock.pk)
        deliveries.fan_out(at=NOW())
        happen(test_clock_id=clock.pk)
        deliver(send=refusing)
        clocks.delete(clock=clock)
        assert deliver(timedelta(days=1), send=refusing) == 0
        assert not WebhookAttempt.objects.exists()


class TestSettle:
    def test_it_takes_as_many_questions_for_one_answer_as_for_many(self, django_assert_num_queries: Any) -> None:
        for number in range(3):
            endpoint(url=f"https://hooks{number}.example.com/")
        for _ in range(5):
            happen()
        deliveries.fan_out(at=NOW())
        at, taken = NOW(), deliveries.Answer(status=200)
        (first, *rest) = deliveries.claim(at=at, limit=15)
        for attempts in ([first], rest):
            with django_assert_num_queries(6):  # two of them are its savepoint
                deliveries.settle([(attempt, taken) for attempt in attempts], at=at)
        assert WebhookDelivery.objects.filter(status=Status.SUCCEEDED, response_status=200).count() == 15
        assert WebhookAttempt.objects.filter(finished_at=at).count() == 15

    def test_of_two_answers_at_once_the_failure_is_noted(self) -> None:
        found = endpoint()
        happen()
        happen()
        deliveries.fan_out(at=NOW())
        first, second = deliveries.claim(at=NOW(), limit=2)
        deliveries.settle([(first, deliveries.Answer(status=200)), (second, refusing())], at=NOW())
        found.refresh_from_db()
        assert found.failing_since is not None
        assert dict(WebhookDelivery.objects.values_list("event", "status")) == {
            first.delivery.event_id: "succeeded",
            second.delivery.event_id: "pending",
        }


class TestRetries:
    def test_what_fails_is_tried_again_and_then_taken(self, receiver: Receiver) -> None:
        endpoint(receiver)
        happen()
        receiver.status, receiver.answer = 500, b"out of order\0"
        assert deliver() == 1
        assert deliver() == 0
        failing = only()
        assert (failing.status, failing.attempts, failing.response_status) == (Status.PENDING, 1, 500)
        assert failing.last_error == "It answered 500."
        receiver.status = 204
        assert deliver(timedelta(seconds=6)) == 1
        taken = only()
        assert (taken.status, taken.attempts, taken.response_status, taken.last_error) == (Status.SUCCEEDED, 2, 204, "")
        first, second = taken.log.order_by("number")
        assert (first.response_status, first.response_excerpt, first.error) == (
            500,
            "out of order\N{REPLACEMENT CHARACTER}",
            "It answered 500.",
        )
        assert second.duration_ms is not None

    def test_they_end_after_about_three_days(self) -> None:
        endpoint()
        happen()
        passed, made = timedelta(), 0
        while passed < timedelta(days=4):
            made += deliver(passed, send=refusing)
            passed += timedelta(minutes=30)
        assert made == len(retries.WAITS) + 1
        assert only().status == Status.FAILED
        finished = only().finished_at
        assert finished is not None
        assert timedelta(days=3) < finished - NOW() < timedelta(days=3, hours=18)

    def test_a_killed_worker_leaves_an_open_attempt_and_the_delivery_is_due_again(self) -> None:
        endpoint()
        happen()
        deliveries.fan_out(at=NOW())
        (lost,) = deliveries.claim(at=NOW(), limit=5)
        assert deliver(timedelta(minutes=1), send=refusing) == 0
        assert deliver(timedelta(minutes=3), send=refusing) == 1
        lost.refresh_from_db()
        assert lost.finished_at is None
        assert [attempt.number for attempt in only().log.order_by("number")] == [1, 2]

    def test_an_answer_that_comes_after_the_lease_counts_only_as_a_success(self) -> None:
        endpoint()
        happen()
        deliveries.fan_out(at=NOW())
        (slow,) = deliveries.claim(at=NOW(), limit=5)
        (next_one,) = deliveries.claim(at=NOW() + timedelta(minutes=3), limit=5)
        deliveries.settle([(slow, refusing())], at=NOW())
        assert only().failures == 0
        deliveries.settle([(slow, deliveries.Answer(status=200))], at=NOW())
        deliveries.settle([(next_one, refusing())], at=NOW())
        assert only().status == Status.SUCCEEDED

    def test_an_endpoint_that_fails_is_sent_one_request_at_a_time(self) -> None:
        endpoint()
        healthy = endpoint(url="https://healthy.example.com/", event_types=["user.changed"])
        for _ in range(12):
            happen()
        deliveries.fan_out(at=NOW())
        claimed = deliveries.claim(at=NOW(), limit=100)
        assert len(claimed) == deliveries.AT_ONCE
        assert deliveries.claim(at=NOW(), limit=100) == []
        deliveries.settle([(claimed[0], refusing())], at=NOW())
        happen("user.changed")
        deliveries.fan_out(at=NOW())
        later = NOW() + deliveries.LEASE
        again = deliveries.claim(at=later, limit=100)
        assert [attempt.delivery.endpoint_id == healthy.pk for attempt in again] == [False, True]

    def test_endpoints_take_turns(self) -> None:
        first, second = endpoint(), endpoint(url="https://second.example.com/", event_types=["user.changed"])
        for _ in range(6):
            happen()
        happen("user.changed")
        deliveries.fan_out(at=NOW())
        claimed = deliveries.claim(at=NOW(), limit=2)
        assert {attempt.delivery.endpoint_id for attempt in claimed} == {first.pk, second.pk}

    def test_a_message_that_breaks_holds_up_no_other(self) -> None:
        endpoint()
        bad, good = happen(), happen()

        def send(request: Any) -> Any:
            if request.headers["webhook-id"] == bad.public_id:
                raise RuntimeError("the moon")
            return deliveries.Answer(status=200)

        assert deliver(send=send) == 2
        found = dict(WebhookDelivery.objects.values_list("event", "last_error"))
        assert found == {bad.pk: "RuntimeError: the moon", good.pk: ""}


class TestFailingForDays:
    def mails(self) -> list[tuple[str, str]]:
        return list(Mail.objects.order_by("created_at", "recipient").values_list("template", "recipient"))

    def test_founders_are_warned_and_then_it_is_switched_off(self) -> None:
        world.fay()
        world.ann()
        found = endpoint(url="https://hooks.example.com/token-in-path")
        happen()
        began = NOW()
        deliver(send=refusing)
        assert endpoints.review(at=began + timedelta(days=2)) == 0
        assert endpoints.review(at=began + timedelta(days=3, minutes=1)) == 1
        assert endpoints.review(at=began + timedelta(days=3, minutes=2)) == 0
        assert self.mails() == [("webhook_failing", "fay@vendor.example")]
        assert "It answered 503." in Mail.objects.get().text
        assert endpoints.review(at=began + timedelta(days=5, minutes=1)) == 1
        found.refresh_from_db()
        assert (found.enabled, found.disabled_reason) == (False, "failing")
        assert self.mails()[1:] == [("webhook_disabled", "fay@vendor.example")]
        assert facts() == ["created", "failing", "disabled"]
        assert not any("token" in json.dumps(event.data) for event in Event.objects.all())

    def test_it_is_sent_nothing_until_it_is_switched_on_and_then_what_waited(self) -> None:
        found = endpoint()
        happen()
        deliveries.fan_out(at=NOW())
        endpoints.change(endpoint=found, at=NOW(), enabled=False)
        happen()
        assert deliver(send=refusing) == 0
        found = endpoints.change(endpoint=found, at=NOW(), enabled=True)
        assert (found.disabled_at, found.disabled_reason, found.failing_since) == (None, "", None)
        assert deliver(send=lambda request: deliveries.Answer(status=200)) == 1
        assert facts() == ["created", "changed", "changed"]

    def test_a_late_warning_still_leaves_a_day(self) -> None:
        found = endpoint()
        happen()
        deliver(send=refusing)
        late = NOW() + timedelta(days=9)
        assert endpoints.review(at=late) == 1
        assert endpoints.review(at=late + timedelta(hours=23)) == 0
        assert endpoints.review(at=late + timedelta(hours=25)) == 1
        found.refresh_from_db()
        assert not found.enabled

    def test_one_success_ends_it(self) -> None:
        found = endpoint()
        happen()
        deliver(send=refusing)
        endpoints.review(at=NOW() + timedelta(days=4))
        deliver(timedelta(days=4), send=lambda request: deliveries.Answer(status=200))
        found.refresh_from_db()
        assert (found.failing_since, found.warned_at) == (None, None)
        assert endpoints.review(at=NOW() + timedelta(days=9)) == 0
        assert facts() == ["created", "failing", "recovered"]


class TestAgain:
    def test_a_delivery_is_sent_again_with_a_full_round_of_retries(self, receiver: Receiver) -> None:
        endpoint(receiver)
        happen()
        deliver()
        deliveries.redeliver(delivery=only(), at=NOW())
        assert deliver() == 1
        assert len(receiver.received) == 2
        assert (only().status, only().attempts, only().failures) == (Status.SUCCEEDED, 2, 0)
        assert facts() == ["created", "redelivered"]

    def test_a_failure_that_was_under_way_does_not_spoil_it(self) -> None:
        endpoint()
        happen()
        deliveries.fan_out(at=NOW())
        WebhookDelivery.objects.update(failures=len(retries.WAITS))
        (last,) = deliveries.claim(at=NOW(), limit=5)
        deliveries.redeliver(delivery=only(), at=NOW())
        deliveries.settle([(last, refusing())], at=NOW())
        assert (only().status, only().failures) == (Status.PENDING, 1)

    def test_a_replay_sends_all_since_then_even_what_was_written_while_it_was_off(self) -> None:
        found = endpoint(event_types=["billing.*"])
        happen("billing.a.taken")
        deliver(send=lambda request: deliveries.Answer(status=200))
        endpoints.change(endpoint=found, at=NOW(), enabled=False)
        happen("billing.a.missed")
        happen("user.changed")
        found = endpoints.change(endpoint=found, at=NOW(), enabled=True)
        assert deliveries.replay(endpoint=found, since=NOW() - timedelta(hours=1), at=NOW()) == 2
        sent: list[str] = []

        def send(request: Any) -> Any:
            sent.append(json.loads(request.body)["type"])
            return deliveries.Answer(status=200)

        deliver(send=send)
        assert sorted(sent) == ["billing.a.missed", "billing.a.taken"]

    def test_a_replay_of_failures_leaves_what_was_taken(self) -> None:
        found = endpoint()
        happen()
        deliver(send=lambda request: deliveries.Answer(status=200))
        happen()
        for day in range(5):
            for hour in range(0, 24, 2):
                deliver(timedelta(days=day, hours=hour), send=refusing)
        assert WebhookDelivery.objects.filter(status=Status.FAILED).count() == 1
        at = NOW() + timedelta(days=5)
        assert deliveries.replay(endpoint=found, since=NOW() - timedelta(hours=1), at=at, only_failed=True) == 1

    def test_a_replay_keeps_to_what_is_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = endpoint()
        for since in (NOW() - timedelta(days=31), NOW() + timedelta(days=1)):
            with pytest.raises(Invalid, match="30 days") as refused:
                deliveries.replay(endpoint=found, since=since, at=NOW())
            assert refused.value.attr == "since"
        monkeypatch.setattr(deliveries, "MAX_REPLAYED", 1)
        happen()
        happen()
        with pytest.raises(Invalid, match="Give a later time"):
            deliveries.replay(endpoint=found, since=NOW() - timedelta(hours=1), at=NOW())

    def test_nothing_is_sent_to_an_endpoint_that_is_off(self) -> None:
        found = endpoint()
        happen()
        deliver(send=refusing)
        endpoints.change(endpoint=found, at=NOW(), enabled=False)
        acts: list[Any] = [
            lambda: endpoints.ping(endpoint=found, at=NOW()),
            lambda: deliveries.redeliver(delivery=only(), at=NOW()),
            lambda: deliveries.replay(endpoint=found, since=NOW() - timedelta(hours=1), at=NOW()),
        ]
        for act in acts:
            with pytest.raises(Conflict) as refused:
                act()
            assert refused.value.code == "endpoint_disabled"

    def test_a_ping_goes_to_its_endpoint_alone_whatever_it_wants(self, receiver: Receiver) -> None:
        found, secret = with_secret(receiver, event_types=["billing.*"])
        endpoint()
        endpoints.ping(endpoint=found, at=NOW())
        assert deliver() == 1
        assert receiver.received[0].verified(secret)["type"] == "webhook_endpoint.pinged"


class TestPurge:
    def test_deliveries_are_forgotten_after_thirty_days(self) -> None:
        endpoint()
        happen()
        happen()
        deliver(send=lambda request: deliveries.Answer(status=200))
        assert deliveries.purge(at=NOW() + timedelta(days=29)) == 0
        assert deliveries.purge(at=NOW() + timedelta(days=31), limit=1) == 2
        assert not WebhookDelivery.objects.exists()
        assert not WebhookAttempt.objects.exists()

    def test_a_fact_that_waited_for_a_month_is_not_sent(self) -> None:
        endpoint()
        happen()
        deliveries.fan_out(at=NOW() + timedelta(days=31))
        assert not WebhookDelivery.objects.exists()


class TestEndpoints:
    @pytest.mark.parametrize(
        ("fields", "attr"),
        [
            ({"url": "http://hooks.example.com"}, "url"),
            ({"url": "https://10.0.0.1/"}, "url"),
            ({"event_types": ["Billing"]}, "event_types"),
            ({"event_types": ["a"] * 101}, "event_types"),
            ({"api_version": "v9"}, "api_version"),
        ],
    )
    def test_a_wrong_one_is_refused_and_nothing_written(self, fields: dict[str, Any], attr: str) -> None:
        with pytest.raises(Invalid) as refused:
            endpoint(**fields)
        assert refused.value.attr == attr
        assert not WebhookEndpoint.objects.exists()
        assert not facts()

    def test_a_wrong_change_is_refused(self) -> None:
        found = endpoint()
        with pytest.raises(Invalid):
            endpoints.change(endpoint=found, at=NOW(), url="https://127.0.0.2/")
        with pytest.raises(Invalid):
            endpoints.rotate_secret(endpoint=found, at=NOW(), overlap=timedelta(days=8))
        found.refresh_from_db()
        assert (found.url, found.version) == ("https://hooks.example.com/in", 1)

    def test_the_secret_stands_nowhere_in_the_clear(self) -> None:
        found, secret = with_secret()
        assert secret.startswith("whsec_")
        found.refresh_from_db()
        assert secret not in repr(vars(found))
        assert not any(secret in json.dumps(event.data) for event in Event.objects.all())

    def test_removed_it_goes_with_its_deliveries(self) -> None:
        found = endpoint()
        happen()
        deliver(send=refusing)
        with context.acting("user:usr_1"):
            endpoints.remove(endpoint=found, at=NOW())
        assert not WebhookEndpoint.objects.exists()
        assert not WebhookAttempt.objects.exists()
        assert facts() == ["created", "removed"]
