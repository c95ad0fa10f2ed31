"""Rules that are left over: they end, or give back, what no other rule of their product gives."""

from collections import Counter
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

from django.db.models import QuerySet

from integrations.models import Destination, Product
from rules import changing, facts, pairing
from rules.facts import Places, RuleFacts
from rules.models import Rule

Known = TypeVar("Known", Rule, RuleFacts)


@dataclass(frozen=True, slots=True)
class Leftover:
    """A rule that is left over, and what can become of it.

    `instead` is the one course or bundle that it should be about, where there is one. Where
    another rule does the same for all that the product gives, it is `doubled`.
    """

    rule: Rule
    instead: Destination | None = None
    doubled: bool = False

    @property
    def key(self) -> str:
        """What a form calls it: another one where it is about something else now, or would be."""
        fate = "doubled" if self.doubled else ""
        if self.instead:
            fate = str(self.instead.pk)
        return f"{self.rule.pk}-{self.rule.destination_id}-{fate}"


def of_place(own: Sequence[Known], others: Iterable[Rule | RuleFacts]) -> list[Known]:
    """Those of a product's `own` rules that are left over; `others` may give something there, too.

    A rule that is off speaks for the others of its course: it may be turned on again. Left out is
    what a person may well mean: to end what other products gave, or alone to give something for a
    recovered payment.
    """
    named = _named(chain(own, others))
    found = [
        rule
        for rule in own
        if rule.enabled and rule.destination_id not in named and _is_companion(rule)
    ]
    together = Counter(rule.destination_id for rule in found)
    return [rule for rule in found if rule.spec.ends_access or together[rule.destination_id] > 1]


def by_product(places: Places) -> dict[int, list[RuleFacts]]:
    """All that are left over, by the number of their product. No query."""
    own, everywhere = places
    found = {
        number: of_place(rules, everywhere.get(rules[0].marketplace_id, ()))
        for number, rules in own.items()
    }
    return {number: left for number, left in found.items() if left}


def give_back(left: Iterable[RuleFacts]) -> bool:
    """Whether one of these gives a course to a later buyer, by a recovered payment."""
    return any(rule.spec.gives_access for rule in left)


def judged(product: Product, rules: Iterable[Rule]) -> list[Leftover]:
    """What is left over for this product, and what can become of each.

    `rules` are those of the product and the global ones of its account, on or off.
    """
    rules = list(rules)
    own = [rule for rule in rules if rule.product_id == product.pk]
    others = [rule for rule in rules if rule.product_id != product.pk]
    given = {rule.destination: None for rule in pairing.given(product, own)}
    # Of its own, one that is off is there as well: there can be no second one.
    there = {_does(rule, rule.destination_id) for rule in rules if rule.enabled or rule in own}
    found = []
    for rule in of_place(own, others):
        fitting = [each for each in given if each is not None and _fits(rule, each)]
        open_ = [each for each in fitting if _does(rule, each.pk) not in there]
        if len(open_) == 1:
            found.append(Leftover(rule, open_[0]))
            there.add(_does(rule, open_[0].pk))
        else:
            found.append(Leftover(rule, doubled=bool(fitting) and not open_))
    return found


def left_by(chosen: Set[int]) -> QuerySet[Rule]:
    """The rules that would be left over if those of these numbers were gone, but were not before.

    They end or give back what only the chosen ones give. One query, and that for the rules.
    """
    own, everywhere = facts.by_place()
    left = []
    for rules in own.values():
        shared = everywhere.get(rules[0].marketplace_id, [])
        left += _left_by(chosen, rules, [*rules, *shared])
    for account, shared in everywhere.items():
        if chosen.isdisjoint(rule.pk for rule in shared):
            continue  # what is for every product stays when a rule of one is deleted
        of_products = (rules for rules in own.values() if rules[0].marketplace_id == account)
        left += _left_by(chosen, shared, chain(shared, *of_products))
    return Rule.objects.filter(pk__in=left).with_names().order_by("product", "pk")


def _left_by(chosen: Set[int], own: Sequence[RuleFacts], known: Iterable[RuleFacts]) -> list[int]:
    known = list(known)
    gone = _named(rule for rule in known if rule.pk in chosen)
    gone -= _named(rule for rule in known if rule.pk not in chosen)
    return [
        rule.pk
        for rule in own
        if rule.enabled
        and rule.pk not in chosen
        and rule.destination_id in gone
        and _is_companion(rule)
    ]


def settle(leftovers: Sequence[Leftover]) -> tuple[int, int]:
    """Have these be about what is given instead, and delete those that are doubled.

    How many were changed, and deleted. All or none: raises ValidationError.
    """
    changed = [each for each in leftovers if each.instead]
    doubled = [each.rule.pk for each in leftovers if each.doubled]
    with changing.all_or_none():
        for each in changed:
            assert each.instead is not None
            changing.give_instead([each.rule], each.instead, on=False)
        changing.delete(Rule.objects.filter(pk__in=doubled))
    return len(changed), len(doubled)


def _is_companion(rule: Rule | RuleFacts) -> bool:
    """Whether it ends access, or gives it back, as the rules do that belong to another one.

    Not one that also ends what other products gave.
    """
    if rule.destination_id is None or rule.ends_all:
        return False
    if rule.trigger in pairing.GIVES_BACK:
        return rule.spec.gives_access
    return rule.trigger in pairing.ENDS and rule.spec.ends_access


def _named(rules: Iterable[Rule | RuleFacts]) -> set[int | None]:
    """What these give, or would if they were on: not only give back."""
    return {
        rule.destination_id
        for rule in rules
        if rule.trigger not in pairing.GIVES_BACK and rule.spec.gives_access
    }


def _fits(rule: Rule, other: Destination) -> bool:
    return (other.kind, other.integration_id) == (rule.spec.target, rule.integration_id)


def _does(rule: Rule, destination: int | None) -> tuple[object, ...]:
    return rule.trigger, rule.action, destination
