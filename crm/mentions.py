"""Whom a text names by @: colleagues by the first part of their address, or by all of it. Pure."""

import re
from collections.abc import Mapping
from uuid import UUID

_NAMED = re.compile(r"(?<![\w.@+-])@([a-z0-9](?:[a-z0-9._+-]*[a-z0-9])?(?:@[a-z0-9.-]*[a-z0-9])?)", re.IGNORECASE)


def handles(people: Mapping[UUID, str]) -> dict[str, UUID]:
    """What each may be called by: the whole address, and its first part where no two share it."""
    called = {email.lower(): key for key, email in people.items()}
    short: dict[str, list[UUID]] = {}
    for key, email in people.items():
        short.setdefault(email.lower().partition("@")[0], []).append(key)
    return called | {name: keys[0] for name, keys in short.items() if len(keys) == 1}


def named(text: str, called: Mapping[str, UUID]) -> list[UUID]:
    """Who is named, in the order of the text and once each. ``@`` within an address names nobody."""
    found = (called.get(match.lower()) for match in _NAMED.findall(text))
    return list(dict.fromkeys(key for key in found if key is not None))
