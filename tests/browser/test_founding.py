"""A founder sets up a plan without a shell, and a visitor buys it."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from billing.models import Invoice, Subscription
from gtm.shared import db
from tests import world
from tests.billing import makers

pytestmark = pytest.mark.browser


def test_a_plan_is_made_published_and_bought(page: Page, new_page: Callable[..., Page]) -> None:
    world.fay()
    makers.legal_entity()
    makers.feature(meter=makers.meter(at=db.now()), at=db.now())
    page.goto("/admin/billing/plan/add/")
    page.get_by_label("Email").fill("fay@vendor.example")
    page.get_by_label("Password").fill(world.PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()

    page.wait_for_url("**/admin/billing/plan/add/")  # loaded, with the script that proposes a code
    page.locator("#id_name").press_sequentially("Growth")
    expect(page.locator("#id_code")).to_have_value("growth")
    for row, interval, amount in ((0, "Month", "49"), (1, "Year", "490")):
        page.locator(f"#id_prices-{row}-unit_amount").fill(amount)
        page.locator(f"#id_prices-{row}-interval").select_option(label=interval)
    page.locator("#id_entitlements-0-feature").select_option(label="API calls")
    page.locator("#id_entitlements-0-limit").fill("1000")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Version 1")).to_be_visible()
    visitor = new_page()
    visitor.goto("/pricing/")
    expect(visitor.get_by_role("main")).not_to_contain_text("Growth")

    page.get_by_role("link", name="Publish").click()
    page.get_by_role("button", name="Publish").click()
    expect(page.locator("body")).to_contain_text("Withdraw")

    visitor.reload()
    expect(visitor.get_by_role("main")).to_contain_text("1,000 per month")
    visitor.get_by_role("link", name="Buy Growth").click()
    visitor.get_by_label("Email").fill("cora@acme.com")
    visitor.get_by_label("Password").fill(world.PASSWORD)
    visitor.get_by_label("Company or name").fill("Acme")
    visitor.get_by_label("Country").select_option("US")
    visitor.get_by_role("button", name="Pay and subscribe").click()
    expect(visitor.get_by_role("main")).to_contain_text("0 of 1,000")
    assert (Subscription.objects.get().status, Invoice.objects.get().total) == ("active", 4900)
