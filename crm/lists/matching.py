"""The rows of a list that fit words: by the index of their words, and by what else they are known by."""

from typing import Any

from django.db.models import QuerySet

from crm.accounts import fold
from crm.models import AccountDomain, words
from crm.models.words import Words


def by_words(rows: QuerySet[Any], text: str, *columns: str) -> QuerySet[Any]:
    """Those in whose columns every word of the text begins a word. The columns are those of the model's index."""
    wanted = words.query(fold(text))
    if wanted is None:
        return rows
    return rows.alias(words_of=Words(*columns)).filter(words_of=wanted)


def accounts(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """By words of the name, or by the beginning of a domain."""
    named = by_words(rows.model.objects.all(), text, "name_key").values("pk")
    owning = AccountDomain.objects.filter(domain__startswith=fold(text)).values("account")
    return rows.filter(pk__in=named.union(owning))
