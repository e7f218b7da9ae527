"""The board in a real browser: cards are dragged and moved by keyboard, and what is refused goes back."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from billing.models import Plan
from crm.models import Opportunity
from gtm.shared import db
from gtm.shared.models import User
from tests.crm import makers

pytestmark = pytest.mark.browser


def drag(page: Page, card: Locator, stage: str) -> None:
    """Onto the bar of closed stages, which comes up while a card is held."""
    held = card.bounding_box()
    assert held is not None
    page.mouse.move(held["x"] + 8, held["y"] + 8)
    page.mouse.down()
    page.mouse.move(held["x"] + 60, held["y"] + 60, steps=4)
    bar = page.locator(f".board-drop [data-stage={stage}]")
    expect(bar).to_be_visible()
    zone = bar.bounding_box()
    assert zone is not None
    page.mouse.move(zone["x"] + zone["width"] / 2, zone["y"] + zone["height"] / 2, steps=4)
    page.mouse.up()


def test_a_deal_is_lost_with_a_reason_only_and_moved_by_keyboard(
    page: Page, pro: Plan, sign_in: Callable[[Page, User], None], axe: Callable[[Page], None]
) -> None:
    ann = User.objects.get(email="ann@vendor.example")
    account = makers.account(at=db.now())
    for name in ("Acme seats", "Acme support"):
        makers.opportunity(account=account, owner=ann, name=name, at=db.now())
    sign_in(page, ann)
    page.goto("/crm/pipeline/")
    first, lost = (
        page.locator(".board-column[data-stage=understanding]"),
        page.locator(".board-column[data-stage=lost]"),
    )
    card = page.locator(".board-card", has_text="Acme seats")
    dialog = page.get_by_role("dialog")

    drag(page, card, "lost")
    expect(dialog).to_contain_text("Why was it lost?")
    expect(first.locator(".board-card")).to_have_count(2)
    expect(lost.locator(".board-card")).to_have_count(0)
    dialog.get_by_role("button", name="Move", exact=True).click()
    expect(dialog.locator(".error").first).to_be_visible()
    assert not Opportunity.objects.exclude(state="open").exists()

    dialog.get_by_label("Why was it lost?").select_option(label="Budget was cut (lost to no decision)")
    dialog.get_by_role("button", name="Move", exact=True).click()
    expect(lost.locator(".board-card")).to_have_count(1)
    expect(dialog).to_have_count(0)
    expect(page.locator(".toast")).to_contain_text("Lost")
    assert Opportunity.objects.get(name="Acme seats").version == 2

    expect(lost.locator(".board-card:has(:focus)")).to_have_count(1)
    page.keyboard.press("k")
    page.keyboard.press("m")
    expect(dialog).to_contain_text("Move Acme support")
    dialog.get_by_label("Stage").select_option("business_case")
    dialog.get_by_role("button", name="Move", exact=True).press("Enter")
    expect(dialog).to_contain_text("The buyer has to confirm")
    for box in dialog.get_by_role("checkbox").all():
        box.press("Space")
    dialog.get_by_role("button", name="Move", exact=True).press("Enter")
    expect(page.locator(".board-column[data-stage=business_case] .board-card")).to_have_count(1)
    deal = Opportunity.objects.get(name="Acme support")
    assert (deal.stage.code, deal.version, deal.confirmations.count()) == ("business_case", 2, 2)

    axe(page)
    page.goto(f"/crm/opportunities/{deal.public_id}/")
    axe(page)
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.goto("/crm/pipeline/")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
