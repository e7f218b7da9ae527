"""Trigger rules in the back office: changed as drafts, and published."""

from decimal import Decimal

import pytest
from django.test import Client

from signals import trigger_rules
from signals.models import TriggerRule
from tests import world
from tests.backoffice import address, errors, facts, signed_in, submit
from tests.world import JAN_1

pytestmark = pytest.mark.django_db


@pytest.fixture
def founder() -> Client:
    trigger_rules.install_defaults(at=JAN_1)
    return signed_in(world.fay())


@pytest.fixture
def path(founder: Client) -> str:
    return address("signals_triggerrule_change", TriggerRule.objects.get().pk)


def test_a_threshold_is_written_in_percent(founder: Client, path: str) -> None:
    form = founder.get(path).context["adminform"].form
    assert form["threshold"].value() == Decimal(80)


def test_another_threshold_counts_once_it_is_published(founder: Client, path: str) -> None:
    submit(founder, path, threshold="90")
    (counting,) = trigger_rules.in_force()
    assert (counting.number, counting.threshold) == (1, Decimal("0.8"))
    assert b"Version 2 is a draft" in founder.get(path).content
    submit(founder, address("signals_triggerrule_publish", TriggerRule.objects.get().pk))
    (counting,) = trigger_rules.in_force()
    assert (counting.number, counting.threshold) == (2, Decimal("0.9"))
    assert facts("signals.rule.published")[-1:] == ["signals.rule.published"]


def test_there_is_nothing_to_publish_twice(founder: Client, path: str) -> None:
    assert "Publish" not in [action["title"] for action in founder.get(path).context["actions_detail"]]
    page = submit(founder, address("signals_triggerrule_publish", TriggerRule.objects.get().pk))
    assert "is published already" in errors(page)["__all__"][0]


def test_a_threshold_of_nothing_is_refused(founder: Client, path: str) -> None:
    page = submit(founder, path, threshold="0")
    assert "A threshold is a share of the limit above 0" in errors(page)["threshold"][0]


def test_a_rule_is_switched_off(founder: Client, path: str) -> None:
    submit(founder, path, active=None)
    assert trigger_rules.in_force() == []
