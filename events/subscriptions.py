"""Which products are sold by subscription, as far as their events tell."""

from collections.abc import Iterable

from events.models import EventLog
from integrations.models import Product

# The newest events of a product tell; who changes how it sells sends new ones.
LOOKED_AT = 50


def sold_by_subscription(products: Iterable[Product]) -> set[int]:
    """The numbers of those of these products that were seen with a subscription lately."""
    found = set()
    for product in products:
        newest = EventLog.objects.filter(product=product).order_by("-received_at")
        ids = newest.values_list("subscription_id", "trigger")[:LOOKED_AT]
        if any(number or str(trigger).startswith("subscription_") for number, trigger in ids):
            found.add(product.pk)
    return found
