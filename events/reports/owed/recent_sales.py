"""Which products were sold lately, and how often."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, F, Q, QuerySet, Value
from django.utils import timezone

from events.models import EventLog, Grant, RuleRun
from events.models.event_log import EventQuerySet
from events.reports.owed import promise
from integrations.models import Product
from rules.triggers import Trigger

# For more products than this, a query reads those of all products instead of naming them.
MAX_NAMED = 500


def by_product(numbers: Sequence[int]) -> Counter[int | None]:
    """Return {product ID: sales within `promise.LATELY`} for at least these products."""
    if not numbers:
        return Counter()
    events = _lately()
    if len(numbers) <= MAX_NAMED:
        events = events.filter(product__in=numbers).of_triggers(Trigger.PRODUCT_PURCHASED)
    else:
        events = events.filter(trigger=Trigger.PRODUCT_PURCHASED)
    found = Counter(dict(events.order_by().values_list("product").annotate(Count("pk"))))
    del found[None]  # sales of deleted products; elsewhere None stands for every product
    return found


@dataclass(slots=True)
class Sold:
    """The `sales` of a product lately.

    `meant` is to how many a person gave it by hand, and `buyers` those whose action is over.
    """

    sales: int = 0
    buyers: int = 0
    meant: int = 0


def sold(products: QuerySet[Product]) -> dict[int, Sold]:
    """Return by its ID each of these products that was sold within `promise.LATELY`.

    A purchase that gave nothing and that a person marked as dealt with does not count. What a
    person gave for a purchase does. Takes one query.
    """
    numbers = products.order_by().values("pk")
    bought = _lately().filter(product__in=numbers).of_triggers(Trigger.PRODUCT_PURCHASED)
    sales = bought.filter(dealt_with_at=None).order_by().values("product")
    rows = sales.annotate(number=Count("pk"), some=Value(0), by_hand=Value(0)).union(
        _given_by_hand(numbers).annotate(by_hand=Value(1)), all=True
    )
    found: dict[int, Sold] = defaultdict(Sold)
    for product, *counts, is_by_hand in rows.values_list("product", "number", "some", "by_hand"):
        if is_by_hand:
            found[product].meant, found[product].buyers = counts
        else:
            found[product].sales = counts[0]
    return dict(found)


def _given_by_hand(products: QuerySet[Product, Any]) -> QuerySet[RuleRun, Any]:
    """Return, by product, to how many buyers persons gave it lately, and to `some` already."""
    acts = promise.given_by_hand(timezone.now() - promise.LATELY)
    # From the few acts to their runs: the grants of these products may be many.
    runs = RuleRun.objects.filter(
        event__in=acts.values("pk"),
        grant__source=Grant.Source.PURCHASE,
        grant__product__in=products,
    )
    over = Q(status__in=(RuleRun.Status.DONE, RuleRun.Status.SKIPPED))
    by_product = runs.order_by().values(product=F("grant__product"))
    return by_product.annotate(
        number=Count("grant__customer", distinct=True),
        some=Count("grant__customer", distinct=True, filter=over),
    )


def sold_among(numbers: Sequence[int]) -> dict[int, Sold]:
    """Return the same for at least these product IDs. Takes no query without any."""
    few = len(numbers) <= MAX_NAMED
    return sold(Product.objects.filter(pk__in=numbers) if few else Product.objects.all())


def _lately() -> EventQuerySet:
    """Return the events within `promise.LATELY`."""
    lately = timezone.now() - promise.LATELY
    return EventLog.objects.filter(received_at__gte=lately).exclude(status=EventLog.Status.REPEAT)
