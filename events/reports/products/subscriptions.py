"""Which products are sold by subscription, as far as their events show."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from django.db.models import Exists, OuterRef, Q

from events.models import EventLog
from integrations.models import Product
from integrations.sentences import Said, joined, say
from rules.listing import listed
from rules.triggers import Trigger

# Only this many of a product's newest events count: if it is sold in another way now, they show it.
MAX_EVENTS = 50
# At most this many products are named.
PRODUCTS_NAMED = 5


@dataclass(frozen=True, slots=True)
class Sold:
    """Product IDs: those seen with a subscription lately, and those bought, but not so."""

    by_subscription: frozenset[int]
    once: frozenset[int]

    def of(self, number: int) -> dict[str, bool]:
        """Return what `pairing.holes` needs to know of how this product is sold."""
        return {"subscription": number in self.by_subscription, "paid_once": number in self.once}


def how_each_is_sold(numbers: Collection[int]) -> Sold:
    """Return how these products are sold; those that were never bought are in neither set."""
    if not numbers:
        return Sold(frozenset(), frozenset())
    newest = EventLog.objects.filter(product=OuterRef(OuterRef("pk"))).order_by("-received_at")
    tells = ~Q(subscription_id="") | Q(trigger__startswith="subscription_")
    seen = EventLog.objects.filter(tells, pk__in=newest.values("pk")[:MAX_EVENTS])
    bought = EventLog.objects.filter(product=OuterRef("pk"), trigger=Trigger.PRODUCT_PURCHASED)
    # Not as a condition, which PostgreSQL might turn into a join that reads all events.
    rows = list(
        Product.objects.filter(pk__in=numbers).values_list("pk", Exists(seen), Exists(bought))
    )
    return Sold(
        frozenset(pk for pk, is_seen, _ in rows if is_seen),
        frozenset(pk for pk, is_seen, is_bought in rows if is_bought and not is_seen),
    )


def sold_by_subscription(products: Iterable[Product]) -> frozenset[int]:
    """Return the IDs of the products that were seen with a subscription lately."""
    return how_each_is_sold([product.pk for product in products]).by_subscription


def paid_once(products: Iterable[Product]) -> frozenset[int]:
    """Return the IDs of the products that were bought, and not seen with a subscription lately."""
    return how_each_is_sold([product.pk for product in products]).once


def how_sold(products: Iterable[Product]) -> tuple[bool, Said]:
    """Return whether all these products are paid once, and a sentence that says how each is sold.

    The sentence also says how Admit knows it.
    """
    products = list(products)
    each_sold = how_each_is_sold([product.pk for product in products])
    sold, once = each_sold.by_subscription, each_sold.once
    found = [
        ([each for each in products if each.pk in sold], _sold),
        ([each for each in products if each.pk in once], _once),
        ([each for each in products if each.pk not in sold | once], _unknown),
    ]
    said = joined(
        sentence(listed([each.name for each in some], PRODUCTS_NAMED))
        for some, sentence in found
        if some
    )
    return len(once) == len(products), said


def any_sold() -> bool:
    """Whether anything at all was seen with a subscription."""
    # Sorted, so that PostgreSQL uses the index: to find just any, it would walk through the events.
    last = EventLog.objects.filter(subscription_id__gt="").order_by("-subscription_id")
    return bool(last.values("subscription_id")[:1])


def _sold(names: Said) -> Said:
    return say("SamCart sent a subscription with sales of {products}.", products=names)


def _once(names: Said) -> Said:
    return say(
        "SamCart has sent purchases of {products}, but no subscription payment.", products=names
    )


def _unknown(names: Said) -> Said:
    return say("No purchase of {products} has come in yet, so Admit cannot tell.", products=names)
