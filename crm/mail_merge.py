"""Words with blanks for names: a fixed list of blanks, and nothing is evaluated. Pure."""

import re
from collections.abc import Mapping

BLANKS = {
    "contact.first_name": "The first name of who is written to",
    "contact.name": "The full name of who is written to",
    "account.name": "The company",
    "me.name": "Who writes",
    "vendor.name": "Your company",
}
_BLANK = re.compile(r"{{\s*([^{}]*?)\s*}}")


def unknown(text: str) -> list[str]:
    """The blanks in a text that there are not, in its order."""
    found = dict.fromkeys(_BLANK.findall(text))
    return [name for name in found if name not in BLANKS]


def filled(text: str, values: Mapping[str, str]) -> str:
    """The text with its blanks filled; an unknown one stays as it stands. What is filled in is not read again."""
    return _BLANK.sub(lambda match: values.get(match.group(1), match.group(0)), text)


def first_name(name: str) -> str:
    return name.split()[0] if name.split() else ""
