"""Fields of the API: strict about JSON's types, and bounded by what the database and the calendar can hold."""

import re
import zoneinfo
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import Any, ClassVar, cast

import msgspec
from babel import Locale, UnknownLocaleError
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from gtm.shared import countries, ids, money
from gtm.shared.api import references
from gtm.shared.api.permissions import principal
from gtm.shared.models import Row

BIGINT = 2**63 - 1
INT = 2**31 - 1
FIRST_YEAR, LAST_YEAR = 1900, 2999  # room on both sides for the arithmetic of periods
RATE_PATTERN = r"^-?\d{1,18}(\.\d{1,12})?$"
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_DECIMAL = re.compile(r"-?\d{1,40}(\.\d{1,40})?", re.ASCII)
_LOCALE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,4}){0,2}", re.ASCII)
_EXACT_DIGITS = 15  # of a JSON number read as a float


@extend_schema_field({"type": "string"})
class PublicIdField(serializers.Field):
    """Answers a UUID column as ``cus_…``. Without ``prefix`` it is that of the serializer's own model."""

    def __init__(self, prefix: str = "", **kwargs: Any) -> None:
        super().__init__(**{"read_only": True} | kwargs)
        self.prefix = prefix

    def to_representation(self, value: Any) -> str:
        return ids.encode(self.prefix or cast("Any", self.parent).Meta.model.PREFIX, value)


class ReferenceField(serializers.RelatedField):
    """Names another object by id, code or ``external_id:…`` (see ``references``), and answers its id.

    Only what the caller may see is found; the rest is ``not_found``. ``answers_code`` answers the code instead of the
    id: select or prefetch the relation then.
    """

    default_error_messages: ClassVar[dict[str, Any]] = {
        "incorrect_type": "An id is a string.",
        "not_found": "There is no {kind} {text!r}.",
        "not_yours": "You may read this {kind}, and not change what belongs to it.",
    }

    def __init__(self, model: type[Row] | None = None, *, answers_code: bool = False, **kwargs: Any) -> None:
        # ModelSerializer hands over the related model's manager where a class was not declared by hand.
        manager = kwargs.pop("queryset", None)
        self.model: type[Row] | None = model or getattr(manager, "model", None)
        self.answers_code = answers_code
        super().__init__(**kwargs)

    def bind(self, field_name: str, parent: Any) -> None:
        super().bind(field_name, parent)
        columns = getattr(getattr(parent, "Meta", None), "model", None)
        if self.model is None and columns is not None:
            self.model = columns._meta.get_field(self.source).related_model

    def get_queryset(self) -> Any:
        assert self.model is not None, "a reference that can be written names its model"
        return references.visible(self.model, principal(self.context["request"]))

    def use_pk_only_optimization(self) -> bool:
        return not self.answers_code

    def to_internal_value(self, data: Any) -> Row:
        if not isinstance(data, str):
            self.fail("incorrect_type")
        found = references.find(self.get_queryset(), data)
        if found is None:
            self.fail("not_found", kind=self.model._meta.verbose_name, text=data[:100])  # type: ignore[union-attr]
        if self._writes() and not references.is_workable(found, principal(self.context["request"])):
            self.fail("not_yours", kind=found._meta.verbose_name)
        return found

    def _writes(self) -> bool:
        return bool(getattr(self.context.get("view"), "writes", False))

    def to_representation(self, value: Any) -> str:
        if self.answers_code:
            return str(value.code)
        model = self.model or type(value)
        return ids.encode(model.PREFIX, value.pk)

    def get_choices(self, cutoff: int | None = None) -> dict[Any, Any]:
        return {}


class StrictBooleanField(serializers.BooleanField):
    """true or false, and none of the words that a form would take."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class IntegerField(serializers.IntegerField):
    """A JSON integer (no string, no fraction) that fits the column: 32 bits unless told otherwise."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"min_value": -INT - 1, "max_value": INT} | kwargs)

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return data


class MoneyField(IntegerField):
    """An amount in minor units of the object's currency."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"min_value": -BIGINT - 1, "max_value": BIGINT} | kwargs)


class _ExactField(serializers.Field):
    """A decimal number, given as a string or a JSON number, that is kept to its last digit or refused."""

    default_error_messages: ClassVar[dict[str, Any]] = {
        "invalid": "Give a decimal number such as 12.5 or a string such as '12.5'.",
        "inexact": "Give a number of that many digits as a string.",
        "max_decimal_places": "At most {places} decimal places.",
        "max_digits": "At most {digits} digits before the point.",
        "min_value": "At least {minimum}.",
        "max_value": "At most {maximum}.",
    }

    def __init__(
        self,
        *,
        max_digits: int = 30,
        decimal_places: int = 12,
        min_value: int | Decimal | None = None,
        max_value: int | Decimal | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.places, self.whole_digits = decimal_places, max_digits - decimal_places
        self.min_value, self.max_value = min_value, max_value

    def to_internal_value(self, data: Any) -> Decimal:
        value = self._number(data)
        # Comparing and formatting are exact; Decimal's arithmetic would round to 28 digits.
        if len(plain(value).partition(".")[2]) > self.places:
            self.fail("max_decimal_places", places=self.places)
        if not -(10**self.whole_digits) < value < 10**self.whole_digits:
            self.fail("max_digits", digits=self.whole_digits)
        if self.min_value is not None and value < self.min_value:
            self.fail("min_value", minimum=self.min_value)
        if self.max_value is not None and value > self.max_value:
            self.fail("max_value", maximum=self.max_value)
        return value or Decimal(0)  # no negative zero

    def _number(self, data: Any) -> Decimal:
        if isinstance(data, int) and not isinstance(data, bool) and abs(data) <= BIGINT:
            return Decimal(data)
        if isinstance(data, float):
            value = Decimal(repr(data))
            if len(value.as_tuple().digits) > _EXACT_DIGITS:
                self.fail("inexact")
            return value
        if isinstance(data, str) and _DECIMAL.fullmatch(data):
            return Decimal(data)
        return self.fail("invalid")


class RateField(_ExactField):
    """A rate in minor units, up to 12 decimal places; answered as a string without an exponent."""

    def to_representation(self, value: Decimal) -> str:
        return plain(value)


class QuantityField(_ExactField):
    """A count or a measured amount; answered as a JSON number, whole ones without a point."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"decimal_places": 6} | kwargs)

    def to_representation(self, value: Decimal) -> int | float:
        whole = int(value)
        return whole if whole == value else float(value)


def plain(value: Decimal) -> str:
    """ "12.5", never "12.500" or "1.25E+1"."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


@extend_schema_field({"type": "string", "format": "date-time"})
class UtcDateTimeField(serializers.Field):
    """An instant with its offset, as RFC 3339 has it; answered in UTC."""

    default_error_messages: ClassVar[dict[str, Any]] = {
        "invalid": "Give an instant with its offset, such as 2026-01-31T09:00:00Z.",
        "out_of_range": f"The year must lie between {FIRST_YEAR} and {LAST_YEAR}.",
    }

    def to_internal_value(self, data: Any) -> datetime:
        try:
            return instant(data)
        except OverflowError:
            self.fail("out_of_range")
        except ValueError:
            self.fail("invalid")

    def to_representation(self, value: datetime) -> str:
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def instant(text: Any) -> datetime:
    """The instant in UTC. Raises OverflowError outside the years we keep, ValueError for whatever lacks an offset."""
    if not isinstance(text, str) or not _INSTANT.fullmatch(text):
        raise ValueError(text)
    found = datetime.fromisoformat(text.upper())
    if not FIRST_YEAR <= found.year <= LAST_YEAR:
        raise OverflowError(text)
    return found.astimezone(UTC)


@extend_schema_field({"type": "string", "format": "date"})
class DateField(serializers.Field):
    """A calendar date, ``YYYY-MM-DD``."""

    default_error_messages: ClassVar[dict[str, Any]] = {
        "invalid": "Give a date such as 2026-01-31.",
        "out_of_range": f"The year must lie between {FIRST_YEAR} and {LAST_YEAR}.",
    }

    def to_internal_value(self, data: Any) -> date:
        if not isinstance(data, str) or not _DATE.fullmatch(data):
            self.fail("invalid")
        try:
            found = date.fromisoformat(data)
        except ValueError:
            self.fail("invalid")
        if not FIRST_YEAR <= found.year <= LAST_YEAR:
            self.fail("out_of_range")
        return found

    def to_representation(self, value: date) -> str:
        return value.isoformat()


@extend_schema_field({"type": "object", "additionalProperties": {}})
class JsonObjectField(serializers.Field):
    """A JSON object of the integrator's own making, kept as it is up to 16 KB."""

    max_bytes = 16 * 1024
    default_error_messages: ClassVar[dict[str, Any]] = {
        "invalid": "Give a JSON object.",
        "too_large": "At most {limit} bytes of JSON.",
        "number": "A number in it is too large.",
    }

    def __init__(self, *, encoder: Any = None, decoder: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # a JSONField's encoder and decoder are the column's business

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            self.fail("invalid")
        if len(msgspec.json.encode(data)) > self.max_bytes:
            self.fail("too_large", limit=self.max_bytes)
        if any(abs(number) > BIGINT for number in _integers(data)):
            self.fail("number")
        return data

    def to_representation(self, value: Any) -> Any:
        return value


def _integers(value: Any) -> list[int]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for part in value for number in _integers(part)]
    return [value] if isinstance(value, int) else []


_PLAIN_VALUE = {
    "oneOf": [{"type": "string", "maxLength": 500}, {"type": "number"}, {"type": "boolean"}],
    "nullable": True,
}


@extend_schema_field({"type": "object", "maxProperties": 50, "additionalProperties": _PLAIN_VALUE})
class MetadataField(JsonObjectField):
    """Names with plain values, for the integrator's own use: at most 50, names to 40 and values to 500 characters."""

    default_error_messages: ClassVar[dict[str, Any]] = {
        "too_many": "At most 50 names.",
        "name": "A name has 1 to 40 characters.",
        "value": "A value is a string of at most 500 characters, a number, true, false or null.",
    }
    max_bytes = 128 * 1024

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        data = super().to_internal_value(data)
        if len(data) > 50:
            self.fail("too_many")
        for name, value in data.items():
            if not 1 <= len(name) <= 40:
                self.fail("name")
            if isinstance(value, dict | list) or (isinstance(value, str) and len(value) > 500):
                self.fail("value")
        return data


class _CodeField(serializers.CharField):
    """A word out of a published list."""

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        try:
            return self.normalise(text)
        except (ValueError, LookupError):
            self.fail("unknown", text=text[:50])

    def normalise(self, text: str) -> str:
        """The canonical spelling. Raises ValueError or LookupError for what is not on the list."""
        raise NotImplementedError


@extend_schema_field({"type": "string", "pattern": "^[A-Z]{2}$"})
class CountryField(_CodeField):
    """A country of ISO 3166, two letters (and XK, by which Kosovo trades)."""

    default_error_messages: ClassVar[dict[str, Any]] = {"unknown": "{text!r} is not a country code of ISO 3166."}

    def normalise(self, text: str) -> str:
        code = text.upper()
        if not (text.isascii() and countries.is_country(code)):
            raise ValueError(text)
        return code


@extend_schema_field({"type": "string", "pattern": "^[A-Z]{3}$"})
class CurrencyField(_CodeField):
    """A currency of ISO 4217, three letters."""

    default_error_messages: ClassVar[dict[str, Any]] = {"unknown": "{text!r} is not a currency code of ISO 4217."}

    def normalise(self, text: str) -> str:
        code = text.upper()
        money.exponent(code)
        return code


@extend_schema_field({"type": "string"})
class TimezoneField(_CodeField):
    """A zone of the IANA database, such as Europe/Berlin."""

    default_error_messages: ClassVar[dict[str, Any]] = {"unknown": "{text!r} is not a time zone such as Europe/Berlin."}

    def normalise(self, text: str) -> str:
        return timezones()[text]


@extend_schema_field({"type": "string"})
class LocaleField(_CodeField):
    """A language tag such as de or pt-BR."""

    default_error_messages: ClassVar[dict[str, Any]] = {
        "unknown": "{text!r} is not a language tag such as de or pt-BR."
    }

    def normalise(self, text: str) -> str:
        if not _LOCALE.fullmatch(text):
            raise ValueError(text)
        try:
            return str(Locale.parse(text.replace("_", "-"), sep="-")).replace("_", "-")
        except UnknownLocaleError as error:
            raise ValueError(text) from error


@cache
def timezones() -> dict[str, str]:
    left_out = {"Factory", "localtime", "posixrules"}
    return {name: name for name in zoneinfo.available_timezones() - left_out}
