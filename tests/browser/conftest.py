"""A shop that is open, with its people, and a way to sign in.

Pytest reads this file before the settings are there when it is asked for these tests alone: models are imported late.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from billing.models import Customer, Plan
    from gtm.shared.models import User


@pytest.fixture
def pro(live_server: object) -> "Plan":
    """On sale by the month and the year, by a vendor whose sales team is Ann and Bob."""
    from gtm.shared import db
    from tests import world
    from tests.billing import makers
    from tests.crm import makers as crm_makers

    makers.legal_entity()
    crm_makers.sales(world.ann(), world.bob(), manager=world.max_manager())
    return makers.published_plan(at=db.now())


@pytest.fixture
def acme(pro: "Plan") -> "Customer":
    """A customer on Pro, whose member is Cora."""
    from gtm.shared import db, outbox
    from tests.billing import makers

    acme = makers.customer(name="Acme", email="cora@acme.com", at=db.now())
    makers.member(acme, "cora@acme.com", at=db.now())
    makers.subscribed(acme, plan=pro, at=db.now())
    outbox.relay()
    return acme


@pytest.fixture
def sign_in() -> "Callable[[Page, User], None]":
    """Signs a user in behind the page's back; the form itself has a test of its own."""
    from django.conf import settings
    from django.test import Client

    def sign_in(page: "Page", user: "User") -> None:
        client = Client()
        client.force_login(user)
        cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
        page.goto("/healthz")
        page.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": page.url}])

    return sign_in
