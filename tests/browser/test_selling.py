"""From the contact form to the rep's desk, and the desk by keyboard."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from billing.models import Plan
from crm.models import Account, Lead
from gtm.shared import db, outbox
from gtm.shared.models import User
from tests.crm import makers

pytestmark = pytest.mark.browser


def write_to_sales(page: Page, *, employees: int, company: str) -> None:
    page.goto("/contact-sales/?plan=pro")
    page.get_by_label("Your name").fill("Carl")
    page.get_by_label("Work email").fill(f"carl@{company}")
    page.get_by_label("Company").fill(company)
    page.get_by_label("Number of employees").fill(str(employees))
    page.get_by_label("What would you like to know?").fill("Can we talk?")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Thank you")
    outbox.relay()


def test_a_big_company_gets_an_owner_and_a_small_one_an_offer(
    page: Page, new_page: Callable[..., Page], pro: Plan, sign_in: Callable[[Page, User], None]
) -> None:
    write_to_sales(page, employees=250, company="big-company.com")
    expect(page.get_by_role("link", name="Buy now")).to_have_count(0)
    lead = Lead.objects.get()
    owner = lead.owner
    assert owner is not None
    other = User.objects.get(email="bob@vendor.example" if owner.name == "Ann" else "ann@vendor.example")

    desk = new_page()
    sign_in(desk, owner)
    desk.goto("/today/")
    waiting = desk.locator(f"#lead-{lead.public_id}")
    expect(waiting).to_contain_text("big-company.com")
    waiting.get_by_role("link").click()
    expect(desk.get_by_role("main")).to_contain_text("Over 100 employees or stated needs")

    others = new_page()
    sign_in(others, other)
    others.goto("/today/")
    expect(others.get_by_role("main")).not_to_contain_text("big-company.com")
    assert lead.account is not None
    for path in (f"/crm/leads/{lead.public_id}/", f"/crm/accounts/{lead.account.public_id}/"):
        answer = others.goto(path)
        assert answer is not None
        assert answer.status == 404

    write_to_sales(page, employees=20, company="small-company.com")
    page.get_by_role("link", name="Buy now").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Buy Pro")


def test_today_is_worked_through_by_keyboard(page: Page, pro: Plan, sign_in: Callable[[Page, User], None]) -> None:
    ann = User.objects.get(email="ann@vendor.example")
    account = makers.account(at=db.now())
    Account.objects.filter(pk=account.pk).update(owner=ann)
    account.refresh_from_db()
    Lead.objects.all().update(owner=None, queue=None)
    alerts = [
        makers.alert(
            account=account, severity=severity, evidence=f"used {n} of 10 seats", rule_code=f"r{n}", at=db.now()
        )
        for n, severity in enumerate(("critical", "high", "low"))
    ]
    sign_in(page, ann)
    page.goto("/today/")
    focused = page.locator("[data-key-item]:has(:focus)")
    for key, position in (("j", 0), ("j", 1), ("j", 2), ("k", 1)):
        page.keyboard.press(key)
        expect(focused).to_contain_text(f"used {position} of 10 seats")
    page.keyboard.press("e")
    expect(page.locator("[data-key-item]")).to_have_count(2)
    expect(focused).to_contain_text("used 2 of 10 seats")
    page.keyboard.press("s")
    expect(page.locator("[data-key-item]")).to_have_count(1)
    expect(page.locator("#nav-today")).to_have_text("1")
    states = []
    for alert in alerts:
        alert.refresh_from_db()
        states.append(alert.state)
    assert states == ["open", "done", "snoozed"]
    page.keyboard.press("Control+k")
    expect(page.get_by_role("dialog")).to_be_visible()
