"""What finance and founders do about money, one step at a time, and what they read."""

from typing import Any

import pytest
from django.test import Client

from billing import parking, subscriptions
from billing.models import Customer, Feature, Invoice, Payment, Subscription, TaxRate
from gtm.shared.errors import Invalid
from tests import world
from tests.backoffice import address, errors, facts, signed_in, submit
from tests.billing import makers, papers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["founder", "finance"])
def client(request: pytest.FixtureRequest) -> Client:
    return signed_in(world.user(email="money@vendor.example", roles=(request.param,)))


@pytest.fixture
def founder() -> Client:
    return signed_in(world.fay())


def subscription(**fields: object) -> Subscription:
    """Of Acme, paid by invoice, so that the first one is open: 49.00 USD."""
    makers.legal_entity()
    terms = {"collection_method": "send_invoice", "net_terms_days": 30}
    return subscriptions.create(customer=makers.customer(), plan=makers.published_plan(), at=JAN_1, **terms | fields)


@pytest.fixture
def invoice() -> Invoice:
    subscription()
    return Invoice.objects.get()


def step(name: str, invoice: Invoice) -> str:
    return address(f"billing_invoice_{name}", invoice.pk)


class TestMarkAsPaid:
    def test_what_is_due_is_proposed_and_recorded(self, client: Client, invoice: Invoice) -> None:
        answer = submit(client, step("mark_as_paid", invoice), reference="TX 17")
        assert answer["Location"] == address("billing_invoice_change", invoice.pk)
        invoice.refresh_from_db()
        payment = Payment.objects.get()
        assert (invoice.status, payment.amount, payment.reference) == ("paid", 4900, "TX 17")
        assert facts("billing.payment.succeeded", "billing.invoice.paid") == [
            "billing.payment.succeeded",
            "billing.invoice.paid",
        ]

    def test_a_part_leaves_the_rest_due(self, client: Client, invoice: Invoice) -> None:
        submit(client, step("mark_as_paid", invoice), amount="9.00")
        invoice.refresh_from_db()
        assert (invoice.status, invoice.amount_due) == ("open", 4000)

    def test_it_refuses_what_can_not_be(self, client: Client, invoice: Invoice) -> None:
        page = submit(client, step("mark_as_paid", invoice), amount="1.005")
        assert "no such small amount" in errors(page)["amount"][0]
        assert not Payment.objects.exists()

    def test_too_much_is_taken_when_it_was_seen_where_it_goes(self, client: Client, invoice: Invoice) -> None:
        page = submit(client, step("mark_as_paid", invoice), amount="49.01")
        assert page.context["outcome"] == ["Only $49.00 is still due.", "To the customer's balance: $0.01"]
        assert not Payment.objects.exists()
        submit(client, step("mark_as_paid", invoice), amount="49.01", _shown=page.context["shown"])
        assert Payment.objects.get().amount == 4901


class TestVoid:
    def test_it_is_taken_back_with_its_reason(self, client: Client, invoice: Invoice) -> None:
        submit(client, step("void", invoice), reason="Wrong address", waive="on")
        invoice.refresh_from_db()
        assert invoice.status == "void"
        assert facts("billing.invoice.voided") == ["billing.invoice.voided"]

    def test_a_paid_one_says_why_not(self, client: Client, invoice: Invoice) -> None:
        submit(client, step("mark_as_paid", invoice))
        page = submit(client, step("void", invoice), reason="Too late")
        assert errors(page)["__all__"] == ["A paid invoice can't be voided; it gets a credit note."]

    def test_steps_that_make_no_sense_are_not_offered(self, client: Client, invoice: Invoice) -> None:
        submit(client, step("mark_as_paid", invoice))
        page = client.get(address("billing_invoice_change", invoice.pk))
        assert [action["title"] for action in page.context["actions_detail"]] == ["PDF", "XML", "UBL", "Credit note"]


class TestCharge:
    def test_it_takes_what_is_due_from_the_card(self, client: Client, invoice: Invoice) -> None:
        makers.card(invoice.customer)
        submit(client, step("charge", invoice))
        invoice.refresh_from_db()
        assert invoice.status == "paid"

    def test_it_says_that_there_is_no_card(self, client: Client, invoice: Invoice) -> None:
        page = submit(client, step("charge", invoice))
        assert errors(page)["__all__"] == ["There is no payment method to charge."]


class TestReading:
    def test_the_invoice_shows_what_it_is_made_of(self, client: Client, invoice: Invoice) -> None:
        content = client.get(address("billing_invoice_change", invoice.pk)).content
        for words in (b"INV-2026-000001", b"$49.00", b"Fixed price of $49.00", b"Acme"):
            assert words in content

    def test_its_document_opens(self, client: Client, invoice: Invoice) -> None:
        answer = client.get(step("pdf", invoice))
        assert answer["Content-Type"] == "application/pdf"
        assert answer.content.startswith(b"%PDF")

    def test_nobody_changes_it(self, client: Client, invoice: Invoice) -> None:
        assert client.post(address("billing_invoice_change", invoice.pk), {"number": "1"}).status_code == 403
        assert client.get(address("billing_invoice_add")).status_code == 403


class TestCancel:
    def test_it_ends_and_can_be_undone(self, client: Client) -> None:
        one = subscription()
        submit(client, address("billing_subscription_cancel", one.pk), reason="Too dear")
        one.refresh_from_db()
        assert one.cancel_at is not None
        assert one.changes.latest("recorded_at").origin == "admin"
        submit(client, address("billing_subscription_undo_cancellation", one.pk))
        one.refresh_from_db()
        assert one.cancel_at is None

    def test_it_ends_at_once(self, client: Client) -> None:
        one = subscription()
        submit(client, address("billing_subscription_cancel", one.pk), when="now")
        one.refresh_from_db()
        assert one.status == "canceled"
        assert facts("billing.subscription.canceled") == ["billing.subscription.canceled"]


class TestPause:
    def test_it_is_paused_and_goes_on(self, client: Client) -> None:
        one = subscription()
        submit(client, address("billing_subscription_pause", one.pk), mode="keep_access", resume_at="")
        one.refresh_from_db()
        assert (one.status, one.pause_mode) == ("paused", "keep_access")
        submit(client, address("billing_subscription_resume", one.pk))
        one.refresh_from_db()
        assert one.status == "active"
        kinds = ("billing.subscription.paused", "billing.subscription.resumed")
        assert facts(*kinds) == list(kinds)

    def test_what_can_not_be_is_said_at_its_field(self, client: Client) -> None:
        one = subscription()
        page = submit(client, address("billing_subscription_pause", one.pk), resume_at="2020-01-01 00:00")
        assert "resume_at" in errors(page)


class TestCustomers:
    def test_one_that_is_held_up_says_why_and_goes_on(self, client: Client) -> None:
        customer = makers.customer()
        parking.park(customer=customer, error=Invalid("No tax rate."), at=JAN_1)
        path = address("billing_customer_change", customer.pk)
        assert b"Billing of this customer is held up: No tax rate." in client.get(path).content
        submit(client, address("billing_customer_unpark", customer.pk))
        customer.refresh_from_db()
        assert customer.parked_at is None

    def test_an_address_is_kept_whole(self, founder: Client) -> None:
        customer = makers.customer(billing_address={"line1": "1 Main St", "city": "Berlin", "country": "US"})
        path = address("billing_customer_change", customer.pk)
        submit(founder, path, city="Boston", billing_emails="a@acme.com\nb@acme.com")
        customer.refresh_from_db()
        assert customer.billing_address == {"line1": "1 Main St", "city": "Boston", "country": "US"}
        assert customer.billing_emails == ["a@acme.com", "b@acme.com"]

    def test_what_is_refused_stands_at_its_field(self, founder: Client) -> None:
        page = submit(
            founder, address("billing_customer_add"), name="Acme", tax_id="DE1", country="DE", tax_rates="nowhere"
        )
        assert errors(page).keys() <= {"tax_id", "tax_rates"}
        assert not Customer.objects.exists()

    def test_a_fixed_currency_says_why(self, founder: Client) -> None:
        one = subscription()
        page = submit(founder, address("billing_customer_change", one.customer.pk), currency="EUR")
        assert "has bought in USD" in errors(page)["currency"][0]

    def test_everything_of_the_customer_stands_on_its_page(self, client: Client) -> None:
        one = subscription()
        content = client.get(address("billing_customer_change", one.customer.pk)).content
        assert b"Pro v1" in content
        assert b"INV-2026-000001" in content


class TestCatalogue:
    def test_a_used_meter_says_why_it_stays(self, founder: Client) -> None:
        meter = makers.meter()
        makers.feature(meter=meter)
        page = founder.get(address("billing_meter_change", meter.pk))
        assert set(page.context["adminform"].form.fields) == {"name", "unit"}
        assert b"what it means stays as it is" in page.content

    def test_a_granted_feature_says_why_it_stays(self, founder: Client) -> None:
        makers.published_plan()
        page = founder.get(address("billing_feature_change", Feature.objects.get().pk))
        assert set(page.context["adminform"].form.fields) == {"name"}

    def test_a_rate_is_ended_and_not_changed(self, founder: Client) -> None:
        values = {"name": "VAT", "code": "vat", "percentage": "19", "country": "DE", "valid_from": "2026-01-01"}
        submit(founder, address("billing_taxrate_add"), **values)
        path = address("billing_taxrate_change", TaxRate.objects.get().pk)
        assert set(founder.get(path).context["adminform"].form.fields) == {"name", "valid_to"}
        page = submit(founder, path, valid_to="2025-01-01")
        assert errors(page)["valid_to"] == ["A rate ends after its first day."]


class TestDocuments:
    def test_an_invoice_is_handed_out_with_its_e_invoice(self, client: Client) -> None:
        invoice = papers.invoice(papers.line(4900))
        assert client.get(step("pdf", invoice)).content.startswith(b"%PDF-")
        for syntax in ("xml", "ubl"):
            assert client.get(step(syntax, invoice)).content.startswith(b"<?xml")
        assert "Inside the PDF (EN 16931)" in text(client.get(address("billing_invoice_change", invoice.pk)))

    def test_its_page_says_why_there_is_none(self, client: Client) -> None:
        invoice = papers.invoice(papers.line(4900), seller={"name": "Vendor", "country": "DE"})
        page = client.get(step("ubl", invoice), follow=True)
        assert "The legal entity has no VAT id." in text(page)
        assert "The legal entity has no VAT id." in text(client.get(address("billing_invoice_change", invoice.pk)))

    def test_a_payment_has_its_receipt(self, client: Client) -> None:
        payment = papers.paid(papers.invoice(papers.line(4900)), 5831)
        assert client.get(address("billing_payment_receipt", payment.pk)).content.startswith(b"%PDF-")
        listed = text(client.get(address("billing_document_changelist")))
        assert f"{payment.public_id}.pdf" in listed

    def test_a_legal_entity_says_what_its_e_invoices_lack(self, founder: Client) -> None:
        entity = makers.legal_entity(tax_ids=[])
        page = text(founder.get(address("billing_legalentity_change", entity.pk)))
        assert "printed without an e-invoice inside. The legal entity has no VAT id." in page


def text(answer: Any) -> str:
    return str(answer.content.decode())
