"""Files of rows as people have them: in which encoding, between which delimiters, and the rows themselves. Pure."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass

MAX_BYTES = 20 * 2**20
MAX_ROWS = 100_000
MAX_COLUMNS = 200
MAX_CELL = 10_000
DELIMITERS = (",", ";", "\t", "|")
SAMPLE = 50
ENCODINGS = {
    "utf-8": "UTF-8",
    "utf-8-sig": "UTF-8 with a byte order mark",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
    "cp1252": "Latin-1 (Windows-1252)",
}
DELIMITER_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


class Unreadable(ValueError):
    """Why a file holds no rows, in words."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file is written, and the names in its first row."""

    encoding: str
    delimiter: str
    header: tuple[str, ...]


def layout(content: bytes) -> Layout:
    """Raises Unreadable for an empty file, one without a header, and one that is no text."""
    if not content.strip():
        raise Unreadable("The file is empty.")
    encoding = detect(content)
    text = decoded(content, encoding)
    if "\0" in text:
        raise Unreadable("This is no text. Save the table as CSV first.")
    delimiter = _delimiter(text)
    _line, header = next(_records(text, delimiter), (0, []))
    names = tuple(name.strip() for name in header)
    if not any(names):
        raise Unreadable("The first row must name the columns.")
    if len(names) > MAX_COLUMNS:
        raise Unreadable(f"At most {MAX_COLUMNS} columns.")
    return Layout(encoding, delimiter, names)


def detect(content: bytes) -> str:
    """By its byte order mark, else UTF-8 where it is that, else UTF-16 by its zero bytes, else Windows' Latin-1."""
    if content.startswith(b"\xef\xbb\xbf"):
        return "utf-8-sig"
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    start = content[:4000]
    if b"\0" in start:
        return "utf-16-le" if start[1::2].count(0) >= start[::2].count(0) else "utf-16-be"
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def decoded(content: bytes, encoding: str) -> str:
    """The five bytes that Windows-1252 leaves undefined are read as Latin-1 has them."""
    if encoding == "cp1252":
        try:
            return content.decode("cp1252")
        except UnicodeDecodeError:
            return content.decode("latin-1")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise Unreadable("This is no text that can be read. Save the table as CSV (UTF-8).") from error


def rows(content: bytes, layout: Layout) -> Iterator[tuple[int, list[str]]]:
    """(line on which it begins, cells) of each row below the header that holds anything. Raises Unreadable."""
    records = _records(decoded(content, layout.encoding), layout.delimiter)
    next(records, None)
    yield from records


def _records(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    begins = 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise Unreadable(f"Line {begins}: a quotation mark is not closed or stands in the wrong place.") from error
        if any(cell.strip() for cell in cells):
            yield begins, [cell.strip() for cell in cells]
        begins = reader.line_num + 1


def _delimiter(text: str) -> str:
    """Of those that give all first rows the same number of cells, the one that gives most."""

    def quality(delimiter: str) -> tuple[int, int]:
        try:
            records = _records(text[:200_000], delimiter)
            widths = [len(cells) for (_line, cells), _n in zip(records, range(SAMPLE), strict=False)]
        except Unreadable:
            return (0, 0)
        alike = sum(width == widths[0] for width in widths)
        return (alike if widths[0] > 1 else 0, widths[0])

    return max(DELIMITERS, key=quality)
