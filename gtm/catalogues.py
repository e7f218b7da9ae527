"""The catalogues of what customers read: extracted by Babel, translated by people, compiled and committed.

``pyproject.toml`` names the files in ``[tool.babel]``. A catalogue holds every string that they mark and nothing else:
no obsolete, no fuzzy entry, and no places in the code, which change without the words.
"""

import io
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_file, extract_python
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.conf import settings
from django.utils.translation.template import templatize

KEYWORDS: dict[str, Any] = {
    "_": None,
    "gettext": None,
    "gettext_lazy": None,
    "ngettext": (1, 2),
    "pgettext": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
}
DOMAIN = "django"
_WIDTH = 100
_HEADER = """# What customers read.
msgid ""
msgstr ""
"Project-Id-Version: Tandem 0.1\\n"
"POT-Creation-Date: 2026-11-22 12:00+0000\\n"
"PO-Revision-Date: 2026-11-22 12:00+0000\\n"
"Last-Translator: \\n"
"Language: {locale}\\n"
"Language-Team: \\n"
"Plural-Forms: nplurals=2; plural=(n != 1);\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"
"""


def extract_template(fileobj: IO[bytes], keywords: Iterable[str], comment_tags: Any, options: Any) -> Iterator[Any]:
    """Babel's method for Django's templates: Django's own reading of them, which is Python but for its indentation."""
    code = "\n".join(line.lstrip() for line in templatize(fileobj.read().decode(), origin="template").splitlines())
    return extract_python(io.BytesIO(code.encode()), dict.fromkeys(keywords), list(comment_tags), options)


def locales() -> list[str]:
    """The languages that have a catalogue: all but the one that the code is written in."""
    return [code for code, _name in settings.LANGUAGES if code != settings.LANGUAGE_CODE]


def path_of(locale: str) -> Path:
    return Path(settings.LOCALE_PATHS[0]) / locale / "LC_MESSAGES" / f"{DOMAIN}.po"


def extracted() -> Catalog:
    """Every marked string of the files named in pyproject.toml."""
    found = Catalog(domain=DOMAIN, fuzzy=False)
    for method, path in files():
        for _line, message, _comments, context in extract_from_file(_method(method), path, keywords=KEYWORDS):
            found.add(message, context=context)
    return found


def files() -> Iterator[tuple[str, Path]]:
    """Each file with its method; of two mappings that fit, the first holds, as Babel has it."""
    root, methods = Path(settings.BASE_DIR), dict[Path, str]()
    for mapping in tomllib.loads((root / "pyproject.toml").read_text())["tool"]["babel"]["mappings"]:
        for pattern in mapping["pattern"]:
            for path in sorted(root.glob(_globbed(pattern))):
                methods.setdefault(path, mapping["method"])
    return ((method, path) for path, method in methods.items() if path.is_file() and method != "ignore")


def _globbed(pattern: str) -> str:
    """Babel's ``**.html`` is pathlib's ``**/*.html``."""
    return pattern.replace("**.", "**/*.")


def _method(name: str) -> Any:
    return extract_template if name.endswith(":extract_template") else name


def read(locale: str) -> Catalog:
    """The catalogue as it is committed; an empty one before there is any."""
    path = path_of(locale)
    if not path.exists():
        return read_po(io.BytesIO(_HEADER.format(locale=locale).encode()), locale=locale, domain=DOMAIN)
    with path.open("rb") as file:
        return read_po(file, locale=locale, domain=DOMAIN)


def update(locale: str) -> Catalog:
    """Bring a catalogue up to date with the code and compile it; what is new is left to be translated."""
    template, catalog = extracted(), read(locale)
    template.creation_date = catalog.creation_date  # or every run would change the file
    catalog.update(template, no_fuzzy_matching=True)
    catalog.obsolete.clear()
    path = path_of(locale)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        write_po(file, catalog, width=_WIDTH, no_location=True, sort_output=True, omit_header=False)
    path.with_suffix(".mo").write_bytes(compiled(catalog))
    return catalog


def compiled(catalog: Catalog) -> bytes:
    content = io.BytesIO()
    write_mo(content, catalog)
    return content.getvalue()


def untranslated(catalog: Catalog) -> list[Message]:
    """What would be shown in English."""
    return [message for message in catalog if message.id and not all(_forms(message.string))]


def _forms(string: Any) -> tuple[str, ...]:
    return tuple(string) if isinstance(string, tuple | list) else (string,)
