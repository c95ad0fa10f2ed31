"""Products that are sold and for which no rule gives anything: the next buyer gets nothing."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from django.db.models import Count, QuerySet
from django.utils import timezone

from events.models import EventLog
from events.reports import review
from events.reports.owed import promise, recent_sales
from integrations.models import Product
from rules import pairing
from rules.facts import Places

MOST_PRODUCTS = 10


@dataclass(frozen=True, slots=True)
class ProductWithoutRule:
    """A product without a rule, and its `sales` within `promise.LATELY`.

    `buyers` got access by hand, and `meant` are those and the ones whose action waits or failed;
    `refunded` counts sales that gave nothing and were refunded or
    canceled since, so nobody waits for anything.
    """

    product: Product
    sales: int
    buyers: int
    meant: int
    refunded: int

    @property
    def all_refunded(self) -> bool:
        return self.refunded >= self.sales


@dataclass(frozen=True, slots=True)
class ProductsWithoutRule:
    """`shown` are at most MOST_PRODUCTS; `number` counts all, also those told elsewhere."""

    number: int = 0
    shown: Sequence[ProductWithoutRule] = ()


def find(
    places: Places, unfulfilled: QuerySet[EventLog], told: Collection[Product | None] = ()
) -> ProductsWithoutRule:
    """Return the products that were sold lately, for which no rule gives anything.

    Whatever became of the buyers, the next one gets nothing. Of these, those that are `told`
    elsewhere are counted and not shown. Those with the most buyers who were given access by hand
    come first, then those with the most sales. Left out are products that are only passed on, and
    those whose rules are off or give a course that is gone: the Overview reports those rules.
    Purchases that are `unfulfilled` wait for something, so they are not counted as refunded.
    Takes one query if there is no such product, and up to three if there is.
    """
    sold = recent_sales.sold(_without(places))
    asked = sold.keys() - {each.pk for each in told if each}
    if not asked:
        return ProductsWithoutRule(len(sold))
    first = sorted(asked, key=lambda number: (-sold[number].meant, -sold[number].sales, number))
    shown = first[:MOST_PRODUCTS]
    refunded = _refunded(shown, unfulfilled)
    products = Product.objects.in_bulk(shown)
    return ProductsWithoutRule(
        len(sold),
        [
            ProductWithoutRule(
                products[number],
                sold[number].sales,
                sold[number].buyers,
                sold[number].meant,
                refunded.get(number, 0),
            )
            for number in shown
            if number in products
        ],
    )


def _without(places: Places) -> QuerySet[Product]:
    """Return the products for which no rule gives anything, or would if its course were there."""
    served = [
        number
        for number, rules in places.own.items()
        if any(rule.gives_on_purchase or pairing.passes_on_now(rule) for rule in rules)
    ]
    everywhere = [
        account
        for account, rules in places.everywhere.items()
        if any(pairing.is_to_give(rule) or pairing.passes_on_now(rule) for rule in rules)
    ]
    products = Product.objects.filter(kind=Product.Kind.PRODUCT)
    return products.exclude(pk__in=served).exclude(marketplace__in=everywhere)


def _refunded(products: Collection[int], unfulfilled: QuerySet[EventLog]) -> dict[int, int]:
    """Return, by product ID, how many sales gave nothing lately and nothing is owed.

    Where no rule gives anything, that is because they were refunded or canceled since.
    """
    lately = timezone.now() - promise.LATELY
    sales = review.gave_nothing().filter(received_at__gte=lately, product__in=products)
    settled = sales.exclude(pk__in=unfulfilled.order_by().values("pk")).order_by()
    return dict(
        settled.values("product").annotate(sales=Count("pk")).values_list("product", "sales")
    )
