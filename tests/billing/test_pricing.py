"""Price models against worked cases of the open billing field (named by their id), then properties of each model.

Left out: `lago-volume-prorated`, because here tier bounds are scaled with the units instead.
"""

import json
from dataclasses import asdict, replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import pricing
from billing.pricing import PriceTerms, PricingError, Tier
from gtm.shared.periods import Interval

D = Decimal
LAGO_GRADUATED = (Tier(10, D(1000), D(200)), Tier(20, D(500), D(300)), Tier(None, D(500), D(300)))
LAGO_DECIMAL = (Tier(D("0.1"), D(1000)), Tier(1, D(500)), Tier(None, D(200)))
LAGO_VOLUME = (Tier(10, D(500), D(10000)), Tier(None, D(200), D(5000)))
OM_TIERS = (Tier(5, D(0), D(10000)), Tier(10, D(0), D(5000)), Tier(15, D(500)), Tier(None, D(100)))
OM_VOLUME = (Tier(5, D(0), D(10000)), Tier(10, D(0), D(15000)), Tier(15, D(1000)), Tier(None, D(500)))
AUTUMN = (Tier(1000, D(1)), Tier(10000, D("0.8")), Tier(None, D("0.5")))
PACKAGE = PriceTerms(model="package", unit_amount=D(10000), package_size=10)


def graduated(tiers: tuple[Tier, ...]) -> PriceTerms:
    return PriceTerms(model="graduated", tiers=tiers)


def volume(tiers: tuple[Tier, ...]) -> PriceTerms:
    return PriceTerms(model="volume", tiers=tiers)


def steps_of(rated: pricing.Rated) -> list[tuple[str, dict[str, str | int]]]:
    return [(step.code, step.params) for step in rated.steps]


class TestRate:
    @pytest.mark.parametrize("quantity", ["0", "1", "250"])
    def test_flat_costs_its_unit_amount_whatever_the_quantity(self, quantity: str) -> None:
        assert pricing.rate(PriceTerms(model="flat", unit_amount=D(4900)), D(quantity)).amount == 4900

    @pytest.mark.parametrize(
        ("terms", "amounts"),
        [
            (PriceTerms(model="per_unit", unit_amount=D(1200)), {"0": 0, "1": 1200, "5": 6000, "2.5": 3000}),
            (PriceTerms(model="per_unit", unit_amount=D("0.02")), {"24": 0, "25": 1, "75": 2, "1000000": 20000}),
            (PriceTerms(model="per_unit", unit_amount=D(10), flat_amount=D(500)), {"0": 500, "3": 530}),
            (PriceTerms(model="per_unit", unit_amount=D(10), included_units=D(100)), {"0": 0, "100": 0, "101": 10}),
            (
                PriceTerms(model="per_unit", unit_amount=D(10), minimum_amount=1000),
                {"0": 1000, "100": 1000, "101": 1010},
            ),
        ],
    )
    def test_per_unit(self, terms: PriceTerms, amounts: dict[str, int]) -> None:
        assert {units: pricing.rate(terms, D(units)).amount for units in amounts} == amounts

    @pytest.mark.parametrize(
        ("case", "terms", "amounts"),
        [
            (
                "lago-graduated",
                graduated(LAGO_GRADUATED),
                {"0": 200, "1": 1200, "10": 10200, "11": 11000, "12": 11500, "21": 16300},
            ),
            ("lago-graduated-decimal", graduated(LAGO_DECIMAL), {"0.05": 50, "0.5": 300}),
            ("autumn-graduated-doc", graduated(AUTUMN), {"15000": 10700}),
            ("lago-volume-scenario", volume(LAGO_VOLUME), {"5": 12500, "15": 8000}),
            (
                "om-volume",
                volume(OM_VOLUME),
                {"0": 10000, "3": 10000, "5": 10000, "14": 14000, "15": 15000, "16": 8000, "100": 50000},
            ),
            ("lago-package-scenario", PACKAGE, {"3": 10000, "15": 20000}),
            ("lago-package-scenario, five free", replace(PACKAGE, included_units=D(5)), {"3": 0, "12": 10000}),
            ("om-package", replace(PACKAGE, unit_amount=D(1500)), {"0": 0, "5": 1500, "10": 1500}),
            ("om-package, minimum", replace(PACKAGE, minimum_amount=10000), {"0": 10000}),
            ("kb-usage-blocks", replace(PACKAGE, unit_amount=D(295), package_size=100), {"199": 590, "350": 1180}),
        ],
    )
    def test_worked_cases(self, case: str, terms: PriceTerms, amounts: dict[str, int]) -> None:
        assert {units: pricing.rate(terms, D(units)).amount for units in amounts} == amounts, case

    def test_om_graduated_split_is_the_difference_of_two_ratings(self) -> None:
        before, after = (pricing.rate(graduated(OM_TIERS), D(units)).amount for units in (12, 22))
        assert after - before == 2200

    def test_included_units_come_off_before_the_tiers(self) -> None:
        terms = replace(graduated(LAGO_GRADUATED), included_units=D(100))
        assert pricing.rate(terms, D(111)).amount == pricing.rate(graduated(LAGO_GRADUATED), D(11)).amount

    def test_rounds_the_line_once_and_not_each_step(self) -> None:
        tiers = (Tier(1, D("0.3")), Tier(2, D("0.3")), Tier(None, D("0.3")))
        assert pricing.rate(graduated(tiers), D(3)).amount == 1

    def test_a_minimum_may_not_hide_behind_rounding(self) -> None:
        terms = PriceTerms(model="per_unit", unit_amount=D("0.5"), minimum_amount=1)
        assert pricing.rate(terms, D(1)).amount == 1

    @pytest.mark.parametrize(
        "quantity", ["-1", "NaN", "Infinity", "1e27", "1e1000000", "1e-1000000", "0.0000000000001"]
    )
    def test_refuses_a_quantity_that_is_none(self, quantity: str) -> None:
        with pytest.raises(PricingError) as caught:
            pricing.rate(PriceTerms(model="per_unit", unit_amount=D(1)), D(quantity))
        assert caught.value.field == "quantity"

    def test_refuses_more_money_than_a_column_holds(self) -> None:
        with pytest.raises(PricingError, match="more money"):
            pricing.rate(PriceTerms(model="per_unit", unit_amount=D(10**10)), D(10**10))

    @pytest.mark.parametrize(
        ("terms", "field"),
        [
            (PriceTerms(model="flat"), "unit_amount"),
            (PriceTerms(model="package", unit_amount=D(1)), "package_size"),
            (PriceTerms(model="percentage"), "percentage"),
            (PriceTerms(model="graduated", tiers=(Tier(5, D(1)),)), "tiers"),
            (PriceTerms(model="volume", tiers=(Tier(5, D(1)),)), "tiers"),
        ],
    )
    def test_never_prices_incomplete_terms_at_nothing(self, terms: PriceTerms, field: str) -> None:
        with pytest.raises(PricingError) as caught:
            pricing.rate(terms, D(10))
        assert caught.value.field == field

    @given(st.decimals(0, 10**6, places=3), st.decimals(0, 10**6, places=3))
    def test_more_units_never_cost_less_except_by_volume(self, one: Decimal, other: Decimal) -> None:
        fewer, more = sorted((one, other))
        for terms in (PriceTerms(model="per_unit", unit_amount=D("0.7")), graduated(LAGO_GRADUATED), PACKAGE):
            assert pricing.rate(terms, fewer).amount <= pricing.rate(terms, more).amount

    @given(st.decimals(0, 10**6, places=3))
    def test_steps_are_json_and_tiers_sum_to_the_exact_amount(self, quantity: Decimal) -> None:
        rated = pricing.rate(graduated(OM_TIERS), quantity)
        parts = [D(str(step.params["amount"])) for step in rated.steps if step.code == "tier"]
        assert sum(parts) == rated.exact
        assert json.loads(json.dumps([asdict(step) for step in rated.steps]))


class TestRatePercentage:
    """Quantities are minor units, so the cases' major amounts stand a hundredfold."""

    TRANSACTIONS = (D(5000), D(10000), D(25000), D(40000))
    LAGO = PriceTerms(
        model="percentage",
        percentage=D("1.3"),
        fixed_amount=D(200),
        free_units=D(3),
        included_units=D(25000),
    )
    MINMAX = PriceTerms(model="percentage", percentage=D("2.99"))

    @pytest.mark.parametrize(
        ("terms", "amount"),
        [
            (LAGO, 1115),
            (replace(LAGO, included_units=D(0)), 720),
            (replace(LAGO, included_units=D(0), free_units=None), 1840),
            (replace(LAGO, included_units=D(0), free_units=None, percentage=D(0)), 800),
            (replace(LAGO, free_units=None), 1115),
            (replace(LAGO, free_units=D(1)), 1575),
            (replace(LAGO, free_units=D(9), included_units=D(0)), 0),
        ],
    )
    def test_lago_percentage_stops_at_the_first_exhausted_allowance(self, terms: PriceTerms, amount: int) -> None:
        assert pricing.rate(terms, D(80000), self.TRANSACTIONS).amount == amount

    @pytest.mark.parametrize(
        ("terms", "exact"),
        [
            (MINMAX, "30169.1"),
            (replace(MINMAX, per_transaction_min=D(175), per_transaction_max=D(1200)), "1614.2"),
            (
                replace(MINMAX, per_transaction_min=D(175), per_transaction_max=D(1200), fixed_amount=D(200)),
                "1869.1",
            ),
        ],
    )
    def test_lago_percentage_minmax(self, terms: PriceTerms, exact: str) -> None:
        rated = pricing.rate(terms, D(1009000), (D(1000), D(8000), D(1000000)))
        assert rated.exact == D(exact)

    def test_needs_no_transactions_for_a_plain_percentage(self) -> None:
        terms = PriceTerms(model="percentage", percentage=D(10), included_units=D(1000), flat_amount=D(50))
        assert pricing.rate(terms, D(3000)).amount == 250
        assert pricing.rate(terms, D(0)).amount == 50

    def test_refuses_transactions_that_do_not_sum_to_the_quantity(self) -> None:
        with pytest.raises(PricingError) as caught:
            pricing.rate(self.LAGO, D(80000))
        assert caught.value.field == "transactions"

    @pytest.mark.parametrize("free", [{}, {"free_units": D(2)}, {"included_units": D(12000)}])
    def test_takes_sums_of_those_that_are_alike(self, free: dict[str, D]) -> None:
        terms = replace(self.MINMAX, per_transaction_min=D(175), per_transaction_max=D(1200), **free)
        singly = (D(5000), D(5000), D(5000), D(1000), D(1500), D(1000000))
        alike = ((D(15000), 3), (D(2500), 2), D(1000000))
        assert pricing.rate(terms, D(1017500), alike) == pricing.rate(terms, D(1017500), singly)

    def test_counts_free_raised_and_capped_transactions(self) -> None:
        terms = replace(self.MINMAX, per_transaction_min=D(175), per_transaction_max=D(1200), free_units=D(1))
        rated = pricing.rate(terms, D(1013000), (D(5000), D(1000), D(7000), D(1000000)))
        assert steps_of(rated)[1:3] == [
            ("percentage", {"base": "1008000", "percentage": "2.99", "amount": "30139.2"}),
            (
                "transactions",
                {
                    "count": 4,
                    "free": 1,
                    "raised": 1,
                    "capped": 1,
                    "fixed_amount": "0",
                    "amount": "1584.3",
                    "lowest": "175",
                    "highest": "1200",
                },
            ),
        ]


class TestSteps:
    def test_tell_each_tier_with_its_bounds(self) -> None:
        assert steps_of(pricing.rate(graduated(LAGO_GRADUATED), D(21))) == [
            (
                "tier",
                {
                    "above": "0",
                    "up_to": "10",
                    "quantity": "10",
                    "unit_amount": "1000",
                    "flat_amount": "200",
                    "amount": "10200",
                },
            ),
            (
                "tier",
                {
                    "above": "10",
                    "up_to": "20",
                    "quantity": "10",
                    "unit_amount": "500",
                    "flat_amount": "300",
                    "amount": "5300",
                },
            ),
            ("tier", {"above": "20", "quantity": "1", "unit_amount": "500", "flat_amount": "300", "amount": "800"}),
        ]

    def test_tell_what_was_included_rounded_and_lifted_to_the_minimum(self) -> None:
        terms = PriceTerms(model="per_unit", unit_amount=D("0.15"), included_units=D(1000), minimum_amount=10)
        assert steps_of(pricing.rate(terms, D(1010))) == [
            ("included", {"quantity": "1010", "included": "1000", "rest": "10"}),
            ("per_unit", {"quantity": "10", "unit_amount": "0.15", "amount": "1.5"}),
            ("minimum", {"rated": "1.5", "minimum_amount": 10}),
        ]
        without_minimum = pricing.rate(replace(terms, minimum_amount=None), D(1010))
        assert steps_of(without_minimum)[-1] == ("rounding", {"exact": "1.5", "amount": 2})

    def test_tell_packages_and_the_volume_tier(self) -> None:
        assert steps_of(pricing.rate(PACKAGE, D(15))) == [
            (
                "package",
                {"packages": 2, "package_size": 10, "quantity": "15", "unit_amount": "10000", "amount": "20000"},
            )
        ]
        assert steps_of(pricing.rate(volume(LAGO_VOLUME), D(15))) == [
            (
                "volume_tier",
                {"above": "10", "quantity": "15", "unit_amount": "200", "flat_amount": "5000", "amount": "8000"},
            )
        ]

    def test_write_large_decimals_plainly(self) -> None:
        terms = PriceTerms(model="per_unit", unit_amount=D("1E+3"))
        assert steps_of(pricing.rate(terms, D("2E+6")))[0][1]["amount"] == "2000000000"


class TestValidateTerms:
    @pytest.mark.parametrize(
        ("terms", "metered"),
        [
            (PriceTerms(model="flat", unit_amount=D(0)), False),
            (PriceTerms(model="per_unit", unit_amount=D("0.000000000001"), flat_amount=D(5)), True),
            (graduated(LAGO_GRADUATED), False),
            (volume(OM_VOLUME), True),
            (replace(PACKAGE, included_units=D(5), minimum_amount=0), True),
            (TestRatePercentage.LAGO, True),
            (graduated((Tier(None, D(100)),)), True),
        ],
    )
    def test_accepts_what_can_be_rated(self, terms: PriceTerms, metered: bool) -> None:
        pricing.validate_terms(terms, metered=metered)

    @pytest.mark.parametrize(
        ("terms", "field"),
        [
            (PriceTerms(model="auction"), "model"),  # type: ignore[arg-type]
            (PriceTerms(model="flat"), "unit_amount"),
            (PriceTerms(model="per_unit"), "unit_amount"),
            (PriceTerms(model="package", package_size=10), "unit_amount"),
            (PriceTerms(model="package", unit_amount=D(1)), "package_size"),
            (PriceTerms(model="package", unit_amount=D(1), package_size=0), "package_size"),
            (PriceTerms(model="percentage"), "percentage"),
            (PriceTerms(model="percentage", percentage=D("100.1")), "percentage"),
            (PriceTerms(model="flat", unit_amount=D(-1)), "unit_amount"),
            (PriceTerms(model="flat", unit_amount=D("NaN")), "unit_amount"),
            (PriceTerms(model="flat", unit_amount=D("0.0000000000001")), "unit_amount"),
            (PriceTerms(model="flat", unit_amount=D(10**18)), "unit_amount"),
            (PriceTerms(model="flat", unit_amount=D(1), minimum_amount=-1), "minimum_amount"),
            (PriceTerms(model="flat", unit_amount=D(1), included_units=D(1)), "included_units"),
            (PriceTerms(model="per_unit", unit_amount=D(1), included_units=D(-1)), "included_units"),
            (PriceTerms(model="per_unit", unit_amount=D(1), tiers=LAGO_VOLUME), "tiers"),
            (PriceTerms(model="per_unit", unit_amount=D(1), percentage=D(3)), "percentage"),
            (PriceTerms(model="per_unit", unit_amount=D(1), package_size=10), "package_size"),
            (replace(graduated(LAGO_GRADUATED), unit_amount=D(1)), "unit_amount"),
            (graduated(()), "tiers"),
            (graduated((Tier(10, D(1)),)), "tiers"),
            (graduated((Tier(None, D(1)), Tier(None, D(1)))), "tiers"),
            (graduated((Tier(10, D(1)), Tier(10, D(2)), Tier(None, D(1)))), "tiers"),
            (graduated((Tier(10, D(1)), Tier(5, D(2)), Tier(None, D(1)))), "tiers"),
            (graduated((Tier(0, D(1)), Tier(None, D(1)))), "tiers"),
            (graduated((Tier(10, D(-1)), Tier(None, D(1)))), "tiers"),
            (graduated((Tier(10, D(1), D(-1)), Tier(None, D(1)))), "tiers"),
            (graduated((*(Tier(up_to, D(1)) for up_to in range(1, 101)), Tier(None, D(1)))), "tiers"),
            (replace(TestRatePercentage.LAGO, free_units=D("1.5")), "free_units"),
            (
                replace(TestRatePercentage.MINMAX, per_transaction_min=D(5), per_transaction_max=D(4)),
                "per_transaction_max",
            ),
        ],
    )
    def test_refuses_and_names_the_field(self, terms: PriceTerms, field: str) -> None:
        with pytest.raises(PricingError) as caught:
            pricing.validate_terms(terms, metered=terms.model == "percentage")
        assert (caught.value.field, caught.value.attr, caught.value.status) == (field, field, 400)

    def test_a_percentage_needs_a_meter_and_a_flat_price_has_none(self) -> None:
        with pytest.raises(PricingError, match="needs a meter"):
            pricing.validate_terms(TestRatePercentage.MINMAX, metered=False)
        with pytest.raises(PricingError, match="no meter"):
            pricing.validate_terms(PriceTerms(model="flat", unit_amount=D(1)), metered=True)

    def test_usage_is_recurring_and_in_arrears(self) -> None:
        terms = PriceTerms(model="per_unit", unit_amount=D(1))
        with pytest.raises(PricingError) as in_advance:
            pricing.validate_terms(terms, metered=True, timing="in_advance")
        with pytest.raises(PricingError) as one_time:
            pricing.validate_terms(terms, metered=True, one_time=True)
        assert (in_advance.value.field, one_time.value.field) == ("timing", "interval")
        pricing.validate_terms(terms, metered=False, timing="in_advance", one_time=True)


class TestNormalisedMonthly:
    @pytest.mark.parametrize(
        ("amount", "interval", "monthly"),
        [
            (12000, Interval("year"), Fraction(1000)),
            (24000, Interval("year", 2), Fraction(1000)),
            (3000, Interval("quarter"), Fraction(1000)),
            (1000, Interval("month"), Fraction(1000)),
            (6000, Interval("month", 6), Fraction(1000)),
            (300, Interval("week"), Fraction(1300)),
            (300, Interval("week", 2), Fraction(650)),
            (1000, Interval("year"), Fraction(250, 3)),
        ],
    )
    def test_is_exact(self, amount: int, interval: Interval, monthly: Fraction) -> None:
        assert pricing.normalised_monthly(amount, interval) == monthly
