"""How often products were sold lately."""

from collections import Counter
from collections.abc import Sequence

from django.db.models import Count
from django.utils import timezone

from events.models import EventLog
from events.reports.owed import promise
from rules.triggers import Trigger

# For more products than this, a query reads those of all products instead of naming them.
MAX_NAMED = 500


def by_product(numbers: Sequence[int]) -> Counter[int | None]:
    """Return {product ID: sales within `promise.LATELY`} for at least these products."""
    if not numbers:
        return Counter()
    lately = timezone.now() - promise.LATELY
    events = EventLog.objects.filter(received_at__gte=lately).exclude(status=EventLog.Status.REPEAT)
    if len(numbers) <= MAX_NAMED:
        events = events.filter(product__in=numbers).of_triggers(Trigger.PRODUCT_PURCHASED)
    else:
        events = events.filter(trigger=Trigger.PRODUCT_PURCHASED)
    found = Counter(dict(events.order_by().values_list("product").annotate(Count("pk"))))
    del found[None]  # sales of deleted products; elsewhere None stands for every product
    return found
