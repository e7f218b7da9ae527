"""From the price page to the paid invoice, as a visitor does it."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from billing.models import Customer, Invoice, Plan, Subscription, TaxRate
from gtm.shared import vendors
from tests import world
from tests.billing import makers

PAY = "Pay and subscribe"
FOCUSED = """() => {
    const here = document.activeElement, { outlineStyle, outlineWidth } = getComputedStyle(here);
    return [here.name || "", here.textContent.trim(), outlineStyle !== "none" && parseFloat(outlineWidth) >= 1];
}"""

pytestmark = pytest.mark.browser


def fill_in(page: Page, *, country: str = "DE") -> None:
    page.get_by_label("Email").fill("cora@acme.com")
    page.get_by_label("Password").fill(world.PASSWORD)
    page.get_by_label("Company or name").fill("Acme")
    page.get_by_label("Country").select_option(country)


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def by_keyboard(page: Page, typed: dict[str, str], button: str) -> None:
    """Go from control to control, see where one stands, type what belongs there, and press the button in the end."""
    left = dict(typed)
    for _ in range(60):
        page.keyboard.press("Tab")
        name, text, seen = page.evaluate(FOCUSED)
        assert seen, f"nothing shows that {name or text} has the focus"
        page.keyboard.type(left.pop(name, ""))
        if text == button:
            break
    assert not left
    page.keyboard.press("Enter")


def test_a_company_buys_with_a_coupon_and_a_vat_id(page: Page, pro: Plan) -> None:
    TaxRate.objects.create(code="de", name="VAT", percentage=19, country="DE", valid_from="2020-01-01")
    makers.coupon("HALF", percent_off=50)
    vendors.change(terms_url="https://example.com/terms", terms_version="2026-01")
    page.goto("/pricing/")
    page.get_by_role("link", name="Yearly").click()
    page.get_by_role("link", name="Buy Pro").click()
    expect(page.get_by_label("Yearly")).to_be_checked()
    page.get_by_label("Monthly").check()
    fill_in(page)
    expect(page.locator("#order")).to_contain_text("VAT 19 %")
    total = page.locator("#order [data-total] >> nth=1")
    expect(total).to_have_text("$58.31")
    page.get_by_label("Have a code?").fill("half")
    page.get_by_label("Have a code?").press("Tab")
    expect(total).to_have_text("$29.16")
    page.get_by_label("Country").select_option("BE")
    page.get_by_label("VAT or tax number").fill("BE0403170702")
    page.get_by_label("VAT or tax number").press("Tab")
    expect(page.locator("#order")).to_contain_text("its check digits are wrong")
    page.get_by_label("VAT or tax number").fill("BE0403170701")
    page.get_by_label("VAT or tax number").press("Tab")
    expect(page.locator("#order")).to_contain_text("Reverse charge")
    expect(total).to_have_text("$24.50")
    page.get_by_label("I agree to the terms").check()
    press(page, PAY)
    expect(page.get_by_text("An invoice with a tax number needs it.").first).to_be_visible()
    for label, value in (("Street and number", "Loi 1"), ("Postal code", "1000"), ("City", "Bruxelles")):
        page.get_by_label(label).fill(value)
    page.get_by_label("Password").fill(world.PASSWORD)
    page.get_by_role("button", name=PAY).dblclick()

    expect(page.get_by_role("status")).to_contain_text("You are subscribed to Pro.")
    main = page.get_by_role("main")
    for words in ("Active", "Paid", "$24.50", "0 of 1,000"):
        expect(main).to_contain_text(words)
    number = Invoice.objects.get().number or "-"
    page.get_by_role("link", name=number, exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Invoice {number}")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download PDF").click()
    assert download.value.suggested_filename == f"{number}.pdf"
    assert download.value.path().read_bytes().startswith(b"%PDF-")

    page.goto("/pricing/")
    page.get_by_role("link", name="Buy Pro").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("You have Pro already")


def test_a_declined_card_is_told_and_another_one_confirmed(page: Page, pro: Plan, axe: Callable[[Page], None]) -> None:
    page.goto("/checkout/pro/")
    press(page, PAY)
    expect(page.get_by_role("alert")).to_be_focused()
    axe(page)
    page.get_by_role("alert").get_by_role("link", name="Email").click()
    expect(page.get_by_label("Email")).to_be_focused()
    fill_in(page)
    page.get_by_label("is declined").check()
    press(page, PAY)
    expect(page.get_by_role("alert")).to_contain_text("Your card was declined.")
    expect(page.get_by_role("alert")).to_be_focused()
    assert not Subscription.objects.live().exists()
    assert not Invoice.objects.filter(status="paid").exists()

    page.reload()
    page.get_by_label("asks for confirmation").check()
    press(page, PAY)
    expect(page.get_by_role("heading", level=1)).to_have_text("Confirm your payment")
    page.set_viewport_size({"width": 360, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    axe(page)
    press(page, "Refuse it")
    expect(page.get_by_role("alert")).to_contain_text("The payment was not confirmed.")
    page.get_by_label("asks for confirmation").check()
    press(page, PAY)
    press(page, "Confirm the payment")
    expect(page.get_by_role("main")).to_contain_text("Active")
    assert Subscription.objects.get().status == "active"
    assert Invoice.objects.get().status == "paid"
    page.goto("/checkout/pro/")
    expect(page.get_by_role("heading", level=1)).to_have_text("You have Pro already")
    page.go_back()
    expect(page.get_by_role("main")).to_contain_text("Active")


def test_two_tabs_buy_once(page: Page, pro: Plan) -> None:
    """The first of them by keyboard alone, from the top of the page on; going back, there is nothing to buy again."""
    second = page.context.new_page()
    second.goto("/checkout/pro/")
    fill_in(second)
    page.goto("/checkout/pro/")
    by_keyboard(page, {"email": "cora@acme.com", "password": world.PASSWORD, "name": "Acme", "country": "Germany"}, PAY)
    expect(page.get_by_role("main")).to_contain_text("Active")
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("You have Pro already")
    press(second, PAY)
    expect(second.get_by_role("heading", level=1)).to_have_text("The page was open too long")
    second.goto("/checkout/pro/")
    expect(second.get_by_role("heading", level=1)).to_have_text("You have Pro already")
    assert (Subscription.objects.count(), Customer.objects.count()) == (1, 1)


def test_without_scripts_forms_do(new_page: Callable[..., Page], pro: Plan) -> None:
    page = new_page(java_script_enabled=False, viewport={"width": 390, "height": 800})
    page.goto("/checkout/pro/")
    fill_in(page)
    page.get_by_label("Email").fill("no address")
    press(page, PAY)
    expect(page.get_by_text("Enter a valid email address.")).to_be_visible()
    expect(page.get_by_label("Company or name")).to_have_value("Acme")
    fill_in(page)
    page.get_by_label("Yearly").check()
    page.locator("[name=preview]").click()
    expect(page.locator("#order")).to_contain_text("$490.00")
    fill_in(page)
    page.get_by_label("asks for confirmation").check()
    press(page, PAY)
    press(page, "Confirm the payment")
    expect(page.get_by_role("main")).to_contain_text("Billed yearly")

    page.get_by_role("link", name="Plan", exact=True).click()
    page.get_by_role("link", name="Cancel subscription").click()
    press(page, "Cancel subscription")
    press(page, "Keep the subscription")
    expect(page.get_by_role("status")).to_contain_text("goes on")


@pytest.mark.parametrize("name", ["cora@acme.com", "CORA@ACME.COM"])
def test_a_customer_signs_in_and_out(page: Page, acme: Customer, name: str) -> None:
    page.goto(f"/portal/{acme.public_id}/")
    page.get_by_label("Email").fill(name)
    page.get_by_label("Password").fill("wrong " + world.PASSWORD)
    press(page, "Sign in")
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_label("Email")).to_have_value(name)
    page.get_by_label("Password").fill(world.PASSWORD)
    press(page, "Sign in")
    expect(page).to_have_url(url_ending(f"/portal/{acme.public_id}/"))
    page.get_by_role("link", name="Sign out").click()
    press(page, "Sign out")
    page.goto(f"/portal/{acme.public_id}/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


def url_ending(path: str) -> re.Pattern[str]:
    return re.compile(re.escape(path) + "$")
