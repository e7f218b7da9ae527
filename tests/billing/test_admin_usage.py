"""Usage in the back office: events looked up and voided, corrections read, and lines opened to their hours."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from billing import usage
from billing.models import InvoiceLine, UsageCorrection, UsageEvent
from tests import world
from tests.backoffice import address, errors, facts, signed_in, submit
from tests.billing import makers
from tests.billing.metered import MeteredLife

pytestmark = pytest.mark.django_db
MARCH = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def founder() -> Client:
    makers.meter()
    acme = makers.customer(name="Acme", external_id="acme")
    events = [
        makers.usage_event(acme, f"a/{n}", timestamp=MARCH.replace(day=n), properties={"path": "<b>"}) for n in (1, 2)
    ]
    usage.record(events=events, at=MARCH.replace(month=4))
    return signed_in(world.fay())


def found(client: Client, **asked: Any) -> list[str]:
    page = client.get(address("billing_usage_events"), asked)
    assert page.status_code == 200
    return [row["event"].id for row in page.context["rows"]]


class TestLookUp:
    def test_by_id_by_customer_and_by_time(self, founder: Client) -> None:
        assert found(founder) == []
        assert found(founder, id="a/1") == ["a/1"]
        assert found(founder, id="nothing") == []
        days = {"since": "2026-03-01", "until": "2026-03-02"}
        for name in ("acme", "external_id:acme"):
            assert found(founder, customer=name, **days) == ["a/2", "a/1"]
        assert found(founder, customer="Acme", since="2026-03-02", until="2026-03-02") == ["a/2"]
        assert found(founder, customer="Acme", until="2026-05-01") == []

    def test_says_that_there_is_no_such_customer(self, founder: Client) -> None:
        page = founder.get(address("billing_usage_events"), {"customer": "Nobody"})
        assert errors(page)["customer"] == ["There is no such customer."]

    def test_shows_what_events_say_as_text(self, founder: Client) -> None:
        page = founder.get(address("billing_usage_events"), {"id": "a/1"}).content.decode()
        assert "path: &lt;b&gt;" in page


class TestVoid:
    def test_takes_a_reason_and_is_a_fact(self, founder: Client) -> None:
        path = f"{address('billing_usage_void')}?id=a%2F1"
        assert errors(submit(founder, path))["reason"]
        answer = submit(founder, path, reason="Sent twice.")
        assert answer.status_code == 302
        assert facts()[-1] == "billing.usage.corrected"
        correction = UsageCorrection.objects.get()
        assert (correction.event_id, correction.reason) == ("a/1", "Sent twice.")
        assert correction.actor.startswith("user:usr_")
        assert UsageEvent.objects.count() == 1
        assert founder.get(path).status_code == 404
        log = founder.get(address("billing_usagecorrection_changelist")).content.decode()
        assert "Sent twice." in log
        assert "Acme" in log
        assert founder.get(address("billing_usagecorrection_change", correction.pk)).status_code == 200

    def test_is_not_for_reps(self, founder: Client) -> None:
        rep = signed_in(world.ann())
        for page in ("billing_usage_events", "billing_usage_void"):
            assert rep.get(f"{address(page)}?id=a%2F1").status_code == 404


class TestLine:
    def test_opens_to_days_hours_and_events(self) -> None:
        life = MeteredLife.begin_metered(model="per_unit", unit_amount=10)
        life.report(("a", "2026-01-10T00:10:00Z", 4), ("b", "2026-01-10T05:00:00Z", 6))
        life.until("2026-02-01T02:00:00Z")
        line = InvoiceLine.objects.get()
        client = signed_in(world.fay())
        invoice = client.get(address("billing_invoice_change", line.invoice_id)).content.decode()
        path = address("billing_usage_line", line.pk)
        assert path in invoice
        assert [one.quantity for one in client.get(path).context["shown"].buckets] == [10]
        assert [one.quantity for one in client.get(path, {"by": "hour"}).context["shown"].buckets] == [4, 6]
        events = client.get(path, {"by": "event", "hour": "2026-01-10T05:00:00+00:00"})
        assert [one.event for one in events.context["shown"].events] == ["b"]
        for wrong in ({"by": "year"}, {"hour": "noon"}, {"hour": "2027-01-01T00:00:00+00:00"}):
            assert client.get(path, wrong).status_code == 404
