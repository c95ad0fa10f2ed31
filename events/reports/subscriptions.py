"""Which products are sold by subscription, as far as their events show."""

from collections.abc import Collection, Iterable

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


def sold_by_subscription(products: Iterable[Product]) -> set[int]:
    """Return the IDs of the products that were seen with a subscription lately."""
    return seen_with_subscription([product.pk for product in products])


def seen_with_subscription(numbers: Collection[int]) -> set[int]:
    """Return the same for product IDs."""
    if not numbers:
        return set()
    newest = EventLog.objects.filter(product=OuterRef(OuterRef("pk"))).order_by("-received_at")
    tells = ~Q(subscription_id="") | Q(trigger__startswith="subscription_")
    seen = EventLog.objects.filter(tells, pk__in=newest.values("pk")[:MAX_EVENTS])
    # Not as a condition, which PostgreSQL might turn into a join that reads all events.
    sold = Product.objects.filter(pk__in=numbers)
    return {pk for pk, is_sold in sold.values_list("pk", Exists(seen)) if is_sold}


def paid_once(products: Iterable[Product]) -> set[int]:
    """Return the IDs of the products that were bought, and not seen with a subscription lately."""
    products = list(products)
    return _bought(products) - sold_by_subscription(products)


def how_sold(products: Iterable[Product]) -> tuple[bool, Said]:
    """Return whether all these products are paid once, and a sentence that says how each is sold.

    The sentence also says how Admit knows it.
    """
    products = list(products)
    sold = sold_by_subscription(products)
    once = _bought(products) - sold
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


def _bought(products: Iterable[Product]) -> set[int]:
    """Return the IDs of the products that were bought."""
    bought = EventLog.objects.filter(product=OuterRef("pk"), trigger=Trigger.PRODUCT_PURCHASED)
    rows = Product.objects.filter(pk__in=[product.pk for product in products])
    return {pk for pk, is_bought in rows.values_list("pk", Exists(bought)) if is_bought}


def any_sold() -> bool:
    """Whether anything at all was seen with a subscription."""
    # Sorted, so that PostgreSQL uses the index: to find just any, it would walk through the events.
    last = EventLog.objects.filter(subscription_id__gt="").order_by("-subscription_id")
    return bool(last.values("subscription_id")[:1])


def _sold(names: Said) -> Said:
    return say("SamCart sent a subscription with sales of {products}.", products=names)


def _once(names: Said) -> Said:
    return say("SamCart sent purchases of {products}, and none by subscription.", products=names)


def _unknown(names: Said) -> Said:
    return say("No purchase of {products} has come in yet, so Admit cannot tell.", products=names)
