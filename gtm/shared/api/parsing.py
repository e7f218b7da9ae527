"""Reading a body: JSON in UTF-8, an object at the top, and nothing that PostgreSQL could not keep."""

from typing import IO, Any

import msgspec
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

MAX_DEPTH = 32


class StrictJSONParser(BaseParser):
    """Refuses NaN, lone surrogates, invalid UTF-8, NUL and deep nesting; of a repeated name the last counts."""

    media_type = "application/json"

    def parse(self, stream: IO[Any], media_type: str | None = None, parser_context: Any = None) -> dict[str, Any]:
        # The request's body and not the stream: Django limits the size of the former only.
        return decode(parser_context["request"].body)


def decode(body: bytes) -> dict[str, Any]:
    """The object that the body holds. Raises ParseError, whose words may be shown to the caller."""
    try:
        value = msgspec.json.decode(body)
    except RecursionError:
        raise ParseError(_TOO_DEEP) from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ParseError(f"The body is not valid JSON: {error}.") from error
    if not isinstance(value, dict):
        raise ParseError("The body must be a JSON object.")
    # An object that opens few brackets can't be deep, and a NUL must be written as an escape.
    if b"\\u0000" in body or body.count(b"{") + body.count(b"[") > MAX_DEPTH:
        _refuse_unstorable(value, depth=1)
    return value


def _refuse_unstorable(value: object, *, depth: int) -> None:
    if isinstance(value, str):
        if "\0" in value:
            raise ParseError("The body holds a NUL character (\\u0000), which can't be kept.")
    elif isinstance(value, dict | list):
        if depth > MAX_DEPTH:
            raise ParseError(_TOO_DEEP)
        for part in (*value, *value.values()) if isinstance(value, dict) else value:
            _refuse_unstorable(part, depth=depth + 1)


_TOO_DEEP = f"The body is nested deeper than {MAX_DEPTH} levels."
