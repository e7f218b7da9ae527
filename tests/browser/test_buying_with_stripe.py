"""The same purchase where the gateway is Stripe: its own card field, its bank's question, nothing typed reaches us."""

from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Page, expect

from billing.models import Customer, Invoice, Payment, PaymentMethod, Plan, Subscription
from tests.browser.test_buying import PAY, fill_in, press
from tests.gateways.conftest import _double, double, webhooks

if TYPE_CHECKING:
    from tests.gateways.telling import Double, Webhooks

__all__ = ["_double", "double", "webhooks"]
pytestmark = pytest.mark.browser
GOOD, DECLINED, ASKS = "4242424242424242", "4000000000000002", "4000002760003184"


@pytest.fixture
def stripe(double: "Double", settings: Any) -> "Double":
    """Its double, whose script and API the browser reaches directly, as it does Stripe's."""
    settings.STRIPE_SCRIPT = f"{double.session.get(f'{double.url}/_double/behind').text}/js.stripe.com/v3/"
    return double


def card(page: Page, number: str) -> None:
    for name, value in {"number": number, "exp_month": "12", "exp_year": "34", "cvc": "123"}.items():
        page.get_by_placeholder(name, exact=True).fill(value)


def test_declined_then_confirmed_then_another_card(page: Page, pro: Plan, stripe: "Double") -> None:
    sent: list[str] = []
    page.on("request", lambda one: sent.append(one.post_data or "") if "/checkout/" in one.url else None)
    page.goto("/checkout/pro/")
    fill_in(page)
    card(page, DECLINED)
    press(page, PAY)
    expect(page.get_by_role("alert")).to_contain_text("declined")
    assert not Subscription.objects.exists()

    card(page, ASKS)
    press(page, PAY)
    press(page, "Complete authentication")  # the card is kept
    expect(page.get_by_role("heading", level=1)).to_have_text("Confirm your payment")
    press(page, "Go on to your bank")
    press(page, "Complete authentication")  # the payment is made
    expect(page.get_by_role("status")).to_contain_text("You are subscribed to Pro.")
    assert (Subscription.objects.get().status, Invoice.objects.get().status) == ("active", "paid")
    assert len(stripe.charges()) == Payment.objects.filter(status="succeeded").count() == 1
    assert (PaymentMethod.objects.get().last4, Customer.objects.count()) == ("3184", 1)
    assert sent
    assert not any(number in body for body in sent for number in (DECLINED, ASKS))

    page.goto(f"/portal/{Customer.objects.get().public_id}/card/")
    card(page, GOOD)
    press(page, "Save")
    expect(page.get_by_role("status")).to_contain_text("Saved.")
    assert PaymentMethod.objects.get(is_default=True).last4 == "4242"


def test_the_gateway_tells_us_before_the_buyer_comes_back(
    page: Page, pro: Plan, stripe: "Double", webhooks: "Webhooks"
) -> None:
    """Between the bank and us the connection breaks; the webhook settles it, the buyer's return finds it settled."""
    page.goto("/checkout/pro/")
    fill_in(page)
    card(page, ASKS)
    page.get_by_role("button", name=PAY).dblclick()
    press(page, "Complete authentication")
    expect(page.get_by_role("heading", level=1)).to_have_text("Confirm your payment")
    asked = page.url
    page.route("**/confirm/**", lambda route: route.abort() if route.request.method == "POST" else route.continue_())
    press(page, "Go on to your bank")
    with page.expect_event("requestfailed"):
        press(page, "Complete authentication")
    assert webhooks.tell("payment_intent.succeeded", stripe.charges()[0]).status == "processed"
    assert (Subscription.objects.get().status, Invoice.objects.get().status) == ("active", "paid")
    again = page.context.new_page()
    again.goto(asked)
    expect(again.get_by_role("main")).to_contain_text("Active")
    again.goto("/checkout/pro/")
    expect(again.get_by_role("heading", level=1)).to_have_text("You have Pro already")
    assert len(stripe.charges()) == Payment.objects.count() == Customer.objects.count() == 1
