"""Copy rules from one product to another."""

from collections.abc import Iterable

from django.core.exceptions import ValidationError

from integrations.models import Product
from integrations.sentences import say
from rules import changing
from rules.models import Rule, Scope


def copy(rules: Iterable[Rule], product: Product) -> tuple[int, list[str]]:
    """Copy the rules to the product.

    Returns how many were made, and a sentence for each rule that could not be copied.
    """
    made = 0
    left: list[str] = []
    for rule in rules:
        same = {name: getattr(rule, name) for name in Rule.audited}
        own = {"marketplace": product.marketplace, "scope": Scope.PRODUCT, "product": product}
        twin = Rule(**same | own)
        try:
            changing.add(twin)
        except ValidationError as error:
            why = " ".join(error.messages)
            left.append(say("{rule}: {why}", rule=rule.sentence(), why=why))
        else:
            made += 1
    return made, left
