"""Many rows at once: read and made without ceremony, written by COPY, changed by one UPDATE.

This does what Django's own ways do for our models, whose keys are made in Python, at a small part of the cost: those
read every instant by a function in Python, look at each column of a new row in turn, and write statements with a
parameter for each cell. Nor is it dearer for a single row.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import repeat
from operator import attrgetter, itemgetter
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

import msgspec
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import EmptyResultSet
from django.db import connection, models
from django.db.models.base import ModelState
from django.db.models.expressions import DatabaseDefault, Expression
from django.db.models.sql import Query
from django.utils.functional import Promise
from psycopg.types.datetime import TimestamptzLoader
from psycopg.types.json import JsonbLoader

M = TypeVar("M", bound=models.Model)
_Field: TypeAlias = "models.Field[Any, Any]"
_Values: TypeAlias = tuple[Any, ...]
_Dump: TypeAlias = Callable[[_Values], Iterable[str]]

_LOADERS = {"timestamptz": TimestamptzLoader, "jsonb": JsonbLoader}  # psycopg's own, in C, in the place of Django's
_SLICE = 250  # rows that are put into text at a time, while the server takes in those before
_NULL = r"\N"
_ESCAPES = {"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"}
_TO_ESCAPE = re.compile(r"[\\\t\n\r]")


def select(queryset: models.QuerySet[M]) -> list[M]:
    """The rows of a queryset over its own model alone; it may filter by others, lock, and defer columns."""
    compiler = queryset.query.get_compiler(connection=connection)
    try:
        sql, params = compiler.as_sql()
    except EmptyResultSet:  # it asks for keys in an empty list
        return []
    names = [column.target.attname for column, _sql, _alias in compiler.select]
    with connection.cursor() as cursor:
        for kind, loader in _LOADERS.items():
            cursor.adapters.register_loader(kind, loader)
        cursor.execute(sql, params)
        alias = connection.alias
        return [_stored(queryset.model, alias, zip(names, values, strict=True)) for values in cursor.fetchall()]


def _stored(model: type[M], alias: str, values: Iterable[tuple[str, Any]]) -> M:
    row = model.__new__(model)
    row.__dict__.update(values)
    row._state = state = ModelState()
    state.adding, state.db = False, alias
    return row


class _Among(models.Lookup):  # type: ignore[type-arg]  # no generic where it runs
    """``field__among=keys``: one parameter, however many keys there are."""

    lookup_name = "among"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        column, params = self.process_lhs(compiler, connection)
        keys = ",".join([key.hex for key in self.rhs])
        return f"{column} = ANY(%s::uuid[])", (*params, f"{{{keys}}}")


models.UUIDField.register_lookup(_Among)


def among(name: str, keys: Iterable[UUID]) -> models.Q:
    """A filter for rows whose ``name`` (``pk``, ``payer__pk``) is one of many keys, far cheaper than ``__in``."""
    return models.Q(**{f"{name}__among": list(keys)})


def new(model: type[M], **values: Any) -> M:
    """An unsaved row, from values by the names of their fields (or ``…_id``) and from the fields' defaults."""
    links, constants, makers = _making(model)
    row = model.__new__(model)
    row._state = state = ModelState()
    columns = row.__dict__
    columns.update(constants)
    for name, value in values.items():
        if name in links:
            column, key = links[name]
            columns[column] = None if value is None else value.__dict__[key]
            state.fields_cache[name] = value
        elif name in columns:
            columns[name] = value
        else:
            raise TypeError(f"{model.__name__} has no field {name!r}")
    for name, make in makers:
        if name not in values:
            columns[name] = make()
    return row


@cache
def _making(
    model: type[M],
) -> tuple[dict[str, tuple[str, str]], dict[str, Any], list[tuple[str, Callable[[], Any]]]]:
    """Foreign keys (name -> column, key it leads to), the defaults that rows share, and what is made for each."""
    fields: list[_Field] = list(model._meta.concrete_fields)
    made = {field.attname: field.default for field in fields if field.has_default() and callable(field.default)}
    links = [field for field in fields if isinstance(field, models.ForeignKey)]
    return (
        {field.name: (field.attname, field.target_field.attname) for field in links},
        {field.attname: None if field.attname in made else field.get_default() for field in fields},
        list(made.items()),
    )


def link(rows: Iterable[models.Model], name: str, found: Mapping[Any, models.Model]) -> None:
    """Give each row the object that its foreign key ``name`` leads to, by their keys; None where there is none."""
    for row in rows:
        field: Any = row._meta.get_field(name)
        field.set_cached_value(row, found.get(row.__dict__[field.attname]))


def related(row: models.Model, name: str) -> Iterable[Any]:
    """What a reverse relation leads to; where it was read along, without the manager that Django makes each time."""
    found: Iterable[Any] | None = getattr(row, "_prefetched_objects_cache", {}).get(name)
    return getattr(row, name).all() if found is None else found


def insert(model: type[M], rows: Iterable[M]) -> None:
    """Write new rows, in the caller's transaction.

    What is left to the database (``db_default``) is read from it when somebody asks for it. Raises what the database
    raises, such as IntegrityError.
    """
    fields: list[_Field] = list(model._meta.concrete_fields)
    for left, members in _by_what_they_leave(fields, rows).items():
        _copy(model, [field for field in fields if field not in left], members)
        _forget(members, left)


def update(model: type[M], rows: Iterable[M], fields: Sequence[str]) -> None:
    """Write these fields of rows whose locks the caller holds.

    Where a field holds an expression, such as ``Now()``, it holds the same one in all rows, and is read from the
    database when somebody asks for it.
    """
    if not (members := sorted(rows, key=attrgetter("pk"))):
        return
    known = {field.name: field for field in model._meta.concrete_fields}
    key, columns = model._meta.pk, [known[name] for name in fields]
    computed = {
        field: _sql(model, value) for field in columns if isinstance(value := _of(members[0], field), Expression)
    }
    given = [key, *(field for field in columns if field not in computed)]
    types = ", ".join(f"{_name(field)} {field.db_type(connection)}" for field in given)
    sets = [f"{_name(field)} = {computed.get(field, f'new.{_name(field)}')}" for field in columns]
    statement = (
        f"UPDATE {_quoted(model._meta.db_table)} AS kept SET {', '.join(sets)}"  # noqa: S608 -- names of ours
        f" FROM json_to_recordset(%s::json) AS new ({types}) WHERE kept.{_name(key)} = new.{_name(key)}"
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [_json_of(given, members)])
    _forget(members, computed)


def _by_what_they_leave(fields: Sequence[_Field], rows: Iterable[M]) -> dict[tuple[_Field, ...], list[M]]:
    """The rows by the columns that they leave to the database."""
    defaulted = [field for field in fields if field.has_db_default()]
    found: dict[tuple[_Field, ...], list[M]] = defaultdict(list)
    for row in rows:
        found[tuple(field for field in defaulted if isinstance(_of(row, field), DatabaseDefault))].append(row)
    return found


def _copy(model: type[M], fields: Sequence[_Field], rows: Sequence[M]) -> None:
    statement = f"COPY {_quoted(model._meta.db_table)} ({', '.join(map(_name, fields))}) FROM STDIN"
    with connection.wrap_database_errors, connection.cursor() as cursor, cursor.copy(statement) as copy:
        for first in range(0, len(rows), _SLICE):
            copy.write(_text_of(fields, rows[first : first + _SLICE]))
    alias = connection.alias
    for row in rows:
        state = row._state
        state.adding, state.db = False, alias


def _text_of(fields: Sequence[_Field], rows: Sequence[M]) -> str:
    """The rows as PostgreSQL's text format has them, put together from columns."""
    values_of = itemgetter(*[field.attname for field in fields])
    table = zip(*[values_of(row.__dict__) for row in rows], strict=True)
    columns = [_dump(field)(values) for field, values in zip(fields, table, strict=True)]
    return "".join([f"{line}\n" for line in map("\t".join, zip(*columns, strict=True))])


def _dump(field: _Field) -> _Dump:
    """What writes the values of this column. Raises TypeError for a type that no table of ours has."""
    if isinstance(field, models.ForeignKey):
        return _dump(field.target_field)
    for kind, dump in _DUMPS.items():
        if isinstance(field, kind):
            return dump
    raise TypeError(f"{field} is of a type that bulk.insert doesn't know")


def _each(dump: Callable[[Any], str]) -> _Dump:
    """Write the values one by one; many columns hold the same one throughout."""

    def write(values: _Values) -> Iterable[str]:
        if len({*map(id, values)}) == 1:
            return repeat(_NULL if values[0] is None else dump(values[0]), len(values))
        return [_NULL if value is None else dump(value) for value in values]

    return write


def _texts(values: _Values) -> Iterable[str]:
    try:
        plain = _TO_ESCAPE.search("".join(values)) is None
    except TypeError:  # there are some of none, or translated when they are read
        plain = False
    return values if plain else [_NULL if value is None else _text(str(value)) for value in values]


def _text(text: str) -> str:
    return _TO_ESCAPE.sub(lambda match: _ESCAPES[match[0]], text) if _TO_ESCAPE.search(text) else text


def _jsons(values: _Values) -> Iterable[str]:
    return [_NULL if value is None else _text(_encode(value).decode()) for value in values]


def _array(values: Iterable[Any]) -> str:
    cells = [str(value).replace("\\", r"\\").replace('"', r"\"") for value in values]
    return _text("{" + ",".join(f'"{cell}"' for cell in cells) + "}")


def _plain(value: Any) -> str:
    """Text that is more than text: a safe string, one that is translated when it is read."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Promise):
        return str(value)
    raise TypeError(f"{type(value).__name__} is nothing that JSON knows")


_encode = msgspec.json.Encoder(enc_hook=_plain).encode


_DUMPS: dict[type[_Field], _Dump] = {
    models.UUIDField: _each(lambda value: value.int.to_bytes(16, "big").hex()),  # UUID.hex takes twice as long
    models.CharField: _texts,
    models.TextField: _texts,
    models.BooleanField: _each(lambda value: "t" if value else "f"),
    models.IntegerField: _each(str),
    models.DecimalField: _each(str),
    models.DateField: _each(lambda value: value.isoformat()),
    models.TimeField: _each(lambda value: value.isoformat()),
    models.JSONField: _jsons,
    ArrayField: _each(_array),
    models.BinaryField: _each(lambda value: rf"\\x{bytes(value).hex()}"),
}


def _json_of(fields: Sequence[_Field], rows: Iterable[M]) -> str:
    names, values_of = [field.column for field in fields], itemgetter(*[field.attname for field in fields])
    return _encode([dict(zip(names, values_of(row.__dict__), strict=True)) for row in rows]).decode()


def _sql(model: type[M], expression: Expression) -> str:
    """The SQL of an expression without parameters."""
    query = Query(model)
    compiler = query.get_compiler(connection=connection)
    sql, params = compiler.compile(expression.resolve_expression(query))
    assert not params, "an expression with parameters"
    return sql


def _of(row: models.Model, field: _Field) -> Any:
    return row.__dict__[field.attname]


def _forget(rows: Iterable[models.Model], fields: Iterable[_Field]) -> None:
    """Let the rows read these columns when they are asked for them."""
    names = [field.attname for field in fields]
    for row in rows:
        for name in names:
            del row.__dict__[name]


def _name(field: _Field) -> str:
    return _quoted(field.column)


def _quoted(name: str | None) -> str:
    return connection.ops.quote_name(str(name))
