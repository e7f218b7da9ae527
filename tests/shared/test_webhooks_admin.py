"""Webhooks in the back office: the secret on one page, states in words, what was sent, and again at a button."""

from datetime import timedelta

import pytest
from django.test import Client

from gtm.health import checks
from gtm.health.findings import OK, WARNING, Finding
from gtm.shared import sealing
from gtm.shared.models import UnsentFact, WebhookDelivery, WebhookEndpoint
from gtm.shared.webhooks import deliveries, endpoints
from gtm.shared.webhooks.transport import Answer
from tests import world
from tests.backoffice import address, errors, facts, signed_in, submit
from tests.shared.webhooks_world import NOW, deliver, endpoint, happen, only, refusing

pytestmark = pytest.mark.django_db


@pytest.fixture
def founder() -> Client:
    return signed_in(world.fay())


class TestEndpoints:
    def test_one_is_made_and_its_secret_shown_on_one_page(self, founder: Client) -> None:
        values = {"url": "https://hooks.example.com/in", "event_types": "billing.invoice.*\ncrm.lead.created"}
        page = submit(founder, address("shared_webhookendpoint_add"), **values)
        found = WebhookEndpoint.objects.get()
        secret = sealing.unseal(found.sealed_secret)
        assert found.event_types == ["billing.invoice.*", "crm.lead.created"]
        assert secret in page.content.decode()
        assert "no-store" in page["Cache-Control"]
        assert secret not in founder.get(address("shared_webhookendpoint_change", found.pk)).content.decode()

    def test_a_wrong_one_is_refused_at_its_field(self, founder: Client) -> None:
        page = submit(founder, address("shared_webhookendpoint_add"), url="https://10.0.0.1/")
        assert errors(page) == {"url": ["10.0.0.1 is no public address."]}
        page = submit(founder, address("shared_webhookendpoint_add"), url="https://a.example/", event_types="A")
        assert "event_types" in errors(page)
        assert not WebhookEndpoint.objects.exists()

    def test_a_new_secret_is_shown_on_one_page(self, founder: Client) -> None:
        found = endpoint()
        page = submit(founder, address("shared_webhookendpoint_rotate_secret", found.pk), hours="0")
        found.refresh_from_db()
        (secret,) = endpoints.signing_secrets(found, at=NOW())
        assert secret in page.content.decode()
        assert "no-store" in page["Cache-Control"]
        assert facts("webhook_endpoint.secret_rotated")

    def test_it_is_tried_out_replayed_and_removed(self, founder: Client) -> None:
        found = endpoint()
        happen()
        submit(founder, address("shared_webhookendpoint_ping", found.pk))
        assert only().event.type == "webhook_endpoint.pinged"
        submit(founder, address("shared_webhookendpoint_replay", found.pk))
        assert WebhookDelivery.objects.count() == 2
        founder.post(address("shared_webhookendpoint_delete", found.pk), {"post": "yes"})
        assert not WebhookEndpoint.objects.exists()
        assert facts("webhook_endpoint.removed")

    def test_its_page_says_how_it_fails_and_since_when(self, founder: Client) -> None:
        found = endpoint()
        happen()
        deliver(send=refusing)
        page = founder.get(address("shared_webhookendpoint_change", found.pk)).content.decode()
        assert "It has failed since" in page
        assert "It answered 503." in page
        shown = founder.get(address("shared_webhookendpoint_changelist")).content.decode()
        assert "It answered 503." in shown

    def test_switched_on_again_it_starts_afresh(self, founder: Client) -> None:
        found = endpoint()
        happen()
        deliver(send=refusing)
        endpoints.review(at=NOW() + timedelta(days=4))
        endpoints.review(at=NOW() + timedelta(days=6))
        path = address("shared_webhookendpoint_change", found.pk)
        assert "switched off after failing" in founder.get(path).content.decode()
        submit(founder, path, enabled="on")
        found.refresh_from_db()
        assert (found.enabled, found.failing_since) == (True, None)


class TestDeliveries:
    def test_one_shows_request_and_answers_and_is_sent_again(self, founder: Client) -> None:
        endpoint()
        event = happen(data={"amount": 5})
        deliver(send=lambda request: Answer(500, "<b>oh</b>", "It answered 500.", 12))
        path = address("shared_webhookdelivery_change", only().pk)
        page = founder.get(path).content.decode()
        assert f"webhook-id: {event.public_id}" in page
        assert "&quot;data&quot;:{&quot;amount&quot;:5}" in page
        assert "&lt;b&gt;oh&lt;/b&gt;" in page
        assert "12 ms" in page
        submit(founder, address("shared_webhookdelivery_redeliver", only().pk))
        assert only().failures == 0
        assert facts("webhook_endpoint.redelivered")

    def test_they_are_found_by_the_facts_id(self, founder: Client) -> None:
        endpoint()
        first, second = happen("billing.first.one"), happen("billing.second.one")
        deliveries.fan_out(at=NOW())
        for asked in (first.public_id, "billing.first"):
            page = founder.get(address("shared_webhookdelivery_changelist"), {"q": asked}).content.decode()
            assert first.public_id in page
            assert second.public_id not in page


class TestHealth:
    def finding(self) -> Finding:
        return next(found for found in checks.diagnose() if found.name == "Webhooks")

    def test_all_is_well_and_what_waits_is_counted(self) -> None:
        endpoint()
        happen()
        deliver(send=refusing)
        assert (self.finding().state, self.finding().sentence) == (
            OK,
            "Deliveries waiting for their next attempt: 1.",
        )

    def test_an_endpoint_that_fails_for_an_hour_is_named_by_its_host(self) -> None:
        endpoint(url="https://hooks.example.com/token")
        WebhookEndpoint.objects.update(failing_since=NOW() - timedelta(hours=2))
        assert (self.finding().state, self.finding().sentence) == (WARNING, "Failing for 2 hours: hooks.example.com.")

    def test_one_that_was_given_up_is_told_until_it_is_switched_on(self) -> None:
        found = endpoint()
        WebhookEndpoint.objects.update(enabled=False, disabled_at=NOW(), disabled_reason="failing")
        assert self.finding().sentence == "Switched off after failing for days: hooks.example.com."
        endpoints.change(endpoint=found, at=NOW(), enabled=True)
        assert self.finding().state == OK

    def test_what_nobody_sends_is_told(self) -> None:
        endpoint()
        event = happen()
        deliveries.fan_out(at=NOW())
        WebhookDelivery.objects.update(next_attempt_at=NOW() - timedelta(minutes=10))
        assert self.finding().sentence == "Deliveries that should have left by now: 1."
        WebhookDelivery.objects.all().delete()
        UnsentFact.objects.create(position=event.position)
        assert self.finding().state == OK

    def test_founders_see_how_many_wait(self, founder: Client) -> None:
        endpoint()
        happen()
        deliveries.fan_out(at=NOW())
        page = founder.get("/health/")
        assert page.context["waiting"]["webhooks"] == 1
        assert "Webhook deliveries" in page.content.decode()
