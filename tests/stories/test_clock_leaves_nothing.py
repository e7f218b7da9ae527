"""A deleted test clock leaves nothing: every table that can hold a row of it holds one, and afterwards none does.

A new table with a way to a test clock is filled here without being named; where the database asks more of its rows than
their types say, the test names it, and what it needs stands in ``GIVEN``.
"""

import itertools
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.apps import apps
from django.db import connection, models
from django.db.models import CompositePrimaryKey

from billing.models import (
    Coupon,
    Customer,
    Entitlement,
    Feature,
    LateUsage,
    Meter,
    Plan,
    PlanVersion,
    PlanVersionPrice,
    Price,
    TaxRate,
    UsageEvent,
    UsageEventKey,
    UsageRollup,
    UsageValue,
)
from crm.models import Account, LossReason, Pipeline, Queue, Rule, Stage, StageRequirement, Team, TeamMembership
from gtm import clocks
from gtm.shared.models import TestClock, WebhookEndpoint
from signals.models import TriggerRule, TriggerRuleVersion
from tests import world
from tests.billing import makers
from tests.world import JAN_1

Model = type[models.Model]

EVERYBODYS = {  # the catalogue and the rules, which no operation puts on a clock
    *(Plan, PlanVersion, PlanVersionPrice, Price, Feature, Entitlement, Meter, TaxRate, Coupon),
    *(Team, TeamMembership, Queue, Rule, TriggerRule, TriggerRuleVersion, WebhookEndpoint),
    *(Pipeline, Stage, StageRequirement, LossReason),
}
BY_COLUMN: dict[Model, str] = {  # without a foreign key
    LateUsage: "customer_id",
    UsageEvent: "customer_id",
    UsageEventKey: "customer_id",
    UsageRollup: "customer_id",
    UsageValue: "customer_id",
}
GIVEN: dict[str, dict[str, Any]] = {  # what the constraints of these tables ask for
    "billing.Charge": {"status": "billed"},
    "billing.Coupon": {"percent_off": 10, "duration": "forever", "times_redeemed": 2},
    "billing.CreditNote": {"total": 1, "subtotal": 1, "tax_total": 0, "offset_amount": 1},
    "billing.Document": {"credit_note_id": None, "payment_id": None},
    "billing.SubscriptionItem": {"current_period_end": datetime(2026, 2, 1, tzinfo=UTC)},
    "crm.Opportunity": {"next_step": "Call", "next_step_at": JAN_1},
    "crm.MergeLog": {
        "undo_until": datetime(2026, 1, 31, tzinfo=UTC),
        "survivor_id": lambda filler: filler.another(Account),
    },
    "crm.Suggestion": {"second_id": lambda filler: filler.another(Account)},
    "crm.MotionOverride": {"ends_at": datetime(2026, 2, 1, tzinfo=UTC)},
    "crm.OwnerDecision": {"queue_id": Queue},
    "crm.SlaClock": {"alert_id": None},
    "crm.Snooze": {"opportunity_id": None},
    "shared.WebhookDelivery": {"next_attempt_at": JAN_1},
}
_numbers = itertools.count(1)


def of_clocks() -> list[Model]:
    """The tables with a way to a test clock by foreign keys, and those with one by a plain column."""
    found: set[Model] = {TestClock}
    labels = ("shared", "billing", "crm", "signals")
    ours = [model for label in labels for model in apps.get_app_config(label).get_models()]
    while True:
        more = {model for model in ours if model not in found | EVERYBODYS and set(_targets(model)) & found}
        if not more:
            return sorted([*found, *BY_COLUMN], key=lambda model: model._meta.label)
        found |= more


def _targets(model: Model) -> Iterator[Any]:
    return (field.related_model for field in model._meta.concrete_fields if field.is_relation)


class Filler:
    """Makes one row of each table, on one clock, with all that it may refer to."""

    def __init__(self, clock: TestClock) -> None:
        self.made: dict[Model, models.Model] = {TestClock: clock}
        self.waiting: set[Model] = set()
        self.ours = set(of_clocks())

    def row(self, model: Model) -> models.Model:
        if model not in self.made:
            self.waiting.add(model)
            fields = [field for field in model._meta.concrete_fields if not isinstance(field, CompositePrimaryKey)]
            values = {field.attname: self.value(field) for field in fields if self.is_needed(model, field)}
            given = GIVEN.get(model._meta.label, {})
            given = {name: self.given(value) for name, value in given.items()}
            self.made[model] = model(**values | given)
            self.made[model].save(force_insert=True)
            self.waiting.discard(model)
        return self.made[model]

    def given(self, value: Any) -> Any:
        if isinstance(value, type):
            return self.row(value).pk
        return value(self) if callable(value) else value

    def another(self, model: Model) -> Any:
        """The key of a second row of a table, where a row asks for two."""
        self.row(model)
        clock = self.made[TestClock]
        assert isinstance(clock, TestClock)
        return Filler(clock).row(model).pk

    def is_needed(self, model: Model, field: Any) -> bool:
        """Whether the row has to say something there, or can refer to another row of the clock."""
        if field.is_relation and field.null:
            target = field.related_model
            return {model, target} <= self.ours and target is not model and target not in self.waiting
        may_be_left = field.has_default() or field.has_db_default() or field.null or field.blank
        return not may_be_left or field.attname in {"customer_id", "test_clock_id"}

    def value(self, field: Any) -> Any:
        if field.is_relation:
            target = field.related_model
            found = self.row(target) if target in self.ours else target._default_manager.first() or self.row(target)
            return found.pk
        if field.attname in {"customer_id", "test_clock_id"}:
            return self.row(Customer if field.attname == "customer_id" else TestClock).pk
        if field.choices:
            return field.choices[0][0]
        return _plain(field)


def _plain(field: Any) -> Any:
    kinds: dict[type[Any], Any] = {
        models.UUIDField: uuid.uuid4(),
        models.DateTimeField: JAN_1,
        models.DateField: date(2026, 1, 1),
        models.BooleanField: False,
        models.JSONField: {},
        models.BinaryField: b"x",
        models.DecimalField: Decimal(1),
        models.IntegerField: 1,
        models.CharField: f"x{next(_numbers)}"[: getattr(field, "max_length", None) or 9],
        models.TextField: "x",
    }
    return next(value for kind, value in kinds.items() if isinstance(field, kind))


@pytest.fixture
def everybodys() -> None:
    makers.legal_entity()
    makers.published_plan()
    world.fay()


@pytest.mark.django_db
def test_every_table_is_empty_of_it(everybodys: None) -> None:
    clock, other = makers.clock(), makers.clock(name="Other")
    gone, kept = ({model: filler.row(model).pk for model in of_clocks()} for filler in (Filler(clock), Filler(other)))
    clocks.delete(clock=clock)
    connection.check_constraints()
    assert [model._meta.label for model, pk in gone.items() if model._default_manager.filter(pk=pk).exists()] == []
    assert [model._meta.label for model, pk in kept.items() if not model._default_manager.filter(pk=pk).exists()] == []
