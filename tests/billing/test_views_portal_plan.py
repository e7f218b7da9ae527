"""The portal's plan pages: changing with a preview, cancelling with a reason and an offer, asking for a quote."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from billing import catalog, collection, pauses, payments
from billing.models import (
    Customer,
    Discount,
    Invoice,
    PaymentMethod,
    Phase,
    Plan,
    Price,
    QuoteRequest,
    Subscription,
    SubscriptionChange,
    TermsAgreement,
)
from crm import accounts
from crm.models import Account, Alert
from gtm.shared import db, outbox, vendors
from gtm.shared.models import Event
from tests import world
from tests.billing import makers
from tests.crm import makers as crm_makers

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme(client: Client) -> Customer:
    """On Pro since today; Team is sold by the seat, Enterprise by quote. Cora, its owner, is signed in."""
    makers.legal_entity()
    at = db.now()
    pro = makers.published_plan(at=at)
    team = makers.plan(code="team", name="Team", position=1)
    makers.price(plan=team, code="seat", model="per_unit", unit_amount=1000)
    makers.price(plan=team, code="seat-year", interval="year", model="per_unit", unit_amount=10000)
    makers.price(plan=team, code="support", name="Support", unit_amount=2000, add_on=True)
    catalog.publish(plan=team, at=at)
    makers.plan(code="enterprise", name="Enterprise", purchase_mode="quote_only", published=True)
    acme = makers.customer(email="cora@acme.com", at=at)
    makers.subscribed(acme, plan=pro, at=at)
    client.force_login(makers.member(acme, "cora@acme.com", at=at))
    return acme


def url(customer: Customer, name: str, *more: str) -> str:
    return reverse(f"portal_{name}", args=[customer.public_id, *more])


def step(customer: Customer, name: str) -> str:
    return url(customer, name, Subscription.objects.get(customer=customer).public_id)


def text(answer: Any) -> str:
    return str(answer.content.decode())


def token(answer: Any) -> str:
    return str(answer.context["token"])


class TestChanging:
    def test_plans_are_shown_with_what_a_year_saves(self, client: Client, acme: Customer) -> None:
        page = client.get(step(acme, "change") + "?interval=year")
        assert [plan["name"] for plan in page.context["plans"]] == ["Pro", "Team"]
        assert [plan["saving"] for plan in page.context["plans"]] == [
            "$98.00 less a year than by the month",
            "$20.00 less a year than by the month",
        ]
        assert not page.context["plans"][0]["is_present"]
        assert "Ask for a quote" in text(page)

    def test_the_preview_is_the_invoice(self, client: Client, acme: Customer) -> None:
        address = step(acme, "change_preview")
        page = client.get(address, {"plan": "pro", "interval": "year"})
        assert Invoice.objects.count() == 1
        shown = page.context["change"]["total"]
        answer = client.post(address, {"token": token(page)}, follow=True)
        assert "Done." in text(answer)
        assert Invoice.objects.latest("created_at").total == shown == 49000 - 4900
        again = client.post(address, {"token": token(page)}, follow=True)
        assert "Done." in text(again)
        assert Invoice.objects.count() == 2

    def test_a_price_that_has_changed_is_shown_again(self, client: Client, acme: Customer) -> None:
        address = step(acme, "change_preview")
        page = client.get(address, {"plan": "team"})
        team = Plan.objects.get(code="team")
        catalog.seal(plan_version=team.current_version, at=db.now())
        catalog.change_price(price=Price.objects.get(code="seat"), at=db.now(), published=False)
        makers.price(plan=team, code="seat-dear", model="per_unit", unit_amount=9000)
        again = client.post(address, {"token": token(page)})
        assert again.status_code == 409
        assert "Nothing was changed and nothing charged." in text(again)
        assert Invoice.objects.count() == 1
        client.post(address, {"token": token(again)})
        assert Subscription.objects.get().plan_version.plan == team

    def test_terms_that_are_new_are_agreed_to_once(self, client: Client, acme: Customer) -> None:
        vendors.change(terms_url="https://tandem.example/terms", terms_version="2026-01")
        address, query = step(acme, "change_preview"), {"plan": "pro", "interval": "year"}
        page = client.get(address, query)
        assert '<a href="https://tandem.example/terms"' in page.content.decode()
        refused = client.post(address, {"token": token(page)})
        assert (refused.status_code, Invoice.objects.count()) == (422, 1)
        assert "Please agree before you change it." in text(refused)
        vendors.change(terms_version="2026-02")
        stale = client.post(address, {"token": token(refused), "terms": "on"})
        assert (stale.status_code, TermsAgreement.objects.count()) == (409, 0)
        assert "The terms have changed" in text(stale)
        for _click in range(2):
            assert client.post(address, {"token": token(stale), "terms": "on"}).status_code == 302
        kept = TermsAgreement.objects.get()
        assert (kept.customer, kept.terms_version, kept.origin) == (acme, "2026-02", "portal")
        assert kept.actor.startswith("user:usr_")
        assert Event.objects.get(type="billing.terms.agreed").data == {"version": "2026-02", "origin": "portal"}
        assert "tandem.example/terms" not in client.get(address, {"plan": "team"}).content.decode()

    @pytest.mark.parametrize(
        ("card", "words"),
        [
            ("pm_card_chargeDeclined", "your card was refused"),
            ("pm_card_authenticationRequired", "Your bank asks you to confirm"),
        ],
    )
    def test_a_refused_card_leads_to_the_invoice(self, client: Client, acme: Customer, card: str, words: str) -> None:
        makers.card(acme, card, at=db.now())
        address = step(acme, "change_preview")
        page = client.get(address, {"plan": "pro", "interval": "year"})
        answer = client.post(address, {"token": token(page)}, follow=True)
        invoice = Invoice.objects.latest("created_at")
        assert answer.redirect_chain[-1][0] == url(acme, "pay", invoice.public_id)
        assert words in text(answer)

    def test_without_a_card_one_is_asked_for(self, client: Client, acme: Customer) -> None:
        PaymentMethod.objects.update(is_default=False)
        page = client.get(step(acme, "change_preview"), {"plan": "team", "seats": "60"})
        assert page.status_code == 409
        assert url(acme, "card") in text(page)

    def test_seats_and_add_ons_are_chosen_together(self, client: Client, acme: Customer) -> None:
        address = step(acme, "change_preview")
        client.post(address, {"token": token(client.get(address, {"plan": "team", "seats": "6"}))})
        page = client.get(step(acme, "change"))
        assert [field.name for field in page.context["seats_form"]] == ["seats", "add-on-support"]
        page = client.get(address, {"seats": "7", "add-on-support": "1"})
        client.post(address, {"token": token(page)})
        items = Subscription.objects.get().items.filter(ended_at=None).values_list("price__code", "quantity")
        assert {code: int(number) for code, number in items} == {"seat": 7, "support": 1}

    @pytest.mark.parametrize("query", [{"seats": "x"}, {"plan": "enterprise"}, {"plan": "no"}, {"plan": "pro"}])
    def test_what_is_no_choice_is_refused_in_words(self, client: Client, acme: Customer, query: dict[str, str]) -> None:
        assert client.get(step(acme, "change_preview"), query).status_code in {400, 409}

    def test_what_is_scheduled_is_seen_and_taken_back(self, client: Client, acme: Customer) -> None:
        address = step(acme, "change_preview")
        client.post(address, {"token": token(client.get(address, {"plan": "team"}))})
        assert Phase.objects.count() == 1
        assert "You change to Team" in text(client.get(url(acme, "overview")))
        page = client.get(url(acme, "plan"))
        assert "Take the change back" in text(page)
        client.post(step(acme, "change_undo"))
        assert not Phase.objects.exists()


class TestCancelling:
    def test_a_reason_is_kept_and_none_has_to_be_given(self, client: Client, acme: Customer) -> None:
        client.post(step(acme, "cancel"), {"reason_code": "too_expensive", "reason": "We are a charity."})
        change = SubscriptionChange.objects.get(kind="cancellation_scheduled")
        assert (change.reason, change.detail["reason_code"]) == ("We are a charity.", "too_expensive")
        fact = Event.objects.get(type="billing.subscription.cancellation_scheduled")
        assert fact.data["reason_code"] == "too_expensive"
        assert "charity" not in str(fact.data)
        client.post(step(acme, "resume"))
        client.post(step(acme, "cancel"))
        assert Subscription.objects.get().cancel_at is not None

    def test_an_unknown_reason_is_refused(self, client: Client, acme: Customer) -> None:
        assert client.post(step(acme, "cancel"), {"reason_code": "mood"}).status_code == 422
        assert Subscription.objects.get().cancel_at is None

    def test_a_coupon_is_offered_once(self, client: Client, acme: Customer) -> None:
        coupon = makers.coupon("STAY", at=db.now())
        catalog.change_plan(plan=Plan.objects.get(code="pro"), at=db.now(), cancel_offer="coupon", cancel_coupon=coupon)
        page = client.get(step(acme, "cancel"))
        assert "Stay for less" in text(page)
        assert "Cancel subscription" in text(page)
        client.post(step(acme, "offer"))
        assert Discount.objects.get().coupon == coupon
        assert Event.objects.filter(type="billing.subscription.offer_taken", data__offer="coupon").count() == 1
        assert client.get(step(acme, "cancel")).context["offer"] is None
        assert client.post(step(acme, "offer")).status_code == 409

    def test_a_pause_of_a_month_is_offered_and_taken_back(self, client: Client, acme: Customer) -> None:
        catalog.change_plan(plan=Plan.objects.get(code="pro"), at=db.now(), cancel_offer="pause")
        client.post(step(acme, "offer"))
        paused = Subscription.objects.get()
        assert paused.resume_at is not None
        assert paused.pause_at == paused.current_period_end
        assert paused.resume_at - paused.pause_at == timedelta(days=30)
        assert "Pro is paused" in text(client.get(url(acme, "overview")))
        client.post(step(acme, "unpause"))
        assert Subscription.objects.get().pause_at is None

    def test_a_smaller_plan_is_offered_with_its_preview(self, client: Client, acme: Customer) -> None:
        team = Plan.objects.get(code="team")
        catalog.change_plan(plan=Plan.objects.get(code="pro"), at=db.now(), cancel_offer="downgrade", cancel_plan=team)
        offer = client.get(step(acme, "cancel")).context["offer"]
        assert client.get(offer["url"]).status_code == 200
        assert client.post(step(acme, "offer")).status_code == 409

    def test_what_is_paused_goes_on(self, client: Client, acme: Customer) -> None:
        pauses.pause(subscription=Subscription.objects.get(), at=db.now())
        assert "Go on now" in text(client.get(url(acme, "plan")))
        client.post(step(acme, "unpause"))
        assert Subscription.objects.get().status == "active"


class TestWhatSalesHears:
    @pytest.fixture(autouse=True)
    def sales(self, acme: Customer) -> None:
        crm_makers.sales(world.ann(), world.bob(), manager=world.max_manager())
        outbox.relay()

    def test_a_request_for_a_quote_reaches_somebody_and_says_so(self, client: Client, acme: Customer) -> None:
        address = url(acme, "quote", "enterprise")
        sent = {"quantity": "200", "message": "With single sign-on, please."}
        assert "We have your request for Enterprise" in text(client.post(address, sent, follow=True))
        client.post(address, sent)
        outbox.relay()
        alert = Alert.objects.get()
        assert alert.rule_code == "quote_request"
        assert alert.owner_id or alert.queue_id
        for words in ("asks for a quote of Enterprise for 200", "With single sign-on"):
            assert words in alert.evidence
        assert QuoteRequest.objects.count() == 1
        assert "sign-on" not in str(Event.objects.get(type="billing.quote.requested").data)
        assert "You asked for a quote" in text(client.get(step(acme, "change")))

    def test_other_plans_have_no_such_page(self, client: Client, acme: Customer) -> None:
        assert client.get(url(acme, "quote", "pro")).status_code == 404

    def test_a_large_upgrade_is_told_of_and_not_held_up(self, client: Client, acme: Customer) -> None:
        address = step(acme, "change_preview")
        page = client.get(address, {"plan": "team", "seats": "60"})
        client.post(address, {"token": token(page)})
        assert Subscription.objects.get().plan_version.plan.code == "team"
        outbox.relay()
        alert = Alert.objects.get(rule_code="large_upgrade")
        assert alert.value_at_stake == 12 * (60 * 1000 - 4900)
        assert "went from Pro to Team by itself" in alert.evidence

    def test_who_is_helped_to_buy_may_pay_by_invoice(self, client: Client, acme: Customer) -> None:
        page = client.get(url(acme, "way"))
        assert "Payment by invoice comes with larger plans." in text(page)
        refused = client.post(url(acme, "way"), {"method": "send_invoice"})
        assert refused.status_code == 400
        account = Account.objects.get(pk=Customer.objects.get().account_id)
        accounts.change(account=account, at=db.now(), employee_count=500)
        outbox.relay()
        acme.refresh_from_db()
        assert acme.allowed_collection_reason == "sales_assisted"
        client.post(url(acme, "way"), {"method": "send_invoice", "po_number": "PO-7"})
        acme.refresh_from_db()
        assert (acme.collection_method, acme.po_number) == ("send_invoice", "PO-7")
        assert "within 30 days" in text(client.get(url(acme, "way")))
        client.post(url(acme, "way"), {"method": "charge_automatically"})
        acme.refresh_from_db()
        assert acme.collection_method == "charge_automatically"


class TestPayingSeveral:
    @pytest.fixture
    def open_ones(self, acme: Customer) -> list[Invoice]:
        Customer.objects.update(collection_method="send_invoice")
        acme.refresh_from_db()
        return [makers.invoiced(acme, amount, at=db.now()) for amount in (1000, 2000, 3000)]

    def test_those_that_are_ticked_are_paid_by_one_charge(
        self, client: Client, acme: Customer, open_ones: list[Invoice]
    ) -> None:
        page = client.get(url(acme, "pay_open"))
        assert text(page).count(" checked") == 3
        answer = client.post(url(acme, "pay_open"), {"invoices": [one.public_id for one in open_ones[:2]]}, follow=True)
        assert "2 invoices are paid." in text(answer)
        assert [Invoice.objects.get(pk=one.pk).status for one in open_ones] == ["paid", "paid", "open"]

    def test_a_refused_card_is_said_for_each(self, client: Client, acme: Customer, open_ones: list[Invoice]) -> None:
        makers.card(acme, "pm_card_chargeDeclined", at=db.now())
        answer = client.post(url(acme, "pay_open"), {"invoices": [one.public_id for one in open_ones]})
        assert answer.status_code == 422
        assert len(re.findall("Your card was declined", text(answer))) == 3

    def test_anothers_or_none_is_refused(self, client: Client, acme: Customer, open_ones: list[Invoice]) -> None:
        other = makers.invoiced(makers.customer(name="Other", collection_method="send_invoice"), 5, at=db.now())
        for chosen in ([], [other.public_id]):
            assert client.post(url(acme, "pay_open"), {"invoices": chosen}).status_code == 422
        assert not Invoice.objects.filter(pk=other.pk, status="paid").exists()

    def test_back_to_the_card_asks_for_one_first(self, client: Client, acme: Customer) -> None:
        collection.switch(customer=acme, method="send_invoice", origin="admin", at=db.now())
        PaymentMethod.objects.update(is_default=False)
        asked = client.post(url(acme, "way"), {"method": "charge_automatically"})
        client.post(asked.headers["Location"], {"card": "pm_card_visa"})
        acme.refresh_from_db()
        assert acme.collection_method == "charge_automatically"

    def test_so_does_a_card_whose_bank_asks_for_what_had_failed(self, client: Client, acme: Customer) -> None:
        makers.card(acme, "pm_card_chargeDeclined", at=db.now())
        payments.collect(invoice=makers.invoiced(acme, 500, at=db.now()), at=db.now())
        collection.switch(customer=acme, method="send_invoice", origin="admin", at=db.now())
        PaymentMethod.objects.update(is_default=False)
        answer = client.post(f"{url(acme, 'card')}?then=card", {"card": "pm_card_authenticationRequired"})
        assert answer.headers["Location"].startswith("/confirm/")
        acme.refresh_from_db()
        assert acme.collection_method == "charge_automatically"


@pytest.mark.parametrize(("name", "queries"), [("change", 30), ("way", 10), ("pay_open", 10), ("cancel", 15)])
def test_a_page_costs_the_same(
    client: Client, acme: Customer, name: str, queries: int, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    address = step(acme, name) if name in {"change", "cancel"} else url(acme, name)
    with django_assert_max_num_queries(queries) as counted:
        client.get(address)
    for number in range(3):
        makers.published_plan(code=f"more-{number}", at=db.now())
        makers.invoiced(acme, 100, at=db.now())
    before = len(counted)
    with django_assert_max_num_queries(before) as counted:
        client.get(address)
