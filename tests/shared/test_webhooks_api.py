"""Webhooks over the API: made with a secret shown once, tried, replayed; and by whom."""

from datetime import timedelta
from typing import Any

import pytest
from rest_framework.test import APIClient

from gtm.shared.models import Event, IdempotencyRecord, WebhookDelivery, WebhookEndpoint
from gtm.shared.webhooks import deliveries, endpoints
from gtm.shared.webhooks.transport import Answer
from tests import world
from tests.billing.api import BASE, caller, problem
from tests.shared.webhooks_world import NOW, URL, deliver, endpoint, happen, only, refusing

pytestmark = pytest.mark.django_db
ENDPOINTS, DELIVERIES = f"{BASE}/webhook_endpoints", f"{BASE}/webhook_deliveries"


def made(client: APIClient, **body: Any) -> dict[str, Any]:
    response = client.post(ENDPOINTS, {"url": URL} | body)
    assert response.status_code == 201, response.content
    found: dict[str, Any] = response.json()
    return found


class TestEndpoints:
    def test_the_secret_is_shown_once(self) -> None:
        client = caller()
        first = made(client, event_types=["billing.invoice.*"], description="Ours", external_id="main")
        secret = first.pop("secret")
        found = WebhookEndpoint.objects.get()
        assert endpoints.signing_secrets(found, at=NOW()) == [secret]
        address = f"{ENDPOINTS}/{first['id']}"
        assert client.get(address).json() == first
        assert client.get(f"{ENDPOINTS}/external_id:main").json() == first
        assert client.get(ENDPOINTS).json()["results"] == [first]
        assert first["id"].startswith("whe_")
        assert {name: first[name] for name in ("url", "event_types", "description", "enabled", "api_version")} == {
            "url": URL,
            "event_types": ["billing.invoice.*"],
            "description": "Ours",
            "enabled": True,
            "api_version": "v1",
        }
        assert "secret" not in client.patch(address, {"description": "Theirs"}).json()

    def test_the_same_key_answers_the_same_secret_and_keeps_it_sealed(self) -> None:
        client = caller()
        answers = [client.post(ENDPOINTS, {"url": URL}, headers={"Idempotency-Key": "k"}) for _ in range(2)]
        assert answers[0].content == answers[1].content
        assert answers[1].headers["Idempotency-Replayed"] == "true"
        assert WebhookEndpoint.objects.count() == 1
        assert answers[0].json()["secret"] not in str(IdempotencyRecord.objects.get().body)

    def test_one_is_changed_switched_off_and_on_and_deleted(self) -> None:
        client = caller()
        address = f"{ENDPOINTS}/{made(client)['id']}"
        off = client.patch(address, {"enabled": False}).json()
        assert (off["enabled"], off["disabled_reason"]) == (False, "manual")
        assert off["disabled_at"].endswith("Z")
        on = client.patch(address, {"enabled": True, "event_types": []}).json()
        assert (on["enabled"], on["disabled_at"], on["disabled_reason"]) == (True, None, "")
        assert client.delete(address).status_code == 204
        assert client.get(address).status_code == 404
        types = Event.objects.order_by("position").values_list("type", flat=True)
        assert [name.rpartition(".")[2] for name in types if name.startswith("webhook")] == [
            "created",
            "changed",
            "changed",
            "removed",
        ]

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            ({}, ("required", "url")),
            ({"url": "http://hooks.example.com"}, ("invalid", "url")),
            ({"url": "https://169.254.169.254/latest"}, ("invalid", "url")),
            ({"url": "https://localhost/"}, ("invalid", "url")),
            ({"url": URL, "event_types": ["invoice paid"]}, ("invalid", "event_types")),
            ({"url": URL, "event_types": "billing"}, ("not_a_list", "event_types")),
            ({"url": URL, "api_version": "v9"}, ("invalid_choice", "api_version")),
            ({"url": URL, "secret": "mine"}, ("unknown_field", "secret")),
            ({"url": URL, "failing_since": "2026-01-01T00:00:00Z"}, ("read_only", "failing_since")),
        ],
    )
    def test_a_wrong_one_is_refused(self, body: dict[str, Any], expected: tuple[str, str]) -> None:
        assert problem(caller().post(ENDPOINTS, body), status=400) == expected
        assert not WebhookEndpoint.objects.exists()

    def test_a_rotation_shows_the_new_secret_once(self) -> None:
        client = caller()
        first = made(client)
        second = client.post(f"{ENDPOINTS}/{first['id']}/secret_rotation", {"overlap_hours": 2}).json()
        found = WebhookEndpoint.objects.get()
        assert endpoints.signing_secrets(found, at=NOW()) == [second["secret"], first["secret"]]
        assert second["previous_valid_until"] is not None
        refused = client.post(f"{ENDPOINTS}/{first['id']}/secret_rotation", {"overlap_hours": 169})
        assert problem(refused, status=400) == ("max_value", "overlap_hours")

    def test_a_ping_is_a_delivery(self) -> None:
        client = caller()
        address = f"{ENDPOINTS}/{made(client)['id']}"
        answer = client.post(f"{address}/ping")
        assert (answer.status_code, answer.json()["event_type"]) == (201, "webhook_endpoint.pinged")
        client.patch(address, {"enabled": False})
        assert problem(client.post(f"{address}/ping"), status=409) == ("endpoint_disabled", None)

    def test_a_replay_says_how_many_deliveries_were_queued(self) -> None:
        found = endpoint(event_types=["billing.*"])
        happen()
        happen()
        deliver(send=lambda request: Answer(status=200))
        client, address = caller(), f"{ENDPOINTS}/{found.public_id}/replay"
        since = (NOW() - timedelta(hours=1)).isoformat()
        assert client.post(address, {"since": since}).json() == {"deliveries": 2}
        assert client.post(address, {"since": since, "only_failed": True}).json() == {"deliveries": 0}
        assert problem(client.post(address, {}), status=400) == ("required", "since")
        assert problem(client.post(address, {"since": "2020-01-01T00:00:00Z"}), status=400) == ("invalid", "since")


class TestDeliveries:
    def test_they_tell_of_every_attempt(self) -> None:
        found = endpoint()
        event = happen()
        deliver(send=refusing)
        deliver(timedelta(seconds=10), send=lambda request: Answer(200, "thanks", "", 12))
        shown = caller(scope="read").get(f"{DELIVERIES}/{only().public_id}").json()
        log = shown.pop("attempt_log")
        assert {name: shown[name] for name in ("endpoint", "event", "event_type", "status", "attempts")} == {
            "endpoint": found.public_id,
            "event": event.public_id,
            "event_type": "billing.invoice.paid",
            "status": "succeeded",
            "attempts": 2,
        }
        assert [(one["number"], one["response_status"], one["response_excerpt"], one["error"]) for one in log] == [
            (1, 503, "", "It answered 503."),
            (2, 200, "thanks", ""),
        ]

    def test_they_are_found_by_endpoint_event_and_status(self) -> None:
        first, second = endpoint(), endpoint(url="https://second.example.com/", event_types=["user.changed"])
        paid, changed = happen(), happen("user.changed")
        deliver(send=lambda request: Answer(status=200 if "second" in request.url else 500))
        client = caller()

        def found(**query: str) -> list[tuple[str, str]]:
            results = client.get(DELIVERIES, query).json()["results"]
            return [(row["endpoint"], row["event"]) for row in results]

        assert found(endpoint=second.public_id) == [(second.public_id, changed.public_id)]
        assert found(event=paid.public_id) == [(first.public_id, paid.public_id)]
        assert found(status="succeeded") == [(second.public_id, changed.public_id)]
        assert len(found()) == 3
        assert problem(client.get(DELIVERIES, {"state": "x"}), status=400) == ("unknown_parameter", "state")

    def test_a_list_takes_a_fixed_number_of_questions(self, django_assert_max_num_queries: Any) -> None:
        endpoint()
        for _ in range(12):
            happen()
        deliver(send=refusing)
        client = caller()
        with django_assert_max_num_queries(5):
            assert len(client.get(DELIVERIES).json()["results"]) == 12

    def test_one_is_sent_again(self) -> None:
        endpoint()
        happen()
        deliver(send=lambda request: Answer(status=200))
        answer = caller().post(f"{DELIVERIES}/{only().public_id}/redelivery")
        assert (answer.status_code, answer.json()["status"]) == (200, "pending")
        assert only().next_attempt_at is not None


class TestWhoMay:
    @pytest.fixture
    def world_of_one(self) -> dict[str, str]:
        found = endpoint()
        happen()
        deliveries.fan_out(at=NOW())
        return {"endpoint": f"{ENDPOINTS}/{found.public_id}", "delivery": f"{DELIVERIES}/{only().public_id}"}

    def test_others_find_nothing_and_change_nothing(self, world_of_one: dict[str, str]) -> None:
        for person in (world.ann(), world.otto(), world.max_manager()):
            client = caller(user=person)
            assert client.get(ENDPOINTS).json()["results"] == []
            assert client.get(DELIVERIES).json()["results"] == []
            assert [client.get(address).status_code for address in world_of_one.values()] == [404, 404]
            writes = [
                client.post(ENDPOINTS, {"url": URL}),
                client.patch(world_of_one["endpoint"], {"enabled": False}),
                client.delete(world_of_one["endpoint"]),
                *(client.post(f"{world_of_one['endpoint']}/{verb}") for verb in ("secret_rotation", "replay", "ping")),
                client.post(f"{world_of_one['delivery']}/redelivery"),
            ]
            assert {response.status_code for response in writes} == {403}
        assert WebhookEndpoint.objects.get().enabled

    def test_founders_may_all(self, world_of_one: dict[str, str]) -> None:
        client = caller(user=world.fay())
        assert [client.get(address).status_code for address in world_of_one.values()] == [200, 200]
        assert client.post(f"{world_of_one['endpoint']}/ping").status_code == 201

    def test_a_key_that_reads_changes_nothing(self, world_of_one: dict[str, str]) -> None:
        client = caller(scope="read")
        assert client.get(world_of_one["endpoint"]).status_code == 200
        assert client.post(f"{world_of_one['endpoint']}/ping").status_code == 403
        assert caller(scope="usage").get(ENDPOINTS).status_code == 403

    def test_a_stale_change_is_refused(self, world_of_one: dict[str, str]) -> None:
        client = caller()
        stale = client.patch(world_of_one["endpoint"], {"description": "x"}, headers={"If-Match": '"9"'})
        assert stale.status_code == 409
        assert WebhookDelivery.objects.count() == 1
