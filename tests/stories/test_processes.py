"""Usage to alert with web, worker and beat as processes of their own, and with some of them killed.

Deadlines are polling limits, not measurements.
"""

import json
import time
import urllib.request
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from billing import catalog, subscriptions
from billing.models import Subscription
from crm import accounts
from crm.models import Alert
from gtm import processes as own
from gtm.health.checks import diagnose
from gtm.servers import Valkey
from gtm.shared import db, keys, vendors
from gtm.shared.models import ApiKey, Mail, PendingFact, User, Vendor
from signals.models import Signal
from tests import world
from tests.billing import makers as billing
from tests.crm import makers as crm
from tests.running import Processes, Started, wait_until
from tests.smtp import PostOffice, post_office

SOON = 60
ANN = "ann@vendor.example"
PERIOD_LEFT = timedelta(seconds=45)
pytestmark = [pytest.mark.processes, pytest.mark.slow]


@pytest.fixture
def office() -> Iterator[PostOffice]:
    with post_office() as office:
        yield office


@pytest.fixture
def ann(processes: Processes) -> User:
    ann = world.ann()
    crm.sales(ann)
    return ann


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Valkey]:
    """A broker of this test's own, to be killed."""
    valkey = Valkey(tmp_path, private=True)
    valkey.ensure()
    yield valkey
    valkey.stop()


class TestUsageToAlert:
    def test_it_takes_seconds_and_tells_once_in_each_period(
        self, processes: Processes, ann: User, office: PostOffice
    ) -> None:
        web = processes.start("web")
        processes.start("worker", EMAIL_URL=office.url)
        processes.start("beat")
        subscription = subscribe(left=PERIOD_LEFT)
        send = Sender(web, subscription)

        assert send(range(800)) == (800, 0)
        wait_until(no_fact_waits, what="end of the facts")
        assert not Alert.objects.exists()

        assert send(range(800, 801)) == (1, 0)
        wait_until(Alert.objects.exists, what="alert", seconds=SOON)
        assert Alert.objects.get().owner == ann
        assert "used 801 of 1,000 API calls (80.1 %)" in Alert.objects.get().evidence

        wait_until(lambda: db.now() > subscription.current_period_end, what="end of the period")
        wait_until(lambda: renewed(subscription), what="renewal by the bill run that beat asks for")
        assert send(range(801, 1621)) == (820, 0)
        wait_until(lambda: Alert.objects.count() == 2, what="second alert", seconds=SOON)

        assert send(range(1621)) == (0, 1621)
        self._nothing_more_comes(office)

    def _nothing_more_comes(self, office: PostOffice) -> None:
        wait_until(lambda: office.recipients.count(ANN) == 2, what="mail", seconds=3 * SOON)
        time.sleep(7)  # two rounds of the relay and more
        assert no_fact_waits()
        assert Signal.objects.count() == Alert.objects.count() == 2
        alerts = Mail.objects.filter(template="alert")
        assert list(alerts.values_list("status", flat=True)) == [Mail.Status.SENT] * 2
        assert office.recipients.count(ANN) == 2
        states = {finding.name: finding.state for finding in diagnose()}
        assert {states[name] for name in ("Worker", "Beat", "Facts", "Jobs", "Broker")} == {"ok"}, states


class TestKilledBetweenEventAndAlert:
    def test_the_alert_arrives_once_after_the_restart(
        self, processes: Processes, ann: User, office: PostOffice, broker: Valkey
    ) -> None:
        there = {"REDIS_URL": broker.url, "EMAIL_URL": office.url}
        web = processes.start("web", **there)
        worker, beat = processes.start("worker", **there), processes.start("beat", **there)
        send = Sender(web, subscribe(left=timedelta(days=3)))
        wait_until(no_fact_waits, what="end of the facts")

        beat.kill()
        worker.kill()
        assert send(range(801)) == (801, 0)
        own.end(broker.process())  # by SIGKILL: the message to the worker is gone with it
        assert send(range(801, 842)) == (41, 0)
        assert not Alert.objects.exists()
        assert PendingFact.objects.exists()

        broker.ensure()
        processes.start("worker", **there)
        processes.start("beat", **there)
        wait_until(lambda: ANN in office.recipients, what="mail")
        time.sleep(7)  # two rounds of the relay and more
        assert no_fact_waits()
        assert Signal.objects.count() == Alert.objects.count() == 1
        assert Mail.objects.get(template="alert").status == Mail.Status.SENT
        assert office.recipients.count(ANN) == 1
        assert send(range(842)) == (0, 842)


class Sender:
    """The vendor's product: reports API calls to the web process, over HTTP."""

    def __init__(self, web: Started, subscription: Subscription) -> None:
        self.web = web
        self.customer = subscription.customer.public_id
        _key, self.key = keys.issue(name="product", scope=ApiKey.Scope.USAGE)

    def __call__(self, numbers: range) -> tuple[int, int]:
        """How many were accepted, and how many were known."""
        events = [{"id": f"call-{number}", "name": "api.call", "customer": self.customer} for number in numbers]
        answer = self._post({"events": events})
        assert answer["rejected"] == []
        return answer["accepted"], answer["duplicates"]

    def _post(self, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        address, content = f"{self.web.url}/api/v1/usage_events", json.dumps(body).encode()
        request = urllib.request.Request(address, content, headers)  # noqa: S310 -- an address of this machine
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return dict(json.load(answer))


def subscribe(*, left: timedelta) -> Subscription:
    """Acme, of 250, by the week with 1,000 API calls in each; its period ends when so much time has passed."""
    vendors.change(proration_unit=Vendor.ProrationUnit.SECOND)
    at = db.now()
    started = at - timedelta(days=7) + left
    plan = billing.published_plan(at=started)
    billing.price(plan=plan, at=started, code="pro-week", interval="week", unit_amount=1500)
    catalog.publish(plan=plan, at=started)
    customer = billing.customer(at=started, email="cora@acme-widgets.com", traits={"employee_count": 250})
    billing.card(customer, at=started)
    subscription = subscriptions.create(customer=customer, plan=plan, interval="week", start_at=started, at=started)
    accounts.for_customer(customer=customer, at=started)
    assert subscription.current_period_end == started + timedelta(days=7)
    return subscription


def renewed(subscription: Subscription) -> datetime | None:
    following = Subscription.objects.filter(pk=subscription.pk, current_period_start=subscription.current_period_end)
    return following.values_list("current_period_end", flat=True).first()


def no_fact_waits() -> bool:
    return not PendingFact.objects.exists()
