"""Prompts before a trial ends: on the test clock and off it, each once, the last one standing."""

from datetime import UTC, datetime, timedelta

import pytest

from billing import catalog, subscriptions, trial_prompts
from billing.models import Customer, PlanVersion, Prompt, Subscription
from gtm import clocks
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def shop() -> None:
    makers.legal_entity()
    plan = makers.published_plan(trial_days=14, trial_requires_payment_method=False)
    catalog.change_plan(plan=plan, at=JAN_1, trial_end=PlanVersion.TrialEnd.CHARGE)


def trying(**fields: object) -> Customer:
    customer = makers.customer(**fields)
    plan = PlanVersion.objects.get().plan
    subscriptions.create(customer=customer, plan=plan, at=NOON)
    return customer


def said() -> list[tuple[str, str]]:
    return list(Prompt.objects.order_by("created_at", "pk").values_list("code", "text"))


def test_they_come_with_the_clock_at_their_hour() -> None:
    clock = makers.clock(frozen_time=NOON)
    trying(test_clock=clock, timezone="Europe/Berlin")
    clocks.advance(clock=clock, to=NOON + timedelta(days=14) - timedelta(hours=1))
    assert [code for code, _text in said()] == ["trial_ends_in_3", "trial_ends_in_1", "trial_ends_in_0"]
    assert said()[0][1] == "Your trial of Pro ends in 3 days, on Jan 15, 2026. Add a card so that it goes on."
    waiting = Prompt.objects.get(dismissed_at=None)
    assert (waiting.code, waiting.expires_at) == ("trial_ends_in_0", NOON + timedelta(days=14))
    assert waiting.link.endswith("/card/")


def test_a_late_beat_says_the_latest_alone_and_once() -> None:
    customer = trying(preferred_locale="de")
    makers.card(customer)
    at = NOON + timedelta(days=13, hours=1)
    assert [trial_prompts.show_due(at=at) for _beat in range(2)] == [1, 0]
    ((code, text),) = said()
    assert (code, "endet morgen" in text, "nichts tun" in text) == ("trial_ends_in_1", True, True)
    assert trial_prompts.show_due(at=NOON + timedelta(days=14)) == 0


def test_who_has_canceled_is_left_in_peace() -> None:
    trying()
    subscriptions.cancel(subscription=Subscription.objects.get(), at=NOON)
    assert trial_prompts.show_due(at=NOON + timedelta(days=13)) == 0
