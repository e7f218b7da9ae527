from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import tax
from billing.tax import Buyer, PlacedRate, Seller, TaxDecision
from gtm.shared.errors import Invalid

ON = date(2026, 6, 1)
DE = Seller("DE")
DE_VAT_ID, FR_VAT_ID, GR_VAT_ID = "DE136695976", "FR40303265045", "EL094259216"


def placed(
    code: str, percentage: str, country: str, valid_from: date = date(2020, 1, 1), **kwargs: str | date
) -> PlacedRate:
    return PlacedRate(code, "Tax", Decimal(percentage), country, valid_from, **kwargs)  # type: ignore[arg-type]


GERMAN = placed("de-19", "19", "DE")
GERMAN_BOOKS = placed("de-7", "7", "DE", tax_class="books")
FRENCH = placed("fr-20", "20", "FR")
CALIFORNIAN = placed("us-ca", "7.25", "US", region="CA")
RATES = (GERMAN, GERMAN_BOOKS, FRENCH, CALIFORNIAN)


def decide(
    buyer: Buyer, tax_class: str = "standard", rates: tuple[PlacedRate, ...] = RATES, on: date = ON
) -> TaxDecision:
    return tax.decide(DE, buyer, tax_class, rates, on)


def outcome(decision: TaxDecision) -> tuple[str, str, list[str]]:
    return decision.treatment, decision.reason, [rate.code for rate in decision.rates]


class TestDecide:
    @pytest.mark.parametrize(
        ("buyer", "expected"),
        [
            (Buyer("DE"), ("taxed", "rate_of_place", ["de-19"])),
            (Buyer("de"), ("taxed", "rate_of_place", ["de-19"])),
            (Buyer("FR"), ("taxed", "rate_of_place", ["fr-20"])),
            (Buyer("US", region="CA"), ("taxed", "rate_of_place", ["us-ca"])),
            (Buyer("US", region="ca"), ("taxed", "rate_of_place", ["us-ca"])),
            (Buyer("US", region="OR"), ("outside", "no_rate_for_place", [])),
            (Buyer("US"), ("unknown_place", "region_unknown", [])),
            (Buyer("JP"), ("outside", "no_rate_for_place", [])),
            (Buyer(), ("unknown_place", "place_unknown", [])),
            (Buyer("DE", tax_exempt="exempt"), ("exempt", "customer_exempt", [])),
            (Buyer(tax_exempt="exempt"), ("exempt", "customer_exempt", [])),
            (Buyer("CH", tax_exempt="reverse"), ("reverse_charge", "customer_reverse_charge", [])),
            (Buyer("DE", tax_rates=("fr-20", "us-ca")), ("taxed", "customer_rates", ["fr-20", "us-ca"])),
            (Buyer(tax_rates=("fr-20", "fr-20")), ("taxed", "customer_rates", ["fr-20"])),
            (Buyer("FR", tax_id=FR_VAT_ID, tax_rates=("fr-20",)), ("taxed", "customer_rates", ["fr-20"])),
            (Buyer("DE", tax_exempt="exempt", tax_rates=("fr-20",)), ("exempt", "customer_exempt", [])),
        ],
    )
    def test_follows_what_is_known_of_the_customer_and_then_its_place(
        self, buyer: Buyer, expected: tuple[str, str, list[str]]
    ) -> None:
        assert outcome(decide(buyer)) == expected

    @pytest.mark.parametrize(
        ("buyer", "treatment"),
        [
            (Buyer("FR", tax_id=FR_VAT_ID), "reverse_charge"),
            (Buyer("FR", tax_id="fr 40 303 265 045"), "reverse_charge"),
            (Buyer("FR", tax_id="40303265045"), "reverse_charge"),
            (Buyer("GR", tax_id=GR_VAT_ID), "reverse_charge"),
            (Buyer("DE", tax_id=DE_VAT_ID), "taxed"),
            (Buyer("FR", tax_id="FR40303265046"), "taxed"),
            (Buyer("FR", tax_id=DE_VAT_ID), "taxed"),
            (Buyer("FR", tax_id="40-1234567"), "taxed"),
            (Buyer("JP", tax_id=FR_VAT_ID), "outside"),
            (Buyer("", tax_id=FR_VAT_ID), "unknown_place"),
        ],
    )
    def test_reverse_charge_needs_a_valid_vat_id_of_another_eu_country(self, buyer: Buyer, treatment: str) -> None:
        assert decide(buyer).treatment == treatment

    def test_a_seller_outside_the_eu_reverses_too_but_one_of_unknown_place_does_not(self) -> None:
        buyer = Buyer("FR", tax_id=FR_VAT_ID)
        assert tax.decide(Seller("US"), buyer, "standard", RATES, ON).treatment == "reverse_charge"
        assert tax.decide(Seller(""), buyer, "standard", RATES, ON).treatment == "taxed"

    @pytest.mark.parametrize("buyer", [Buyer(), Buyer("DE"), Buyer("FR", tax_id=FR_VAT_ID)])
    def test_a_vendor_without_valid_rates_charges_no_tax(self, buyer: Buyer) -> None:
        assert outcome(decide(buyer, rates=())) == ("none", "vendor_charges_no_tax", [])
        assert decide(buyer, on=date(2019, 12, 31)).treatment == "none"

    @pytest.mark.parametrize(
        ("country", "tax_class", "expected"),
        [
            ("DE", "books", ("taxed", "rate_of_place", ["de-7"])),
            ("FR", "books", ("taxed", "standard_rate_of_place", ["fr-20"])),
            ("DE", "unheard-of", ("taxed", "standard_rate_of_place", ["de-19"])),
        ],
    )
    def test_takes_the_rate_of_the_class_or_the_standard_one(
        self, country: str, tax_class: str, expected: tuple[str, str, list[str]]
    ) -> None:
        assert outcome(decide(Buyer(country), tax_class)) == expected

    @pytest.mark.parametrize(
        ("on", "code"),
        [
            (date(2020, 6, 30), "de-19"),
            (date(2020, 7, 1), "de-16"),
            (date(2020, 12, 31), "de-16"),
            (date(2021, 1, 1), "de-19"),
            (date(2027, 1, 1), "de-20"),
        ],
    )
    def test_takes_the_newest_rate_valid_on_the_day(self, on: date, code: str) -> None:
        cut = replace(GERMAN, code="de-16", valid_from=date(2020, 7, 1), valid_to=date(2021, 1, 1))
        raised = replace(GERMAN, code="de-20", valid_from=date(2027, 1, 1))
        decision = decide(Buyer("DE"), rates=(raised, cut, GERMAN), on=on)
        assert [rate.code for rate in decision.rates] == [code]

    def test_a_region_goes_before_its_country(self) -> None:
        rates = (placed("ca-gst", "5", "CA"), placed("ca-hst", "13", "CA", region="ON"))
        assert outcome(decide(Buyer("CA", region="ON"), rates=rates))[2] == ["ca-hst"]
        assert outcome(decide(Buyer("CA", region="AB"), rates=rates))[2] == ["ca-gst"]
        assert outcome(decide(Buyer("CA"), rates=rates))[2] == ["ca-gst"]

    def test_a_zero_rate_is_a_rate(self) -> None:
        decision = decide(Buyer("DE"), rates=(replace(GERMAN, percentage=Decimal(0)),))
        assert (decision.treatment, decision.rates[0].percentage) == ("taxed", 0)

    def test_refuses_a_rate_of_the_customer_that_is_not_valid(self) -> None:
        with pytest.raises(Invalid, match="de-99") as caught:
            decide(Buyer("DE", tax_rates=("de-19", "de-99")))
        assert caught.value.attr == "tax_rates"

    def test_keeps_the_evidence(self) -> None:
        decision = decide(Buyer("FR", tax_id="40 303 265 045"))
        assert decision.evidence == {
            "country": "FR",
            "tax_id": "FR40303265045",
            "tax_class": "standard",
            "date": "2026-06-01",
        }
        assert decision.may_bill

    @given(
        st.builds(
            Buyer,
            country=st.sampled_from(["", "DE", "FR", "US", "JP"]),
            region=st.sampled_from(["", "CA", "OR"]),
            tax_id=st.sampled_from(["", DE_VAT_ID, FR_VAT_ID]) | st.text(max_size=20),
        ),
        st.sampled_from(["standard", "books"]),
    )
    def test_an_unknown_place_is_never_billed_and_taxed_always_has_a_rate(self, buyer: Buyer, tax_class: str) -> None:
        decision = decide(buyer, tax_class)
        assert decision.may_bill or not decision.rates
        assert bool(decision.rates) == (decision.treatment == "taxed")
        if not buyer.country:
            assert not decision.may_bill


class TestEuVatId:
    @pytest.mark.parametrize(
        ("text", "country", "number"),
        [
            ("de 136 695 976", "DE", "DE136695976"),
            ("136695976", "de", "DE136695976"),
            ("EL094259216", "GR", "EL094259216"),
            ("GR094259216", "GR", "EL094259216"),
            ("094259216", "GR", "EL094259216"),
            ("DE136695976", "FR", None),
            ("DE136695977", "DE", None),
            ("GB980780684", "GB", None),
            ("", "DE", None),
            ("  ", "DE", None),
        ],
    )
    def test_is_compact_with_the_prefix_of_its_country(self, text: str, country: str, number: str | None) -> None:
        assert tax.eu_vat_id(text, country=country) == number
