"""Cases about what is charged for each transaction, from the events of a month."""

from decimal import Decimal
from typing import Any

import pytest

from billing.models import Price
from tests.billing.cases.book import Case, case
from tests.billing.cases.payer import Payer
from tests.billing.lives import local

pytestmark = pytest.mark.django_db


def charged(payer: Payer, price: Price, transactions: list[Decimal]) -> int:
    """What a month with these transactions, in minor units, comes to."""
    payer.start(price, at=local("2026-01-01"))
    for minute, amount in enumerate(transactions):
        payer.use(price, str(amount), at=local(f"2026-01-20T10:{minute:02}"))
    payer.bill(local("2026-02-01"))
    return payer.invoices()[-1].total


def percentage(payer: Payer, inputs: Case, **terms: Any) -> Price:
    rate = {"percentage": Decimal(inputs["rate"].rstrip("%"))}
    return payer.metered("volume", **{"model": "percentage"} | rate | terms)


@pytest.mark.parametrize("name", ["amount", "no_free_amount_limit", "no_free_at_all", "zero_rate"])
@case("lago-percentage")
def test_a_percentage_with_a_fee_for_each_transaction(case: Case, unit: str, name: str) -> None:
    inputs = case["inputs"]
    payer = Payer.begin(unit)
    sums = [Decimal(text) * 100 for text in (*inputs["running_total"], inputs["total"])]
    each = [after - before for before, after in zip([Decimal(), *sums], sums, strict=False)]
    fee = {"fixed_amount": inputs["fixed_per_event"]}
    count = {"free_units": inputs["free_events"]}
    terms = {
        "amount": fee | count | {"included_units": Decimal(inputs["free_amount"]) * 100},
        "no_free_amount_limit": fee | count,
        "no_free_at_all": fee,
        "zero_rate": fee | {"percentage": Decimal()},
    }
    assert charged(payer, percentage(payer, inputs, **terms[name]), each) == case["expected"][name]


@pytest.mark.parametrize("name", ["without_minmax_major", "with_minmax_major", "with_minmax_and_2_fixed_major"])
@case("lago-percentage-minmax")
def test_a_percentage_with_bounds_for_each_transaction(case: Case, unit: str, name: str) -> None:
    """The source keeps decimals; a line is rounded once."""
    inputs = case["inputs"]
    payer = Payer.begin(unit)
    bounds = {
        "per_transaction_min": Decimal(inputs["min_per_tx"]) * 100,
        "per_transaction_max": Decimal(inputs["max_per_tx"]) * 100,
    }
    terms = {
        "without_minmax_major": {},
        "with_minmax_major": bounds,
        "with_minmax_and_2_fixed_major": bounds | {"fixed_amount": 200},
    }
    each = [Decimal(text) * 100 for text in inputs["transactions"]]
    found = charged(payer, percentage(payer, inputs, **terms[name]), each)
    assert found == int(Decimal(case["expected"][name]) * 100 + Decimal("0.5"))
