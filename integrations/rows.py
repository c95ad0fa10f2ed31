"""Rows written by one statement each, composed once and kept.

The ORM composes its SQL for every call anew, which takes about ten times as long as the
statement itself (measured). So what is written for each event and each call is written here.
"""

import functools
from typing import Any

from django.db import connection, models


def insert(row: models.Model) -> None:
    """Write a new row. The database gives it its number, which `row` does not learn."""
    table, columns, values = _composed(type(row))
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {table} ({columns}) VALUES ({values})", _values(row))


def write_over(row: models.Model, *, key: tuple[str, ...], fields: tuple[str, ...]) -> None:
    """Write the row; if there is one with the same `key` (unique), these fields of it instead.

    Both name columns. The row learns its number.
    """
    table, columns, values = _composed(type(row))
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({columns}) VALUES ({values}) "
            f"ON CONFLICT ({', '.join(key)}) "
            f"DO UPDATE SET {', '.join(f'{name} = EXCLUDED.{name}' for name in fields)} "
            "RETURNING id",
            _values(row),
        )
        (row.pk,) = cursor.fetchone()


def delete(row: models.Model) -> None:
    """Delete the row by its number; nothing else refers to it."""
    table, _, _ = _composed(type(row))
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {table} WHERE id = %s", [row.pk])


@functools.cache
def _composed(model: type[models.Model]) -> tuple[str, str, str]:
    """The table, the columns that we give a value, and as many marks."""
    quote = connection.ops.quote_name
    columns = [quote(str(field.column)) for field in _fields(model)]
    return quote(model._meta.db_table), ", ".join(columns), ", ".join(["%s"] * len(columns))


@functools.cache
def _fields(model: type[models.Model]) -> "list[models.Field[object, object]]":
    """Not those that the database fills: the number, and times by its own clock."""
    fields = model._meta.concrete_fields
    return [field for field in fields if not field.primary_key and not field.has_db_default()]


def _values(row: models.Model) -> list[Any]:
    return [
        field.get_db_prep_save(getattr(row, field.attname), connection)
        for field in _fields(type(row))
    ]
