"""Mail with customers: sent from an account, taken in by copies and answers, matched, and never lost."""

import time
from typing import Any

import pytest
from django.conf import LazySettings
from django.test import Client

from crm import accounts, emails, inbound_mail, logging_addresses, mail_templates, notifications
from crm.models import Account, Contact, EmailMessage, MailTemplate, Notification
from gtm.shared import db, mail
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import Event, Mail, User
from tests import world
from tests.crm import makers

pytestmark = pytest.mark.django_db
NOON = makers.NOON
URL = "/webhooks/inbound-mail/"


@pytest.fixture(autouse=True)
def inbound(settings: LazySettings) -> None:
    settings.INBOUND_MAIL_ADDRESS, settings.INBOUND_MAIL_SECRET = "log@in.vendor.example", "s3cret"


@pytest.fixture
def ann() -> User:
    ann = world.ann()
    makers.sales(ann, world.bob())
    return ann


@pytest.fixture
def acme(ann: User) -> Account:
    account = makers.account()
    accounts.give(account=account, owner=ann, at=NOON)
    return account


def raw(
    *, sender: str = "Cora <cora@acme.com>", to: str = "ann@vendor.example", message: str = "1@x", **headers: str
) -> bytes:
    said = {"From": sender, "To": to, "Message-ID": f"<{message}>", "Subject": "Prices"} | headers
    return "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in said.items()).encode() + b"\r\nHello"


def arrive(body: bytes, to: str, *, at: int | None = None, forged: bool = False, kind: str = "message/rfc822") -> Any:
    at = int(time.time()) if at is None else at
    proof = "0" * 64 if forged else inbound_mail.signature(at=at, envelope=to, body=body)
    headers = {"X-Envelope-To": to, "X-Tandem-Signature": f"t={at},v1={proof}"}
    return Client().generic("POST", URL, data=body, content_type=kind, headers=headers)


def address(user: User) -> str:
    return logging_addresses.written(logging_addresses.issue(user=user, at=NOON).token)


class TestEndpoint:
    def test_only_who_signs_now_is_heard(self, ann: User, acme: Account, settings: LazySettings) -> None:
        to, body = address(ann), raw()
        for bad in (arrive(body, to, forged=True), arrive(body, to, at=int(time.time()) - 400), Client().post(URL)):
            assert bad.status_code == 401
        at = int(time.time())
        proof = inbound_mail.signature(at=at, envelope=to, body=body)
        for header in (f"t={at},v1={proof}x", f"t=,v1={proof}", f"v1={proof}", f"t={at}", "t=²,v1=é", "=,=,"):
            headers = {"X-Envelope-To": to, "X-Tandem-Signature": header}
            assert Client().generic("POST", URL, data=body, headers=headers).status_code == 401, header
        assert not EmailMessage.objects.exists()
        assert arrive(b"nonsense", to).status_code == 400
        assert Client().generic("POST", URL, data=b"x", CONTENT_LENGTH=str(99 * 1024 * 1024)).status_code == 413
        settings.INBOUND_MAIL_SECRET = ""
        assert arrive(body, to).status_code == 503

    def test_an_answer_is_kept_once_at_the_account_of_who_wrote(self, ann: User, acme: Account) -> None:
        to = address(ann)
        assert arrive(raw(), to).json()["status"] == "logged"
        assert arrive(raw(), to).json()["status"] == "duplicate"
        email = EmailMessage.objects.get()
        assert (email.account, email.contact, email.direction, email.user) == (acme, acme.contacts.get(), "in", ann)
        assert notifications.of(ann).get(kind=Notification.Kind.REPLY).email == email
        fact = Event.objects.get(type="crm.email.received")
        assert "cora" not in str(fact.data).lower()
        assert "Prices" not in str(fact.data)

    def test_a_form_of_a_mail_service_does_too(self, ann: User, acme: Account) -> None:
        to = address(ann)
        parts = f'--b\r\nContent-Disposition: form-data; name="recipient"\r\n\r\n{to}\r\n--b\r\nContent-Disposition: '
        body = parts.encode() + b'form-data; name="message"; filename="m"\r\n\r\n' + raw() + b"\r\n--b--\r\n"
        answer = arrive(body, "", kind="multipart/form-data; boundary=b")
        assert answer.json()["status"] == "logged"

    def test_a_blind_copy_goes_to_whom_it_was_written_and_ours_are_left_out(self, ann: User, acme: Account) -> None:
        to = address(ann)
        sent = raw(sender="ann@vendor.example", to="bob@vendor.example, cora@acme.com")
        assert arrive(sent, to).json()["status"] == "logged"
        assert EmailMessage.objects.get().direction == "out"
        among_us = raw(sender="ann@vendor.example", to="bob@vendor.example", message="2@x")
        assert arrive(among_us, to).json() == {"status": "ignored", "id": None}

    def test_by_domain_or_unmatched_and_only_what_one_sees(self, ann: User, acme: Account, client: Client) -> None:
        to = address(ann)
        assert arrive(raw(sender="new@acme.com"), to).json()["status"] == "logged"
        assert EmailMessage.objects.get().contact is None
        otto = world.otto()
        assert arrive(raw(message="2@x"), address(otto)).json()["status"] == "unmatched"  # not his account
        assert arrive(raw(sender="x@gmail.com", message="3@x"), to).json()["status"] == "unmatched"
        client.force_login(otto)
        waiting = EmailMessage.objects.get(message_id="3@x")
        assert "x@gmail.com" not in client.get("/crm/mail/").content.decode()
        assert client.get(f"/crm/mail/{waiting.public_id}/").status_code == 404
        client.force_login(ann)
        assert "x@gmail.com" in client.get("/crm/mail/").content.decode()
        match = f"/crm/mail/{waiting.public_id}/match/"
        assert "No one account" in client.post(match, {"account": "nobody"}, follow=True).content.decode()
        client.post(match, {"account": "acme.com"})
        waiting.refresh_from_db()
        assert waiting.account == acme
        with pytest.raises(Conflict):
            emails.discard(email=waiting, at=NOON)

    def test_an_address_that_was_taken_back_is_nobodys(self, ann: User, acme: Account, client: Client) -> None:
        old = address(ann)
        new = address(ann)
        client.force_login(ann)
        assert new in client.get("/crm/mail/").content.decode()
        client.post("/crm/mail/address/", {"step": "revoke"})
        for to in (old, new, "log+x@in.vendor.example", "log@in.vendor.example", "x@y.z"):
            assert arrive(raw(), to).json()["status"] == "unknown_address"
        assert not EmailMessage.objects.exists()
        assert new.split("+")[1].split("@")[0] not in str(list(Event.objects.values_list("data", flat=True)))

    def test_a_header_gives_no_way_into_anothers_conversation(self, ann: User, acme: Account) -> None:
        arrive(raw(), address(ann))
        status = arrive(raw(sender="x@evil.com", message="2@x", In_Reply_To="<1@x>"), address(world.otto())).json()
        assert status["status"] == "unmatched"


class TestSending:
    def test_it_goes_out_in_ones_name_and_its_answer_finds_back(self, ann: User, acme: Account) -> None:
        contact = acme.contacts.get()
        sent = emails.send(
            account=acme, contact=contact, user=ann, at=NOON,
            subject="For {{ account.name }}", body="Dear {{contact.first_name}},\n\n{{ me.name }}",
        )  # fmt: skip
        row = Mail.objects.get(template="sales")
        assert (row.recipient, row.subject, row.text) == ("cora@acme.com", "For acme.com", "Dear Cora,\n\nAnn\n")
        assert sent.message_id == row.message_id.strip("<>")
        built = mail._message(row, [])
        assert built.from_email.startswith("Ann <")
        kept = built.reply_to[1]
        assert (built.reply_to[0], kept.split("@")[1]) == ("ann@vendor.example", "in.vendor.example")
        answer = raw(sender="someone@else.org", message="2@x", In_Reply_To=f"<{sent.message_id}>")
        assert arrive(answer, kept).json()["status"] == "logged"
        reply = EmailMessage.objects.get(direction="in")
        assert (reply.thread_id, reply.account) == (sent.thread_id, acme)
        assert arrive(raw(message="3@x"), kept[:20] + "0" + kept[21:]).json()["status"] == "unknown_address"
        emails.send(account=acme, contact=contact, user=ann, at=db.now(), subject="Re", body="Yes", answers=reply)
        reply.refresh_from_db()
        assert (reply.closing_reason, Mail.objects.latest("created_at").in_reply_to) == ("answered", "<2@x>")

    def test_who_wants_no_mail_gets_none(self, ann: User, acme: Account) -> None:
        contact = acme.contacts.get()
        Contact.objects.filter(pk=contact.pk).update(unsubscribed=True)
        contact.refresh_from_db()
        send: dict[str, Any] = {"account": acme, "user": ann, "at": NOON}
        with pytest.raises(Invalid, match="wants no mail"):
            emails.send(contact=contact, subject="x", body="y", **send)
        contact.unsubscribed = False
        for wrong in ({"subject": " ", "body": "y"}, {"subject": "x", "body": "{{ contact.password }}"}):
            with pytest.raises(Invalid):
                emails.send(contact=contact, **wrong, **send)
        assert not Mail.objects.filter(template="sales").exists()

    def test_from_the_page_with_a_template_and_a_preview(self, client: Client, ann: User, acme: Account) -> None:
        mail_templates.install_defaults(at=NOON)
        client.force_login(ann)
        url = f"/crm/accounts/{acme.public_id}/mail/"
        assert "Room to grow" in client.get(f"{url}?template=expansion_offer").content.decode()
        said = {"contact": str(acme.contacts.get().pk), "subject": "Hi {{ contact.name }}", "body": "{{ me.name }}"}
        preview = client.post(url, {**said, "preview": "1"}).content.decode()
        assert "Hi Cora" in preview
        assert not EmailMessage.objects.exists()
        assert client.post(url, {**said, "body": "{{ x }}"}).status_code == 422
        client.post(url, said)
        sent = EmailMessage.objects.get()
        assert "Hi Cora" in client.get(f"/crm/mail/{sent.public_id}/").content.decode()
        client.force_login(world.otto())
        assert client.get(f"/crm/mail/{sent.public_id}/").status_code == 404

    def test_templates_are_kept_with_known_blanks_for_all_or_a_team(self, ann: User) -> None:
        fields = {"code": "hello", "name": "Hello", "subject": "Hi", "body": "{{ contact.name }}"}
        template = mail_templates.create(at=NOON, **fields)
        with pytest.raises(Invalid, match=r"no blank user\.password"):
            mail_templates.change(template=template, at=NOON, body="{{ user.password }}")
        with pytest.raises(Invalid) as taken:
            mail_templates.create(at=NOON, **fields)
        assert taken.value.code == "unique"
        assert mail_templates.preview(template) == ("Hi", "Cora Case")
        team = ann.teams.get()
        mail_templates.change(template=template, at=NOON, team=team)
        assert [list(mail_templates.open_to(user)) for user in (ann, world.otto())] == [[template], []]
        mail_templates.change(template=template, at=NOON, active=False)
        assert not mail_templates.open_to(ann)
        mail_templates.install_defaults(at=NOON)
        assert MailTemplate.objects.count() == 1
