"""What a cell of a list shows, as values: pages write it for the eye and exports write it for a spreadsheet."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from gtm.shared.money import exponent

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\0")


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell. ``kind`` is how it is laid out; ``unit`` a currency or what is counted; ``note`` stands below it."""

    kind: str = "text"
    value: Any = None
    unit: str = ""
    limit: Decimal | None = None
    url: str = ""
    note: str = ""

    @property
    def plain(self) -> str:
        """The cell in an export. Text that a spreadsheet would take for a formula is quoted by an apostrophe."""
        if self.value is None or self.value == "":
            return ""
        if self.kind == "money":
            return str(Decimal(self.value).scaleb(-exponent(self.unit)))
        if self.kind == "usage":
            return f"{self.value.normalize():f} / {self.limit.normalize():f}" if self.limit else str(self.value)
        if isinstance(self.value, datetime):
            return self.value.isoformat(timespec="seconds")
        if isinstance(self.value, date | int | Decimal):
            return str(self.value)
        return safe(str(self.value))


def safe(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) else text


def text(value: object, *, url: str = "", note: str = "") -> Cell:
    return Cell("text", str(value) if value not in (None, "") else None, url=url, note=note)


def soft(value: object) -> Cell:
    return Cell("soft", str(value) if value not in (None, "") else None)


def number(value: Decimal | int | None) -> Cell:
    return Cell("number", value)


def money(amount: int | None, currency: str) -> Cell:
    return Cell("money", amount, unit=currency)


def day(value: date | None) -> Cell:
    return Cell("day", value)


def when(value: datetime | None, *, note: str = "") -> Cell:
    return Cell("when", value, note=note)


def usage(used: Decimal, limit: Decimal, *, unit: str) -> Cell:
    return Cell("usage", used, unit=unit, limit=limit)


def badge(code: str, label: str) -> Cell:
    """``code`` decides the colour of the word."""
    return Cell("badge", label, unit=code)


NOTHING = Cell()
