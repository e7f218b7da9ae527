"""How files are read: encodings, delimiters, quoted lines, and what columns and cells mean. Pure."""

from typing import Any

import pytest

from crm import csv_files, import_fields
from crm.account_intake import FIELDS
from crm.csv_files import Unreadable

TABLE = 'Company;Website\r\nMüller & Söhne;mueller.example\r\n"Two\nlines";x.example\r\n;;\r\nLast;y.example'


def rows(content: bytes) -> list[tuple[int, list[str]]]:
    return list(csv_files.rows(content, csv_files.layout(content)))


@pytest.mark.parametrize(
    ("encoding", "detected"),
    [("utf-8", "utf-8"), ("utf-8-sig", "utf-8-sig"), ("utf-16", "utf-16"), ("utf-16-le", "utf-16-le"),
     ("utf-16-be", "utf-16-be"), ("latin-1", "cp1252"), ("cp1252", "cp1252")],
)  # fmt: skip
def test_every_encoding_gives_the_same_rows_with_their_lines(encoding: str, detected: str) -> None:
    content = TABLE.encode(encoding)
    assert csv_files.layout(content) == csv_files.Layout(detected, ";", ("Company", "Website"))
    assert rows(content) == [
        (2, ["Müller & Söhne", "mueller.example"]),
        (3, ["Two\nlines", "x.example"]),
        (6, ["Last", "y.example"]),
    ]


@pytest.mark.parametrize("delimiter", csv_files.DELIMITERS)
def test_the_delimiter_is_found_though_cells_hold_others(delimiter: str) -> None:
    other = ";" if delimiter == "," else ","
    content = f'a{delimiter}b{delimiter}c\n"x{other}y"{delimiter}"1{delimiter}2"{delimiter}z\n'.encode()
    assert csv_files.layout(content).delimiter == delimiter
    assert rows(content) == [(2, [f"x{other}y", f"1{delimiter}2", "z"])]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b" \n ", "empty"),
        (b"a\0\0\0\0b\n\0\0", "This is no text"),
        (b'a,b\n"x,y\n', "Line 2: a quotation mark is not closed"),
        (b",,\n1,2,3", "at least"),
    ],
)
def test_what_is_no_table_says_so(content: bytes, words: str) -> None:
    if words == "at least":  # an empty first row is passed over: the next names the columns
        assert csv_files.layout(content).header == ("1", "2", "3")
        return
    with pytest.raises(Unreadable, match=words):
        rows(content)


def test_columns_are_guessed_by_name_and_by_what_was_said_before() -> None:
    header = ["Firma", "E-Mail", "Number of Employees", "Land", "What", "website"]
    assert import_fields.guess(header, FIELDS, {}) == {0: "name", 1: "domain", 2: "employee_count", 3: "country"}
    assert import_fields.guess(header, FIELDS, {"email": "", "what": "industry"})[5] == "domain"
    assert import_fields.guess(header, FIELDS, {"what": "industry"})[4] == "industry"


@pytest.mark.parametrize(
    ("read", "cell", "value"),
    [
        (import_fields.domain, "https://www.Acme.co.uk/about?x", "acme.co.uk"),
        (import_fields.domain, "cora@acme.com", "acme.com"),
        (import_fields.domain, "gmail.com", None),
        (import_fields.domain, "nothing", None),
        (import_fields.employees, "1,200", 1200),
        (import_fields.employees, "1.200", 1200),
        (import_fields.employees, "12", 12),
        (import_fields.employees, "1.2", None),
        (import_fields.employees, "-5", None),
        (import_fields.employees, "²", None),
        (import_fields.employees, "99999999999999999999", None),
        (import_fields.country, "de", "DE"),
        (import_fields.country, "Germany", "DE"),
        (import_fields.country, "Atlantis", None),
        (import_fields.yes_no, "X", True),
        (import_fields.yes_no, "nein", False),
        (import_fields.yes_no, "maybe", None),
        (import_fields.email, "Cora@Acme.com", "cora@acme.com"),
        (import_fields.email, "cora at acme", None),
    ],
)
def test_cells_are_read_or_refused_in_words(read: Any, cell: str, value: Any) -> None:
    if value is not None:
        assert read(cell) == value
        return
    with pytest.raises(ValueError, match=r"^“?.*(no|neither)"):
        read(cell)
