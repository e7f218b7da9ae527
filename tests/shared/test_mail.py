"""Mail against a real SMTP server: at most once, whatever is refused, breaks off or is killed."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connections, transaction

from gtm import env
from gtm.shared import db, errors, mail, outbox
from gtm.shared.models import Event, Mail, PendingFact, TestClock, Vendor
from tests import children
from tests.smtp import PostOffice, post_office

JAN_1 = datetime(2026, 1, 1, tzinfo=UTC)
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _templates(settings: LazySettings, tmp_path: Path) -> None:
    emails = tmp_path / "emails"
    emails.mkdir()
    (emails / "greeting.subject").write_text("Hello {{ name }}\n  from {{ vendor.name }}\n")
    (emails / "greeting.txt").write_text("Good day, {{ name }}. See {{ base_url }}.")
    (emails / "greeting.html").write_text("<p>Good day, {{ name }}.</p>")
    engine = settings.TEMPLATES[0]
    settings.TEMPLATES = [engine | {"DIRS": [tmp_path, *engine["DIRS"]]}]


@pytest.fixture
def office(settings: LazySettings) -> Iterator[PostOffice]:
    with post_office() as office:
        send_through(settings, office.url)
        yield office


def send_through(settings: LazySettings, url: str, **more: Any) -> None:
    settings.EMAIL_URL = url
    for name, value in (env.email(url) | more).items():
        setattr(settings, name, value)


def queue(**fields: Any) -> Mail:
    defaults = {"event": None, "recipient": "cora@acme.example", "template": "greeting", "context": {"name": "Cora"}}
    with transaction.atomic():
        queued = mail.queue(**defaults | fields)
    assert queued is not None
    return queued


def event() -> Event:
    with transaction.atomic():
        return outbox.publish("test.unheard", Vendor(pk=1), at=JAN_1)


def due_now() -> None:
    Mail.objects.update(next_attempt_at=db.now() - timedelta(seconds=1))


class TestQueue:
    def test_it_renders_subject_text_and_html(self) -> None:
        written = queue(recipient="Cora@Acme.example")
        assert written.recipient == "cora@acme.example"
        assert written.subject == "Hello Cora from Tandem"
        assert written.text.startswith("Good day, Cora. See http://")
        assert written.html == "<p>Good day, Cora.</p>"
        assert written.status == Mail.Status.QUEUED

    def test_it_writes_one_per_fact_recipient_and_template(self) -> None:
        fact = event()
        queue(event=fact)
        with transaction.atomic():
            again = mail.queue(event=fact, recipient="CORA@acme.example", template="greeting", context={"name": "Cora"})
        assert again is None
        queue(event=fact, recipient="zoe@acme.example")
        assert Mail.objects.count() == 2

    def test_it_keeps_what_is_about_a_clocked_customer(self, office: PostOffice) -> None:
        clock = TestClock.objects.create(frozen_time=JAN_1)
        assert queue(test_clock_id=clock.pk).status == Mail.Status.KEPT
        assert mail.send_queued() == 0
        assert office.delivered == []

    def test_it_leaves_nothing_when_the_change_is_rolled_back(self) -> None:
        with transaction.atomic():
            mail.queue(event=None, recipient="cora@acme.example", template="greeting", context={})
            transaction.set_rollback(True)
        assert not Mail.objects.exists()


class TestSendQueued:
    def test_it_delivers_each_message_once(self, office: PostOffice) -> None:
        written = queue()
        assert mail.send_queued() == 1
        assert mail.send_queued() == 0
        delivered = office.delivered[0]
        assert len(office.delivered) == 1
        assert office.recipients == ["cora@acme.example"]
        assert delivered["Subject"] == "Hello Cora from Tandem"
        assert delivered["Message-ID"] == written.message_id
        assert [part.get_content_type() for part in delivered.walk()][1:] == ["text/plain", "text/html"]
        written.refresh_from_db()
        assert written.status == Mail.Status.SENT
        assert written.sent_at is not None

    def test_it_delivers_once_when_two_workers_send_at_the_same_time(self, office: PostOffice) -> None:
        for number in range(12):
            queue(recipient=f"reader{number}@acme.example")
        together = Barrier(2)

        def work() -> int:
            try:
                together.wait()
                return mail.send_queued()
            finally:
                connections.close_all()

        with ThreadPoolExecutor(2) as pool:
            sent = [future.result() for future in [pool.submit(work), pool.submit(work)]]
        assert sum(sent) == 12
        assert sorted(office.recipients) == sorted(f"reader{number}@acme.example" for number in range(12))

    def test_it_keeps_the_queue_without_a_mail_server(self, settings: LazySettings) -> None:
        send_through(settings, "")
        written = queue()
        assert mail.send_queued() == 0
        written.refresh_from_db()
        assert (written.status, written.attempts) == (Mail.Status.QUEUED, 0)

    def test_it_waits_for_a_server_that_cannot_be_reached(self, settings: LazySettings) -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as server:
            port = server.getsockname()[1]
        send_through(settings, f"smtp://127.0.0.1:{port}")
        written = queue()
        assert mail.send_queued() == 0
        written.refresh_from_db()
        assert written.status == Mail.Status.QUEUED
        assert "ConnectionRefusedError" in written.last_error
        assert written.next_attempt_at > db.now() + timedelta(seconds=20)

    def test_it_gives_up_after_its_last_attempt(self, settings: LazySettings) -> None:
        send_through(settings, "smtp://127.0.0.1:1")
        written = queue()
        for _ in range(len(mail.RETRY_SECONDS) + 1):
            due_now()
            mail.send_queued()
        written.refresh_from_db()
        assert written.status == Mail.Status.FAILED

    def test_it_tries_again_after_a_temporary_refusal(self, office: PostOffice) -> None:
        office.data_answer = "451 Try again later"
        written = queue()
        mail.send_queued()
        written.refresh_from_db()
        assert written.status == Mail.Status.QUEUED
        office.data_answer = "250 OK"
        due_now()
        assert mail.send_queued() == 1
        assert len(office.delivered) == 1

    @pytest.mark.parametrize("stage", ["recipient_answer", "data_answer"])
    def test_it_does_not_repeat_what_the_server_refuses_for_good(self, stage: str, office: PostOffice) -> None:
        setattr(office, stage, "550 No such person")
        written = queue()
        mail.send_queued()
        written.refresh_from_db()
        assert written.status == Mail.Status.FAILED
        assert "No such person" in written.last_error

    def test_it_gives_up_on_an_address_that_no_message_can_have(self, office: PostOffice) -> None:
        written = queue(recipient="cora\n@acme.example")
        other = queue()
        assert mail.send_queued() == 1
        written.refresh_from_db()
        other.refresh_from_db()
        assert (written.status, other.status) == (Mail.Status.FAILED, Mail.Status.SENT)

    def test_it_cannot_know_when_the_connection_breaks_during_the_handover(self, office: PostOffice) -> None:
        office.drops = True
        written = queue()
        assert mail.send_queued() == 0
        written.refresh_from_db()
        assert written.status == Mail.Status.UNKNOWN
        due_now()
        mail.send_queued()
        assert len(office.delivered) == 1

    def test_it_cannot_know_when_the_server_falls_silent(self, office: PostOffice, settings: LazySettings) -> None:
        office.silent = True
        settings.EMAIL_TIMEOUT = 0.3
        written = queue()
        mail.send_queued()
        written.refresh_from_db()
        assert written.status == Mail.Status.UNKNOWN


class TestAKilledSender:
    def test_its_message_is_unknown_until_a_person_decides(self, office: PostOffice) -> None:
        office.silent = True
        written = queue()
        child = children.start("from gtm.shared import mail\nmail.send_queued()", EMAIL_URL=office.url)
        try:
            _wait_until(lambda: Mail.objects.get(pk=written.pk).status == Mail.Status.SENDING)
        finally:
            child.kill()
            child.wait()
        office.silent = False
        assert mail.mark_unknown(at=db.now()) == 0
        assert mail.send_queued() == 0
        assert mail.mark_unknown(at=db.now() + mail.STALE_SENDING) == 1
        assert mail.send_queued() == 0
        written.refresh_from_db()
        assert written.status == Mail.Status.UNKNOWN

        mail.resend(mail=written, at=db.now())
        assert mail.send_queued() == 1
        assert [delivered["Message-ID"] for delivered in office.delivered] == [written.message_id]


class TestResend:
    @pytest.mark.parametrize("status", [Mail.Status.UNKNOWN, Mail.Status.FAILED, Mail.Status.QUEUED])
    def test_it_queues_again_and_tells(self, status: str, office: PostOffice) -> None:
        written = queue()
        Mail.objects.update(status=status, attempts=7, next_attempt_at=db.now() + timedelta(days=1))
        mail.resend(mail=written, at=db.now())
        assert mail.send_queued() == 1
        fact = Event.objects.get(type="mail.resent")
        assert (fact.object_id, fact.previous) == (written.pk, {"status": status})

    @pytest.mark.parametrize("status", [Mail.Status.SENT, Mail.Status.SENDING, Mail.Status.KEPT])
    def test_it_refuses_what_is_on_its_way_or_settled(self, status: str) -> None:
        written = queue()
        Mail.objects.update(status=status)
        with pytest.raises(errors.Conflict, match="can't be sent again"):
            mail.resend(mail=written, at=JAN_1)
        assert not PendingFact.objects.exists()


def _wait_until(condition: Any, *, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
