"""``If-Match``: a write that names the version it was made for is refused when the object has moved on."""

import re

from gtm.shared.errors import Conflict, Invalid

HEADER = "If-Match"
_VERSION = re.compile(r'(?:W/)?"?([0-9]{1,10})"?', re.ASCII)


def check(header: str, *, version: int) -> None:
    """Take ``3``, ``"3"``, ``W/"3"``, several or ``*``. Raises Conflict for another version, Invalid for words."""
    if header.strip() == "*":
        return
    found = [_VERSION.fullmatch(part.strip()) for part in header.split(",")]
    versions = {int(match[1]) for match in found if match}
    if None in found:
        raise Invalid('Name a version, such as "3".', attr=HEADER)
    if version not in versions:
        detail = f"The object has changed since: its version is {version}. Read it again."
        raise Conflict(detail, code="stale_version", attr=HEADER)


def tag(version: int) -> str:
    return f'"{version}"'
