"""Doctor: a sentence and a remedy for everything that is not in order, and an exit code for scripts."""

import io
from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.management import call_command
from django.db import connection, transaction

from billing.models import BillingRun, Customer, GatewayEvent, Subscription
from gtm import env
from gtm.health import checks, servers
from gtm.health.findings import ERROR, OK, WARNING, Finding, worst
from gtm.shared import db, ids
from gtm.shared.models import Event, Mail, PendingFact, Pulse, TestClock
from tests.billing import makers
from tests.smtp import post_office

pytestmark = pytest.mark.django_db


def finding(name: str) -> Finding:
    return next(found for found in checks.diagnose() if found.name == name)


def state(name: str) -> str:
    return finding(name).state


def doctor() -> tuple[str, int]:
    out = io.StringIO()
    try:
        call_command("doctor", stdout=out)
    except SystemExit as end:
        return out.getvalue(), int(end.code or 0)
    return out.getvalue(), 0


def all_alive() -> None:
    Pulse.objects.create(name="worker:celery@here", beat_at=db.now())
    Pulse.objects.create(name="beat", beat_at=db.now())


class TestDoctor:
    def test_it_ends_well_when_nothing_fails(self) -> None:
        all_alive()
        said, code = doctor()
        assert code == 0
        assert "ok    Database" in said
        assert "FAIL" not in said

    def test_it_says_what_to_do_and_fails(self) -> None:
        said, code = doctor()
        assert code == 1
        assert "FAIL  Worker" in said
        assert "No worker has ever given a sign of life." in said
        assert "-> Start web, worker and beat with make run" in said

    @pytest.mark.django_db(transaction=True)
    def test_it_still_speaks_when_the_database_is_away(self) -> None:
        connection.close()
        host, connection.settings_dict["HOST"] = connection.settings_dict["HOST"], "/nonexistent"
        try:
            said, code = doctor()
        finally:
            connection.close()
            connection.settings_dict["HOST"] = host
        assert code == 1
        assert "FAIL  Database" in said
        assert "correct DATABASE_URL" in said
        assert "ok    Broker" in said

    def test_every_complaint_comes_with_a_remedy(self) -> None:
        assert all(found.remedy for found in checks.diagnose() if found.state != OK)


class TestServers:
    def test_the_broker_fails_without_giving_its_password_away(self, settings: LazySettings) -> None:
        settings.REDIS_URL = "redis://:secret@127.0.0.1:1/0"
        found = finding("Broker")
        assert found.state == ERROR
        assert "secret" not in found.sentence

    def test_missing_migrations_are_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(servers, "_known_migrations", lambda: frozenset({("billing", "9999_to_come")}))
        found = finding("Migrations")
        assert (found.state, found.remedy) == (ERROR, "Run manage.py migrate.")
        assert "billing.9999_to_come" in found.sentence

    @pytest.mark.parametrize(("seconds", "expected"), [(0, OK), (5, WARNING), (60, ERROR)])
    def test_the_clocks_are_compared(self, seconds: int, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
        real = db.now
        monkeypatch.setattr(db, "now", lambda: real() + timedelta(seconds=seconds))
        assert servers.clock().state == expected


class TestEmail:
    def test_no_server_is_a_warning_that_counts_what_waits(self, settings: LazySettings) -> None:
        settings.EMAIL_URL = ""
        mail()
        found = finding("E-mail")
        assert found.state == WARNING
        assert found.sentence.endswith("to be read in the admin: 1.")

    def test_a_server_that_takes_mail_is_fine(self, settings: LazySettings) -> None:
        with post_office() as office:
            send_through(settings, office.url)
            assert state("E-mail") == OK

    def test_a_server_that_is_away_fails(self, settings: LazySettings) -> None:
        send_through(settings, "smtp://user:secret@127.0.0.1:1")
        found = finding("E-mail")
        assert found.state == ERROR
        assert "secret" not in found.sentence

    def test_messages_that_nobody_knows_of_are_told(self, settings: LazySettings) -> None:
        mail(status=Mail.Status.UNKNOWN)
        with post_office() as office:
            send_through(settings, office.url)
            assert state("E-mail") == WARNING


class TestGateway:
    def test_the_sandbox_is_fine_on_loopback(self) -> None:
        assert state("Card gateway") == OK

    def test_the_sandbox_is_a_warning_elsewhere(self, settings: LazySettings) -> None:
        settings.BASE_URL = "https://billing.vendor.example"
        assert state("Card gateway") == WARNING

    def test_keys_need_each_other_and_a_webhook_secret(self, settings: LazySettings) -> None:
        settings.STRIPE_SECRET_KEY = "sk_live_123"
        assert "STRIPE_PUBLISHABLE_KEY" in finding("Card gateway").sentence
        settings.STRIPE_PUBLISHABLE_KEY = "pk_live_123"
        assert "No webhook secret" in finding("Card gateway").sentence
        settings.STRIPE_WEBHOOK_SECRETS = ["whsec_1"]
        assert finding("Card gateway").state == OK
        settings.STRIPE_TEST_SECRET_KEY = "sk_live_456"
        assert (finding("Card gateway").state, "456" in finding("Card gateway").sentence) == (ERROR, False)

    def test_events_that_nobody_could_deal_with_are_told(self) -> None:
        assert finding("Gateway events").sentence == "No event has come yet."
        told = {"gateway": "stripe", "type": "charge.dispute.created", "due_at": None}
        GatewayEvent.objects.create(event_id="evt_1", status="processed", **told)
        assert finding("Gateway events").state == OK
        GatewayEvent.objects.create(event_id="evt_2", status="failed", error="AnswerLost", **told)
        assert finding("Gateway events").state == WARNING
        assert "charge.dispute.created: AnswerLost" in finding("Gateway events").sentence


class TestSignsOfLife:
    @pytest.mark.parametrize(("name", "pulse"), [("Worker", "worker:celery@here"), ("Beat", "beat")])
    @pytest.mark.parametrize(("seconds", "expected"), [(5, OK), (60, WARNING), (600, ERROR)])
    def test_silence_is_told(self, name: str, pulse: str, seconds: int, expected: str) -> None:
        Pulse.objects.create(name=pulse, beat_at=db.now() - timedelta(seconds=seconds))
        assert state(name) == expected

    def test_one_living_worker_is_enough(self) -> None:
        Pulse.objects.create(name="worker:old", beat_at=db.now() - timedelta(hours=3))
        Pulse.objects.create(name="worker:new", beat_at=db.now())
        assert state("Worker") == OK


class TestWork:
    @pytest.mark.parametrize(("attempts", "expected"), [(1, WARNING), (3, ERROR)])
    def test_a_failing_handler_is_told_with_its_words(self, attempts: int, expected: str) -> None:
        pending(attempts=attempts, last_error="crm.handlers.customer_created: Conflict: no queue\nmore")
        found = finding("Facts")
        assert found.state == expected
        assert "Conflict: no queue." in found.sentence

    def test_facts_that_nobody_deals_with_are_told(self) -> None:
        pending(next_attempt_at=db.now() - timedelta(minutes=5))
        found = finding("Facts")
        assert (found.state, found.sentence) == (WARNING, "Facts waiting: 1, the oldest for 5 minutes.")

    def test_facts_of_a_test_clock_wait_for_nobody(self) -> None:
        clock = makers.clock()
        pending(test_clock_id=clock.pk, next_attempt_at=db.now() - timedelta(hours=5))
        assert state("Facts") == OK

    def test_a_job_that_failed_last_is_told_until_it_succeeds(self) -> None:
        now = db.now()
        job = Pulse.objects.create(
            name="job:bill what is due",
            last_succeeded_at=now - timedelta(minutes=1),
            last_failed_at=now,
            last_error="Conflict: no legal entity",
        )
        assert finding("Jobs").sentence == "The job “bill what is due” failed: Conflict: no legal entity."
        job.last_succeeded_at = now + timedelta(seconds=1)
        job.save()
        assert state("Jobs") == OK

    def test_a_job_that_no_longer_runs_is_told(self) -> None:
        Pulse.objects.create(name="job:bill what is due", last_succeeded_at=db.now() - timedelta(hours=1))
        assert state("Jobs") == WARNING

    def test_a_failed_bill_run_is_told(self) -> None:
        BillingRun.objects.create(cutoff=db.now(), status=BillingRun.Status.FAILED, last_error="no legal entity")
        assert state("Bill runs") == ERROR
        BillingRun.objects.create(cutoff=db.now(), status=BillingRun.Status.DONE)
        assert state("Bill runs") == OK

    def test_a_run_that_is_silent_is_told(self) -> None:
        BillingRun.objects.create(cutoff=db.now(), started_at=db.now() - timedelta(hours=9))
        assert state("Bill runs") == OK
        BillingRun.objects.update(seen_at=db.now() - timedelta(minutes=4))
        assert finding("Bill runs").sentence == (
            "The bill run that is under way has given no sign of life for 4 minutes."
        )

    def test_books_that_disagree_are_told(self) -> None:
        """On the page as the last run found them, by doctor as they are now."""
        assert state("Books") == OK
        found = [
            {"name": "invoice_adds_up", "found": ["inv_1", "inv_2"]},
            {"name": "usage_was_billed", "error": "QueryCanceled"},
        ]
        BillingRun.objects.create(cutoff=db.now(), checks=found)
        assert finding("Books").sentence == (
            "Invoices whose lines or taxes don't sum to them: inv_1, inv_2. Other checks that found something: 1."
        )
        assert state("Books") == ERROR
        assert "ok    Books" in doctor()[0]
        makers.subscribed(makers.customer(), plan=makers.published_plan())
        Subscription.objects.update(mrr=1)
        assert "FAIL  Books" in doctor()[0]

    def test_parked_customers_are_told_with_the_reason(self) -> None:
        Customer.objects.filter(pk=makers.customer().pk).update(
            parked_at=db.now(), parked_reason="The country is unknown."
        )
        assert finding("Parked customers").sentence == "1 customer is not billed: The country is unknown."

    def test_a_failed_test_clock_is_told(self) -> None:
        makers.clock(status=TestClock.Status.FAILED, last_error="RuntimeError: stuck", name="a year")
        assert "“a year” failed: RuntimeError: stuck." in finding("Test clocks").sentence


def test_the_worst_finding_counts() -> None:
    states = [Finding("a", OK, ""), Finding("b", ERROR, ""), Finding("c", WARNING, "")]
    assert worst(states) == ERROR
    assert worst([]) == OK


def mail(status: str = Mail.Status.QUEUED) -> None:
    Mail.objects.create(recipient="cora@acme.example", template="x", message_id=str(ids.uuid7()), status=status)


def pending(**fields: Any) -> None:
    with transaction.atomic():
        event = Event.objects.create(
            type="test.happened", object_type="vendor", object_id=ids.uuid7(), actor="system", occurred_at=db.now()
        )
        PendingFact.objects.create(event=event, **fields)


def send_through(settings: LazySettings, url: str) -> None:
    settings.EMAIL_URL = url
    for name, value in env.email(url).items():
        setattr(settings, name, value)
