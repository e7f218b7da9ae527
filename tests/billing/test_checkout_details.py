"""Buying for a company: VAT id, address, add-ons, terms; the order says to the cent what the invoice will."""

import ast
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client

import billing
from billing import balances, catalog, payments, vendor_terms
from billing.models import Checkout, Customer, Invoice, Plan, Subscription, TermsAgreement
from gtm.shared import db, ids, outbox, vendors
from gtm.shared.models import Mail
from tests import world
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
CHECKOUT = "/checkout/pro/"
STREET = {"line1": "Rue de la Loi 1", "postal_code": "1000", "city": "Bruxelles"}


@pytest.fixture
def plan() -> Plan:
    makers.legal_entity()  # in Germany
    makers.tax_rate("19", country="DE")
    makers.tax_rate("21", country="BE", code="btw")
    return makers.published_plan()


def typed(**changes: Any) -> dict[str, Any]:
    known = {
        "checkout": str(ids.uuid7()),
        "interval": "month",
        "email": "cora@acme.example",
        "password": world.PASSWORD,
        "name": "Acme",
        "country": "BE",
        "card": "pm_card_visa",
    }
    return known | changes


def order(client: Client, **changes: Any) -> dict[str, Any]:
    """The order as the page shows it when that was typed."""
    page = client.post(CHECKOUT, typed(**changes) | {"preview": "1"})
    found: dict[str, Any] = page.context["order"]
    return found


class TestTaxId:
    @pytest.mark.parametrize(
        ("tax_id", "tax", "says"),
        [
            ("", 1029, ""),
            ("BE0403170701", 0, "Reverse charge"),
            ("0403 170 701", 0, "Reverse charge"),
            ("BE0403170702", 1029, "check digits"),
            ("BE1", 1029, "does not have the form"),
        ],
    )
    def test_it_is_checked_at_once_and_the_invoice_agrees(
        self, client: Client, plan: Plan, tax_id: str, tax: int, says: str
    ) -> None:
        shown = order(client, tax_id=tax_id)
        assert (shown["tax"], shown["total"]) == (tax, 4900 + tax)
        assert says in shown["tax_note"] + shown["tax_id_problem"]
        if says == "does not have the form":
            assert says in client.post(CHECKOUT, typed(tax_id=tax_id, **STREET)).context["form"].errors["tax_id"][0]
            return
        client.post(CHECKOUT, typed(tax_id=tax_id, **(STREET if tax_id else {})))
        invoice = Invoice.objects.get()
        assert (invoice.tax_total, invoice.total, invoice.amount_paid) == (tax, 4900 + tax, 4900 + tax)
        assert (invoice.tax_treatment == "reverse_charge") is (says == "Reverse charge")

    def test_an_invoice_to_a_company_needs_its_address(self, client: Client, plan: Plan) -> None:
        answer = client.post(CHECKOUT, typed(tax_id="BE0403170701"))
        assert set(answer.context["form"].errors) == {"line1", "postal_code", "city"}
        assert '<details class="fold" open>' in answer.content.decode()
        client.post(CHECKOUT, typed(tax_id="BE0403170701", **STREET))
        assert Customer.objects.get().billing_address == STREET | {"country": "BE"}
        assert Invoice.objects.get().buyer["tax_id"] == "BE0403170701"


class TestTerms:
    def test_who_buys_agrees_and_it_is_kept_with_its_version(self, client: Client, plan: Plan) -> None:
        vendors.change(terms_url="https://tandem.example/terms", terms_version="2026-01")
        page = client.get(CHECKOUT).content.decode()
        assert '<a href="https://tandem.example/terms"' in page
        answer = client.post(CHECKOUT, typed())
        assert answer.context["form"].errors == {"terms": ["Please agree before you buy."]}
        client.post(CHECKOUT, typed(terms="on"))
        kept = Checkout.objects.get()
        assert (kept.terms_version, kept.terms_accepted_at is not None) == ("2026-01", True)
        agreed = TermsAgreement.objects.get()
        assert (agreed.customer, agreed.terms_version, agreed.origin) == (Customer.objects.get(), "2026-01", "checkout")
        assert vendor_terms.wanted(agreed.customer, vendors.current()) == ""

    def test_without_terms_nobody_is_asked(self, client: Client, plan: Plan) -> None:
        client.post(CHECKOUT, typed())
        assert Checkout.objects.get().terms_accepted_at is None


class TestAddOns:
    @pytest.fixture(autouse=True)
    def offered(self, plan: Plan) -> None:
        makers.price(plan=plan, code="support", name="Support", unit_amount=1000, add_on=True)
        makers.price(plan=plan, code="seats", name="Seats", model="per_unit", unit_amount=333, add_on=True)
        catalog.publish(plan=plan, at=JAN_1)

    def test_they_are_in_the_order_and_on_the_invoice(self, client: Client, plan: Plan) -> None:
        makers.coupon("THIRD", percent_off=Decimal("33.33"))
        wanted = {"add_on_support": "on", "add_on_seats": "7", "country": "DE", "coupon": "THIRD"}
        shown = order(client, **wanted)
        client.post(CHECKOUT, typed(**wanted))
        invoice = Invoice.objects.get()
        assert (shown["tax"], shown["total"]) == (invoice.tax_total, invoice.total)
        assert [line["amount"] for line in shown["lines"]] == [4900, 1000, 2331]
        items = Subscription.objects.get().items.order_by("price__code").values_list("price__code", "quantity")
        assert dict(items) == {"pro-month": 1, "seats": 7, "support": 1}

    @pytest.mark.parametrize("nonsense", ["", "0", "-1", "x", "²", "9" * 30])
    def test_nonsense_adds_nothing_much(self, client: Client, plan: Plan, nonsense: str) -> None:
        assert len(order(client, add_on_seats=nonsense)["lines"]) in {1, 2}


def test_credit_pays_first_and_the_card_takes_the_rest(client: Client, plan: Plan) -> None:
    acme = makers.customer(country="DE")
    balances.adjust(customer=acme, amount=1000, reason="Sorry", at=JAN_1)
    client.force_login(makers.member(acme, "cora@acme.example"))
    shown = client.get(CHECKOUT).context["order"]
    client.post(CHECKOUT, typed())
    invoice = Invoice.objects.get()
    assert (shown["credit"], shown["total"]) == (invoice.balance_applied, invoice.amount_paid) == (1000, 4831)


def test_a_trial_says_what_comes_after_it(client: Client, plan: Plan) -> None:
    catalog.change_plan(plan=plan, at=JAN_1, trial_days=14)
    shown = order(client, country="DE")
    assert (shown["total"], "Then $58.31 on" in shown["after"][1]) == (0, True)
    assert "Choose your country" in order(client, country="")["after"][1]


def test_details_stay_open_until_something_is_ordered(client: Client, plan: Plan) -> None:
    """Signed up for a card that was then refused at the gateway: another country still counts."""
    checkout_id = str(ids.uuid7())
    wanted = typed(checkout=checkout_id, prepare="1", card="")
    assert client.post(CHECKOUT, wanted).headers["Content-Type"] == "application/json"
    client.post(CHECKOUT, typed(checkout=checkout_id, country="DE", name="Acme GmbH"))
    customer = Customer.objects.get()
    assert (customer.name, customer.place, Invoice.objects.get().tax_total) == ("Acme GmbH", "DE", 931)


def test_why_an_order_can_not_be_made_is_said_before_the_card_is_given(client: Client, plan: Plan) -> None:
    world.user(email="cora@acme.example")
    answer = client.post(CHECKOUT, typed(prepare="1", card=""))
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("Email: There is an account with this address already.")


def test_a_renewal_that_the_bank_asks_about_is_confirmed_by_the_mailed_link(client: Client, plan: Plan) -> None:
    acme = makers.customer(country="DE", email="billing@acme.example")
    makers.card(acme, "pm_card_authenticationRequired")
    invoice = makers.invoiced(acme, 1000, at=db.now())
    payments.collect(invoice=invoice, at=db.now())
    outbox.relay()
    mail = Mail.objects.get(template="action_required")
    (path,) = set(re.findall(r"/confirm/[^/]+/", mail.text))
    assert "Nothing was charged" in client.post(path, {"answer": "refuse"}).content.decode()
    assert "Pay by card" in client.get(path).content.decode()
    payments.collect(invoice=invoice, at=db.now())
    assert "Your payment is through." in client.post(path, {"answer": "accept"}).content.decode()
    assert Invoice.objects.get().status == "paid"


class TestPricePage:
    def test_it_turns_to_each_currency_and_says_what_a_year_saves(self, client: Client, plan: Plan) -> None:
        makers.price(plan=plan, code="pro-eur", currency="EUR", unit_amount=4500)
        catalog.publish(plan=plan, at=JAN_1)
        page = client.get("/pricing/", {"currency": "EUR"})
        assert "€45" in page.content.decode()
        assert "/checkout/pro/?interval=month&amp;currency=EUR" in page.content.decode()
        assert client.get("/checkout/pro/?currency=EUR").context["order"]["currency"] == "EUR"
        assert "You save $98.00 a year: 2 months free." in client.get("/pricing/?interval=year").content.decode()

    def test_a_plan_in_another_currency_alone_is_sold_in_that(self, client: Client, plan: Plan) -> None:
        euro = makers.plan(code="euro", name="Euro")
        makers.price(plan=euro, code="euro-month", currency="EUR")
        catalog.publish(plan=euro, at=JAN_1)
        assert 'href="/checkout/euro/' in client.get("/pricing/").content.decode()
        assert client.get("/checkout/euro/").context["order"]["currency"] == "EUR"

    def test_plans_are_compared_by_what_they_give(self, client: Client, plan: Plan) -> None:
        makers.published_plan(code="more", name="More", limit=None)
        (row,) = client.get("/pricing/").context["compared"]
        assert row == {"name": "API calls", "cells": ["unlimited", "1,000 per month"]}


class TestSalesAreNoBlocker:
    def test_nothing_in_the_path_of_a_purchase_knows_of_sales(self) -> None:
        root = Path(billing.__file__).parent
        imported = {
            name.name if isinstance(node, ast.Import) else node.module or ""
            for path in root.rglob("*.py")
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in node.names
        }
        assert not [name for name in imported if name.partition(".")[0] in {"crm", "signals"}]

    def test_a_purchase_goes_through_whatever_state_sales_is_in(self, client: Client, plan: Plan) -> None:
        """Its tables are gone: no page and no step asks for them. What they make of it later is theirs."""
        acme = makers.customer(country="DE")
        Customer.objects.filter(pk=acme.pk).update(managed=True, account_id=ids.uuid7(), dunning_policy="gone")
        client.force_login(makers.member(acme, "cora@acme.example"))
        outbox.relay()
        with connection.cursor() as cursor:
            cursor.execute("SELECT tablename FROM pg_tables WHERE tablename ~ '^(crm|signals)_'")
            for (table,) in cursor.fetchall():
                cursor.execute(f'ALTER TABLE "{table}" RENAME TO "gone_{table}"'[:200])
        assert "Buy Pro" in client.get("/pricing/").content.decode()
        assert client.get(CHECKOUT).status_code == 200
        assert client.post(CHECKOUT, typed()).status_code == 302
        assert Subscription.objects.get().status == "active"
