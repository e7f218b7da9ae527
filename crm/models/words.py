"""Words to search by: what stands in an index, and what a query for it has to be written like."""

import re

from django.contrib.postgres.search import SearchQuery, SearchVectorField
from django.db.models import CharField, Func

_BETWEEN = "@.-_/+,"
_NO_WORD = re.compile(r"[\s" + re.escape(_BETWEEN) + r"'\\]+")
_NUMBER = re.compile(r"[\s()+./-]")
MOST_WORDS, FEWEST_DIGITS = 8, 5


class Words(Func):
    """The words of text columns as an index of PostgreSQL has them; addresses fall into their parts.

    ``Words("name_key")`` in ``Meta.indexes`` and in a filter must be written alike for the index to serve.
    """

    arg_joiner = " || ' ' || "
    template = f"to_tsvector('simple'::regconfig, translate(%(expressions)s, '{_BETWEEN}', '{' ' * len(_BETWEEN)}'))"
    output_field = SearchVectorField()


class DigitsBackwards(Func):
    """The digits of a telephone number from the last to the first: found by how it ends, with or without a prefix."""

    template = "reverse(regexp_replace(%(expressions)s, '[^0-9]', '', 'g'))"
    output_field = CharField()


def query(text: str) -> SearchQuery | None:
    """All words of a folded text, each as the beginning of a word; None where it holds none."""
    words = [word for word in _NO_WORD.split(text) if any(map(str.isalnum, word))][:MOST_WORDS]
    if not words:
        return None
    return SearchQuery(" & ".join(f"'{word}':*" for word in words), config="simple", search_type="raw")


def digits_backwards(text: str) -> str | None:
    """What ``DigitsBackwards`` begins with, for a text that can be a telephone number; None for any other."""
    digits = _NUMBER.sub("", text).lstrip("0")
    return digits[::-1] if len(digits) >= FEWEST_DIGITS and digits.isdecimal() else None
