"""Customers: what they may be, what they can't become, and how they pay."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections

from billing import customers, gateways, prompts, subscriptions
from billing.models import Customer, PaymentMethod, Prompt
from gtm.shared import ids
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import Event
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db


def last_fact() -> Event:
    return Event.objects.latest("position")


class TestCreate:
    def test_it_brings_what_is_given_to_its_form_and_tells_nothing_personal(self) -> None:
        customer = makers.customer(
            name=" Acme ",
            email="Jo@Acme.Example",
            billing_emails=["Books@Acme.example"],
            currency="eur",
            country="de",
            billing_address={"city": "Berlin", "country": "de", "state": None},
            preferred_locale="pt-BR",
        )

        assert (customer.name, customer.email, customer.billing_emails) == (
            "Acme",
            "jo@acme.example",
            ["books@acme.example"],
        )
        assert (customer.currency, customer.country) == ("EUR", "DE")
        assert customer.billing_address == {"city": "Berlin", "country": "DE"}
        fact = last_fact()
        assert (fact.type, fact.customer_id) == ("billing.customer.created", customer.pk)
        assert fact.data == {"country": "DE", "currency": "EUR"}

    @pytest.mark.parametrize(
        ("fields", "attr"),
        [
            ({"name": " "}, "name"),
            ({"name": "x" * 201}, "name"),
            ({"email": "nobody"}, "email"),
            ({"billing_emails": ["nobody"]}, "billing_emails"),
            ({"currency": "EURO"}, "currency"),
            ({"currency": "ZZZ"}, "currency"),
            ({"country": "ZZ"}, "country"),
            ({"timezone": "Mars/Olympus"}, "timezone"),
            ({"timezone": "../etc/passwd"}, "timezone"),
            ({"preferred_locale": "xx"}, "preferred_locale"),
            ({"preferred_locale": "!"}, "preferred_locale"),
            ({"country": "DE", "tax_id": "DE12345"}, "tax_id"),
            ({"country": "DE", "tax_id": "nonsense"}, "tax_id"),
            ({"tax_rates": ["unknown"]}, "tax_rates"),
            ({"tax_exempt": "maybe"}, "tax_exempt"),
            ({"net_terms_days": 366}, "net_terms_days"),
            ({"net_terms_days": -1}, "net_terms_days"),
            ({"billing_address": {"street": "x"}}, "billing_address"),
            ({"billing_address": []}, "billing_address"),
            ({"billing_address": {"city": 5}}, "billing_address.city"),
            ({"billing_address": {"country": "ZZ"}}, "billing_address.country"),
            ({"traits": []}, "traits"),
            ({"traits": {"employee_count": "many"}}, "traits.employee_count"),
            ({"traits": {"users_count": True}}, "traits.users_count"),
            ({"traits": {"users_count": -1}}, "traits.users_count"),
            ({"traits": {"domain": 5}}, "traits.domain"),
        ],
    )
    def test_it_refuses_what_is_no_such_thing(self, fields: dict[str, Any], attr: str) -> None:
        with pytest.raises(Invalid) as refusal:
            makers.customer(**fields)
        assert refusal.value.attr == attr

    @pytest.mark.parametrize(
        ("country", "tax_id"),
        [("DE", "DE 136 695 976"), ("DE", "136695976"), ("GR", "EL094259216"), ("DE", "DE123456789"), ("US", "12-34")],
    )
    def test_it_takes_tax_ids_by_their_form(self, country: str, tax_id: str) -> None:
        assert makers.customer(country=country, tax_id=tax_id).tax_id == tax_id

    def test_it_refuses_an_external_id_that_is_taken(self) -> None:
        makers.customer(external_id="a")

        with pytest.raises(Invalid) as refusal:
            makers.customer(external_id="a")
        assert (refusal.value.attr, refusal.value.code) == ("external_id", "unique")


class TestChange:
    def test_it_tells_what_changed_and_what_was_before(self) -> None:
        customer = makers.customer(timezone="UTC")

        changed = customers.change(customer=customer, at=JAN_1, timezone="Asia/Kolkata", name="Acme Inc.", country="US")

        assert (changed.timezone, changed.name, changed.version) == ("Asia/Kolkata", "Acme Inc.", 2)
        assert (last_fact().data, last_fact().previous) == ({"changed": ["name", "timezone"]}, {"timezone": "UTC"})

    def test_a_change_to_the_same_tells_nothing(self) -> None:
        customer = makers.customer()

        assert customers.change(customer=customer, at=JAN_1, name="Acme").version == 1
        assert last_fact().type == "billing.customer.created"

    def test_the_currency_is_fixed_by_the_first_purchase(self) -> None:
        makers.legal_entity()
        customer = makers.customer(collection_method="send_invoice")
        customers.change(customer=customer, at=JAN_1, currency="EUR")
        customers.change(customer=customer, at=JAN_1, currency="USD")
        subscriptions.create(customer=customer, plan=makers.published_plan(), at=JAN_1)

        with pytest.raises(Conflict) as refusal:
            customers.change(customer=customer, at=JAN_1, currency="EUR")
        assert refusal.value.code == "currency_fixed"

    def test_the_account_is_written_down(self) -> None:
        customer, account_id = makers.customer(), ids.uuid7()

        customers.record_account(customer_id=customer.pk, account_id=account_id)

        assert customers.change(customer=customer, at=JAN_1, name="Acme Inc.").account_id == account_id
        assert last_fact().account_id == account_id


class TestPaymentMethods:
    def test_the_last_one_chosen_is_the_default(self) -> None:
        customer = makers.customer()
        visa, other = makers.card(customer), makers.card(customer, "pm_card_mastercard")
        spare = makers.card(customer, "pm_card_amex", default=False)

        assert [PaymentMethod.objects.get(pk=one.pk).is_default for one in (visa, other, spare)] == [False, True, False]
        assert (visa.brand, visa.last4, visa.gateway) == ("visa", "4242", "sandbox")
        assert last_fact().data == {"kind": "card", "brand": "amex", "default": False}

    def test_it_refuses_a_token_that_the_gateway_does_not_know(self) -> None:
        with pytest.raises(gateways.UnknownToken):
            makers.card(makers.customer(), "pm_card_nonsense")

    def test_the_same_request_attaches_once(self) -> None:
        customer, key = makers.customer(), ids.uuid7()

        first, again = (
            customers.attach_payment_method(
                customer=customer, gateway_token="pm_card_visa", at=JAN_1, payment_method_id=key
            )
            for _ in range(2)
        )

        assert first == again
        assert PaymentMethod.objects.count() == 1

    @pytest.mark.django_db(transaction=True)
    def test_of_many_at_once_one_is_the_default(self) -> None:
        customer, together = makers.customer(), threading.Barrier(4)

        def attach() -> None:
            together.wait(timeout=20)
            try:
                makers.card(Customer.objects.get(pk=customer.pk))
            finally:
                connections.close_all()

        with ThreadPoolExecutor(max_workers=4) as threads:
            for future in [threads.submit(attach) for _ in range(4)]:
                future.result(timeout=60)
        assert (PaymentMethod.objects.count(), PaymentMethod.objects.filter(is_default=True).count()) == (4, 1)


class TestPrompts:
    def show(self, customer: Customer, period: str = "2026-01") -> Prompt | None:
        words = {"text": "You are near your limit.", "link": "/pricing/"}
        return prompts.show(customer_id=customer.pk, code="near_limit", period=period, at=JAN_1, **words)

    def test_it_is_shown_once_a_period(self) -> None:
        customer = makers.customer()
        first = self.show(customer)
        assert first is not None
        prompts.dismiss(prompt=first, at=JAN_1)
        prompts.dismiss(prompt=first, at=JAN_1 + timedelta(days=1))

        assert self.show(customer) is None
        assert self.show(customer, period="2026-02") is not None
        assert Prompt.objects.get(pk=first.pk).dismissed_at == JAN_1
        assert Event.objects.filter(type="billing.prompt.shown", customer_id=customer.pk).count() == 2
