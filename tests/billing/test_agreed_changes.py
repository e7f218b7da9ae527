"""What a customer agrees to is what is made: to the cent, once, or not at all."""

from datetime import UTC, datetime, timedelta

import pytest

from billing import agreed_changes, balances, catalog, changes, collection, runs, vendor_terms
from billing.agreed_changes import Choice, NotAgreed, Stale
from billing.models import Customer, Invoice, Phase, Plan, Price, Subscription, SubscriptionChange
from billing.payments import NoPaymentMethod
from gtm.shared import vendors
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import Event
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
JAN_15 = datetime(2026, 1, 15, 9, 30, tzinfo=UTC)
FEB_1 = datetime(2026, 2, 1, tzinfo=UTC)
SOON = timedelta(minutes=3)


@pytest.fixture(autouse=True)
def shop() -> None:
    """Pro at 49 and Scale at 490 a month, flat; Team at 10 a seat and month, or 100 a year, with support to add."""
    makers.legal_entity()
    makers.tax_rate()
    makers.published_plan()
    scale = makers.plan(code="scale", name="Scale", position=2)
    makers.price(plan=scale, code="scale-month", unit_amount=49000)
    catalog.publish(plan=scale, at=JAN_1)
    team = makers.plan(code="team", name="Team", position=1)
    makers.price(plan=team, code="seat", model="per_unit", unit_amount=1000)
    makers.price(plan=team, code="seat-year", interval="year", model="per_unit", unit_amount=10000)
    makers.price(plan=team, code="support", name="Support", unit_amount=2000, add_on=True)
    catalog.publish(plan=team, at=JAN_1)


@pytest.fixture
def acme() -> Customer:
    return makers.customer()


def on(acme: Customer, plan: str, quantity: int = 1) -> Subscription:
    price = Price.objects.get(code={"pro": "pro-month", "team": "seat"}[plan])
    item = changes.ItemTerms(price, quantity)
    made = makers.subscribed(acme, plan=Plan.objects.get(code=plan), items=[item])
    return Subscription.objects.get(pk=made.pk)


def agreed(subscription: Subscription, choice: Choice, *, at: datetime = JAN_15) -> agreed_changes.Offered:
    return agreed_changes.preview(subscription=subscription, choice=choice, at=at)


@pytest.mark.parametrize("choice", [Choice("scale"), Choice("team", "year", 3), Choice("pro", "year")])
def test_the_invoice_is_what_was_shown(acme: Customer, choice: Choice) -> None:
    subscription = on(acme, "pro")
    offered = agreed(subscription, choice)
    assert Invoice.objects.count() == 1
    for _click in range(2):
        agreed_changes.confirm(subscription=subscription, token=offered.token, at=JAN_15 + SOON)
    shown = offered.preview.change
    invoice = Invoice.objects.latest("created_at")
    lines = [(line.amount, line.tax_amount) for line in invoice.lines.order_by("position")]
    assert (invoice.subtotal, invoice.tax_total, invoice.total) == (shown.subtotal, shown.tax_total, shown.total)
    assert sorted(lines) == sorted((line.amount, line.tax_amount) for line in shown.lines)
    assert (invoice.status, Invoice.objects.count()) == ("paid", 2)
    assert SubscriptionChange.objects.filter(kind="changed", origin="portal").count() == 1


def test_seats_stand_on_the_next_invoice_as_shown(acme: Customer) -> None:
    subscription = on(acme, "team", 2)
    offered = agreed(subscription, Choice(seats=5, add_ons={"support": 1}))
    agreed_changes.confirm(subscription=subscription, token=offered.token, at=JAN_15 + SOON)
    assert offered.preview.next_invoice is not None
    runs.bill_due(at=FEB_1)
    billed = Invoice.objects.latest("created_at")
    assert billed.total == offered.preview.next_invoice.total == 8400  # 5 seats and support, with tax at 20 %


def test_less_counts_from_the_end_of_the_period_and_can_be_taken_back(acme: Customer) -> None:
    subscription = on(acme, "team", 9)
    offered = agreed(subscription, Choice("pro"))
    assert (offered.preview.effective_at, offered.preview.change.total) == (FEB_1, 0)
    assert offered.preview.may_undo
    changed = agreed_changes.confirm(subscription=subscription, token=offered.token, at=JAN_15 + SOON)
    assert changed.next_change_at == FEB_1
    changes.undo(subscription=changed, at=JAN_15 + SOON)
    assert not Phase.objects.exists()


class TestStale:
    @pytest.fixture
    def subscription(self, acme: Customer) -> Subscription:
        return on(acme, "pro")

    @pytest.fixture
    def token(self, subscription: Subscription) -> str:
        return agreed(subscription, Choice("scale")).token

    def refused(self, subscription: Subscription, token: str, at: datetime = JAN_15 + SOON) -> None:
        before = Invoice.objects.count(), Event.objects.count()
        with pytest.raises(Stale):
            agreed_changes.confirm(subscription=subscription, token=token, at=at)
        assert (Invoice.objects.count(), Event.objects.count()) == before

    def test_another_price(self, subscription: Subscription, token: str) -> None:
        scale = Plan.objects.get(code="scale")
        catalog.seal(plan_version=scale.current_version, at=JAN_15)
        catalog.change_price(price=Price.objects.get(code="scale-month"), at=JAN_15, published=False)
        makers.price(plan=scale, code="scale-dearer", unit_amount=59000, at=JAN_15)
        self.refused(subscription, token)

    def test_another_tax(self, subscription: Subscription, token: str, acme: Customer) -> None:
        makers.tax_rate("7", code="other")
        Customer.objects.update(tax_rates=["other"])
        self.refused(subscription, token)

    def test_another_period(self, subscription: Subscription) -> None:
        token = agreed(subscription, Choice("scale"), at=FEB_1 - SOON).token
        runs.bill_due(at=FEB_1)
        self.refused(subscription, token, at=FEB_1)

    def test_credit_that_is_spent_elsewhere_meanwhile(self, subscription: Subscription, acme: Customer) -> None:
        balances.adjust(customer=acme, amount=10_000, reason="Thanks", at=JAN_15)
        offered = agreed(subscription, Choice("scale"))
        assert offered.preview.to_pay == offered.preview.change.invoice_total - 10_000
        balances.adjust(customer=acme, amount=-4_000, reason="Spent", at=JAN_15)
        self.refused(subscription, offered.token)

    def test_too_long_ago(self, subscription: Subscription, token: str) -> None:
        self.refused(subscription, token, at=JAN_15 + timedelta(hours=1))

    def test_anothers_or_none_of_ours(self, subscription: Subscription, token: str) -> None:
        other = on(makers.customer(name="Other"), "pro")
        for one, given in ((other, token), (subscription, "x"), (subscription, token[:-1])):
            with pytest.raises(Invalid):
                agreed_changes.confirm(subscription=one, token=given, at=JAN_15)

    def test_by_the_second_it_is_still_what_was_shown(self, subscription: Subscription) -> None:
        vendors.change(proration_unit="second")
        offered = agreed(subscription, Choice("scale"))
        agreed_changes.confirm(subscription=subscription, token=offered.token, at=JAN_15 + SOON)
        assert Invoice.objects.latest("created_at").total == offered.preview.change.total


def test_whose_colleague_agreed_to_the_terms_meanwhile_need_not(acme: Customer) -> None:
    vendors.change(terms_url="https://tandem.example/terms", terms_version="2026-01")
    subscription = on(acme, "pro")
    offered = agreed(subscription, Choice("scale"))
    with pytest.raises(NotAgreed):
        agreed_changes.confirm(subscription=subscription, token=offered.token, at=JAN_15)
    vendor_terms.agree(customer=acme, version="2026-01", origin="portal", at=JAN_15)
    changed = agreed_changes.confirm(subscription=subscription, token=offered.token, at=JAN_15)
    assert changed.plan_version.plan.code == "scale"


class TestRefusals:
    @pytest.mark.parametrize(
        "choice",
        [
            Choice("enterprise"),
            Choice("nothing"),
            Choice(seats=0),
            Choice(add_ons={"seat-year": 1}),
            Choice(add_ons={"support": -1}),
        ],
    )
    def test_what_isnt_sold_to_a_customer_alone(self, acme: Customer, choice: Choice) -> None:
        makers.plan(code="enterprise", purchase_mode="quote_only", published=True)
        with pytest.raises(Invalid):
            agreed(on(acme, "team"), choice)

    def test_what_a_contract_has_agreed(self, acme: Customer) -> None:
        subscription = on(acme, "team")
        Phase.objects.create(
            subscription=subscription, plan_version=subscription.plan_version, starts_at=FEB_1, locked=True
        )
        with pytest.raises(Conflict):
            agreed(subscription, Choice(seats=5))


class TestLargeUpgrades:
    """It is told of, and nobody is held up."""

    def told(self) -> list[tuple[str, int]]:
        facts = Event.objects.filter(type="billing.subscription.upgraded_large").order_by("position")
        return [(fact.data["cause"], fact.data["delta_arr"]) for fact in facts]

    def test_by_what_it_adds_a_year(self, acme: Customer) -> None:
        subscription = on(acme, "pro")
        token = agreed(subscription, Choice("scale")).token
        assert self.told() == []
        agreed_changes.confirm(subscription=subscription, token=token, at=JAN_15)
        assert self.told() == [("delta_arr", 529_200)]

    def test_by_a_jump_over_a_plan(self, acme: Customer) -> None:
        vendors.change(large_upgrade_delta_arr=10_000_000)
        subscription = on(acme, "pro")
        changes.change(subscription=subscription, plan=Plan.objects.get(code="scale"), at=JAN_15)
        assert self.told() == [("tier_jump", 529_200)]

    def test_a_small_one_is_none(self, acme: Customer) -> None:
        subscription = on(acme, "team")
        item = changes.ItemTerms(Price.objects.get(code="seat"), 20)
        changes.change(subscription=subscription, items=[item], at=JAN_15)
        assert self.told() == []


class TestCollection:
    """Card or invoice, from the next invoice on."""

    def test_to_invoice_and_back(self, acme: Customer) -> None:
        subscription = on(acme, "pro")
        collection.allow(customer=acme, methods=["send_invoice"], reason="sales_led", at=JAN_15)
        acme.refresh_from_db()
        collection.switch(customer=acme, method="send_invoice", at=JAN_15)
        runs.bill_due(at=FEB_1)
        by_invoice = Invoice.objects.latest("created_at")
        assert (by_invoice.collection_method, by_invoice.net_terms_days, by_invoice.status) == (
            "send_invoice",
            30,
            "open",
        )
        collection.switch(customer=acme, method="charge_automatically", at=FEB_1)
        by_invoice.refresh_from_db()
        subscription.refresh_from_db()
        assert (by_invoice.collection_method, by_invoice.status) == ("send_invoice", "open")
        assert subscription.collection_method == "charge_automatically"
        kinds = Event.objects.filter(type__startswith="billing.customer.collection").values_list("type", flat=True)
        assert list(kinds.order_by("position")) == [
            "billing.customer.collection_allowed",
            *["billing.customer.collection_changed"] * 2,
        ]
        assert SubscriptionChange.objects.filter(kind="collection_changed").count() == 2

    def test_who_may_not(self, acme: Customer) -> None:
        on(acme, "pro")
        with pytest.raises(Invalid) as refusal:
            collection.switch(customer=acme, method="send_invoice", at=JAN_15)
        assert refusal.value.code == "collection_not_allowed"
        collection.switch(customer=acme, method="send_invoice", origin="admin", at=JAN_15)
        with pytest.raises(Conflict):
            collection.switch(customer=acme, method="send_invoice", origin="admin", at=JAN_15)
        with pytest.raises(Invalid):
            collection.switch(customer=acme, method="barter", at=JAN_15)
        with pytest.raises(Invalid):
            collection.allow(customer=acme, methods=["barter"], reason="", at=JAN_15)

    def test_back_asks_for_a_card(self) -> None:
        bare = makers.customer(name="Bare", collection_method="send_invoice")
        with pytest.raises(NoPaymentMethod):
            collection.switch(customer=bare, method="charge_automatically", at=JAN_15)
