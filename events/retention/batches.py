"""Change many rows without blocking other writers for long."""

import time
from collections.abc import Callable
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet


def in_batches(
    rows: QuerySet[Any], change: Callable[[QuerySet[Any]], object], *, size: int, until: float
) -> bool:
    """Change all rows, `size` of them in each transaction. A changed row must no longer match.

    Return False if `until` (monotonic seconds) comes before all are done.
    """
    while batch := list(rows.order_by().values_list("pk", flat=True)[:size]):
        began = time.monotonic()
        if began > until:
            return False
        with transaction.atomic():
            change(rows.filter(pk__in=batch))
        if connection.vendor == "sqlite":
            # Leave others as much time to write as this transaction took.
            time.sleep(time.monotonic() - began)
    return True
