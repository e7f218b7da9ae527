"""Disputes of test cards, on a test clock: whoever has no gateway's key sees what one does, and decides it."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from billing import sandbox_disputes
from billing.models import Dispute, DunningCase
from gtm.shared import db
from gtm.shared.errors import Conflict
from gtm.shared.models import Mail
from tests import world
from tests.billing.lives import Life, local

pytestmark = pytest.mark.django_db
START = local("2025-01-01T09:00")
DAY = timedelta(days=1)


@pytest.fixture
def life() -> Life:
    """Has paid 49.00 by a card whose holder disputes that."""
    life = Life.begin(START, card="pm_card_createDispute", email="acme@example.com")
    life.plan("pro", 4900)
    life.subscribe(plan="pro")
    life.go(START)
    return life


def disputed(life: Life) -> dict[str, Any]:
    (found,) = life.all(f"disputes?customer={life.customer}")
    return found


def test_the_invoice_is_open_again_and_dunning_waits(life: Life) -> None:
    dispute = disputed(life)
    assert (dispute["status"], dispute["kind"], dispute["amount"]) == ("needs_response", "chargeback", 4900)
    assert dispute["respond_by"] == "2025-01-08T09:00:00Z"
    (invoice,) = life.issued()
    assert (invoice["status"], invoice["amount_due"], life.state["status"]) == ("open", 4900, "past_due")
    life.go(START + 20 * DAY)
    assert not DunningCase.objects.exists()
    assert (life.state["status"], life.issued()[0]["next_payment_attempt"]) == ("past_due", None)
    assert [fact for fact in life.facts() if "dispute" in fact or "dunning" in fact] == [
        "billing.dispute.opened",
        "billing.payment.disputed",
    ]


@pytest.mark.parametrize(("step", "won"), [("win", True), ("lose", False)])
def test_a_person_decides_it(life: Life, client: Client, step: str, won: bool) -> None:
    client.force_login(world.fay())
    address = reverse(f"admin:billing_dispute_{step}", args=[Dispute.objects.get().pk])
    assert client.post(address).status_code == 302
    assert "Only an undecided dispute" in client.post(address).content.decode()
    life.go(START + DAY)
    (invoice,) = life.issued()
    assert (disputed(life)["status"], invoice["status"]) == (("won", "paid") if won else ("lost", "open"))
    assert life.state["status"] == ("active" if won else "past_due")
    assert [case.status for case in DunningCase.objects.all()] == ([] if won else ["open"])
    asked = Mail.objects.filter(template="payment_failed")
    assert [("/card/" in one.text, str(invoice["number"]) in one.text) for one in asked] == (
        [] if won else [(True, True)]
    )


def test_only_a_test_cards_dispute_is_decided_here(life: Life) -> None:
    Dispute.objects.update(gateway="stripe")
    with pytest.raises(Conflict):
        sandbox_disputes.decide(dispute=Dispute.objects.get(), won=True, at=db.now())
