"""From the contact form to the rep's desk, and the desk by keyboard."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from billing.models import Plan
from crm import accounts, todos
from crm.models import Lead
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
    waiting = desk.locator(f"#row-{lead.public_id}")
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


def test_today_is_worked_through_by_keyboard(
    page: Page, new_page: Callable[..., Page], pro: Plan, sign_in: Callable[[Page, User], None]
) -> None:
    ann = User.objects.get(email="ann@vendor.example")
    account = makers.account(at=db.now())
    accounts.give(account=account, owner=ann, at=db.now())
    account.refresh_from_db()
    Lead.objects.all().update(lifecycle="sal", accepted_at=db.now())
    alerts = [
        makers.alert(
            account=account, severity=severity, evidence=f"used {n} of 10 seats", rule_code=f"r{n}", at=db.now()
        )
        for n, severity in enumerate(("critical", "high", "low"))
    ]
    todos.create(at=db.now(), title="Call Cora", assignee=ann, created_by=ann, account=account, due_at=db.now())
    sign_in(page, ann)
    page.goto("/today/")
    rows, focused = page.locator("[data-key-item]"), page.locator("[data-key-item]:has(:focus)")
    for key, words in (("j", "used 0"), ("j", "used 1"), ("j", "Call Cora"), ("k", "used 1")):
        page.keyboard.press(key)
        expect(focused).to_contain_text(words)
    page.keyboard.press("t")
    expect(focused).to_contain_text("Taken")
    page.keyboard.press("e")
    expect(rows).to_have_count(3)
    expect(focused).to_contain_text("Call Cora")
    expect(page.locator("#today-said")).to_have_text("Done: 1 row. 3 rows left.")
    page.keyboard.press("s")
    expect(rows).to_have_count(2)
    page.keyboard.press("u")
    expect(rows).to_have_count(3)
    expect(focused).to_have_count(1)
    for _row in range(3):
        page.keyboard.press("k")
    expect(focused).to_contain_text("used 0")
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(focused).to_contain_text("used 2")
    page.keyboard.press("Shift+X")
    expect(page.locator("[data-bulk-count]")).to_contain_text("3")
    page.keyboard.press("s")
    expect(page.get_by_role("heading", name="You are through")).to_be_visible()
    expect(page.locator("#nav-today")).to_have_text("")
    page.keyboard.press("u")
    expect(rows).to_have_count(3)
    expect(page.locator("#nav-today")).to_have_text("3")
    states = []
    for alert in alerts:
        alert.refresh_from_db()
        states.append(alert.state)
    assert states == ["open", "done", "open"]
    for _row in range(3):
        page.keyboard.press("k")
    expect(focused).to_contain_text("used 0")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(account.name)

    page.get_by_text("Write a note").click()
    page.get_by_label("Note", exact=True).fill("@max please look at e and s")
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Keep the note").click()
    expect(page.locator("#work")).to_contain_text("please look at e and s")
    desk = new_page()
    desk.set_viewport_size({"width": 360, "height": 700})
    sign_in(desk, User.objects.get(email="max@vendor.example"))
    desk.goto("/today/")
    expect(desk.locator("#nav-unread")).to_have_text("1")
    assert desk.evaluate("document.documentElement.scrollWidth") <= 360
    desk.get_by_role("link", name="Notifications").click()
    desk.get_by_role("button", name="please look").click()
    expect(desk.get_by_role("heading", level=1)).to_have_text(account.name)
    desk.keyboard.press("Control+k")
    expect(desk.get_by_role("dialog")).to_be_visible()
