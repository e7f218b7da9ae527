"""A founder changes the bands and goes back, in a real browser, while a customer that serves itself looks on."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from billing.models import Customer, Plan
from crm import accounts, policy_runs
from crm.models import Account
from gtm.shared import db
from gtm.shared.models import User
from tests import world
from tests.crm import makers

pytestmark = pytest.mark.browser


@pytest.fixture
def companies(pro: Plan, acme: Customer) -> list[Account]:
    """Acme of 60 buys on its own; one company is larger and one smaller, and neither has bought."""
    makers.account(domain="big.example", employee_count=250, at=db.now())
    makers.account(domain="small.example", employee_count=5, at=db.now())
    own = Account.objects.get(customer_links__customer=acme)
    accounts.change(account=own, at=db.now(), employee_count=60)
    return list(Account.objects.order_by("pk"))


def test_bands_are_changed_seen_applied_and_rolled_back(
    new_page: Callable[..., Page],
    companies: list[Account],
    acme: Customer,
    sign_in: Any,
    axe: Callable[[Page], None],
    screenshot: Callable[[Page, str], Path],
) -> None:
    founder, customer = new_page(), new_page()
    sign_in(founder, world.fay())
    sign_in(customer, User.objects.get(email="cora@acme.com"))

    def read() -> list[str]:
        """What the customer's portal and the price page say, and what may be pressed there."""
        said = []
        for path in ("/pricing/", f"/portal/{acme.public_id}/", f"/portal/{acme.public_id}/payment/"):
            customer.goto(path)
            said.append(customer.get_by_role("main").aria_snapshot())
        return said

    def finish(heading: str) -> None:
        """Whoever asks is shown the run at work, and then what came of it."""
        expect(founder.locator("body")).to_contain_text("This page keeps itself up to date.")
        policy_runs.work_off()
        founder.reload()
        expect(founder.get_by_role("table", name="From where to where")).to_contain_text(heading)

    before, standing = read(), segments()
    founder.goto("/admin/crm/segmentpolicy/add/")
    screenshot(founder, "policy-add")
    founder.get_by_label("Name*", exact=True).fill("From 50 employees")
    founder.locator("#id_employee_bounds").fill("50, 1000")
    founder.get_by_role("button", name="Save").click()
    expect(founder.locator("body")).to_contain_text("This is a draft: it moves nobody until you apply it.")
    screenshot(founder, "policy-draft")
    axe(founder)

    founder.get_by_role("link", name="See who would move").click()
    founder.get_by_role("button", name="See who would move").click()
    finish("Mid-market")
    screenshot(founder, "policy-seen")
    axe(founder)
    founder.get_by_role("table", name="From where to where").get_by_role("link", name="1", exact=True).click()
    row = founder.locator("#result_list tbody tr")
    expect(row).to_have_count(1)
    expect(row).to_contain_text(re.compile(r"Acme.*SMB, self-serve.*Mid-market, sales-assisted", re.DOTALL))
    screenshot(founder, "policy-moves")
    axe(founder)
    assert (segments(), read()) == (standing, before)

    founder.goto("/admin/crm/segmentpolicy/")
    founder.get_by_role("link", name="From 50 employees").click()
    founder.get_by_role("link", name="Apply", exact=True).click()
    expect(founder.locator("body")).to_contain_text("As you saw, 1 of 3 accounts move.")
    founder.get_by_role("button", name="Apply").click()
    finish("Mid-market")
    assert segments() == standing | {"acme.com": ("mid_market", "sales_assisted")}
    assert read() == before

    founder.goto("/admin/crm/segmentpolicy/")
    founder.get_by_role("row").filter(has_text="Replaced").get_by_role("link").first.click()
    screenshot(founder, "policy-replaced")
    founder.get_by_role("link", name="Roll back to this").click()
    founder.get_by_role("button", name="Roll back to this").click()
    finish("SMB")
    assert (segments(), read()) == (standing, before)


def segments() -> dict[str, tuple[str, str]]:
    """Segment and motion of each account, by its domain."""
    rows = Account.objects.values_list("domains__domain", "segment", "motion")
    return {domain: (segment, motion) for domain, segment, motion in rows}
