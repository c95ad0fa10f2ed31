"""Tell what stops when a rule is deleted."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Q

from integrations.sentences import Said, gettext_noop, joined, say
from rules import pairing
from rules.listing import listed
from rules.models import Rule
from rules.triggers import Trigger

PRODUCTS_NAMED = 3
# What nothing ends anymore, or only the rules of some products; and what nothing gives back.
NOT_ENDED_FOR, NOT_ENDED, ENDED_ONLY_FOR = (
    gettext_noop(
        "Nothing ends the access of buyers of {products} to {place} on {trigger} anymore."
    ),
    gettext_noop("Nothing ends the access to {place} on {trigger} anymore."),
    gettext_noop("Only buyers of {products} still lose access to {place} on {trigger}."),
)
NOT_BACK_FOR, NOT_BACK, BACK_ONLY_FOR = (
    gettext_noop(
        "Nothing gives access to {place} back to buyers of {products} on {trigger} anymore."
    ),
    gettext_noop("Nothing gives access to {place} back on {trigger} anymore."),
    gettext_noop("Only buyers of {products} still get access to {place} back on {trigger}."),
)


@dataclass(frozen=True, slots=True)
class _Stop:
    """A `sentence` about a course or bundle, and perhaps products, that lacks only the trigger."""

    sentence: str
    place: str
    products: Said | str = ""

    def in_words(self, triggers: Iterable[Trigger]) -> Said:
        names = listed([trigger.label for trigger in triggers])
        return say(self.sentence, place=self.place, products=self.products, trigger=names)


def what_stops(rule: Rule) -> list[str]:
    """Return sentences that tell a person what stops if they delete the rule."""
    if not rule.enabled:
        return [say("The rule is turned off, so nothing changes.")]
    said: list[str] = [say("From the next event on, this stops: {rule}", rule=rule.in_words())]
    others = [each for each in _beside(rule) if each.pk != rule.pk]
    if rule.gives_on_purchase:
        if not rule.product:
            said.append(_only_where_given(rule))
        elif not (pairing.given(rule.product, others) or pairing.given(None, others)):
            name = rule.product.name
            said.append(say("No other rule gives anything to a buyer of {product}.", product=name))
    if text := _not_done(rule, others):
        said.append(text)
    return said


def no_longer_done(rules: Iterable[Rule]) -> Said | str:
    """Return what nothing does anymore since these rules are not there as given, "" for nothing.

    Pass the rules as they were before a change. What differs only in the trigger is one sentence.
    Takes one query for the rules of one product.
    """
    found: dict[_Stop, list[Trigger]] = defaultdict(list)
    beside: dict[object, list[Rule]] = {}
    for rule in rules:
        place = (rule.marketplace_id, rule.product_id or f"all: {rule.destination_id}")
        if place not in beside:
            beside[place] = _beside(rule)
        others = [each for each in beside[place] if each.pk != rule.pk]
        if stop := _stop(rule, others):
            found[stop].append(Trigger(rule.trigger))
    return joined(stop.in_words(triggers) for stop, triggers in found.items())


def _not_done(rule: Rule, others: list[Rule]) -> str:
    stop = _stop(rule, others)
    return stop.in_words([Trigger(rule.trigger)]) if stop else ""


def _stop(rule: Rule, others: list[Rule]) -> _Stop | None:
    giving = _answered(rule, others)
    if not giving:
        return None
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
    """Return the account's enabled rules that may do the same or depend on this rule."""
    need = Q(destination=rule.destination_id) if rule.product is None else Q(product=rule.product)
    account = Rule.objects.filter(marketplace=rule.marketplace_id, enabled=True)
    return list(account.filter(Q(product=None) | need).with_names())


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


def _left_open(rule: Rule, giving: list[Rule], same: list[Rule]) -> _Stop:
    """Say what will no longer happen, naming the products unless a global rule is concerned.

    Then it names those for which rules of their own, which are among `same`, still do the same.
    """
    place, back = giving[0].place, Trigger(rule.trigger) in pairing.GIVES_BACK
    names = dict.fromkeys(each.product.name for each in giving if each.product)
    if all(each.product for each in giving):
        return _Stop(
            NOT_BACK_FOR if back else NOT_ENDED_FOR, place, listed([*names], PRODUCTS_NAMED)
        )
    still = dict.fromkeys(each.product.name for each in same if each.product)
    if not still:
        return _Stop(NOT_BACK if back else NOT_ENDED, place)
    return _Stop(BACK_ONLY_FOR if back else ENDED_ONLY_FOR, place, listed([*still], PRODUCTS_NAMED))
