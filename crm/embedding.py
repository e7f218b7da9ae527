"""On whose pages a form may stand: hosts as founders write them, and the origin that a browser names. Pure."""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

_HOST = re.compile(
    r"(?:\*\.)?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?::\d{1,5})?"
)


def host(text: str) -> str | None:
    """``www.example.com`` of what people paste, such as ``https://www.example.com/contact``; ``*.`` stands for every
    host below. None for what is no host. International names are written as browsers send them.
    """
    text = text.strip().lower()
    try:
        bare = urlsplit(text if "//" in text else f"//{text}").netloc.rpartition("@")[2].rstrip(".")
        plain = bare if bare.isascii() else bare.encode("idna").decode()
    except ValueError:
        return None
    return plain if _HOST.fullmatch(plain) and len(plain) <= 253 else None


def admits(hosts: Iterable[str], origin: str) -> bool:
    """Whether a page of ``origin``, such as ``https://www.example.com``, stands on one of the hosts."""
    there = host(origin)
    if there is None or "//" not in origin:
        return False
    return any(there == one or (one.startswith("*.") and there.endswith(one[1:])) for one in hosts)
