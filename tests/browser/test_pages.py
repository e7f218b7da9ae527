"""Pages of staff as a whole: no serious finding of axe-core in light and in dark, no sideways scrolling on a phone.

Those of customers are in ``test_every_page``.
"""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page

from billing.models import Customer, Plan
from crm import held_leads
from crm.models import Lead, Team, TeamMembership
from gtm import help as manual
from gtm.shared import db, outbox
from tests import world
from tests.crm import makers

PHONE, DESKTOP = {"width": 360, "height": 800}, {"width": 1280, "height": 900}

pytestmark = pytest.mark.browser


@pytest.fixture
def look(page: Page, axe: Callable[[Page], None]) -> Callable[..., None]:
    """Open the pages one after the other."""

    def look(*paths: str, phone: bool = True) -> None:
        for path in paths:
            answer = page.goto(path)
            assert answer is not None
            assert answer.status < 400, f"{path}: {answer.status}"
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                page.evaluate("document.getAnimations().forEach(one => one.finish())")  # colors fade
                axe(page)
            if phone:
                page.set_viewport_size(PHONE)  # type: ignore[arg-type]
                width = page.evaluate("document.documentElement.scrollWidth")
                page.set_viewport_size(DESKTOP)  # type: ignore[arg-type]
                assert width <= PHONE["width"], f"{path} is {width} px wide on a phone"

    return look


def test_the_desk(look: Callable[..., None], page: Page, acme: Customer, sign_in: Any) -> None:
    account = makers.account(domain="big-company.com", at=db.now(), needs=["sso"])
    makers.alert(account=account, at=db.now())
    outbox.relay()
    lead = Lead.objects.get()
    assert lead.owner is not None
    sign_in(page, lead.owner)
    look("/today/", "/crm/accounts/", f"/crm/accounts/{account.public_id}/", f"/crm/accounts/{account.public_id}/edit/")
    look("/crm/leads/", f"/crm/leads/{lead.public_id}/")
    held_leads.take_in(at=db.now(), said={"name": "Eve", "email": "eve@acme.com"}, because=["links"])
    TeamMembership.objects.get_or_create(team=Team.objects.get(code="sales"), user=lead.owner)
    look("/crm/leads/queue/", f"/crm/leads/{lead.public_id}/accept/", "/crm/leads/held/")


def test_the_back_office(look: Callable[..., None], page: Page, pro: Plan, sign_in: Any) -> None:
    sign_in(page, world.fay())
    look("/admin/", f"/admin/billing/plan/{pro.pk}/change/", phone=False)
    look("/health/", phone=False)


def test_the_manual(look: Callable[..., None], page: Page, pro: Plan, sign_in: Any) -> None:
    sign_in(page, world.fay())
    look("/help/", *(f"/help/{entry.slug}/" for entry in manual.PAGES))


def test_the_style_page(look: Callable[..., None], settings: Any, live_server: Any) -> None:
    settings.ROOT_URLCONF = "tests.browser.urls"
    look("/styleguide/")
