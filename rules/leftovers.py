"""Leftover rules: they end, or give back, what no other rule gives to the same buyers."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

from django.db.models import Q, QuerySet

from integrations.models import Destination, Product
from rules import actions, changing, facts, pairing
from rules.facts import Places, RuleFacts
from rules.models import Rule
from rules.triggers import Trigger

Known = TypeVar("Known", Rule, RuleFacts)


@dataclass(frozen=True, slots=True)
class Leftover:
    """A leftover rule and how it can be settled.

    `instead` is the one course or bundle that the rule should use, if there is exactly one. The
    rule is `doubled` if other rules already do the same for everything that the product gives.
    """

    rule: Rule
    instead: Destination | None = None
    doubled: bool = False

    @property
    def key(self) -> str:
        """The value in a form. It changes if the rule's course or its proposed fate changes."""
        fate = "doubled" if self.doubled else ""
        if self.instead:
            fate = str(self.instead.pk)
        return f"{self.rule.pk}-{self.rule.destination_id}-{fate}"


def of_place(own: Sequence[Known], others: Iterable[Rule | RuleFacts]) -> list[Known]:
    """Return which of a product's `own` rules, or of an account's global ones, are left over.

    `others` may give something to the same buyers: global rules for a product, and for global
    rules those of the account's products. A rule that is off still counts for the other rules of
    its course, because it may be turned on again. Rules that a person may well have intended are
    left out: those that also end what other products gave, and a rule that is alone in giving
    something for a recovered payment.
    """
    suspects = [rule for rule in own if rule.enabled and _is_companion(rule)]
    if not suspects:
        return []
    about = {rule.destination_id for rule in suspects}
    named = _named(rule for rule in chain(own, others) if rule.destination_id in about)
    found = [rule for rule in suspects if rule.destination_id not in named]
    together = Counter(rule.destination_id for rule in found)
    return [rule for rule in found if rule.spec.ends_access or together[rule.destination_id] > 1]


def among(products: Collection[int]) -> list[int]:
    """Return those of these product IDs that have leftover rules. Takes one query, or none."""
    return facts.by_place(products).products(_among) if products else []


def by_place(places: Places) -> Places:
    """Return all leftover rules by product, and the global ones by account. Takes no query."""
    own = places.own
    found = places.products(_among)
    of_accounts = {
        number: of_place(rules, _of_account(number, own))
        for number, rules in places.everywhere.items()
    }
    return Places(
        {number: _among(places.concerning(number)) for number in found},
        {number: left for number, left in of_accounts.items() if left},
    )


def to_tell(places: Places) -> Places:
    """Return the leftover rules that do harm. Takes no query.

    One of them still gives a course, or what a purchase gives now lacks what they do.
    """
    found = by_place(places)
    return Places(
        {
            number: left
            for number, left in found.own.items()
            if _one_gives(left) or lacked(places, number)
        },
        {
            number: left
            for number, left in found.everywhere.items()
            if _one_gives(left) or lacked_everywhere(places, number)
        },
    )


def lacked(places: Places, product: int) -> set[str]:
    """Return on which triggers what the product gives lacks a rule that is left over instead.

    A change of the rule that gives it left that one behind. Takes no query.
    """
    known = places.concerning(product)
    return _lacked([rule for rule in known if rule.product_id is not None], known)


def lacked_everywhere(places: Places, account: int) -> set[str]:
    """Return the same for what an account's global rules give."""
    return _lacked(places.everywhere[account], list(_of_account(account, places.own)))


def _lacked(own: Sequence[RuleFacts], others: Sequence[RuleFacts]) -> set[str]:
    left: dict[str, list[RuleFacts]] = defaultdict(list)
    for rule in of_place(own, others):
        left[rule.trigger].append(rule)
    giving = [rule for rule in own if pairing.gives_now(rule)] if left else []
    found = set()
    for trigger, rules in left.items():
        lacking = {
            rule.destination_id: rule.spec.target
            for rule in giving
            if not pairing.is_answered(rule, Trigger(trigger), [*own, *others])
        }
        # What has one rule more than is left over never had that rule.
        if lacking and not Counter(lacking.values()) - Counter(rule.spec.target for rule in rules):
            found.add(trigger)
    return found


def of_product(product: Product | None, rules: Iterable[Rule]) -> list[Leftover]:
    """Return the leftover rules of this product, or global ones if None, and how each is settled.

    `rules` are those of the product and the global ones of its account, on or off; for global
    rules, pass `concerning_all`.
    """
    rules = list(rules)
    number = product and product.pk
    own = [rule for rule in rules if rule.product_id == number]
    others = [rule for rule in rules if rule.product_id != number]
    given = {rule.destination: None for rule in pairing.given(product, own)}
    # The product's own rules count even when off, because the same rule cannot be added twice.
    there = {
        _effect(rule, rule.destination_id)
        for rule in rules
        if rule in own or (rule.enabled and rule.product_id is None)
    }
    found = []
    for rule in of_place(own, others):
        fitting = [each for each in given if each is not None and _fits(rule, each)]
        open_ = [each for each in fitting if _effect(rule, each.pk) not in there]
        if len(open_) == 1:
            found.append(Leftover(rule, open_[0]))
            there.add(_effect(rule, open_[0].pk))
        else:
            found.append(Leftover(rule, doubled=bool(fitting) and not open_))
    return found


def concerning_all(account: int) -> QuerySet[Rule]:
    """Return an account's global rules, and its products' rules that give the same courses."""
    own = Rule.objects.filter(marketplace=account, product=None)
    same = Q(
        marketplace=account,
        action__in=actions.giving_access(),
        destination__in=own.exclude(destination=None).values("destination"),
    )
    return Rule.objects.filter(Q(marketplace=account, product=None) | same).with_names()


def left_over_without(chosen: Set[int]) -> QuerySet[Rule]:
    """Return the rules that would be left over if the rules with the `chosen` pks were deleted.

    They end or give back what only the chosen rules give. Rules that are left over already are not
    included. Costs one query for the facts, and one when the result is evaluated.
    """
    places = facts.by_place()
    left = []
    for number, rules in places.own.items():
        left += _left_by(chosen, rules, places.concerning(number))
    for account, shared in places.everywhere.items():
        if chosen.isdisjoint(rule.pk for rule in shared):
            continue  # global rules stay if only rules of single products are deleted
        left += _left_by(chosen, shared, chain(shared, _of_account(account, places.own)))
    return Rule.objects.filter(pk__in=left).with_names().order_by("product", "pk")


def _of_account(account: int, own: Mapping[int, Sequence[RuleFacts]]) -> Iterator[RuleFacts]:
    """Return the rules of the account's products."""
    of_products = (rules for rules in own.values() if rules[0].marketplace_id == account)
    return chain.from_iterable(of_products)


def _among(rules: Sequence[RuleFacts]) -> list[RuleFacts]:
    """Return which of one product's own rules are left over, given the global ones as well."""
    own = [rule for rule in rules if rule.product_id is not None]
    return of_place(own, rules)


def _one_gives(left: Iterable[RuleFacts]) -> bool:
    """Return whether one of these leftover rules gives a course (on a recovered payment)."""
    return any(rule.spec.gives_access for rule in left)


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


def resolve(leftovers: Sequence[Leftover]) -> tuple[int, int]:
    """Point rules to their `instead` and delete the doubled ones, all or none.

    Returns how many were changed and how many were deleted. Raises ValidationError.
    """
    changed = [each for each in leftovers if each.instead]
    doubled = [each.rule.pk for each in leftovers if each.doubled]
    with changing.all_or_none():
        for each in changed:
            assert each.instead is not None
            changing.point_to([each.rule], each.instead, on=False)
        changing.delete(Rule.objects.filter(pk__in=doubled))
    return len(changed), len(doubled)


def _is_companion(rule: Rule | RuleFacts) -> bool:
    """Return whether the rule only ends or gives back access, as a companion of a giving rule.

    A rule with `ends_all` is none, because it also ends what other products gave.
    """
    if rule.destination_id is None or rule.ends_all:
        return False
    if rule.trigger in pairing.GIVES_BACK:
        return rule.spec.gives_access
    return rule.trigger in pairing.ENDS and rule.spec.ends_access


def _named(rules: Iterable[Rule | RuleFacts]) -> set[int | None]:
    """Return the destination IDs that these rules, on or off, give other than by giving back."""
    return {
        rule.destination_id
        for rule in rules
        if rule.trigger not in pairing.GIVES_BACK and rule.spec.gives_access
    }


def _fits(rule: Rule, other: Destination) -> bool:
    return (other.kind, other.integration_id) == (rule.spec.target, rule.integration_id)


def _effect(rule: Rule, destination: int | None) -> tuple[object, ...]:
    return rule.trigger, rule.action, destination
