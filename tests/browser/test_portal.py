"""A customer serves itself: changes its plan and its seats, pays otherwise, pays what is open, cancels and stays.

All of it on a telephone, with scripts and without: what each page looks like is seen by ``test_every_page``.
"""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from billing import catalog, collection
from billing.models import Customer, Invoice, PaymentMethod, Plan, Subscription
from gtm.shared import db
from gtm.shared.models import User
from gtm.shared.templatetags.tandem import money
from tests.billing import makers

pytestmark = pytest.mark.browser


@pytest.fixture(params=[True, False], ids=["with_scripts", "without_scripts"])
def page(request: pytest.FixtureRequest, new_page: Callable[..., Page]) -> Page:
    return new_page(java_script_enabled=request.param, viewport={"width": 360, "height": 740})


@pytest.fixture
def own(page: Page, acme: Customer, sign_in: Any) -> str:
    """Cora's portal. Team is sold by the seat, Enterprise by quote; leaving Pro is offered a pause."""
    at = db.now()
    team = makers.plan(code="team", name="Team", position=1)
    makers.price(plan=team, code="seat", model="per_unit", unit_amount=1000)
    makers.price(plan=team, code="seat-year", interval="year", model="per_unit", unit_amount=10000)
    catalog.publish(plan=team, at=at)
    makers.plan(code="enterprise", name="Enterprise", purchase_mode="quote_only", published=True)
    catalog.change_plan(plan=Plan.objects.get(code="pro"), at=at, cancel_offer="pause")
    sign_in(page, User.objects.get(email="cora@acme.com"))
    return f"/portal/{acme.public_id}/"


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name).click()


def test_a_customer_changes_its_plan_and_seats(page: Page, own: str, acme: Customer) -> None:
    page.goto(own)
    expect(page.get_by_role("main")).to_contain_text("Your next invoice")
    page.get_by_role("link", name="Plan", exact=True).click()
    page.get_by_role("link", name="Change plan").click()
    page.get_by_role("link", name="Yearly").click()
    expect(page.get_by_role("main")).to_contain_text("$98.00 less a year than by the month")
    page.get_by_role("link", name="See what it comes to").click()
    total = page.locator(".sums [data-total] >> nth=1").inner_text()
    press(page, f"Change and pay {total}")
    expect(page.get_by_role("status")).to_contain_text("Done.")
    assert money(Invoice.objects.latest("created_at").total, "USD") == total
    assert Subscription.objects.get().mrr == 4083

    page.goto(own + "plan/")
    page.get_by_role("link", name="Change plan").click()
    page.get_by_role("link", name="Monthly").click()
    page.get_by_role("link", name="Change to Team").click()
    press(page, "Change on")
    page.goto(own + "plan/")
    expect(page.get_by_role("main")).to_contain_text("Team")
    press(page, "Take the change back")
    expect(page.get_by_role("status")).to_contain_text("Everything stays as it is.")


def test_a_customer_adds_seats_and_asks_for_a_quote(page: Page, own: str, acme: Customer) -> None:
    buyer = makers.customer(name="Seats", email="sam@seats.example", at=db.now())
    makers.subscribed(buyer, plan=Plan.objects.get(code="team"), at=db.now())
    makers.members.add(customer=buyer, user=User.objects.get(email="cora@acme.com"), role="owner", at=db.now())
    page.goto(f"/portal/{buyer.public_id}/plan/")
    page.get_by_role("link", name="Change plan").click()
    page.get_by_role("spinbutton", name="Seats").fill("4")
    page.get_by_role("button", name="See what it comes to").click()
    expect(page.get_by_role("main")).to_contain_text("Nothing is charged today: it stands on your invoice of")
    press(page, "Change now")
    page.goto(f"/portal/{buyer.public_id}/plan/")
    expect(page.get_by_role("main")).to_contain_text("4 units, billed monthly")
    page.get_by_role("link", name="Change plan").click()
    page.get_by_role("link", name="Ask for a quote").click()
    page.get_by_label("What do you need?").fill("Single sign-on.")
    press(page, "Send")
    expect(page.get_by_role("status")).to_contain_text("We have your request for Enterprise")


def test_a_customer_pays_otherwise_and_stays(page: Page, own: str, acme: Customer) -> None:
    collection.allow(customer=acme, methods=["send_invoice"], reason="sales_assisted", at=db.now())
    page.goto(own)
    page.get_by_role("link", name="Payment", exact=True).click()
    page.get_by_label("PO number").fill("PO-7")
    press(page, "Pay by invoice from now on")
    expect(page.get_by_role("main")).to_contain_text("within 30 days")
    acme.refresh_from_db()
    found = [makers.invoiced(acme, amount, at=db.now()) for amount in (1000, 2000)]
    page.reload()
    page.get_by_role("link", name="Pay open invoices").click()
    press(page, "Pay what is ticked")
    expect(page.get_by_role("status")).to_contain_text("2 invoices are paid.")
    assert {Invoice.objects.get(pk=one.pk).status for one in found} == {"paid"}
    page.get_by_role("link", name="Payment", exact=True).click()
    press(page, "Pay by card from now on")
    expect(page.get_by_role("main")).to_contain_text("Your invoices are charged to your card.")
    page.get_by_role("link", name="Change card").click()
    page.get_by_label("Mastercard 4444").check()
    press(page, "Save")
    expect(page.get_by_role("status")).to_contain_text("Saved.")
    assert PaymentMethod.objects.get(is_default=True).last4 == "4444"

    page.goto(own + "plan/")
    page.get_by_role("link", name="Cancel subscription").click()
    expect(page.get_by_role("main")).to_contain_text("Take a break instead")
    page.get_by_label("We don't use it enough").check()
    press(page, "Cancel subscription")
    expect(page.get_by_role("main")).to_contain_text("It is canceled and ends on")
    press(page, "Keep the subscription")
    expect(page.get_by_role("status")).to_contain_text("goes on")
    assert Subscription.objects.get().cancel_at is None
    makers.calls(acme, 5, at=db.now())
    page.goto(own + "usage/")
    expect(page.get_by_role("main")).to_contain_text(re.compile("5 of 1,000"))


def test_a_customer_keeps_its_own_records(page: Page, own: str, acme: Customer) -> None:
    makers.member(acme, "vic@acme.com", role="viewer", at=db.now())
    page.goto(own)
    page.get_by_role("link", name="Billing details").click()
    page.get_by_label("Company or name").fill("Acme Labs")
    page.get_by_label("Email for invoices").fill("no address")
    press(page, "Save")
    summary = page.get_by_role("alert")
    expect(summary).to_contain_text("Please correct what is marked:")
    expect(page.get_by_label("Company or name")).to_have_value("Acme Labs")
    summary.get_by_role("link", name="Email for invoices").click()
    expect(page.get_by_label("Email for invoices")).to_be_focused()
    page.get_by_label("Email for invoices").fill("books@acme.com")
    press(page, "Save")
    expect(page.get_by_role("status")).to_contain_text("Saved.")
    acme.refresh_from_db()
    assert (acme.name, acme.email) == ("Acme Labs", "books@acme.com")

    page.get_by_role("link", name="Mail preferences").click()
    page.get_by_label("Hints about plans and the product").uncheck()
    press(page, "Save")
    expect(page.get_by_label("Hints about plans and the product")).not_to_be_checked()
    page.get_by_role("link", name="People").click()
    vic = page.get_by_role("listitem").filter(has_text="vic@acme.com")
    vic.get_by_label("Role of Vic").select_option("billing")
    vic.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text("Saved.")
    vic.get_by_text("Remove", exact=True).first.click()
    vic.get_by_role("button", name="Remove").click()
    expect(page.get_by_role("status")).to_contain_text("has no access any more.")
    assert not acme.members.filter(user__email="vic@acme.com").exists()
    press(page, "Deutsch")
    expect(page.get_by_role("heading", level=1)).to_have_text("Personen")
