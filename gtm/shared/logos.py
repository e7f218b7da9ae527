"""The vendor's logo as mail programs take it: they show no SVG and load no data: address, but what is sent along."""

import base64
import binascii
import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

import structlog

log = structlog.get_logger(__name__)
_DATA_ADDRESS = re.compile(r"data:image/(png|jpeg|gif|svg\+xml)(;base64)?,(.*)", re.DOTALL)
_SVG = "svg+xml"
_PAGE = '#set page(width: auto, height: auto, margin: 0pt, fill: none)\n#image("logo.svg", height: 36pt)'
_DENSITY = 144  # dots per inch: twice as many as are shown


class Image(NamedTuple):
    kind: str
    content: bytes


@lru_cache(maxsize=4)
def image(logo: str) -> Image | None:
    """A picture of dots, of SVG or a data: address; None where there is no logo or it can't be read."""
    found = _read(logo.strip())
    if found is None or found.kind != _SVG:
        return found
    try:
        return Image("png", _drawn(found.content))
    except Exception:  # whatever is wrong with somebody's drawing: the vendor's name stands in its place
        log.exception("logo_not_usable")
        return None


def _read(logo: str) -> Image | None:
    if logo.startswith("<"):
        return Image(_SVG, logo.encode())
    found = _DATA_ADDRESS.fullmatch(logo)
    if not found:
        return None
    kind, encoded, content = found.groups()
    try:
        return Image(kind, base64.b64decode(content, validate=True) if encoded else unquote_to_bytes(content))
    except binascii.Error:
        return None


def _drawn(svg: bytes) -> bytes:
    import typst  # 7 MB, which nobody needs whose logo is none

    files = {"main": _PAGE.encode(), "logo.svg": svg}
    return bytes(typst.compile(files, format="png", ppi=_DENSITY))  # type: ignore[arg-type,call-overload]  # its stubs lack files by name
