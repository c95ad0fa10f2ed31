"""Do something for many purchases, each in a transaction of its own with its batch."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TypeVar

from django.db import transaction

from events.access.lock import lock
from events.models import Batch
from events.queue import wake

Purchase = TypeVar("Purchase")


def do(purchases: Iterable[Purchase], one: Callable[[Purchase], str], batch: Batch) -> Counter[str]:
    """Call `one` for each purchase under the deciding lock. Return its reasons, counted.

    `one` saves what it queues in the batch, so that the batch knows of everything that is done. It
    returns why it left something out, "" if it did not.
    """
    left: Counter[str] = Counter()
    for purchase in purchases:
        with transaction.atomic():
            lock()
            known = len(batch.run_ids)
            why_not = one(purchase)
            if len(batch.run_ids) > known:
                wake.wake()
        if why_not:
            left[why_not] += 1
    return left
