"""Products that give their buyers nothing, only because their giving rules are turned off."""

from rules import pairing
from rules.facts import Places, RuleFacts


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


def _is_off(rule: RuleFacts) -> bool:
    return rule.gives_on_purchase and not rule.enabled and not rule.is_gone


def _serves(rule: RuleFacts) -> bool:
    return pairing.gives_now(rule) or pairing.passes_on_now(rule)
