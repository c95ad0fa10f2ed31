"""What stops when a rule is deleted."""

from rules import pairing
from rules.models import Rule
from rules.triggers import Trigger


def what_stops(rule: Rule) -> list[str]:
    """What a person should know before the rule is gone, in sentences."""
    if not rule.enabled:
        return ["The rule is turned off, so nothing changes."]
    said = [f"From the next event on, this stops: {rule.in_words()}"]
    account = Rule.objects.filter(marketplace=rule.marketplace_id, enabled=True)
    others = list(account.exclude(pk=rule.pk).select_related("product", "destination"))
    if rule.trigger == Trigger.PRODUCT_PURCHASED and rule.spec.gives_access:
        if not rule.product:
            said.append("What only global rules gave is not given any more.")
        elif not _is_given_more(rule, others):
            said.append(f"No other rule gives anything to a buyer of {rule.product.name}.")
    said += [_left_open(rule, giving) for giving in _answered(rule, others)]
    return said


def _is_given_more(rule: Rule, others: list[Rule]) -> bool:
    given = pairing.given(rule.product, others) + pairing.given(None, others)
    return bool(given)


def _answered(rule: Rule, others: list[Rule]) -> list[Rule]:
    """The rules that give what only this one ends, or gives back, on its trigger."""
    trigger = Trigger(rule.trigger)
    if trigger not in (*pairing.ENDS, *pairing.GIVES_BACK):
        return []
    mine = [each for each in others if each.product_id in {None, rule.product_id}]
    giving = pairing.given(rule.product, others)
    return [
        each
        for each in giving
        if pairing.is_answered(each, trigger, [rule])
        and not pairing.is_answered(each, trigger, mine)
    ][:1]


def _left_open(rule: Rule, giving: Rule) -> str:
    trigger = Trigger(rule.trigger)
    if trigger in pairing.GIVES_BACK:
        return f"Nothing gives access to {giving.place} back on {trigger.label} any more."
    return f"Nothing ends the access to {giving.place} on {trigger.label} any more."
