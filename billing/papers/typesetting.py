"""Setting a document with Typst: PDF/A-3b to be kept, PDF/UA-1 to be read aloud, with the e-invoice inside (Factur-X).

The fonts are those that come with the typesetter and with two packages (for Chinese, Japanese, Korean; for Arabic and
Hebrew), so that a document looks the same wherever it is rendered. The machine's fonts are asked for letters that these
lack, and a letter that none has is shown as a box: no name keeps an invoice from being printed.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import structlog
from django.conf import settings
from django.utils.functional import SimpleLazyObject

from billing.papers import factur_x

log = structlog.get_logger(__name__)
typst: Any = SimpleLazyObject(lambda: import_module("typst"))  # 7 MB, which nobody needs who typesets nothing
FONT_PACKAGES = ("noto_cjk_sans_otc", "justmytype_intl_rtl")
STANDARDS = ["a-3b", "ua-1"]
BOX = "\u25a1"
_TEMPLATES = Path(settings.BASE_DIR) / "templates" / "documents"
_DATA_ADDRESS = re.compile(r"data:image/(png|jpeg|svg\+xml)(;base64)?,(.*)", re.DOTALL)
_NO_GLYPH = re.compile(r"""the text `?"(.+?)"`? could not be displayed""", re.DOTALL)
_ESCAPED = re.compile(r"\\u\{([0-9a-fA-F]+)\}")
_ATTEMPTS = 30
_SCRIPT_SIZE = 128  # letters in a block of Unicode, or in a part of one
_BEYOND_LATIN = re.compile("[^\u0000-\u024f\u1e00-\u1eff\u2000-\u206f\u20a0-\u20bf\u2212\u25a1]")


@dataclass(frozen=True, slots=True)
class _Setting:
    """One attempt: the template's name, its data as JSON, the logo's file, and what may be used."""

    template: str
    text: str
    logo: dict[str, bytes]
    attached: bytes
    machine_fonts: bool = False


def pdf(template: str, data: dict[str, Any], *, logo: str = "", xml: bytes = b"") -> bytes:
    """``template`` (``invoice``) with its data as a PDF/A-3b; ``xml`` is embedded as ``factur-x.xml``."""
    setting = _Setting(template, json.dumps(data, ensure_ascii=False), _logo(logo), xml)
    for _attempt in range(_ATTEMPTS):
        try:
            content = _compile(setting)
        except typst.TypstError as error:
            setting = _easier(setting, error)
        else:
            return factur_x.declare(content) if xml else content
    return _compile(replace(setting, text=_BEYOND_LATIN.sub(BOX, setting.text), machine_fonts=True, logo={}))


def _compile(setting: _Setting) -> bytes:
    files = {
        "main": (_TEMPLATES / f"{setting.template}.typ").read_bytes(),
        "layout.typ": (_TEMPLATES / "layout.typ").read_bytes(),
        "data.json": setting.text.encode(),
        "files.json": json.dumps({"logo": next(iter(setting.logo), ""), "attached": bool(setting.attached)}).encode(),
        **setting.logo,
        **({factur_x.FILENAME: setting.attached} if setting.attached else {}),
    }
    return bytes(
        typst.compile(  # type: ignore[call-overload]  # its stubs lack files by name
            files,
            format="pdf",
            pdf_standards=STANDARDS,
            font_paths=_font_paths() if _BEYOND_LATIN.search(setting.text) else [],
            ignore_system_fonts=not setting.machine_fonts,
        )
    )


def _easier(setting: _Setting, error: Exception) -> _Setting:
    """What to try next: the machine's fonts, boxes for letters that it lacks too, no logo. Else raises the error."""
    letters = _letters(error)
    if letters and not setting.machine_fonts:
        return replace(setting, machine_fonts=True)
    if letters and any(letter in setting.text for letter in letters):
        log.warning("letters_not_printable", letters=letters)
        return replace(setting, text=_boxed(setting.text, letters))
    if setting.logo:
        log.warning("logo_not_usable", error=str(error))
        return replace(setting, logo={})
    raise error


def _letters(error: Exception) -> str:
    found = _NO_GLYPH.search(str(error))
    return _ESCAPED.sub(lambda code: chr(int(code[1], 16)), found[1]) if found else ""


def _boxed(text: str, letters: str) -> str:
    """Boxes for the letters, and for those of the same script, which can't be there either."""
    scripts = {ord(letter) // _SCRIPT_SIZE for letter in letters if _BEYOND_LATIN.match(letter)}
    return "".join(BOX if one in letters or ord(one) // _SCRIPT_SIZE in scripts else one for one in text)


@lru_cache(maxsize=1)
def _font_paths() -> list[str]:
    """The folders of the packages that hold fonts, found without importing them."""
    return [folder for package in FONT_PACKAGES for folder in _folders(package)]


def _folders(package: str) -> Iterator[str]:
    spec = find_spec(package)
    yield from (spec.submodule_search_locations or []) if spec else []


def _logo(text: str) -> dict[str, bytes]:
    """The vendor's logo as a file of the template: from SVG, or from a data: address."""
    text = text.strip()
    if text.startswith("<"):
        return {"logo.svg": text.encode()}
    found = _DATA_ADDRESS.fullmatch(text)
    if not found:
        return {}
    kind, encoded, content = found.groups()
    try:
        raw = base64.b64decode(content, validate=True) if encoded else unquote_to_bytes(content)
    except binascii.Error:
        return {}
    return {f"logo.{kind.removesuffix('+xml').replace('jpeg', 'jpg')}": raw}
