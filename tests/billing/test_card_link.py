"""A link to give another card by: no sign-in, and what had failed is charged at once."""

from datetime import timedelta

import pytest
from django.test import Client

from billing import hosted, runs
from billing.models import DunningCase, Subscription
from gtm.shared import db
from tests.billing import makers
from tests.billing.test_dunning_cases import FUNDS
from tests.world import JAN_1

pytestmark = pytest.mark.django_db


@pytest.fixture
def behind() -> Subscription:
    """Past due, with a card that has no funds."""
    makers.legal_entity()
    subscription = makers.subscribed(makers.customer(preferred_locale="de"), plan=makers.published_plan())
    makers.card(subscription.payer, FUNDS, at=JAN_1 + timedelta(days=3))
    runs.bill_due(at=JAN_1 + timedelta(days=31))
    subscription.refresh_from_db()
    assert subscription.status == "past_due"
    return subscription


def address(subscription: Subscription) -> str:
    return hosted.card_url(subscription.payer_id, at=db.now()).partition("/card/")[2].join(["/card/", ""])


def test_a_new_card_mends_what_had_failed(client: Client, behind: Subscription) -> None:
    path = address(behind)
    page = client.get(path)
    assert (page.status_code, page["Referrer-Policy"]) == (200, "no-referrer")
    assert "Karte ändern" in page.content.decode()
    declined = client.post(path, {"card": FUNDS})
    assert declined.status_code == 422
    assert DunningCase.objects.get().status == "open"
    assert client.post(path, {"card": "pm_card_visa"}).status_code == 302
    behind.refresh_from_db()
    assert (behind.status, DunningCase.objects.get().status) == ("active", "recovered")


def test_other_links_open_nothing(client: Client, behind: Subscription) -> None:
    assert client.get("/card/forged.token/").status_code == 404
    invoice_link = hosted.invoice_url(behind.payer_id, at=db.now()).rstrip("/").rpartition("/")[2]
    assert client.get(f"/card/{invoice_link}/").status_code == 404
    old = hosted.card_url(behind.payer_id, at=db.now() - timedelta(days=4000)).rstrip("/").rpartition("/")[2]
    assert client.get(f"/card/{old}/").status_code == 404
