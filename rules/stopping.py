"""Tell what stops when a rule is deleted."""

from django.db.models import Q

from integrations.sentences import say
from rules import pairing
from rules.listing import listed
from rules.models import Rule
from rules.triggers import Trigger

PRODUCTS_NAMED = 3


def what_stops(rule: Rule) -> list[str]:
    """Return sentences that tell a person what stops if they delete the rule."""
    if not rule.enabled:
        return [say("The rule is turned off, so nothing changes.")]
    said: list[str] = [say("From the next event on, this stops: {rule}", rule=rule.in_words())]
    others = _beside(rule)
    if rule.gives_on_purchase:
        if not rule.product:
            said.append(_only_where_given(rule))
        elif not (pairing.given(rule.product, others) or pairing.given(None, others)):
            name = rule.product.name
            said.append(say("No other rule gives anything to a buyer of {product}.", product=name))
    if text := _not_done(rule, others):
        said.append(text)
    return said


def no_longer_done(rule: Rule) -> str:
    """Return what nothing does any more since this rule is not there as given, "" for nothing.

    Pass the rule as it was before a change.
    """
    return _not_done(rule, _beside(rule))


def _not_done(rule: Rule, others: list[Rule]) -> str:
    giving = _answered(rule, others)
    if not giving:
        return ""
    same = [each for each in others if _answers_like(rule, giving[0], each)]
    return _left_open(rule, giving, same)


def _only_where_given(rule: Rule) -> str:
    """Say which buyers a global rule no longer serves, and that nobody loses anything."""
    return say(
        "New buyers get {course} only where a rule of their product gives it, too. Those who have "
        "it keep it.",
        course=rule.destination or "",
    )


def _beside(rule: Rule) -> list[Rule]:
    """Return the account's other enabled rules that may do the same or depend on this rule."""
    need = Q(destination=rule.destination_id) if rule.product is None else Q(product=rule.product)
    account = Rule.objects.filter(marketplace=rule.marketplace_id, enabled=True)
    beside = account.filter(Q(product=None) | need).exclude(pk=rule.pk)
    return list(beside.with_names())


def _answered(rule: Rule, others: list[Rule]) -> list[Rule]:
    """Return the rules whose access only this rule ends, or gives back, on its trigger.

    A global rule does so for the rules of all products.
    """
    trigger = Trigger(rule.trigger)
    if trigger not in (*pairing.ENDS, *pairing.GIVES_BACK):
        return []
    giving = [
        each
        for each in others
        if rule.product_id in {None, each.product_id}
        and pairing.gives_now(each)
        and pairing.is_answered(each, trigger, [rule])
    ]
    # All of `giving` give the same course or bundle, so one of them stands for all.
    still = {each.product_id for each in others if giving and _answers_like(rule, giving[0], each)}
    return [each for each in giving if still.isdisjoint({None, each.product_id})]


def _answers_like(rule: Rule, giving: Rule, other: Rule) -> bool:
    """Return whether the other rule does for `giving` what `rule` does, on its trigger."""
    return pairing.is_answered(giving, Trigger(rule.trigger), [other])


def _left_open(rule: Rule, giving: list[Rule], same: list[Rule]) -> str:
    """Say what will no longer happen, naming the products unless a global rule is concerned.

    Then it names those for which rules of their own, which are among `same`, still do the same.
    """
    trigger = Trigger(rule.trigger)
    about = {"place": giving[0].place, "trigger": trigger.label}
    names = dict.fromkeys(each.product.name for each in giving if each.product)
    if all(each.product for each in giving):
        about["products"] = listed([*names], PRODUCTS_NAMED)
        if trigger in pairing.GIVES_BACK:
            return say(
                "Nothing gives access to {place} back to buyers of {products} on {trigger} any "
                "more.",
                **about,
            )
        return say(
            "Nothing ends the access of buyers of {products} to {place} on {trigger} any more.",
            **about,
        )
    still = dict.fromkeys(each.product.name for each in same if each.product)
    if not still:
        if trigger in pairing.GIVES_BACK:
            return say("Nothing gives access to {place} back on {trigger} any more.", **about)
        return say("Nothing ends the access to {place} on {trigger} any more.", **about)
    about["products"] = listed([*still], PRODUCTS_NAMED)
    if trigger in pairing.GIVES_BACK:
        return say(
            "Only buyers of {products} still get access to {place} back on {trigger}.", **about
        )
    return say("Only buyers of {products} still lose access to {place} on {trigger}.", **about)
