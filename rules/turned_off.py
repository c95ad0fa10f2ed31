"""What rules that are turned off would do: give buyers a product, or end access on a refund."""

from collections.abc import Iterable

from rules import pairing
from rules.facts import Places, RuleFacts
from rules.triggers import Trigger


def by_product(places: Places) -> dict[int, list[RuleFacts]]:
    """Return {product ID: its giving rules, all of them off}. Takes no query.

    Products that a global rule serves, or whose purchases are passed on, are left out.
    """
    own, everywhere = places
    found = {number: [rule for rule in rules if _is_off(rule)] for number, rules in own.items()}
    return {
        number: off
        for number, off in found.items()
        if off and not any(map(_serves, own[number] + everywhere.get(off[0].marketplace_id, [])))
    }


def ending_on_refund(places: Places) -> list[RuleFacts]:
    """Return the rules that are off, while nothing else ends on a refund what buyers get.

    Each is returned once, in the order of their IDs. Takes no query.
    """
    own, everywhere = places
    known = [rules + everywhere.get(rules[0].marketplace_id, []) for rules in own.values()]
    found = {rule.pk: rule for rules in (*known, *everywhere.values()) for rule in _left_off(rules)}
    return [found[number] for number in sorted(found)]


def _left_off(rules: Iterable[RuleFacts]) -> list[RuleFacts]:
    """Return which of these rules, all that concern a product, are off and would end access."""
    rules = list(rules)
    refund = Trigger.PRODUCT_REFUNDED
    off = [
        rule
        for rule in rules
        if rule.trigger == refund and rule.spec.ends_access and not rule.enabled
    ]
    if not off:
        return []
    given = {rule.destination_id for rule in rules if pairing.gives_now(rule)}
    return [
        rule
        for rule in off
        if rule.destination_id in given and not pairing.is_answered(rule, refund, rules)
    ]


def _is_off(rule: RuleFacts) -> bool:
    return rule.gives_on_purchase and not rule.enabled and not rule.is_gone


def _serves(rule: RuleFacts) -> bool:
    return pairing.gives_now(rule) or pairing.passes_on_now(rule)
