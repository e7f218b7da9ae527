"""A founder at work in the back office, in a real browser."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from billing.models import Plan
from gtm.shared.models import ApiKey
from tests import world
from tests.billing import makers

pytestmark = pytest.mark.browser
PHONE = {"width": 360, "height": 800}


@pytest.fixture
def founder(page: Page, sign_in: Any) -> Page:
    """Fay's page, in an installation in which nothing is sold yet."""
    makers.legal_entity()
    makers.feature(meter=makers.meter())
    sign_in(page, world.fay())
    return page


def test_a_plan_is_made_previewed_and_published(founder: Page) -> None:
    founder.goto("/admin/")
    founder.get_by_role("link", name="Create Plan", exact=True).click()
    founder.get_by_label("Name*", exact=True).first.fill("Pro")
    founder.locator("#id_prices-0-unit_amount").fill("49.00")
    founder.locator("#id_prices-1-unit_amount").fill("490")
    founder.locator("#id_entitlements-0-feature").select_option(label="API calls")
    founder.locator("#id_entitlements-0-limit").fill("1000")
    founder.get_by_role("button", name="Save").click()
    with founder.expect_popup() as opened:
        founder.get_by_role("link", name="Preview as the customer sees it").click()
    expect(opened.value.get_by_role("heading", name="Preview of Pro")).to_be_visible()
    expect(opened.value.locator("main")).to_contain_text("$49")
    founder.get_by_role("link", name="Publish").click()
    founder.get_by_role("button", name="Publish").click()
    expect(founder.get_by_text("Pro is on the price page.")).to_be_visible()
    plan = Plan.objects.get()
    assert (plan.code, plan.published, plan.current_version.prices.count()) == ("pro", True, 2)
    founder.goto("/pricing/?interval=year")
    expect(founder.locator("main")).to_contain_text("$490")
    expect(founder.locator("main")).to_contain_text("1,000")


def test_another_price_is_added_to_a_plan(founder: Page) -> None:
    plan = makers.published_plan()
    founder.goto(f"/admin/billing/plan/{plan.pk}/change/")
    founder.get_by_role("link", name="Add another Price").click()
    founder.locator("#id_prices-2-unit_amount").fill("130")
    founder.locator("#id_prices-2-interval").select_option("quarter")
    founder.get_by_role("button", name="Save").click()
    expect(founder.get_by_text("was changed successfully")).to_be_visible()
    assert plan.current_version.prices.get(interval="quarter").unit_amount == 13000


def test_a_key_is_shown_once(founder: Page, axe: Callable[[Page], None]) -> None:
    founder.goto("/admin/shared/apikey/add/")
    founder.get_by_label("Name*", exact=True).fill("Production")
    founder.get_by_role("button", name="Save").click()
    plaintext = founder.locator("#api-key").inner_text()
    axe(founder)
    founder.get_by_role("link", name="I have copied it").click()
    assert plaintext.startswith(ApiKey.objects.get().hint)
    assert plaintext not in founder.content()


def test_pages_are_open_to_everybody(founder: Page, axe: Callable[[Page], None]) -> None:
    plan = makers.published_plan()
    for path in (
        "/admin/billing/plan/",
        f"/admin/billing/plan/{plan.pk}/archive/",
        "/admin/billing/plan/add/",
        "/admin/billing/customer/add/",
        "/admin/shared/vendor/payments/",
        "/admin/shared/event/",
        "/admin/shared/user/add/",
        "/admin/crm/ruleset/add/",
    ):
        founder.goto(path)
        for scheme in ("light", "dark"):
            founder.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
            axe(founder)
        founder.set_viewport_size(PHONE)  # type: ignore[arg-type]
        width = founder.evaluate("document.documentElement.scrollWidth")
        founder.set_viewport_size({"width": 1280, "height": 900})
        assert width <= PHONE["width"], f"{path} is {width} px wide on a phone"
