"""Buying alone: once, whatever is clicked, and the summary is the invoice."""

import threading
from typing import Any

import pytest
from django.db import connection

from billing import balances, checkout, confirmations, lost_answers
from billing.checkout_summary import order_of
from billing.models import Checkout, Customer, Invoice, PlanVersion, Subscription, TaxRate
from billing.purchase import Purchase
from billing.queries import entitlements_of
from gtm.shared import db, ids
from gtm.shared.errors import Conflict
from gtm.shared.models import User
from tests import world
from tests.billing import makers
from tests.world import JAN_1


def purchase(version: PlanVersion, **changes: Any) -> Purchase:
    defaults: dict[str, Any] = {
        "id": ids.uuid7(),
        "plan_version": version,
        "interval": "month",
        "quantity": 1,
        "currency": "USD",
        "card": "pm_card_visa",
        "email": "cora@acme.example",
        "password": world.PASSWORD,
        "name": "Acme",
        "country": "US",
    }
    return Purchase(**defaults | changes)


@pytest.fixture
def version(db: None) -> PlanVersion:
    makers.legal_entity()
    return makers.published_plan().current_version


class TestComplete:
    def test_it_makes_a_user_a_customer_and_a_paid_subscription(self, version: PlanVersion) -> None:
        outcome = checkout.complete(purchase=purchase(version), at=JAN_1)
        assert outcome.failure == ""
        assert outcome.subscription.status == Subscription.Status.ACTIVE
        assert outcome.user.email == "cora@acme.example"
        assert outcome.customer.members.get().user == outcome.user
        invoice = Invoice.objects.get()
        assert (invoice.status, invoice.total, invoice.amount_paid) == ("paid", 4900, 4900)
        assert Checkout.objects.get().subscription == outcome.subscription

    def test_a_declined_card_gives_nothing_and_the_second_try_goes_on(self, version: PlanVersion) -> None:
        first = purchase(version, card="pm_card_chargeDeclined")
        outcome = checkout.complete(purchase=first, at=JAN_1)
        assert outcome.failure == "Your card was declined."
        assert outcome.subscription.status == Subscription.Status.INCOMPLETE
        assert not any(state.granted for state in entitlements_of(customer_id=outcome.customer.pk, at=JAN_1))
        assert not Invoice.objects.filter(status="paid").exists()

        again = purchase(version, id=first.id, user=outcome.user)
        assert checkout.complete(purchase=again, at=JAN_1).subscription.status == Subscription.Status.ACTIVE
        assert (Subscription.objects.count(), Invoice.objects.get().status) == (1, "paid")

    def test_buying_again_with_the_same_form_changes_nothing(self, version: PlanVersion) -> None:
        bought = purchase(version)
        user = checkout.complete(purchase=bought, at=JAN_1).user
        checkout.complete(purchase=purchase(version, id=bought.id, user=user), at=JAN_1)
        assert (Subscription.objects.count(), Invoice.objects.count()) == (1, 1)

    def test_a_plan_that_one_has_is_refused_in_words(self, version: PlanVersion) -> None:
        user = checkout.complete(purchase=purchase(version), at=JAN_1).user
        with pytest.raises(Conflict) as refusal:
            checkout.complete(purchase=purchase(version, user=user), at=JAN_1)
        assert refusal.value.code == "already_subscribed"
        assert Subscription.objects.count() == 1

    def test_somebody_elses_checkout_is_refused(self, version: PlanVersion) -> None:
        bought = purchase(version, card="pm_card_chargeDeclined")
        checkout.complete(purchase=bought, at=JAN_1)
        zoe = world.user(email="zoe@other.example")
        with pytest.raises(Conflict) as refusal:
            checkout.complete(purchase=purchase(version, id=bought.id, user=zoe), at=JAN_1)
        assert refusal.value.code == "not_yours"

    def test_an_order_that_was_changed_leaves_nothing_to_confirm(self, version: PlanVersion) -> None:
        """Else its payment is confirmed in the other tab, beside that of the order as it is now."""
        first = checkout.complete(purchase=purchase(version, card="pm_card_authenticationRequired"), at=JAN_1)
        begun = purchase(version, id=first.checkout.pk, user=first.user, interval="year")
        assert checkout.complete(purchase=begun, at=JAN_1).subscription.status == Subscription.Status.ACTIVE
        assert lost_answers.settle_stale(at=db.now()) == 1
        assert first.confirm is not None
        assert confirmations.action(first.confirm) is None
        confirmations.answer(payment=first.confirm, accepted=True, at=JAN_1)
        first.confirm.refresh_from_db()
        assert (first.confirm.status, first.confirm.failure_code) == ("failed", "superseded")

    def test_what_was_bought_another_way_passes_for_no_checkout(self, version: PlanVersion) -> None:
        """Else somebody comes back to the vendor's product with its word that this plan is paid."""
        held = makers.subscribed(makers.customer(), plan=version.plan)
        with pytest.raises(Conflict) as refusal:
            checkout.complete(purchase=purchase(version, id=held.pk), at=JAN_1)
        assert refusal.value.code == "not_yours"
        assert not Checkout.objects.exists()


class TestOrder:
    def test_the_order_equals_the_invoice(self, version: PlanVersion) -> None:
        TaxRate.objects.create(code="de-19", name="USt", percentage=19, country="DE", valid_from="2020-01-01")
        bought = purchase(version, country="DE", interval="year")
        order = order_of(purchase=bought, buyer=Customer(name="", country="DE"), trial_days=0, at=JAN_1)
        checkout.complete(purchase=bought, at=JAN_1)
        invoice = Invoice.objects.get()
        assert (order["tax"], order["total"]) == (invoice.tax_total, invoice.total) == (9310, 58310)

    @pytest.mark.parametrize(("balance", "left"), [(1000, 3900), (9900, 0)])
    def test_credit_pays_first_as_it_will(self, version: PlanVersion, balance: int, left: int) -> None:
        buyer = makers.customer()
        balances.adjust(customer=buyer, amount=balance, reason="Sorry", at=JAN_1)
        order = order_of(purchase=purchase(version), buyer=buyer, trial_days=0, at=JAN_1)
        makers.subscribed(buyer, plan=version.plan)
        invoice = Invoice.objects.get()
        assert (
            (order["credit"], order["total"]) == (invoice.balance_applied, invoice.amount_paid) == (4900 - left, left)
        )

    def test_before_the_country_is_chosen_the_tax_is_unknown_and_not_zero(self, version: PlanVersion) -> None:
        TaxRate.objects.create(code="de-19", name="USt", percentage=19, country="DE", valid_from="2020-01-01")
        order = order_of(purchase=purchase(version), buyer=Customer(name=""), trial_days=0, at=JAN_1)
        assert (order["tax"], order["total"]) == (None, 4900)

    def test_it_writes_nothing(self, version: PlanVersion) -> None:
        order_of(purchase=purchase(version), buyer=Customer(name=""), trial_days=0, at=JAN_1)
        assert not Subscription.objects.exists()
        assert not Invoice.objects.exists()


@pytest.mark.django_db(transaction=True)
class TestTwoAtOnce:
    def at_once(self, *purchases: Purchase) -> list[object]:
        """Complete them at the same time on connections of their own; return outcomes and refusals."""
        found: list[object] = []
        start = threading.Barrier(len(purchases))

        def buy(one: Purchase) -> None:
            start.wait(timeout=10)
            try:
                found.append(checkout.complete(purchase=one, at=JAN_1))
            except Conflict as refusal:
                found.append(refusal)
            finally:
                connection.close()

        threads = [threading.Thread(target=buy, args=[one]) for one in purchases]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=30)
        return found

    def buyer(self) -> User:
        return world.user(email="cora@acme.example", name="Cora")

    def test_a_double_click_buys_once(self) -> None:
        makers.legal_entity()
        version, user = makers.published_plan().current_version, self.buyer()
        one = purchase(version, user=user)
        self.at_once(one, one)
        assert (Subscription.objects.count(), Invoice.objects.count()) == (1, 1)
        assert Invoice.objects.get().amount_paid == 4900

    def test_two_tabs_buy_once(self) -> None:
        makers.legal_entity()
        version, user = makers.published_plan().current_version, self.buyer()
        self.at_once(purchase(version, user=user), purchase(version, user=user))
        assert (Subscription.objects.count(), Invoice.objects.count(), Customer.objects.count()) == (1, 1, 1)
        assert Invoice.objects.get().amount_paid == 4900

    def test_two_tabs_with_different_orders_buy_one_of_them(self) -> None:
        makers.legal_entity()
        version, user = makers.published_plan().current_version, self.buyer()
        self.at_once(purchase(version, user=user), purchase(version, user=user, interval="year"))
        paid = Invoice.objects.get(status="paid")
        assert paid.amount_paid in {4900, 49000}
        assert Subscription.objects.live().count() == 1
        assert Customer.objects.count() == 1

    def test_two_strangers_with_one_address_become_one_user(self) -> None:
        makers.legal_entity()
        version = makers.published_plan().current_version
        found = self.at_once(purchase(version), purchase(version))
        assert sorted(getattr(one, "code", "bought") for one in found) == ["bought", "known"]
        assert (User.objects.count(), Customer.objects.count(), Subscription.objects.count()) == (1, 1, 1)
