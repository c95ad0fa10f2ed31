"""Change many rows without blocking other writers for long."""

import time
from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet

from integrations.database.database_share import short_transaction


def in_batches(
    rows: QuerySet[Any], change: Callable[[QuerySet[Any]], object], *, size: int, until: float
) -> bool:
    """Change all rows, `size` of them in each transaction. A changed row must no longer match.

    Return False if `until` (monotonic seconds) comes before all are done.
    """
    while batch := list(rows.order_by().values_list("pk", flat=True)[:size]):
        if time.monotonic() > until:
            return False
        with short_transaction(times=1):
            change(rows.filter(pk__in=batch))
    return True
