"""Cases about what a quantity costs: by the arithmetic alone, then as the engine bills it at the end of a month."""

from decimal import Decimal
from typing import Any

import pytest

from billing import pricing
from billing.pricing import PriceTerms, Tier
from tests.billing import makers
from tests.billing.cases.book import CASES, Case, case, together
from tests.billing.cases.payer import MADE, Payer
from tests.billing.lives import local

Amounts = dict[str, int]


def tiers_of(case: Case, *, scale: int = 1) -> list[dict[str, Any]]:
    """Tiers as the API takes them; ``scale`` counts in smaller units, where bounds are fractions."""
    rows = []
    for tier in case["inputs"]["tiers"]:
        rates = {f"{name}_amount": str(Decimal(str(tier.get(name, 0)))) for name in ("unit", "flat")}
        rates["unit_amount"] = str(Decimal(rates["unit_amount"]) / scale)
        up_to = None if tier["to"] is None else int(Decimal(str(tier["to"])) * scale)
        rows.append({"up_to": up_to, **rates})
    return rows


def terms_of(model: Any, terms: dict[str, Any]) -> PriceTerms:
    """The terms of a price from what the API takes."""
    decimals = {name: Decimal(str(value)) for name, value in terms.items() if name in ("unit_amount", "included_units")}
    tiers = tuple(
        Tier(row["up_to"], Decimal(row["unit_amount"]), Decimal(row["flat_amount"])) for row in terms.get("tiers", ())
    )
    rest = {name: value for name, value in terms.items() if name in ("package_size", "minimum_amount")}
    return PriceTerms(model, tiers=tiers, **decimals, **rest)


def in_minor_units(case: Case) -> Case:
    """The case whose rates are in major units, with rates in minor ones."""
    tiers = [tier | {"unit": str(Decimal(tier["unit"]) * 100)} for tier in case["inputs"]["tiers"]]
    return case | {"inputs": case["inputs"] | {"tiers": tiers}}


def priced(name: str) -> list[tuple[str, dict[str, Any], Amounts]]:
    """A case as (model, terms, amounts by quantity), several where it holds several prices."""
    case = CASES[name]
    inputs, expected = case["inputs"], case["expected"]
    if name == "autumn-graduated-doc":
        terms = {"tiers": tiers_of(in_minor_units(case))}
        return [(inputs["model"], terms, {str(inputs["units"]): expected["total"]})]
    if inputs["model"] == "package":
        terms = {"package_size": inputs["package_size"], "unit_amount": str(inputs["package_price"])}
        if name == "om-package":
            least = expected["minimum_100_empty"]
            return [
                ("package", terms, expected["amount_by_units"]),
                ("package", terms | {"minimum_amount": least}, {"0": least}),
            ]
        free = {"included_units": "5"}
        return [("package", terms, expected["no_free"]), ("package", terms | free, expected["five_free"])]
    scale = 100 if "decimal" in case["tags"] else 1
    amounts = {str(Decimal(units) * scale): amount for units, amount in expected["amount_by_units"].items()}
    return [(inputs["model"], {"tiers": tiers_of(case, scale=scale)}, amounts)]


BY_QUANTITY = (
    "lago-graduated",
    "lago-graduated-decimal",
    "lago-volume-scenario",
    "lago-package-scenario",
    "om-volume",
    "om-package",
    "autumn-graduated-doc",
)


@pytest.mark.parametrize("name", BY_QUANTITY)
def test_a_quantity_costs_what_the_model_says(name: str) -> None:
    for model, terms, amounts in priced(name):
        found = {units: pricing.rate(terms_of(model, terms), Decimal(units)).amount for units in amounts}
        assert found == amounts


@pytest.mark.django_db
@together(*BY_QUANTITY)
def test_a_month_of_usage_costs_what_the_model_says(cases: list[Case], unit: str) -> None:
    """Every quantity of every case is a meter of one subscription."""
    payer = Payer.begin(unit)
    plan = makers.plan(at=MADE, code="book", name="Book")
    expected = {}
    prices = [(case["id"], *price) for case in cases for price in priced(case["id"])]
    for name, model, terms, amounts in prices:
        for units, amount in amounts.items():
            price = payer.metered(f"m{len(expected)}", plan=plan, model=model, **terms)
            expected[price] = (name, Decimal(units), amount)
    payer.start(*expected, at=local("2026-01-01"))
    for price, (_name, units, _amount) in expected.items():
        if units:
            payer.use(price, str(units), at=local("2026-01-20T10:00"))
    payer.bill(local("2026-02-01"))
    found = {line.price: line.amount for line in payer.lines()}
    assert len(found) == len(expected)
    for price, (name, units, amount) in expected.items():
        assert found[price] == amount, (name, units)


def transacted(inputs: Case, **changes: Any) -> PriceTerms:
    """Minor units throughout: the quantity of a percentage is money."""
    return PriceTerms("percentage", **{"percentage": Decimal(inputs["rate"].rstrip("%"))} | changes)


def test_a_percentage_with_free_parts_by_its_arithmetic() -> None:
    case = CASES["lago-percentage"]
    inputs, expected = case["inputs"], case["expected"]
    sums = [Decimal(text) * 100 for text in (*inputs["running_total"], inputs["total"])]
    each = [after - before for before, after in zip([Decimal(), *sums], sums, strict=False)]
    fee = {"fixed_amount": Decimal(inputs["fixed_per_event"])}
    count, money = (
        {"free_units": Decimal(inputs["free_events"])},
        {"included_units": Decimal(inputs["free_amount"]) * 100},
    )
    for name, changes in {
        "amount": fee | count | money,
        "no_free_amount_limit": fee | count,
        "no_free_at_all": fee,
        "zero_rate": fee | {"percentage": Decimal()},
    }.items():
        assert pricing.rate(transacted(inputs, **changes), sum(each, Decimal()), each).amount == expected[name], name


def test_a_percentage_with_bounds_by_its_arithmetic() -> None:
    case = CASES["lago-percentage-minmax"]
    inputs, expected = case["inputs"], case["expected"]
    each = [Decimal(text) * 100 for text in inputs["transactions"]]
    bounds = {
        "per_transaction_min": Decimal(inputs["min_per_tx"]) * 100,
        "per_transaction_max": Decimal(inputs["max_per_tx"]) * 100,
    }
    for name, changes in {
        "without_minmax_major": {},
        "with_minmax_major": bounds,
        "with_minmax_and_2_fixed_major": bounds | {"fixed_amount": Decimal(200)},
    }.items():
        rated = pricing.rate(transacted(inputs, **changes), sum(each, Decimal()), each)
        assert rated.exact == Decimal(expected[name]) * 100, name


@case("om-graduated-split")
def test_what_is_rated_again_costs_the_difference(case: Case, unit: str) -> None:
    """What the source bills in the midst of a period is here what came in late: tiers go on where they were."""
    terms = terms_of("graduated", {"tiers": tiers_of(case)})
    before = pricing.rate(terms, Decimal(case["inputs"]["already"]))
    after = pricing.rate(terms, Decimal(case["inputs"]["already"] + case["inputs"]["units"]))
    by_tier = [Decimal(str(step.params["amount"])) for step in after.steps if step.code == "tier"]
    billed = [Decimal(str(step.params["amount"])) for step in before.steps if step.code == "tier"]
    padded = [*billed, *[Decimal()] * (len(by_tier) - len(billed))]
    added = [now - then for now, then in zip(by_tier, padded, strict=True)]
    assert [int(amount) for amount in added if amount] == case["expected"]["lines"]
    assert after.amount - before.amount == case["expected"]["total"]
