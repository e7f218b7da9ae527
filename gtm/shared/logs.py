"""What lines of the log leave out: addresses that are keys, and what is asked for in them.

Links open invoices, portals and passwords to whoever holds them, and a log is read by more people than a mailbox.
"""

import re
from typing import Any

from structlog.typing import EventDict

SHORTEST = 24  # characters of a token; what people name is shorter, and ids are known by their form
_SEGMENT = re.compile(rf"(?<=/)[\w.:~=%-]{{{SHORTEST},}}(?=[/?\s]|$)", re.ASCII)
_ID = re.compile(r"[a-z]{2,6}_[0-9a-z]{26}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_VALUE = re.compile(r"(?<==)[^&\s]+")
_ADDRESSES = ("request", "path")
_SPEAK_OF_THEM = "django."  # loggers whose sentences hold addresses: "Not Found: /i/…/"


def without_keys(logger: Any, method: str, line: EventDict) -> EventDict:
    """A processor of structlog: what stands for a secret or a person in an address becomes an ellipsis."""
    speaks = str(line.get("logger", "")).startswith(_SPEAK_OF_THEM)
    for name in (*_ADDRESSES, "event") if speaks else _ADDRESSES:
        if isinstance(text := line.get(name), str) and "/" in text:
            line[name] = masked(text)
    return line


def masked(text: str) -> str:
    """An address, alone or in a sentence, without its tokens and with the names alone of what it asks for."""
    path, mark, query = text.partition("?")
    return _SEGMENT.sub(_token, path) + mark + _VALUE.sub("…", query)


def _token(found: re.Match[str]) -> str:
    return found[0] if _ID.fullmatch(found[0]) else "…"
