"""What rules that are turned off would do: give buyers a product, or end their access."""

from collections.abc import Iterable

from rules import pairing
from rules.facts import Places, RuleFacts
from rules.triggers import Trigger


def by_product(places: Places) -> dict[int, list[RuleFacts]]:
    """Return {product ID: its giving rules, all of them off}. Takes no query.

    Products that a global rule serves, or whose purchases are passed on, are left out.
    """
    return {
        number: [rule for rule in places.own[number] if _is_off(rule)]
        for number in sorted(places.products(_gives_nothing))
    }


def ending(places: Places) -> list[RuleFacts]:
    """Return the rules that are off and would end access on a refund or cancellation.

    Only while nothing else ends there what buyers get. Each is returned once, in the order of
    their IDs. Takes no query.
    """
    known = [places.concerning(number) for number in places.products(_left_off)]
    found = {
        rule.pk: rule
        for rules in (*known, *places.everywhere.values())
        for rule in _left_off(rules)
    }
    return [found[number] for number in sorted(found)]


def _gives_nothing(rules: Iterable[RuleFacts]) -> bool:
    """Return whether rules of a product are off that would give, and nothing else serves it."""
    rules = list(rules)
    off = any(rule.product_id is not None and _is_off(rule) for rule in rules)
    return off and not any(map(_serves, rules))


def _left_off(rules: Iterable[RuleFacts]) -> list[RuleFacts]:
    """Return which of these rules, all that concern a product, are off and would end access."""
    rules = list(rules)
    off = [
        rule
        for rule in rules
        if rule.trigger in pairing.ENDS and rule.spec.ends_access and not rule.enabled
    ]
    if not off:
        return []
    given = {rule.destination_id for rule in rules if pairing.gives_now(rule)}
    return [
        rule
        for rule in off
        if rule.destination_id in given
        and not pairing.is_answered(rule, Trigger(rule.trigger), rules)
    ]


def _is_off(rule: RuleFacts) -> bool:
    return rule.gives_on_purchase and not rule.enabled and not rule.is_gone


def _serves(rule: RuleFacts) -> bool:
    return pairing.gives_now(rule) or pairing.passes_on_now(rule)
