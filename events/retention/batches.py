"""Changing many rows without holding the others up."""

import time
from collections.abc import Callable
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet


def in_batches(
    rows: QuerySet[Any], change: Callable[[QuerySet[Any]], object], *, size: int, until: float
) -> bool:
    """Carry out the change, after which no row is left, on `size` rows in each transaction.

    False when `until` (monotonic seconds) comes before all are done.
    """
    while batch := list(rows.order_by().values_list("pk", flat=True)[:size]):
        began = time.monotonic()
        if began > until:
            return False
        with transaction.atomic():
            change(rows.filter(pk__in=batch))
        if connection.vendor == "sqlite":
            # Leaves others as much time to write as it took.
            time.sleep(time.monotonic() - began)
    return True
