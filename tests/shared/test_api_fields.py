from decimal import Decimal
from importlib.resources import files

import pytest
from rest_framework.exceptions import ValidationError

from gtm.shared import countries
from gtm.shared.api import fields, parsing, throttling


def taken(field, value):
    field.bind("x", None)
    return field.run_validation(value)


def refusal(field, value):
    with pytest.raises(ValidationError) as refused:
        taken(field, value)
    return refused.value.detail[0].code


class TestMoney:
    @pytest.mark.parametrize("value", [0, -5, 2**63 - 1, -(2**63)])
    def test_takes_what_fits_64_bits(self, value):
        assert taken(fields.MoneyField(), value) == value

    @pytest.mark.parametrize("value", [2**63, -(2**63) - 1, "5", 5.0, True, None, [], {}, 10**400])
    def test_refuses_the_rest(self, value):
        assert refusal(fields.MoneyField(), value)

    def test_has_a_minimum_if_told(self):
        assert refusal(fields.MoneyField(min_value=0), -1) == "min_value"


class TestRate:
    @pytest.mark.parametrize(
        ("value", "expected", "answer"),
        [
            ("0.000000000001", "1E-12", "0.000000000001"),
            (1e-07, "1E-7", "0.0000001"),
            ("12.500", "12.500", "12.5"),
            (12.5, "12.5", "12.5"),
            (100, "100", "100"),
            ("1000000", "1000000", "1000000"),
            ("-0", "0", "0"),
            (-0.0, "0", "0"),
            ("1.0000000000000000", "1", "1"),
            ("999999999999999999.999999999999", "999999999999999999.999999999999", "999999999999999999.999999999999"),
        ],
    )
    def test_is_kept_to_the_last_digit_and_answered_plainly(self, value, expected, answer):
        field = fields.RateField()
        kept = taken(field, value)
        assert kept == Decimal(expected)
        assert field.to_representation(kept) == answer

    @pytest.mark.parametrize(
        "value",
        [
            "0.0000000000001", "1000000000000000000", "1e3", "NaN", "Infinity", "", " 1", "1,5", "٣", "1_000", ".5",
            "5.", 0.1 + 0.2, 12345678901234567.5, 1e300, True, None, [], {}, 2**64, "9" * 5000, "1\n",
        ],
    )  # fmt: skip
    def test_refuses_what_would_be_changed(self, value):
        assert refusal(fields.RateField(), value)

    def test_has_bounds_if_told(self):
        assert refusal(fields.RateField(min_value=0), "-1") == "min_value"
        assert refusal(fields.RateField(max_value=100), "100.1") == "max_value"


class TestQuantity:
    @pytest.mark.parametrize(("value", "answer"), [(5, 5), ("5.0", 5), (2.5, 2.5), ("0.000001", 0.000001)])
    def test_is_answered_as_a_number(self, value, answer):
        field = fields.QuantityField()
        shown = field.to_representation(taken(field, value))
        assert (shown, type(shown)) == (answer, type(answer))

    def test_has_six_places(self):
        assert refusal(fields.QuantityField(), "0.0000001") == "max_decimal_places"


class TestFlag:
    @pytest.mark.parametrize("value", ["true", 1, 0, "on", None, "null", []])
    def test_is_true_or_false_alone(self, value):
        assert refusal(fields.StrictBooleanField(), value)


class TestDate:
    def test_is_a_calendar_date(self):
        assert taken(fields.DateField(), "2024-02-29").isoformat() == "2024-02-29"

    @pytest.mark.parametrize(
        "value", ["2026-02-29", "20260101", "2026-01-01T00:00:00Z", "2026-W01-1", "0001-01-01", 1, None]
    )
    def test_refuses_the_rest(self, value):
        assert refusal(fields.DateField(), value)


class TestCodes:
    @pytest.mark.parametrize(
        ("field", "value", "kept"),
        [
            (fields.CountryField, "DE", "DE"),
            (fields.CountryField, "de", "DE"),
            (fields.CountryField, "XK", "XK"),
            (fields.CurrencyField, "eur", "EUR"),
            (fields.TimezoneField, "Europe/Berlin", "Europe/Berlin"),
            (fields.TimezoneField, "UTC", "UTC"),
            (fields.LocaleField, "de", "de"),
            (fields.LocaleField, "pt_BR", "pt-BR"),
            (fields.LocaleField, "zh-hans-cn", "zh-Hans-CN"),
        ],
    )
    def test_are_kept_in_their_canonical_spelling(self, field, value, kept):
        assert taken(field(), value) == kept

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            *((fields.CountryField, value) for value in ("", "EU", "UN", "ZZ", "XX", "DEU", "Germany", "ß", 1, None)),
            *((fields.CurrencyField, value) for value in ("", "XXX", "XTS", "EURO", "€", 978, None)),
            *(
                (fields.TimezoneField, value)
                for value in ("", "Europe/Atlantis", "../etc/passwd", "Factory", "+02:00", "GMT+25")
            ),
            *(
                (fields.LocaleField, value)
                for value in ("", "xx", "x", "de.UTF-8", "sr@latin", "de-DE-1996-x", "../de", "C")
            ),
        ],
    )
    def test_that_are_on_no_list_are_refused(self, field, value):
        assert refusal(field(), value)

    def test_countries_are_those_of_iso_3166(self):
        table = (files("tzdata") / "zoneinfo/iso3166.tab").read_text(encoding="utf-8")
        official = {line[:2] for line in table.splitlines() if not line.startswith("#")}
        assert {code for code, _ in countries.names("en")} == official | {"XK"}


class TestJsonObject:
    def test_is_kept_as_it_is(self):
        value = {"a": [1, {"b": None}], "c": "x"}
        assert taken(fields.JsonObjectField(), value) == value

    @pytest.mark.parametrize("value", [[], "x", {"a": "x" * 17_000}, {"a": [2**63]}])
    def test_has_bounds(self, value):
        assert refusal(fields.JsonObjectField(), value)


class TestParser:
    def test_looks_into_bodies_with_many_brackets(self):
        rows = [{"id": str(n)} for n in range(200)]
        assert parsing.decode(b'{"events": %s}' % str(rows).replace("'", '"').encode())["events"] == rows


class TestRateLimits:
    @pytest.mark.parametrize(("text", "expected"), [("6000/min", (6000, 60)), ("5/s", (5, 1)), ("1/day", (1, 86400))])
    def test_are_written_as_a_count_per_unit(self, text, expected):
        assert throttling.parse(text) == expected

    @pytest.mark.parametrize("text", ["", "6000", "x/min", "5/fortnight", "-1/s"])
    def test_refuse_other_words(self, text):
        with pytest.raises(ValueError, match="a rate is written"):
            throttling.parse(text)

    @pytest.mark.parametrize(
        ("present", "before", "passed", "wait"),
        [
            (10, 0, 30, 0),
            (5, 10, 30, 0),
            (6, 10, 30, 6),  # at 36 s the window before counts for 4
            (1, 10, 0, 6),
            (11, 0, 30, 30 + 60 * (1 - 10 / 11)),
        ],
    )
    def test_slide(self, present, before, passed, wait):
        found = throttling.seconds_to_wait(rate=10, window=60, passed=passed, present=present, before=before)
        assert found == pytest.approx(wait)
