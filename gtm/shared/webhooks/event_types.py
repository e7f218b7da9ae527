"""Which facts an endpoint wants: types, and patterns in which ``*`` stands for anything."""

import re
from collections.abc import Iterable

MAX_PATTERNS = 100
MAX_LENGTH = 80
_PATTERN = re.compile(r"(\*|[a-z_]+)(\.(\*|[a-z_]+))*", re.ASCII)


def is_pattern(text: str) -> bool:
    """``billing.invoice.paid``, ``billing.invoice.*``, ``billing.*``: words between dots, each in full or a star."""
    return len(text) <= MAX_LENGTH and _PATTERN.fullmatch(text) is not None


def regex(patterns: Iterable[str]) -> str:
    """One expression for all patterns, as Python and PostgreSQL both read it; no patterns stand for all types."""
    written = [re.escape(pattern).replace(r"\*", ".*") for pattern in patterns]
    return f"^({'|'.join(written)})$" if written else "^.*$"


def matches(patterns: Iterable[str], event_type: str) -> bool:
    return re.match(regex(patterns), event_type) is not None
