"""Countries by their ISO 3166 codes, named in the reader's language."""

from functools import lru_cache

from babel import Locale
from django.utils.translation import get_language

NOT_COUNTRIES = frozenset({"AC", "CP", "CQ", "DG", "EA", "EU", "EZ", "IC", "QO", "TA", "UN", "XA", "XB", "ZZ"})


@lru_cache(maxsize=16)
def names(language: str) -> tuple[tuple[str, str], ...]:
    """(code, name) of every country, sorted by name."""
    territories = Locale.parse(language, sep="-").territories
    rows = [
        (code, name)
        for code, name in territories.items()
        if len(code) == 2 and code.isalpha() and code not in NOT_COUNTRIES
    ]
    return tuple(sorted(rows, key=lambda row: row[1]))


def choices() -> list[tuple[str, str]]:
    """For a form's select, in the reader's language."""
    return list(names((get_language() or "en").partition("-")[0]))


def name(code: str) -> str:
    """The country's name in the reader's language; the code itself where it is none we know."""
    return dict(choices()).get(code, code)


def is_country(code: str) -> bool:
    return any(code == known for known, _name in names("en"))
