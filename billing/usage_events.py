"""Events as they come in: decoded one by one, so that a bad row spoils no other, and checked without the database.

A row that can't be kept is rejected by a code that integrators may rely on; the rest of the call goes on.
"""

import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from hashlib import blake2b
from typing import Annotated, Any

import msgspec

from billing.metering import MAX_AMOUNT, MAX_PROPERTIES_BYTES, MAX_VALUE_LENGTH
from gtm.shared.errors import Invalid

MAX_EVENTS = 10_000
_FIRST_YEAR = 1970
_EXACT = Context(prec=60)
_SIX_PLACES = Decimal("0.000001")
_FIELD = re.compile(r" - at `\$\.(\w+)")
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_encode = msgspec.json.Encoder(order="deterministic").encode

Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class UsageUser(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Who used it, as the integrator names the person. Only the id is kept."""

    id: str
    email: str | None = None


class UsageInput(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """An event as the vendor's product reports it. ``customer`` is ``cus_…`` or ``external_id:…``."""

    id: str
    name: str
    customer: str
    timestamp: Instant | None = None
    user: str | UsageUser | None = None
    quantity: Decimal | None = None
    properties: dict[str, Any] | None = None
    subscription: str | None = None

    @property
    def user_id(self) -> str:
        return self.user.id if isinstance(self.user, UsageUser) else self.user or ""


class Rejected(msgspec.Struct, frozen=True):
    """Why the row at ``index`` was not kept."""

    index: int
    id: str | None
    code: str
    detail: str


class Recorded(msgspec.Struct, frozen=True):
    """What became of a call's events; every one is counted once."""

    accepted: int
    duplicates: int
    rejected: list[Rejected]


class Refused(Exception):
    """A row can't be kept; the others are."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    events: list[msgspec.Raw]


_body = msgspec.json.Decoder(_Body)
_row = msgspec.json.Decoder(UsageInput)
_loose = msgspec.json.Decoder(dict[str, Any])


def decode(body: bytes) -> tuple[list[int], list[UsageInput], list[Rejected]]:
    """The rows of a body ``{"events": […]}``: positions and events of those that can be read, and the others.

    Raises Invalid where the body is no such object, or holds more than 10,000 events.
    """
    try:
        rows = _body.decode(body).events
    except RecursionError:
        raise Invalid("The body is nested too deeply.", code="parse_error") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Invalid(f'The body must be {{"events": […]}}: {error}.', code="parse_error") from error
    if len(rows) > MAX_EVENTS:
        raise Invalid(
            f"At most {MAX_EVENTS:,} events a call, not {len(rows):,}.", code="too_many_events", attr="events"
        )
    positions, events, rejected = [], [], []
    for index, row in enumerate(rows):
        try:
            events.append(_row.decode(row))
            positions.append(index)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            rejected.append(Rejected(index, _id_of(row), *_explain(error)))
    return positions, events, rejected


def _id_of(row: msgspec.Raw) -> str | None:
    """The row's id, if it has one that can be read."""
    try:
        found = _loose.decode(row).get("id")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return found[:200] if isinstance(found, str) else None


def _explain(error: Exception) -> tuple[str, str]:
    if isinstance(error, RecursionError):
        return "invalid_properties", "The row is nested too deeply."
    words = str(error)
    if words.startswith("Object missing required field") and "$" not in words:
        return "required", words
    if words.startswith("Object contains unknown field") and "$" not in words:
        return "unknown_field", words
    field = _FIELD.search(words)
    return f"invalid_{field[1]}" if field else "invalid", words


@dataclass(frozen=True, slots=True)
class CustomerScope:
    """What ingest knows of a customer.

    ``now`` is its clock's time, ``latest`` what its events may not lie beyond. Since ``on_time_since`` no period that
    was charged for holds an event, or its invoice still waits for it.
    """

    id: uuid.UUID
    version: int
    account_id: uuid.UUID | None
    test_clock_id: uuid.UUID | None
    now: datetime
    latest: datetime
    on_time_since: datetime
    clock_is_advancing: bool


@dataclass(frozen=True, slots=True)
class MeterTerms:
    """What a meter asks of an event's properties."""

    event_name: str
    aggregation: str
    property_name: str
    filters: dict[str, list[Any]]

    @property
    def is_numeric(self) -> bool:
        return self.aggregation in ("sum", "max", "latest")


class EventRow(msgspec.Struct, frozen=True):
    """An event as it is written."""

    id: str
    digest: str
    customer: uuid.UUID
    name: str
    user: str
    at: datetime
    quantity: str
    properties: msgspec.Raw
    subscription: uuid.UUID | None


def prepare(
    event: UsageInput, *, customer: CustomerScope, subscription: uuid.UUID | None, meters: Iterable[MeterTerms]
) -> EventRow:
    """The row of an event of a known customer. Raises Refused.

    The digest is of what was said: a timestamp that was left to us is no part of it, so that the same body sent again
    is the same event.
    """
    user = event.user_id
    _check_text("id", event.id, longest=200)
    _check_text("name", event.name, longest=100)
    if user:
        _check_text("user", user, longest=200)
    instant, quantity = _instant(event.timestamp, customer), _quantity(event.quantity)
    properties = msgspec.Raw(_properties(event.properties or {}))
    for meter in meters:
        check_property(meter, event.properties or {})
    said = (customer.id, event.name, user, instant, quantity, properties, subscription)
    return EventRow(
        id=event.id,
        digest=blake2b(_encode(said), digest_size=16).hexdigest(),
        customer=customer.id,
        name=event.name,
        user=user,
        at=instant or customer.now,
        quantity=quantity,
        properties=properties,
        subscription=subscription,
    )


def _check_text(field: str, text: str, *, longest: int) -> None:
    if not text.strip() or len(text) > longest or "\0" in text:
        raise Refused(
            f"invalid_{field}", f"The {field} has 1 to {longest} characters, not all blank and none of them NUL."
        )


def _instant(timestamp: datetime | None, customer: CustomerScope) -> datetime | None:
    if timestamp is None:
        return None
    if timestamp.year < _FIRST_YEAR:
        raise Refused("timestamp_too_old", f"The timestamp lies before the year {_FIRST_YEAR}.")
    if timestamp > customer.latest:
        raise Refused("timestamp_in_future", "The timestamp lies more than 5 minutes ahead.")
    return timestamp.astimezone(UTC)


def _properties(properties: dict[str, Any]) -> bytes:
    encoded = _encode(properties)
    if len(encoded) > MAX_PROPERTIES_BYTES:
        raise Refused("properties_too_large", f"At most {MAX_PROPERTIES_BYTES} bytes of properties.")
    if b"\\u0000" in encoded and _NUL.search(encoded):
        raise Refused("invalid_properties", "Properties hold a NUL character.")
    return encoded


def _quantity(quantity: Decimal | None) -> str:
    if quantity is None:
        return "1"
    if not quantity.is_finite() or not 0 <= quantity <= MAX_AMOUNT:
        raise Refused("invalid_quantity", "The quantity is a number from 0 to 10^15.")
    return format(quantity.quantize(_SIX_PLACES, ROUND_HALF_UP, _EXACT).normalize(_EXACT), "f")


def check_property(meter: MeterTerms, properties: dict[str, Any]) -> None:
    """Raise Refused where a meter counts the event, and its property is there but can't be counted.

    Without the property the event counts as 0.
    """
    value = properties.get(meter.property_name) if meter.property_name else None
    if value is None or not _matches(meter.filters, properties):
        return
    if meter.is_numeric and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise Refused("property_not_numeric", f"{meter.property_name} must be a number: a meter adds it up.")
    if meter.is_numeric and not 0 <= value <= MAX_AMOUNT:
        raise Refused("property_out_of_range", f"{meter.property_name} must be a number from 0 to 10^15.")
    if meter.aggregation == "unique":
        if isinstance(value, dict | list):
            raise Refused(
                "property_not_plain", f"{meter.property_name} must be a plain value: a meter tells such values apart."
            )
        if isinstance(value, str) and len(value) > MAX_VALUE_LENGTH:
            raise Refused("property_too_long", f"{meter.property_name} has more than {MAX_VALUE_LENGTH} characters.")


def _matches(filters: dict[str, list[Any]], properties: dict[str, Any]) -> bool:
    """As ``metering.samples`` does: by value and type, so that true is not 1."""
    return all(
        any(isinstance(one, bool) is isinstance(properties[name], bool) and one == properties[name] for one in allowed)
        if name in properties
        else False
        for name, allowed in filters.items()
    )
