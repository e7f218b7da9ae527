"""What the columns of an imported file can mean, how their cells are read, and what a column's name suggests. Pure."""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from gtm.shared.countries import is_country, names
from gtm.shared.domains import is_free_mail, registrable_domain

MAX_EMPLOYEES = 10_000_000
_EMAIL = re.compile(r"[^@\s<>\"',;]+@[^@\s<>\"',;]+\.[^@\s<>\"',;]+")
_YES = frozenset({"1", "yes", "y", "true", "x", "ja", "oui", "ya"})
_NO = frozenset({"0", "no", "n", "false", "nein", "non", "tidak"})
_THOUSANDS = re.compile(r"\d{1,3}([ ,.'\u00a0\u202f]\d{3})+")


@dataclass(frozen=True, slots=True)
class Field:
    """``read`` makes a value of a cell or raises ValueError with the reason in words."""

    code: str
    label: str
    read: Callable[[str], Any]
    names: tuple[str, ...] = ()
    is_required: bool = False


@dataclass(frozen=True, slots=True)
class Error:
    field: str
    text: str


@dataclass(slots=True)
class Row:
    """One row of a file: where it stands, what its cells say, and what is wrong with them."""

    position: int
    line: int
    cells: list[str]
    values: dict[str, Any] = field(default_factory=dict)
    errors: list[Error] = field(default_factory=list)


def text(most: int) -> Callable[[str], str]:
    def read(cell: str) -> str:
        if len(cell) > most:
            raise ValueError(f"at most {most} characters, and these are {len(cell)}")
        return cell

    return read


def email(cell: str) -> str:
    address = cell.removeprefix("mailto:").lower()
    if len(address) > 254 or not _EMAIL.fullmatch(address):
        raise ValueError(f"“{_short(cell)}” is no e-mail address")
    return address


def domain(cell: str) -> str:
    """Of a domain, an address of a page or one of mail: the registrable domain of a company."""
    found = registrable_domain(cell.rpartition("@")[2] if "@" in cell and "/" not in cell else cell)
    if found is None:
        raise ValueError(f"“{_short(cell)}” is no domain, such as acme.com")
    if is_free_mail(found):
        raise ValueError(f"{found} is a mail provider, and no company's domain")
    return found


def employees(cell: str) -> int:
    digits = re.sub(r"\D", "", cell) if _THOUSANDS.fullmatch(cell) else cell
    if not digits.isascii() or not digits.isdecimal() or len(digits) > 9 or int(digits) > MAX_EMPLOYEES:
        raise ValueError(f"“{_short(cell)}” is no number of employees")
    return int(digits)


def country(cell: str) -> str:
    """By its code or its English name."""
    if is_country(cell.upper()):
        return cell.upper()
    code = _countries().get(cell.casefold())
    if code is None:
        raise ValueError(f"“{_short(cell)}” is no country: give its name or its code, such as DE")
    return code


@cache
def _countries() -> dict[str, str]:
    return {name.casefold(): code for code, name in names("en")}


def yes_no(cell: str) -> bool:
    if cell.casefold() in _YES:
        return True
    if cell.casefold() in _NO:
        return False
    raise ValueError(f"“{_short(cell)}” is neither yes nor no")


def _short(cell: str) -> str:
    return cell if len(cell) <= 40 else f"{cell[:40]}…"


# --- the columns of a file ---------------------------------------------------------------------
def guess(header: Sequence[str], fields: Sequence[Field], remembered: Mapping[str, str]) -> dict[int, str]:
    """Which field each column is, by what was said of such a name before, else by the name; a field once."""
    found: dict[int, str] = {}
    codes = {one.code for one in fields}
    for number, name in enumerate(header):
        key = plain(name)
        code = remembered.get(key) if key in remembered else _named(key, fields)
        if code in codes and code not in found.values():
            found[number] = str(code)
    return found


def _named(key: str, fields: Sequence[Field]) -> str | None:
    return next(
        (one.code for one in fields if key in {plain(one.code), plain(one.label), *map(plain, one.names)}), None
    )


def plain(name: str) -> str:
    """A column's name without case, accents, spaces and signs."""
    decomposed = unicodedata.normalize("NFKD", name.casefold())
    return "".join(c for c in decomposed if c.isalnum())[:100]


def read(row: Row, mapping: Mapping[int, str], fields: Mapping[str, Field]) -> Row:
    """Fill in the row's values and errors. Empty cells say nothing; too many cells are an error of the row."""
    for number, code in mapping.items():
        cell = row.cells[number] if number < len(row.cells) else ""
        if "\0" in cell:
            row.errors.append(Error(code, f"{fields[code].label}: it holds a character that no text has"))
        elif cell:
            _take(row, fields[code], cell)
    return row


def _take(row: Row, of: Field, cell: str) -> None:
    try:
        row.values[of.code] = of.read(cell)
    except ValueError as error:
        row.errors.append(Error(of.code, f"{of.label}: {error}"))
