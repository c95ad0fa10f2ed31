"""Find the products with leftover rules, among some, without the names of all their rules."""

from collections import defaultdict
from collections.abc import Collection

from django.db.models import Q

from rules import leftovers
from rules.models import Rule

# What `leftovers.of_place` reads from a rule.
_READ = ("marketplace", "product", "trigger", "action", "destination", "enabled", "ends_all")


def among(products: Collection[int]) -> list[int]:
    """Return those of these product IDs that have leftover rules. Takes one query."""
    if not products:
        return []
    own: dict[int, list[Rule]] = defaultdict(list)
    everywhere: dict[int, list[Rule]] = defaultdict(list)
    for rule in Rule.objects.filter(Q(product__in=products) | Q(product=None)).only(*_READ):
        place = own[rule.product_id] if rule.product_id else everywhere[rule.marketplace_id]
        place.append(rule)
    return [
        number
        for number, rules in own.items()
        if leftovers.of_place(rules, everywhere[rules[0].marketplace_id])
    ]
