"""Orders that persons moved to a customer from another address."""

from collections import defaultdict
from collections.abc import Collection, Mapping

from django.db.models import Exists, F, OuterRef
from django.db.models.functions import Coalesce

from events.models import EventLog, RuleRun
from integrations.sentences import joined, say_count
from rules.listing import listed
from rules.triggers import Trigger

# How many orders or products are named.
MOST_NAMED = 3


def of_customers(customers: Collection[int]) -> dict[int, dict[str, set[str]]]:
    """Return the orders that persons moved to these customers, and that are there.

    By customer: {number of the order: names of its products}. An order that its own buyer has back
    is left out.
    """
    bought = EventLog.objects.of_triggers(Trigger.PRODUCT_PURCHASED)
    own = bought.exclude(status=EventLog.Status.REPEAT).filter(
        customer=OuterRef("customer"), order_id=OuterRef("grant__order_id")
    )
    runs = RuleRun.objects.filter(
        ~Exists(own),
        customer__in=customers,
        event__by_hand=EventLog.ByHand.MOVE_HERE,
        grant__customer=F("customer"),
    ).exclude(grant__order_id="")
    # A product that is gone has only the name that its grants keep.
    name = Coalesce("grant__product__name", "grant__product_name")
    here = runs.order_by("pk").values_list("customer", "grant__order_id", name)
    found: dict[int, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for who, order, product in here:
        found[who][order].add(product)
    return found


def product_names(orders: Mapping[str, Collection[str]]) -> str:
    """Return the names of the products of these orders, the first ones if there are many."""
    names = {name for products in orders.values() for name in products if name}
    return listed(sorted(names), MOST_NAMED) if names else ""


def sentence(orders: Collection[str]) -> str:
    """Return text like "1 order moved here (1183)"; "" for none."""
    if not orders:
        return ""
    named = [*list(orders)[:MOST_NAMED], *(["…"] if len(orders) > MOST_NAMED else [])]
    return say_count(
        len(orders),
        "1 order moved here ({orders})",
        "{number} orders moved here ({orders})",
        orders=joined(named, ", "),
    )
