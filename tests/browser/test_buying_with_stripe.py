"""The same purchase where the gateway is Stripe: its own card field, its bank's question, nothing typed reaches us."""

from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Page, expect

from billing.models import Customer, Invoice, Payment, PaymentMethod, Plan, Subscription
from tests.browser.test_buying import PAY, fill_in, press
from tests.gateways.conftest import _double, double

if TYPE_CHECKING:
    from tests.gateways.telling import Double

__all__ = ["_double", "double"]
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
