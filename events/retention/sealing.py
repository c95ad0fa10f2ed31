"""Seal what earlier versions stored in the clear, and seal stored bodies again with a new key.

Each short transaction writes a few rows, so that receiving goes on meanwhile.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

from events.deciding.inbox import HOLD_SECONDS
from events.models import Delivery, Unsealed
from integrations import sealed
from integrations.database.database_share import short_transaction
from integrations.models import ApiCall
from integrations.secrets import SecretUnreadable

Table = Unsealed.Table
# Rows are looked at in pages, and written a few at a time.
PAGE = 100
Leave = Callable[[float], object]
# The model of each table, and the function that seals the value of each column.
COLUMNS: dict[str, tuple[Any, dict[str, Callable[[Any], Any]]]] = {
    Table.DELIVERIES.value: (
        Delivery,
        {"sealed_body": lambda stored: sealed.reseal(bytes(stored))},
    ),
    Table.EXCHANGES.value: (
        ApiCall,
        {"request_body": sealed.reseal_text, "response_body": sealed.reseal_text},
    ),
}


def go_on(
    *,
    until: float = float("inf"),
    enough: Callable[[], bool] = lambda: False,
    leave: Leave = time.sleep,
) -> int:
    """Seal what is not sealed yet. Return how many rows were written.

    It ends at `until` (monotonic seconds) or when `enough` says so, but not before one page.
    """
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
    """Seal the rows with IDs above `after`, up to `last`, with the first key, page by page.

    Yield the ID that was reached, how many rows were written, and how many no key opens.
    """
    model, columns = COLUMNS[table]
    rows = model.objects.filter(pk__lte=last).order_by("pk")
    while page := list(rows.filter(pk__gt=after).values("pk", *columns)[:PAGE]):
        after = page[-1]["pk"]
        changes, unreadable = _resealed(page, columns)
        _write(model, changes, leave)
        yield after, len(changes), unreadable


def _resealed(
    page: list[dict[str, Any]], columns: dict[str, Callable[[Any], Any]]
) -> tuple[list[tuple[dict[str, Any], dict[str, Any]]], int]:
    """Return (old values, new values) of each row that changes, and how many no key opens."""
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
        with short_transaction(spares_server=True, leave=leave) as began:
            while changes:
                row, new = changes[0]
                # The filter leaves out a row that was removed or erased in the meantime.
                model.objects.filter(**row).update(**new)
                changes = changes[1:]
                if time.monotonic() - began > HOLD_SECONDS / 2:
                    break
