"""A link to give another card by: no sign-in, and what had failed is charged at once."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse

from billing import dunning_cases, hosted, runs
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


def test_a_card_that_is_kept_in_the_portal_mends_it_too(client: Client, behind: Subscription) -> None:
    client.force_login(makers.member(behind.payer, "cora@acme.example"))
    page = reverse("portal_card", args=[behind.payer.public_id])
    (owed,) = dunning_cases.failing_of(behind.payer)
    assert str(owed.number) in client.get(page).content.decode()
    declined = client.post(page, {"card": FUNDS})
    assert (declined.status_code, DunningCase.objects.get().status) == (422, "open")
    confirm = client.post(page, {"card": "pm_card_authenticationRequired"}).headers["Location"]
    client.post(confirm, {"answer": "accept"})
    behind.refresh_from_db()
    assert (behind.status, DunningCase.objects.get().status) == ("active", "recovered")
    assert str(owed.number) not in client.get(page).content.decode()


def test_a_card_for_one_bill_is_not_charged_for_the_others(behind: Subscription) -> None:
    """Nor is the one that failed tried again for it."""
    makers.card(behind.payer, at=db.now(), default=False)
    assert DunningCase.objects.get().retry_at is None
