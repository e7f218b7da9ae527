"""Words to search by: what stands in an index, and what a query for it has to be written like."""

import re

from django.contrib.postgres.search import SearchQuery, SearchVectorField
from django.db.models import Func

_BETWEEN = "@.-_/+,"
_NO_WORD = re.compile(r"[\s" + re.escape(_BETWEEN) + r"'\\]+")
MOST_WORDS = 8


class Words(Func):
    """The words of text columns as an index of PostgreSQL has them; addresses fall into their parts.

    ``Words("name_key")`` in ``Meta.indexes`` and in a filter must be written alike for the index to serve.
    """

    arg_joiner = " || ' ' || "
    template = f"to_tsvector('simple'::regconfig, translate(%(expressions)s, '{_BETWEEN}', '{' ' * len(_BETWEEN)}'))"
    output_field = SearchVectorField()


def query(text: str) -> SearchQuery | None:
    """All words of a folded text, each as the beginning of a word; None where it holds none."""
    words = [word for word in _NO_WORD.split(text) if any(map(str.isalnum, word))][:MOST_WORDS]
    if not words:
        return None
    return SearchQuery(" & ".join(f"'{word}':*" for word in words), config="simple", search_type="raw")
