"""What somebody else does between the moment that code reads a row and the moment it writes it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection


@contextmanager
def after_reading(table: str, change: Callable[[], object]) -> Iterator[None]:
    """Make `change` once, right after the first query inside that reads from the table."""
    made: list[bool] = []

    def wrapper(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        found = execute(sql, params, many, context)
        if not made and sql.startswith("SELECT") and f'FROM "{table}"' in sql:
            made.append(True)
            change()
        return found

    with connection.execute_wrapper(wrapper):
        yield
    assert made, f"nothing read from {table}"
