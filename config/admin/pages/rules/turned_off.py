"""What the overview says about products that give nothing because their rules are off."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from config.admin.parts.badges import brief
from integrations.sentences import Said, say_count
from rules import turned_off
from rules.facts import Places
from rules.listing import listed
from rules.models import Rule

# How many products are named. The list of rules that are off has the others.
MAX_PRODUCTS = 5
COURSES_NAMED = 3


@dataclass(frozen=True, slots=True)
class TurnedOffProduct:
    """A product whose giving `rules` are all off."""

    rules: Sequence[Rule]

    @property
    def text(self) -> Said:
        product = self.rules[0].product
        return say_count(
            len(self.rules),
            "1 rule that gives {courses} is off: buyers of {product} get nothing.",
            "{number} rules that give {courses} are off: buyers of {product} get nothing.",
            courses=listed([brief(rule.destination) for rule in self.rules], COURSES_NAMED),
            product=brief(product and product.name),
        )


@dataclass(frozen=True, slots=True)
class TurnedOff:
    """The oldest MAX_PRODUCTS of these products, and in `products` how many there are in all."""

    told: Sequence[TurnedOffProduct] = ()
    products: int = 0

    @property
    def more(self) -> int:
        return self.products - len(self.told)


def summarize(places: Places) -> TurnedOff:
    """Return the products that give nothing because their rules are off.

    Takes one query, or none if there is no such product.
    """
    found = turned_off.by_product(places)
    if not found:
        return TurnedOff()
    numbers = [rule.pk for product in sorted(found)[:MAX_PRODUCTS] for rule in found[product]]
    of_product: dict[int | None, list[Rule]] = defaultdict(list)
    for rule in Rule.objects.filter(pk__in=numbers).with_names().order_by("product", "pk"):
        of_product[rule.product_id].append(rule)
    return TurnedOff([TurnedOffProduct(each) for each in of_product.values()], len(found))
