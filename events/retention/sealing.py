"""Sealing what was stored in the clear by earlier versions, and sealing it again by a new key.

A few rows in each short transaction, so that receiving goes on meanwhile.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

from django.db import connection, transaction

from events.deciding.inbox import HOLD_SECONDS
from events.models import Delivery, Unsealed
from integrations import sealed
from integrations.models import ApiCall
from integrations.secrets import SecretUnreadable

Table = Unsealed.Table
# Looked at together, and written a few at a time.
PAGE = 100
# So many times as long as a transaction took, the database is left to others on SQLite.
LEAVE_TIMES = 3
Leave = Callable[[float], object]
# The model of each table, and what renews each sealed column of it.
COLUMNS: dict[str, tuple[Any, dict[str, Callable[[Any], Any]]]] = {
    Table.DELIVERIES.value: (
        Delivery,
        {"sealed_body": lambda stored: sealed.renewed(bytes(stored))},
    ),
    Table.EXCHANGES.value: (
        ApiCall,
        {"request_body": sealed.renewed_text, "response_body": sealed.renewed_text},
    ),
}


def go_on(
    *,
    until: float = float("inf"),
    enough: Callable[[], bool] = lambda: False,
    leave: Leave = time.sleep,
) -> int:
    """Seal what is not sealed yet; how many rows were. Ends at `until` or when `enough` says so."""
    done = 0
    for todo in Unsealed.objects.order_by("table"):
        for reached, written, _ in renew(todo.table, todo.reached_id, todo.last_id, leave=leave):
            done += written
            Unsealed.objects.filter(pk=todo.pk).update(reached_id=reached)
            if time.monotonic() > until or enough():
                return done
        todo.delete()
    return done


def renew(
    table: str, after: int, last: int, *, leave: Leave = time.sleep
) -> Iterator[tuple[int, int, int]]:
    """Have the rows after one number and up to another sealed by the first key, page by page.

    Yields the number that was reached, how many rows were written, and how many no key opens.
    """
    model, columns = COLUMNS[table]
    rows = model.objects.filter(pk__lte=last).order_by("pk")
    while page := list(rows.filter(pk__gt=after).values("pk", *columns)[:PAGE]):
        after = page[-1]["pk"]
        changes, unreadable = _renewed(page, columns)
        _write(model, changes, leave)
        yield after, len(changes), unreadable


def _renewed(
    page: list[dict[str, Any]], columns: dict[str, Callable[[Any], Any]]
) -> tuple[list[tuple[dict[str, Any], dict[str, Any]]], int]:
    """Of each row that changes, what it is now and what it is to be; how many cannot be opened."""
    changes, unreadable = [], 0
    for row in page:
        try:
            new = {name: change(row[name]) for name, change in columns.items()}
        except SecretUnreadable:
            unreadable += 1
            continue
        if any(new[name] != row[name] for name in columns):
            changes.append((row, new))
    return changes, unreadable


def _write(model: Any, changes: list[tuple[dict[str, Any], dict[str, Any]]], leave: Leave) -> None:
    while changes:
        began = time.monotonic()
        with transaction.atomic():
            while changes:
                row, new = changes[0]
                # Not what was removed or erased in the meantime.
                model.objects.filter(**row).update(**new)
                changes = changes[1:]
                if time.monotonic() - began > HOLD_SECONDS / 2:
                    break
        leave((LEAVE_TIMES if connection.vendor == "sqlite" else 1) * (time.monotonic() - began))
