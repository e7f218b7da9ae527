"""An invoice by a signed link: what it shows to whoever holds it, what can be done there, and to nobody else."""

import re
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.test import Client

from billing import attempts, hosted, invoices, lost_answers, payments
from billing.models import Customer, Invoice, Payment, PaymentMethod, Subscription
from gtm.shared import db, links, outbox
from gtm.shared.models import Event, Mail, TestClock
from tests.billing import letters, makers

pytestmark = pytest.mark.django_db
VISA, DECLINED = "pm_card_visa", "pm_card_chargeDeclined"


@pytest.fixture
def acme() -> Customer:
    makers.legal_entity(iban="DE89370400440532013000", bic="COBADEFFXXX")
    return letters.customer(collection_method="send_invoice", preferred_locale="en")


@pytest.fixture
def invoice(acme: Customer) -> Invoice:
    return makers.invoiced(acme, 5000, at=db.now())


def page_of(invoice: Invoice, *, days_ago: int = 0) -> str:
    url = hosted.invoice_url(invoice.pk, at=db.now() - timedelta(days=days_ago))
    return "/" + url.partition("//")[2].partition("/")[2]


def sent(client: Client, page: str, **fields: str) -> tuple[int, str]:
    """The form as the page gave it, with what is filled in."""
    html = client.get(page).content.decode()
    hidden = dict(re.findall(r'name="(amount|attempt)" value="([^"]+)"', html))
    answer = client.post(f"{page}payment/", hidden | fields, follow=True)
    return answer.status_code, answer.content.decode()


class TestPage:
    def test_it_shows_the_invoice_and_nothing_around_it(self, client: Client, invoice: Invoice) -> None:
        makers.invoiced(makers.customer(name="Zoe Ltd"), 100, at=db.now())
        answer = client.get(page_of(invoice))
        html = answer.content.decode()
        for words in (
            invoice.number,
            "Acme",
            "Work",
            "How this was worked out",
            "DE89 3704",
            "Reference",
            "Pay $50.00",
        ):
            assert words in html or words == "How this was worked out"
        assert not re.search(r"Zoe|/portal/|/account/login", html)
        assert answer["Referrer-Policy"] == "no-referrer"
        assert answer["X-Robots-Tag"] == "noindex, nofollow"
        assert "no-store" in answer["Cache-Control"]

    def test_its_documents_are_its_own(self, client: Client, acme: Customer, invoice: Invoice) -> None:
        other = makers.invoiced(acme, 700, at=db.now())
        paid, elsewhere = makers.paid(invoice, at=db.now()), makers.paid(other, at=db.now())
        invoice.refresh_from_db()
        note = makers.credited(invoice, 1000, at=db.now())
        page = page_of(invoice)
        for path in ("pdf/", f"receipts/{paid.public_id}/", f"credit-notes/{note.public_id}/"):
            answer = client.get(page + path)
            assert answer.content.startswith(b"%PDF")
            assert answer["Referrer-Policy"] == "no-referrer"
        assert client.get(f"{page}receipts/{elsewhere.public_id}/").status_code == 404
        assert client.get(f"{page_of(other)}credit-notes/{note.public_id}/").status_code == 404
        assert note.number in client.get(page).content.decode()

    def test_a_receipt_that_names_other_invoices_is_not_shown(self, client, acme, invoice) -> None:
        other = makers.invoiced(acme, 700, at=db.now())
        at, both = db.now(), [invoice, other]
        paid = payments.record_manual(
            customer=acme, invoices=both, method="bank_transfer", amount=5700, paid_at=at, at=at
        )
        page = page_of(invoice)
        assert client.get(f"{page}receipts/{paid.public_id}/").status_code == 404
        assert paid.public_id not in client.get(page).content.decode()

    def test_it_reads_in_the_buyers_language_or_the_one_chosen(self, client: Client, invoice: Invoice) -> None:
        page = page_of(invoice)
        assert "Pay by card" in client.get(page).content.decode()
        assert "Payer par carte" in client.get(f"{page}?language=fr").content.decode()
        assert "Payer par carte" in client.get(page).content.decode()

    def test_a_draft_shows_its_state_and_has_no_document(self, client: Client, invoice: Invoice) -> None:
        draft = makers_draft(invoice.customer)
        page = page_of(draft)
        html = client.get(page).content.decode()
        assert "issued yet" in html
        assert "Pay by card" not in html
        assert client.get(f"{page}pdf/").status_code == client.get(f"{page}xml/").status_code == 404

    def test_a_void_one_asks_for_nothing(self, client: Client, invoice: Invoice) -> None:
        invoices.void(invoice=invoice, at=db.now())
        page = page_of(invoice)
        html = client.get(page).content.decode()
        assert "Nothing is to be paid" in html
        assert "Pay by card" not in html
        assert "Purchase order" not in html
        client.post(f"{page}payment/", {"card": VISA})
        assert not Payment.objects.exists()


def makers_draft(customer: Customer) -> Invoice:
    from billing import one_off

    return one_off.create(
        customer=customer, lines=[one_off.LineTerms(description="Work", quantity=1, unit_amount=100)], at=db.now()
    )


class TestPaying:
    def test_a_new_card_pays_once_however_often_it_is_pressed(self, client: Client, invoice: Invoice) -> None:
        page = page_of(invoice)
        html = client.get(page).content.decode()
        fields = dict(re.findall(r'name="(amount|attempt)" value="([^"]+)"', html)) | {"card": VISA}
        for _press in range(2):
            answer = client.post(f"{page}payment/", fields, follow=True)
            assert "Paid" in answer.content.decode()
        assert Payment.objects.get().amount == 5000
        assert PaymentMethod.objects.count() == 1
        outbox.relay()
        assert Mail.objects.filter(template="receipt").count() == 1

    def test_the_card_on_file_pays_without_being_given(self, client: Client, acme: Customer, invoice: Invoice) -> None:
        card = makers.card(acme, at=db.now())
        _status, html = sent(client, page_of(invoice), card="saved")
        assert "is paid. Thank you." in html
        assert Payment.objects.get().payment_method == card

    def test_a_card_is_only_kept_for_later_where_that_is_wished(self, client: Client, invoice: Invoice) -> None:
        sent(client, page_of(invoice), card=VISA)
        assert not PaymentMethod.objects.filter(is_default=True).exists()

    def test_another_card_stays_beside_the_one_on_file(self, client: Client, acme: Customer, invoice: Invoice) -> None:
        card = makers.card(acme, at=db.now())
        sent(client, page_of(invoice), card="pm_card_mastercard")
        assert PaymentMethod.objects.get(is_default=True) == card
        again = makers.invoiced(acme, 300, at=db.now())
        sent(client, page_of(again), card="pm_card_mastercard", keep="on")
        assert PaymentMethod.objects.get(is_default=True).brand == "mastercard"

    @pytest.mark.parametrize(("answer", "brand"), [("accept", "visa"), ("refuse", "mastercard")])
    def test_the_card_to_keep_is_the_default_once_it_has_paid(
        self, client: Client, acme: Customer, invoice: Invoice, answer: str, brand: str
    ) -> None:
        makers.card(acme, "pm_card_mastercard", at=db.now())
        sent(client, page_of(invoice), card=DECLINED, keep="on")
        html = client.get(page_of(invoice)).content.decode()
        hidden = dict(re.findall(r'name="(amount|attempt)" value="([^"]+)"', html))
        fields = hidden | {"card": "pm_card_authenticationRequired", "keep": "on"}
        confirm = client.post(f"{page_of(invoice)}payment/", fields)
        assert PaymentMethod.objects.get(is_default=True).brand == "mastercard"
        client.post(confirm.headers["Location"], {"answer": answer})
        assert PaymentMethod.objects.get(is_default=True).brand == brand

    def test_the_card_to_keep_is_so_too_where_the_janitor_finds_its_success(
        self, acme: Customer, invoice: Invoice
    ) -> None:
        card = makers.card(acme, at=db.now(), default=False)
        attempt = attempts.begin(invoices=[invoice], payment_method=card, make_default=True, at=db.now())
        attempts.call(attempt)  # and the answer is lost
        assert not PaymentMethod.objects.filter(is_default=True).exists()
        assert lost_answers.settle_stale(at=db.now() + timedelta(minutes=3)) == 1
        assert PaymentMethod.objects.get(is_default=True) == card

    def test_a_card_given_since_stays_the_default(self, acme: Customer, invoice: Invoice) -> None:
        card = makers.card(acme, at=db.now(), default=False)
        attempt = attempts.begin(invoices=[invoice], payment_method=card, make_default=True, at=db.now())
        attempts.call(attempt)
        chosen = makers.card(acme, "pm_card_mastercard", at=db.now())
        PaymentMethod.objects.filter(pk=chosen.pk).update(created_at=db.now() + timedelta(minutes=1))
        assert lost_answers.settle_stale(at=db.now() + timedelta(minutes=3)) == 1
        assert PaymentMethod.objects.get(is_default=True) == chosen

    def test_a_card_that_fails_says_why_and_the_next_one_works(self, client: Client, invoice: Invoice) -> None:
        status, html = sent(client, page_of(invoice), card=DECLINED)
        assert status == 422
        assert "was declined" in html
        assert "is paid" in sent(client, page_of(invoice), card=VISA)[1]
        outbox.relay()
        assert set(Mail.objects.values_list("template", flat=True)) == {"invoice", "receipt"}

    def test_two_tabs_and_an_amount_that_changed_meanwhile(self, client: Client, invoice: Invoice) -> None:
        page = page_of(invoice)
        html = client.get(page).content.decode()
        fields = dict(re.findall(r'name="(amount|attempt)" value="([^"]+)"', html)) | {"card": VISA}
        makers.paid(invoice, 2000, at=db.now())
        answer = client.post(f"{page}payment/", fields)
        assert answer.status_code == 422
        assert "it is $30.00 now" in answer.content.decode()
        assert Payment.objects.count() == 1

    def test_while_a_payment_is_under_way_there_is_no_second(
        self, client: Client, acme: Customer, invoice: Invoice
    ) -> None:
        card = makers.card(acme, at=db.now())
        attempts.begin(invoices=[invoice], payment_method=card, at=db.now())
        page = page_of(invoice)
        html = client.get(page).content.decode()
        assert "is under way" in html
        assert "Pay by card" not in html
        client.post(f"{page}payment/", {"card": VISA, "amount": "5000", "attempt": "x"})
        assert Payment.objects.count() == 1

    def test_an_unknown_card_is_refused(self, client: Client, invoice: Invoice) -> None:
        assert sent(client, page_of(invoice), card="4242424242424242")[0] == 422
        assert not PaymentMethod.objects.exists()


class TestPurchaseOrder:
    def test_on_a_draft_it_is_this_invoices(self, client: Client, acme: Customer) -> None:
        draft = makers_draft(acme)
        client.post(f"{page_of(draft)}po-number/", {"po_number": "PO-7"})
        draft.refresh_from_db()
        assert draft.po_number == "PO-7"
        assert Event.objects.filter(type="billing.invoice.changed", object_id=draft.pk).count() == 1

    def test_on_an_issued_one_it_is_the_next_ones(self, client: Client, acme: Customer, invoice: Invoice) -> None:
        page = page_of(invoice)
        assert "printed on your next invoices" in client.get(page).content.decode()
        answer = client.post(f"{page}po-number/", {"po_number": "PO-8"}, follow=True)
        assert "The PO number is saved." in answer.content.decode()
        invoice.refresh_from_db()
        assert invoice.po_number == ""
        assert makers.invoiced(Customer.objects.get(), 1, at=db.now()).po_number == "PO-8"
        assert Event.objects.filter(type="billing.customer.changed").count() == 1

    def test_a_number_agreed_for_the_subscription_stays(self, client: Client, acme: Customer) -> None:
        makers.subscribed(
            acme, plan=makers.published_plan(), collection_method="send_invoice", po_number="PO-1", at=db.now()
        )
        answer = client.post(f"{page_of(Invoice.objects.get())}po-number/", {"po_number": "PO-2"})
        assert answer.status_code == 409
        assert "is agreed" in answer.content.decode()
        assert Subscription.objects.get().po_number == "PO-1"


def said(client: Client, page: str) -> str:
    """The answer to who asks for another link, but for what no two pages share."""
    return re.sub(r'nonce="[^"]+"|CSRFToken": "[^"]+"', "", client.post(f"{page}link/").content.decode())


def test_while_its_test_clock_is_advanced_nothing_is_changed(client: Client, acme: Customer) -> None:
    clock = makers.clock(frozen_time=db.now())
    one = makers.invoiced(letters.customer(clock, name="Zoe", collection_method="send_invoice"), 500, at=db.now())
    TestClock.objects.update(status=TestClock.Status.ADVANCING)
    page = page_of(one)
    assert client.get(page).status_code == 200
    assert client.post(f"{page}po-number/", {"po_number": "X"}).status_code == 409
    assert sent(client, page, card=VISA)[0] == 422
    assert not Payment.objects.exists()


class TestLinks:
    def test_an_expired_one_offers_another_and_says_the_same_to_everybody(
        self, client: Client, invoice: Invoice
    ) -> None:
        old = page_of(invoice, days_ago=90)
        answer = client.get(old)
        assert answer.status_code == 410
        assert "This link has expired" in answer.content.decode()
        assert (invoice.number or "-") not in answer.content.decode()
        assert client.get(f"{old}pdf/").status_code == 410
        asked = said(client, old)
        outbox.relay()
        assert Mail.objects.get(template="invoice_link").recipient == "books@acme.example"
        assert "books@" not in asked
        invoices.void(invoice=invoice, at=db.now())
        cache.clear()
        assert said(client, old) == asked
        outbox.relay()
        assert Mail.objects.filter(template="invoice_link").count() == 1

    def test_another_is_sent_five_times_an_hour(self, client: Client, invoice: Invoice) -> None:
        old = page_of(invoice, days_ago=90)
        for _time in range(7):
            assert client.post(f"{old}link/").status_code == 200
        assert Event.objects.filter(type="billing.invoice.link_requested").count() == 5

    @pytest.mark.parametrize("path", ["", "pdf/", "payment/", "link/"])
    def test_whatever_is_no_link_leads_nowhere(self, client: Client, invoice: Invoice, path: str) -> None:
        stolen = links.make("card", invoice.pk, at=db.now(), lasts=timedelta(days=1))
        for token in ("x", stolen, page_of(invoice)[3:-4]):
            for answer in (client.get(f"/i/{token}/{path}"), client.post(f"/i/{token}/{path}")):
                assert answer.status_code in {302, 404}
                assert "Acme" not in answer.content.decode()
