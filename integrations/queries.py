"""Statements composed once and kept, for what is asked and written for each event and each call.

The ORM composes its SQL for every call again, which takes about ten times as long as the
statement itself (measured). So rows are written here by statements of our own, and a `Query`
lets the ORM compose once what is asked or changed again and again. PostgreSQL keeps the plans of
all of these, which takes half of its time (measured).
"""

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.db.models.query import get_related_populators
from django.db.models.sql import UpdateQuery

Row = TypeVar("Row")


class Parameter(models.Expression):
    """In the queryset of a Query: the value of that name, which each asking gives again."""

    def __init__(self, name: str, field: "models.Field[Any, Any] | None" = None) -> None:
        super().__init__(output_field=field or models.BigIntegerField())
        self.name = name

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        return "%s", (self,)


class Query(Generic[Row]):
    """What a queryset asks: its statement is composed at the first asking.

    The queryset is of whole rows or of `values_list`; what changes from one asking to the next
    stands in it as `Parameter`. It must not depend on anything else that changes.
    """

    def __init__(self, queryset: Callable[[], "models.QuerySet[Any, Row]"]) -> None:
        self._queryset = queryset

    def all(self, **given: Any) -> list[Row]:
        """Every row."""
        sql, params, read = self._composed
        with cursor() as ours:
            ours.execute(sql, _filled(params, given))
            return read(ours.fetchall())

    def first(self, **given: Any) -> Row | None:
        """The first row in the queryset's own order; its statement should end after one."""
        return next(iter(self.all(**given)), None)

    @functools.cached_property
    def _composed(self) -> tuple[str, list[Parameter], Callable[[list[Any]], list[Row]]]:
        queryset = self._queryset()
        connection = _connection()
        compiler = queryset.query.get_compiler(connection=connection)
        sql, params = _fixed(*compiler.as_sql())
        columns = [column for column, *_ in compiler.select[: compiler.col_count]]
        converters = compiler.get_converters(columns)
        found = compiler.klass_info
        alias = connection.alias

        def converted(raw: list[Any]) -> list[Any]:
            return list(compiler.apply_converters(raw, converters)) if converters else raw

        def instances(raw: list[Any]) -> list[Row]:
            rows = []
            for values in converted(raw):
                row = model.from_db(alias, names, values[first:end])
                for related in populators:
                    related.populate(values, row)
                rows.append(row)
            return rows

        if found is None or queryset.query.values_select:
            return sql, params, converted
        model, chosen = found["model"], found["select_fields"]
        first, end = chosen[0], chosen[-1] + 1
        names = [column.target.attname for column in columns[first:end]]
        populators = get_related_populators(found, compiler.select, alias)  # type: ignore[call-arg]
        return sql, params, instances


class Update:
    """What `queryset.update(**values)` does, composed once in the same way."""

    def __init__(self, queryset: Callable[[], "models.QuerySet[Any]"], **values: Any) -> None:
        self._queryset = queryset
        self._values = values

    def make(self, **given: Any) -> int:
        """How many rows there were."""
        sql, params = self._composed
        with cursor() as ours:
            ours.execute(sql, _filled(params, given))
            return int(ours.rowcount)

    @functools.cached_property
    def _composed(self) -> tuple[str, list[Parameter]]:
        query: Any = self._queryset().query.chain(UpdateQuery)
        query.add_update_values(self._values)
        return _fixed(*query.get_compiler(connection=_connection()).as_sql())


def cursor() -> CursorWrapper:
    """For a statement that is asked again and again: its plan is kept where the engine can."""
    connection = _connection()
    keeping: Callable[[], CursorWrapper] = getattr(connection, "keeping_cursor", connection.cursor)
    return keeping()


def _connection() -> BaseDatabaseWrapper:
    # The connection itself: through Django's stand-in for it each attribute costs a look-up.
    return connections[DEFAULT_DB_ALIAS]


def _fixed(sql: str, params: Sequence[Any]) -> tuple[str, list[Parameter]]:
    """The statement with all that never changes written into it, and what is given each time.

    A kept plan uses a partial index only where the index's condition stands in the statement.
    """
    quote = _connection().schema_editor().quote_value
    rest = iter(params)
    given: list[Parameter] = []

    def mark(found: re.Match[str]) -> str:
        if found[0] == "%%":
            return "%%"
        value = next(rest)
        if isinstance(value, Parameter):
            given.append(value)
            return "%s"
        return str(quote(value)).replace("%", "%%")

    return re.sub("%[%s]", mark, sql), given


def _filled(params: Sequence[Parameter], given: dict[str, Any]) -> list[Any]:
    connection = _connection()
    return [each.output_field.get_db_prep_value(given[each.name], connection) for each in params]


def insert(row: models.Model) -> None:
    """Write a new row. The database gives it its number, which `row` does not learn."""
    table, columns, values = _composed(type(row))
    with cursor() as ours:
        ours.execute(f"INSERT INTO {table} ({columns}) VALUES ({values})", _values(row))


def add(row: models.Model) -> None:
    """Write a new row, which learns its number. Times by the database's clock it does not."""
    table, columns, values = _composed(type(row))
    with cursor() as ours:
        ours.execute(
            f"INSERT INTO {table} ({columns}) VALUES ({values}) RETURNING id",
            _values(row),
        )
        (row.pk,) = ours.fetchone()
    row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS


def insert_missing(rows: "Sequence[models.Model]") -> None:
    """Write these new rows of one table, but none that is there already."""
    if not rows:
        return
    table, columns, values = _composed(type(rows[0]))
    marks = ", ".join([f"({values})"] * len(rows))
    with cursor() as ours:
        ours.execute(
            f"INSERT INTO {table} ({columns}) VALUES {marks} ON CONFLICT DO NOTHING",
            [value for row in rows for value in _values(row)],
        )


def upsert(row: models.Model, *, key: tuple[str, ...], fields: tuple[str, ...]) -> None:
    """Write the row; if there is one with the same `key` (unique), these fields of it instead.

    Both name columns. The row learns its number.
    """
    table, columns, values = _composed(type(row))
    with cursor() as ours:
        ours.execute(
            f"INSERT INTO {table} ({columns}) VALUES ({values}) "
            f"ON CONFLICT ({', '.join(key)}) "
            f"DO UPDATE SET {', '.join(f'{name} = EXCLUDED.{name}' for name in fields)} "
            "RETURNING id",
            _values(row),
        )
        (row.pk,) = ours.fetchone()


def delete(row: models.Model) -> None:
    """Delete the row by its number; nothing else refers to it."""
    table, _, _ = _composed(type(row))
    with cursor() as ours:
        ours.execute(f"DELETE FROM {table} WHERE id = %s", [row.pk])


@functools.cache
def _composed(model: type[models.Model]) -> tuple[str, str, str]:
    """The table, the columns that we give a value, and as many marks."""
    quote = _connection().ops.quote_name
    columns = [quote(str(field.column)) for field in _fields(model)]
    return quote(model._meta.db_table), ", ".join(columns), ", ".join(["%s"] * len(columns))


@functools.cache
def _fields(model: type[models.Model]) -> "list[models.Field[object, object]]":
    """Not those that the database fills: the number, and times by its own clock."""
    fields = model._meta.concrete_fields
    return [field for field in fields if not field.primary_key and not field.has_db_default()]


def _values(row: models.Model) -> list[Any]:
    connection = _connection()
    return [
        field.get_db_prep_save(getattr(row, field.attname), connection)
        for field in _fields(type(row))
    ]
