"""Which products were sold lately, and how often."""

from collections import Counter
from collections.abc import Sequence

from django.db.models import Count
from django.utils import timezone

from events.models import EventLog, Grant
from events.models.event_log import EventQuerySet
from events.reports.owed import promise
from rules.triggers import Trigger

# For more products than this, a query reads those of all products instead of naming them.
MAX_NAMED = 500


def by_product(numbers: Sequence[int]) -> Counter[int | None]:
    """Return {product ID: sales within `promise.LATELY`} for at least these products."""
    if not numbers:
        return Counter()
    found = Counter(dict(_sales(numbers).values_list("product").annotate(Count("pk"))))
    del found[None]  # sales of deleted products; elsewhere None stands for every product
    return found


def sold(numbers: Sequence[int]) -> set[int]:
    """Return those of these product IDs that were sold within `promise.LATELY`.

    A purchase that gave nothing and that a person marked as dealt with does not count. What a
    person gave for a purchase does.
    """
    if not numbers:
        return set()
    unmarked = _sales(numbers).filter(dealt_with_at=None)
    acts = promise.given_by_hand(timezone.now() - promise.LATELY)
    by_hand = Grant.objects.filter(source=Grant.Source.PURCHASE, runs__event__in=acts.values("pk"))
    found = {
        *unmarked.values_list("product", flat=True).distinct(),
        *by_hand.order_by().values_list("product", flat=True).distinct(),
    }
    return {number for number in found if number is not None}.intersection(numbers)


def _sales(numbers: Sequence[int]) -> EventQuerySet:
    """Return the purchases within `promise.LATELY` of at least these products, in no order."""
    lately = timezone.now() - promise.LATELY
    events = EventLog.objects.filter(received_at__gte=lately).exclude(status=EventLog.Status.REPEAT)
    if len(numbers) <= MAX_NAMED:
        events = events.filter(product__in=numbers).of_triggers(Trigger.PRODUCT_PURCHASED)
    else:
        events = events.filter(trigger=Trigger.PRODUCT_PURCHASED)
    return events.order_by()
