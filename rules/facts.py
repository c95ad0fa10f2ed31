"""Load what `pairing` needs of all rules. Tuples, because model objects cost ten times as much."""

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, NamedTuple, TypeVar

from django.db.models import ExpressionWrapper, F, Field, Q

from rules import actions
from rules.actions import ActionSpec
from rules.models import Rule
from rules.triggers import Trigger

T = TypeVar("T")
# Returns values as the database has them. A BooleanField would convert each one, which takes as
# long as the query.
AS_STORED: "Field[Any, Any]" = Field()
# Looked up once: in Python 3.11, reading an enum member's value takes as long as the comparison.
_BOUGHT = Trigger.PRODUCT_PURCHASED.value


class RuleFacts(NamedTuple):
    """The parts of a rule that `pairing` looks at, with IDs in place of related rows."""

    pk: int
    marketplace_id: int
    product_id: int | None
    trigger: str
    action: str
    destination_id: int | None
    enabled: bool
    ends_all: bool
    is_gone: bool

    @property
    def spec(self) -> ActionSpec:
        return actions.ACTIONS[self.action]

    @property
    def gives_on_purchase(self) -> bool:
        """Whether it gives access when its product is bought, like `Rule.gives_on_purchase`."""
        return self.trigger == _BOUGHT and self.spec.gives_access


@dataclass(frozen=True)
class Places:
    """All rules: those of one product by product ID, and global ones by account ID."""

    own: dict[int, list[RuleFacts]]
    everywhere: dict[int, list[RuleFacts]]

    def __iter__(self) -> Iterator[RuleFacts]:
        return chain.from_iterable(chain(self.own.values(), self.everywhere.values()))

    def concerning(self, product: int) -> list[RuleFacts]:
        """Return a product's own rules and its account's global ones; the product has rules."""
        own = self.own[product]
        return own + self.everywhere.get(own[0].marketplace_id, [])

    def judged(self, judge: Callable[[list[RuleFacts]], T]) -> dict[int, T]:
        """Return {product ID: what `judge` says of what `concerning` returns}.

        Most of a thousand products have rules alike, and `judge` is asked once for all of those. So
        it must not depend on which product or course a rule names, only on which name the same.
        """
        verdicts = ((group, judge(self.concerning(group[0]))) for group in self._alike)
        return {number: verdict for group, verdict in verdicts for number in group}

    def products(self, judge: Callable[[list[RuleFacts]], object]) -> list[int]:
        """Return the IDs of the products for which `judge`, which is as in `judged`, is true."""
        found = self.judged(judge)
        return [number for number in self.own if found[number]]

    @cached_property
    def accounts_with_own(self) -> frozenset[int]:
        """The IDs of the accounts in which products have rules of their own, on or off.

        Only rules that give access on a purchase count.
        """
        return frozenset(
            rules[0].marketplace_id
            for rules in self.own.values()
            if any(rule.gives_on_purchase and not rule.is_gone for rule in rules)
        )

    @cached_property
    def _alike(self) -> list[list[int]]:
        groups: dict[Hashable, list[int]] = defaultdict(list)
        for number in self.own:
            groups[_pattern(self.concerning(number))].append(number)
        return list(groups.values())


def _pattern(rules: Iterable[RuleFacts]) -> Hashable:
    """Return the rules without their IDs, and with courses numbered as they appear."""
    courses: dict[int | None, int] = {None: 0}
    return tuple(
        [
            (product is None, trigger, action, courses.setdefault(course, len(courses)), *flags)
            for _, _, product, trigger, action, course, *flags in rules
        ]
    )


def by_place(products: Collection[int] | None = None) -> Places:
    """Return all rules, on or off, with one query.

    If product IDs are given, these are the rules of those products and the global ones.
    """
    own: dict[int, list[RuleFacts]] = defaultdict(list)
    everywhere: dict[int, list[RuleFacts]] = defaultdict(list)
    flags = (F("enabled"), F("ends_all"), Q(destination__gone_at__isnull=False))
    rules = Rule.objects.order_by("pk")
    if products is not None:
        rules = rules.filter(Q(product__in=products) | Q(product=None))
    rows = rules.values_list(
        *RuleFacts._fields[: -len(flags)], *(ExpressionWrapper(each, AS_STORED) for each in flags)
    )
    for facts in map(RuleFacts._make, rows):
        if facts.product_id is None:
            everywhere[facts.marketplace_id].append(facts)
        else:
            own[facts.product_id].append(facts)
    return Places(own, everywhere)
