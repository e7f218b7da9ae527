"""The floor of a bill run: COPY of exactly the rows it wrote into empty copies of the same tables.

The copies have the same columns, checks, keys, indexes and foreign keys; those between two of them lead to the copy.
"""

import re
import time
from dataclasses import dataclass

import psycopg

_COPY_OF = "LIKE public.{table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES INCLUDING STORAGE"
_FOREIGN_KEYS = """
SELECT rel.relname, con.conname, pg_get_constraintdef(con.oid), target.relname
FROM pg_constraint con
JOIN pg_class rel ON rel.oid = con.conrelid
JOIN pg_class target ON target.oid = con.confrelid
WHERE con.contype = 'f' AND rel.relnamespace = 'public'::regnamespace AND rel.relname = ANY(%s)"""


@dataclass(frozen=True)
class Floor:
    """``seconds`` for ``rows``, in transactions as large as the run's batches."""

    seconds: float
    rows: int
    bytes: int


def measure(connection: psycopg.Connection, tables: list[str], *, batches: int) -> Floor:
    """Copy the tables' rows once more, in an order that the foreign keys allow. The connection is in autocommit."""
    ordered = _make_copies(connection, tables)
    texts = {table: _rows(connection, table) for table in ordered}
    connection.execute("CHECKPOINT")
    began = time.perf_counter()
    for table in ordered:
        lines = texts[table]
        size = -(-len(lines) // batches)
        for first in range(0, len(lines), size):
            with connection.cursor().copy(f"COPY floor.{table} FROM STDIN") as copy:
                copy.write(b"".join(lines[first : first + size]))
    seconds = time.perf_counter() - began
    return Floor(seconds, sum(map(len, texts.values())), sum(len(line) for lines in texts.values() for line in lines))


def _make_copies(connection: psycopg.Connection, tables: list[str]) -> list[str]:
    connection.execute("CREATE SCHEMA floor")
    connection.execute("SET search_path = floor, public")
    for table in tables:
        connection.execute(f"CREATE TABLE floor.{table} ({_COPY_OF.format(table=table)})")
    keys = connection.execute(_FOREIGN_KEYS, [tables]).fetchall()
    for table, name, definition, _target in keys:
        connection.execute(f"ALTER TABLE floor.{table} ADD CONSTRAINT {name} {re.sub('public[.]', '', definition)}")
    return _referred_to_first(
        tables, {(table, target) for table, _name, _definition, target in keys if table != target}
    )


def _referred_to_first(tables: list[str], keys: set[tuple[str, str]]) -> list[str]:
    ordered: list[str] = []
    while left := [table for table in tables if table not in ordered]:
        waiting = {table for table, target in keys if target in left}
        ordered += [table for table in left if table not in waiting] or left
    return ordered


def _rows(connection: psycopg.Connection, table: str) -> list[bytes]:
    """The rows in the order of their keys, which is the order in which they were made."""
    with connection.cursor().copy(f"COPY (SELECT * FROM public.{table} ORDER BY 1) TO STDOUT") as copy:
        return [bytes(row) for row in copy]
