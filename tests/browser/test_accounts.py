"""Two accounts that are one company: suggested, seen, merged and taken back; and what happened, by kind."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from billing.models import Plan
from crm import accounts, contacts
from crm.models import Account
from gtm.shared import db
from gtm.shared.models import User
from tests.crm import makers

pytestmark = pytest.mark.browser
FITS = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"


def test_a_suggestion_is_merged_and_undone(
    page: Page, pro: Plan, sign_in: Callable[[Page, User], None], axe: Callable[[Page], None]
) -> None:
    ann, at = User.objects.get(email="ann@vendor.example"), db.now()
    acme, labs = makers.account(domain="acme.com", at=at), makers.account(domain="acme-labs.com", at=at)
    for account in (acme, labs):
        accounts.give(account=account, owner=ann, at=at)
    contacts.create(account=labs, at=at, name="Dora", email="dora@acme.com")
    sign_in(page, ann)
    page.goto(f"/crm/accounts/{acme.public_id}/")
    axe(page)
    page.get_by_role("link", name="See what a merge would do").click()
    axe(page)
    page.get_by_label("acme-labs.com", exact=True).check()
    expect(page.get_by_role("main")).to_contain_text("2 contacts")
    page.get_by_role("button", name="Merge").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("acme-labs.com")
    expect(page.get_by_role("link", name="Dora")).to_be_visible()
    page.goto(f"/crm/accounts/{labs.public_id}/")
    expect(page).to_have_url(f"{page.url.split('/crm/')[0]}/crm/accounts/{acme.public_id}/")
    page.get_by_role("button", name="Undo the merge").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("acme.com")
    assert Account.objects.count() == 2

    page.get_by_label("Leads and deals").check()
    page.get_by_role("button", name="Show", exact=True).click()
    timeline = page.get_by_role("region", name="Timeline")
    expect(timeline).to_contain_text("Contact request")
    expect(timeline).not_to_contain_text("Accounts merged")
    page.set_viewport_size({"width": 360, "height": 740})
    for path in ("", "history/", f"merge/?other={labs.public_id}", "contacts/", "edit/"):
        page.goto(f"/crm/accounts/{acme.public_id}/{path}")
        assert page.evaluate(FITS), path
    axe(page)
