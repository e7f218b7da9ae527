"""The portal: what each member sees and may do, and that nobody else gets in."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.html import strip_tags
from pytest_django import DjangoAssertNumQueries

from billing import dunning_cases, invoices, parking, prompts
from billing.models import (
    CollectionMethod,
    Customer,
    Invoice,
    Payment,
    PaymentMethod,
    Phase,
    Plan,
    Prompt,
    Subscription,
)
from billing.taxation import PlaceUnknown
from gtm.shared import db
from gtm.shared.models import User, write
from tests import world
from tests.billing import makers
from tests.billing.addresses import FILES, PORTAL, POSTED, portal

pytestmark = pytest.mark.django_db
INTERNAL = re.compile(
    r"\b(leads?|scor(e|es|ing)|owners?|mql|sql|pql|pipeline|crm|segment|motion|quota)\b", re.IGNORECASE
)


@pytest.fixture(autouse=True)
def seller() -> None:
    makers.legal_entity()


@pytest.fixture
def plan() -> Plan:
    return makers.published_plan()


@pytest.fixture
def acme(plan: Plan) -> Customer:
    """On Pro since today, paid by card, with a prompt waiting."""
    acme = makers.customer(email="billing@acme.example")
    at = db.now()
    makers.subscribed(acme, plan=plan, at=at)
    prompts.show(customer_id=acme.pk, code="usage_80", period="1", text="Near your limit.", link="/pricing/", at=at)
    return acme


@pytest.fixture
def cora(acme: Customer) -> User:
    return makers.member(acme, "cora@acme.example")


@pytest.fixture
def vic(acme: Customer) -> User:
    """May look at everything and change nothing."""
    return makers.member(acme, "vic@acme.example", role="viewer")


@pytest.fixture
def zoe(plan: Plan) -> User:
    """A member of another customer."""
    other = makers.customer(name="Other")
    makers.subscribed(other, plan=plan, at=db.now())
    return makers.member(other, "zoe@other.example")


def unpaid(customer: Customer) -> Invoice:
    """An invoice on terms that waits for its money."""
    subscription = Subscription.objects.filter(customer=customer).latest("created_at")
    makers.subscribed(
        customer,
        plan=makers.published_plan(code=f"extra-{uuid4().hex[:6]}"),
        at=db.now(),
        collection_method=CollectionMethod.SEND_INVOICE,
        net_terms_days=30,
    )
    assert subscription
    return Invoice.objects.filter(customer=customer, status="open").latest("created_at")


def text(answer: Any) -> str:
    return str(answer.content.decode())


def ask(client: Client, name: str, url: str) -> Any:
    return client.post(url) if name in POSTED else client.get(url)


class TestWhoGetsIn:
    @pytest.mark.parametrize("rep", [world.fay, world.ann])
    def test_staff_is_no_member(self, client: Client, acme: Customer, rep: Callable[[], User]) -> None:
        client.force_login(rep())
        assert client.get(reverse("portal_overview", args=[acme.public_id])).status_code == 404

    def test_strangers_are_asked_to_sign_in(self, client: Client, acme: Customer) -> None:
        for name, url in portal(acme):
            answer = ask(client, name, url)
            assert answer.status_code == 302, url
            assert answer.headers["Location"].startswith("/account/login/?next="), url

    @pytest.mark.parametrize("address", ["cus_1", "nonsense", "inv_01m80xh85cevxr13qarrdtjj76", "%00"])
    def test_an_address_that_names_nothing_is_a_404(self, client: Client, cora: User, address: str) -> None:
        client.force_login(cora)
        assert client.get(f"/portal/{address}/").status_code == 404

    def test_a_viewer_sees_all_and_changes_nothing(self, client: Client, acme: Customer, vic: User) -> None:
        unpaid(acme)
        client.force_login(vic)
        for name, url in portal(acme):
            if PORTAL[name] == "viewer" and name not in {*POSTED, *FILES}:
                page = text(client.get(url))
                for forbidden in ("/pay/", "/card/", "/cancellation/", "/details/", "/change/", "/payment/"):
                    assert forbidden not in page, url
        assert Invoice.objects.filter(customer=acme, status="open").count() == 1

    def test_nothing_of_it_is_kept_by_caches(self, client: Client, acme: Customer, cora: User) -> None:
        client.force_login(cora)
        for name, url in portal(acme):
            if name not in POSTED:
                assert "no-store" in client.get(url)["Cache-Control"], url


class TestPages:
    def test_the_overview_says_what_happens_next(self, client: Client, acme: Customer, cora: User) -> None:
        client.force_login(cora)
        page = text(client.get(reverse("portal_overview", args=[acme.public_id])))
        for words in (
            "Your next invoice",
            "What it will say",
            "Active",
            "Near your limit.",
            "0 of 1,000",
            "Visa ending in 4242",
            "INV-",
        ):
            assert words in page

    def test_what_is_unpaid_comes_first_with_a_button(self, client: Client, acme: Customer, cora: User) -> None:
        invoice = unpaid(acme)
        client.force_login(cora)
        answer = client.get(reverse("portal_overview", args=[acme.public_id]))
        step = answer.context["next_steps"][0]
        assert (step["text"], step["amount"]) == (f"Invoice {invoice.number} is due", 4900)
        assert step["url"] == reverse("portal_pay", args=[acme.public_id, invoice.public_id])

    def test_usage_stands_against_its_limit(self, client: Client, acme: Customer, cora: User) -> None:
        makers.calls(acme, 842, at=db.now())
        client.force_login(cora)
        page = text(client.get(reverse("portal_usage", args=[acme.public_id])))
        assert "842 of 1,000 API calls" in page
        assert "84.2% used." in page

    def test_an_invoice_shows_what_its_document_says(self, client: Client, acme: Customer, cora: User) -> None:
        client.force_login(cora)
        invoice = Invoice.objects.get()
        page = text(client.get(reverse("portal_invoice", args=[acme.public_id, invoice.public_id])))
        for words in (invoice.number or "-", "Vendor GmbH", "Acme", "$49.00", "Visa •••• 4242"):
            assert words in page

    def test_credit_notes_and_what_stands_to_the_credit_are_beside_the_invoices(
        self, client: Client, acme: Customer, cora: User
    ) -> None:
        note = makers.credited(Invoice.objects.get(), 500, at=db.now())
        client.force_login(cora)
        page = client.get(reverse("portal_invoices", args=[acme.public_id])).content.decode()
        assert note.number in page
        assert "Your credit, which pays your next invoices: <strong>$5.00</strong>" in page

    def test_its_document_is_a_pdf(self, client: Client, acme: Customer, cora: User) -> None:
        client.force_login(cora)
        invoice = Invoice.objects.get()
        answer = client.get(reverse("portal_invoice_pdf", args=[acme.public_id, invoice.public_id]))
        assert answer.content.startswith(b"%PDF-")
        assert answer["Content-Type"] == "application/pdf"
        assert answer["Content-Disposition"] == f'attachment; filename="{invoice.number}.pdf"'

    def test_receipts_credit_notes_and_e_invoices_are_linked_where_they_belong(
        self, client: Client, acme: Customer, cora: User
    ) -> None:
        client.force_login(cora)
        files = {name: url for name, url in portal(acme) if name in FILES}
        page = text(client.get(reverse("portal_invoice", args=[acme.public_id, Invoice.objects.get().public_id])))
        for name, url in files.items():
            assert f'href="{url}"' in page, name
            answer = client.get(url)
            is_xml = name == "portal_invoice_xml"
            assert answer["Content-Type"] == ("application/xml" if is_xml else "application/pdf")
            assert answer.content.startswith(b"<?xml" if is_xml else b"%PDF-")

    def test_a_payment_that_failed_has_no_receipt(self, client: Client, acme: Customer, cora: User) -> None:
        client.force_login(cora)
        payment = Payment.objects.get()
        Payment.objects.update(status="failed")
        assert client.get(reverse("portal_receipt", args=[acme.public_id, payment.public_id])).status_code == 404

    def test_a_member_of_two_customers_can_switch(self, client: Client, acme: Customer, cora: User) -> None:
        other = makers.customer(name="Second")
        makers.members.add(customer=other, user=cora, role="owner", at=db.now())
        client.force_login(cora)
        page = client.get(reverse("portal_overview", args=[acme.public_id]))
        assert [one["name"] for one in page.context["customers"]] == ["Second"]

    def test_drafts_and_other_customers_invoices_are_not_listed(
        self, client: Client, acme: Customer, cora: User, zoe: User
    ) -> None:
        client.force_login(cora)
        listed = client.get(reverse("portal_invoices", args=[acme.public_id])).context["invoices"]
        assert [row["number"] for row in listed] == [Invoice.objects.get(customer=acme).number]

    def test_no_word_of_sales_is_on_any_page_that_a_customer_can_reach(
        self, client: Client, acme: Customer, cora: User
    ) -> None:
        unpaid(acme)
        public = [reverse(name) for name in ("pricing", "contact_sales", "account_signup", "account_reset_password")]
        public += ["/checkout/pro/", "/account/login/", "/account/email/", "/account/logout/", "/no-such-page/"]
        spoken = {"portal_people"}  # owners of an account, here
        own = [url for name, url in portal(acme) if name not in {*POSTED, *FILES, *spoken}]
        stranger = Client()
        client.force_login(cora)
        for visitor, urls in ((stranger, public), (client, public + own)):
            for url in urls:
                page = text(visitor.get(url, follow=True))
                words = strip_tags(re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL))
                assert not INTERNAL.search(words), f"{url}: {INTERNAL.search(words)}"


class TestPaying:
    @pytest.fixture
    def invoice(self, acme: Customer, cora: User, client: Client) -> Invoice:
        client.force_login(cora)
        return unpaid(acme)

    def url(self, invoice: Invoice, name: str = "portal_pay") -> str:
        return reverse(name, args=[invoice.customer.public_id, invoice.public_id])

    def test_pays_and_keeps_the_card(self, client: Client, invoice: Invoice) -> None:
        answer = client.post(self.url(invoice), {"card": "pm_card_mastercard"}, follow=True)
        assert f"Invoice {invoice.number} is paid." in text(answer)
        assert "Mastercard ending in 4444" in text(answer)

    @pytest.mark.parametrize(
        ("card", "words"),
        [
            ("pm_card_chargeDeclined", "Your card was declined."),
            ("pm_card_chargeDeclinedInsufficientFunds", "Your card has insufficient funds."),
        ],
    )
    def test_a_refused_card_is_explained_and_another_one_works(
        self, client: Client, invoice: Invoice, card: str, words: str
    ) -> None:
        answer = client.post(self.url(invoice), {"card": card})
        assert answer.status_code == 422
        assert words in text(answer)
        client.post(self.url(invoice), {"card": "pm_card_visa"})
        invoice.refresh_from_db()
        assert (invoice.status, invoice.amount_paid) == ("paid", 4900)

    def test_what_is_no_card_is_refused(self, client: Client, invoice: Invoice) -> None:
        assert client.post(self.url(invoice), {"card": "4242424242424242"}).status_code == 422
        assert client.post(self.url(invoice), {}).status_code == 422

    def test_twice_is_once(self, client: Client, invoice: Invoice) -> None:
        for _ in range(2):
            client.post(self.url(invoice), {"card": "pm_card_visa"})
        invoice.refresh_from_db()
        assert (invoice.amount_paid, invoice.allocations.count()) == (4900, 1)

    def test_what_is_paid_or_void_asks_for_nothing(self, client: Client, invoice: Invoice) -> None:
        invoices.void(invoice=invoice, at=db.now(), reason="Wrong.", waive=True)
        assert client.get(self.url(invoice)).headers["Location"] == self.url(invoice, "portal_invoice")


class TestChanging:
    @pytest.fixture(autouse=True)
    def signed_in(self, client: Client, cora: User) -> None:
        client.force_login(cora)

    def test_a_cancellation_ends_it_with_its_period_and_can_be_taken_back(self, client: Client, acme: Customer) -> None:
        subscription = Subscription.objects.get()
        address = [acme.public_id, subscription.public_id]
        page = client.post(reverse("portal_cancel", args=address), follow=True)
        subscription.refresh_from_db()
        assert subscription.cancel_at == subscription.current_period_end
        assert "Keep the subscription" in text(page)
        assert "Pro ends" in text(client.get(reverse("portal_overview", args=address[:1])))
        client.post(reverse("portal_resume", args=address))
        subscription.refresh_from_db()
        assert subscription.cancel_at is None

    def test_what_a_contract_has_agreed_is_not_canceled_here(self, client: Client, acme: Customer) -> None:
        agreed = Subscription.objects.get()
        Phase.objects.create(
            subscription=agreed, plan_version=agreed.plan_version, starts_at=agreed.current_period_end, locked=True
        )
        for step in ("portal_cancel", "portal_change", "portal_change_preview"):
            assert client.get(reverse(step, args=[acme.public_id, agreed.public_id])).status_code == 404

    def test_taking_back_nothing_is_refused_in_words(self, client: Client, acme: Customer) -> None:
        subscription = Subscription.objects.get()
        answer = client.post(reverse("portal_resume", args=[acme.public_id, subscription.public_id]))
        assert answer.status_code == 409
        assert "No cancellation is scheduled." in text(answer)

    def test_another_card_is_the_one_for_renewals(self, client: Client, acme: Customer) -> None:
        client.post(reverse("portal_card", args=[acme.public_id]), {"card": "pm_card_mastercard"})
        assert PaymentMethod.objects.get(customer=acme, is_default=True).last4 == "4444"
        assert Invoice.objects.count() == 1

    def test_whose_billing_waits_is_told_calmly_and_can_mend_it(self, client: Client, acme: Customer) -> None:
        """What is said to staff isn't said to customers; where the place was missing, saying it is enough."""
        makers.published_plan(code="team", name="Team")
        Customer.objects.update(country="", billing_address={})
        acme.refresh_from_db()
        parking.park(customer=acme, error=PlaceUnknown(acme, "country_unknown"), at=db.now())
        overview, details = (reverse(name, args=[acme.public_id]) for name in ("portal_overview", "portal_details"))
        change = reverse("portal_change_preview", args=[acme.public_id, Subscription.objects.get().public_id])
        for page in (client.get(overview), client.get(f"{change}?plan=team&interval=month")):
            assert "We need your country" in text(page)
            assert f'href="{details}"' in text(page)
            assert acme.public_id not in text(page).replace(f"/portal/{acme.public_id}/", "")
        client.post(details, {"name": "Acme", "email": "ap@acme.example", "country": "US", "state": "NY"})
        acme.refresh_from_db()
        assert (acme.parked_at, acme.parked_code) == (None, "")
        assert "We need your country" not in text(client.get(overview))
        parking.park(customer=acme, error=ValueError("unheard of"), at=db.now())
        page = text(client.get(overview))
        assert "There is nothing for you to do." in page
        assert "unheard of" not in page
        assert "you keep your access" in page
        case = dunning_cases.watch(Invoice.objects.get(), at=db.now())
        write(case, troubled_at=db.now())
        assert "you keep your access" not in text(client.get(overview))

    def test_details_stand_on_the_next_invoice(self, client: Client, acme: Customer) -> None:
        url = reverse("portal_details", args=[acme.public_id])
        typed = {
            "name": "Acme AG",
            "email": "ap@acme.example",
            "city": "Bonn",
            "country": "DE",
            "tax_id": "DE136695976",
        }
        assert client.post(url, typed).status_code == 302
        acme.refresh_from_db()
        assert (acme.name, acme.place, acme.billing_address) == ("Acme AG", "DE", {"city": "Bonn", "country": "DE"})
        assert Invoice.objects.get().buyer["name"] == "Acme"

    def test_a_language_is_chosen_and_a_finer_one_kept(self, client: Client, acme: Customer) -> None:
        url = reverse("portal_details", args=[acme.public_id])
        typed = {"name": "Acme", "email": "ap@acme.example", "country": "AT"}
        Customer.objects.filter(pk=acme.pk).update(preferred_locale="de-AT")
        for chosen, kept in (("de", "de-AT"), ("fr", "fr")):
            assert client.post(url, {**typed, "preferred_locale": chosen}).status_code == 302
            acme.refresh_from_db()
            assert acme.preferred_locale == kept

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("name", ""),
            ("email", "nobody"),
            ("country", "XX"),
            ("tax_id", "DE12"),
            ("line1", "x" * 201),
            ("po_number", "x" * 101),
            ("name", "x" * 201),
        ],
    )
    def test_bad_details_are_refused_and_kept_as_typed(
        self, client: Client, acme: Customer, field: str, value: str
    ) -> None:
        typed = {"name": "Acme AG", "email": "ap@acme.example", "city": "Bonn", "country": "DE"} | {field: value}
        answer = client.post(reverse("portal_details", args=[acme.public_id]), typed)
        assert answer.status_code == 422
        assert field in answer.context["form"].errors
        assert answer.context["form"]["city"].value() == "Bonn"
        acme.refresh_from_db()
        assert acme.name == "Acme"

    def test_a_dismissed_prompt_is_gone(self, client: Client, acme: Customer) -> None:
        prompt = Prompt.objects.get()
        page = client.post(reverse("portal_dismiss", args=[acme.public_id, prompt.pk]), follow=True)
        assert "Near your limit." not in text(page)

    def test_while_a_clock_is_being_advanced_its_customers_read_and_writes_are_refused_in_words(
        self, client: Client
    ) -> None:
        clock = makers.clock(status="advancing")
        clocked = makers.customer(name="Clocked", test_clock=clock)
        client.force_login(makers.member(clocked, "cleo@clocked.example"))
        for page in ("portal_overview", "portal_usage", "portal_invoices", "portal_plan", "portal_details"):
            assert client.get(reverse(page, args=[clocked.public_id])).status_code == 200, page
        typed = {"name": "New", "email": "ap@clocked.example", "country": "US"}
        answer = client.post(reverse("portal_details", args=[clocked.public_id]), typed)
        assert answer.status_code == 422
        assert "being advanced" in text(answer)


class TestQueries:
    """Each page costs the same, however much there is to show."""

    @pytest.mark.parametrize(
        ("name", "queries"),
        [
            ("portal_overview", 44),
            ("portal_usage", 10),
            ("portal_invoices", 10),
            ("portal_plan", 9),
            ("portal_details", 5),
            ("portal_card", 6),
        ],
    )
    def test_a_page(
        self,
        client: Client,
        acme: Customer,
        cora: User,
        name: str,
        queries: int,
        django_assert_num_queries: DjangoAssertNumQueries,
    ) -> None:
        client.force_login(cora)
        url = reverse(name, args=[acme.public_id])
        with django_assert_num_queries(queries):
            client.get(url)
        for n in range(3):
            unpaid(acme)
            makers.members.add(customer=makers.customer(name=f"C{n}"), user=cora, role="owner", at=db.now())
            prompts.show(customer_id=acme.pk, code=f"p{n}", period="", text="Hi.", link="", at=db.now())
        with django_assert_num_queries(queries):
            client.get(url)

    def test_an_invoice(
        self, client: Client, acme: Customer, cora: User, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        client.force_login(cora)
        invoice = Invoice.objects.get()
        with django_assert_num_queries(17):
            client.get(reverse("portal_invoice", args=[acme.public_id, invoice.public_id]))


def test_an_incomplete_purchase_shows_how_to_pay_it(client: Client, plan: Plan) -> None:
    late = makers.customer(name="Late")
    makers.card(late, "pm_card_chargeDeclined", at=db.now())
    makers.subscribed(late, plan=plan, at=db.now() - timedelta(hours=1))
    client.force_login(makers.member(late, "lea@late.example"))
    answer = client.get(reverse("portal_overview", args=[late.public_id]))
    assert answer.context["next_steps"][0]["text"].startswith("Payment of invoice")
    client.post(answer.context["next_steps"][0]["url"], {"card": "pm_card_visa"})
    assert Subscription.objects.get(customer=late).status == "active"
