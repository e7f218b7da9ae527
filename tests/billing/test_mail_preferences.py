"""Which mail somebody wants: one click in a mail program, a page, the portal; what has to be sent is sent."""

import re
from email import policy
from email.parser import BytesParser

import pytest
from django.conf import LazySettings
from django.db import transaction
from django.test import Client

from billing import hosted, prompts
from billing.models import Customer, MailPreference
from gtm import env
from gtm.shared import db, mail, outbox, vendors
from gtm.shared.models import Event, Mail
from tests.billing import letters, makers
from tests.smtp import post_office

LOGO = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="120" height="40"><rect width="120" height="40" fill="#c33"/></svg>'
)


def path_of(url: str) -> str:
    return "/" + url.partition("//")[2].partition("/")[2]


def hinted(customer: Customer, period: str) -> int:
    """Show a prompt; how many hints have been mailed by now."""
    with transaction.atomic():
        prompts.show(customer_id=customer.pk, code="near", period=period, text="80 % used", link="/x/", at=db.now())
    outbox.relay()
    return Mail.objects.filter(template="usage_hint").count()


@pytest.mark.django_db
class TestStopping:
    def test_one_click_stops_hints_and_nothing_else(self) -> None:
        acme = letters.customer(billing_emails=[])
        assert hinted(acme, "1") == 1
        hint = Mail.objects.get()
        poster = Client(enforce_csrf_checks=True)
        answer = poster.post(path_of(hint.unsubscribe_url), {"List-Unsubscribe": "One-Click"})
        assert answer.status_code == 200
        assert hinted(acme, "2") == 1
        poster.post(path_of(hint.unsubscribe_url), {"List-Unsubscribe": "One-Click"})
        told = Event.objects.get(type="billing.mail_preference.changed")
        assert told.data == {"topic": "usage", "wanted": False}
        assert "acme" not in str(told.previous)

    def test_looking_at_the_link_stops_nothing(self, client: Client) -> None:
        acme = letters.customer(billing_emails=[])
        hinted(acme, "1")
        page = client.get(path_of(Mail.objects.get().unsubscribe_url))
        assert "Stop it" in page.content.decode()
        assert page["Referrer-Policy"] == "no-referrer"
        assert not MailPreference.objects.exists()

    def test_what_has_to_be_sent_has_no_such_link(self, client: Client) -> None:
        makers.legal_entity()
        makers.invoiced(letters.customer(collection_method="send_invoice"), 100)
        outbox.relay()
        sent = Mail.objects.get(template="invoice")
        assert sent.unsubscribe_url == ""
        answer = client.post(path_of(hosted.unsubscribe_url(sent.pk, at=db.now())))
        assert answer.status_code == 302
        assert not MailPreference.objects.exists()


@pytest.mark.django_db
class TestPage:
    def test_the_link_in_each_mail_opens_it_and_another_persons_changes_nothing_here(self, client: Client) -> None:
        makers.legal_entity()
        acme = letters.customer(collection_method="send_invoice", billing_emails=["a@acme.example", "b@acme.example"])
        makers.invoiced(acme, 100)
        outbox.relay()
        letter = Mail.objects.get(recipient="a@acme.example")
        (address,) = re.findall(r"http\S+/mail/\S+", letter.text)
        page = path_of(address)
        assert "a@acme.example" in client.get(page).content.decode()
        saved = client.post(page, {"product": "on"}).content.decode()
        assert "Saved." in saved
        assert "Invoices, credit notes, receipts and refunds" in saved
        assert list(MailPreference.objects.values_list("email", "topic", "wanted")) == [
            ("a@acme.example", "usage", False)
        ]
        client.post(page, {"product": "on", "usage": "on"})
        assert MailPreference.objects.get().wanted

    def test_the_portal_has_it_for_who_is_signed_in(self, client: Client) -> None:
        acme = letters.customer()
        client.force_login(makers.member(acme, "vic@acme.example", role="viewer"))
        client.post(f"/portal/{acme.public_id}/mail/", {"usage": "on"})
        assert MailPreference.objects.get().email == "vic@acme.example"
        other = makers.customer(name="Zoe")
        assert client.get(f"/portal/{other.public_id}/mail/").status_code == 404

    def test_a_link_that_is_none_leads_nowhere(self, client: Client) -> None:
        for path in ("/mail/x/", "/mail/x/unsubscription/"):
            assert client.get(path).status_code == client.post(path).status_code == 404


@pytest.mark.django_db
def test_it_leaves_by_smtp_with_its_documents_logo_and_headers(settings: LazySettings) -> None:
    makers.legal_entity()
    vendors.change(logo=LOGO, support_email="help@vendor.example", name="Smith & Sons")
    acme = letters.customer(collection_method="send_invoice", billing_emails=["books@acme.example"])
    with post_office() as office:
        settings.EMAIL_URL = office.url
        for name, value in env.email(office.url).items():
            setattr(settings, name, value)
        invoice = makers.invoiced(acme, 5000)
        hinted(acme, "1")
        assert mail.send_queued() == 2
    delivered = [BytesParser(policy=policy.default).parsebytes(one.as_bytes()) for one in office.delivered]
    by_recipient = {str(one["To"]): one for one in delivered}
    bill, hint = by_recipient["books@acme.example"], by_recipient["cora@acme.example"]
    parts = {part.get_content_type(): part for part in bill.walk()}
    assert parts["application/pdf"].get_filename() == f"{invoice.number}.pdf"
    assert parts["application/pdf"].get_content().startswith(b"%PDF")
    assert parts["image/png"]["Content-ID"] == "<logo>"
    assert 'src="cid:logo"' in parts["text/html"].get_content()
    assert bill["Subject"] == f"Invoice {invoice.number} from Smith & Sons"
    assert bill["Reply-To"] == "help@vendor.example"
    assert bill["List-Unsubscribe"] is None
    assert hint["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert str(hint["List-Unsubscribe"]).strip().startswith("<http")
    assert set(Mail.objects.values_list("status", flat=True)) == {"sent"}
