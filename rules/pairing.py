"""Pair rules: a rule that gives access needs companions that end it and give it back."""

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol, TypeVar

from django.db.models import Q

from integrations.models import Product
from rules import changing
from rules.actions import ActionSpec, Effect
from rules.models import Rule
from rules.triggers import TAKES_BACK, Trigger

# SamCart's help page strongly recommends ending access on these. Subscription Canceled fires for
# delinquent subscriptions too. The other triggers are the course owner's choice.
ENDS = (Trigger.PRODUCT_REFUNDED, Trigger.SUBSCRIPTION_CANCELED)
GIVES_BACK = (Trigger.SUBSCRIPTION_RECOVERED, Trigger.SUBSCRIPTION_RESTARTED)
# A product that is not sold by subscription needs only the refund rule.
MATTERS_ALWAYS = (Trigger.PRODUCT_REFUNDED,)


class Paired(Protocol):
    """What pairing reads from a rule, which is a `Rule` or a `RuleFacts`."""

    @property
    def product_id(self) -> int | None: ...
    @property
    def trigger(self) -> str: ...
    @property
    def destination_id(self) -> int | None: ...
    @property
    def enabled(self) -> bool: ...
    @property
    def is_gone(self) -> bool: ...
    @property
    def spec(self) -> ActionSpec: ...
    @property
    def gives_on_purchase(self) -> bool: ...


Known = TypeVar("Known", bound=Paired)


def is_usual(action: ActionSpec, trigger: Trigger) -> bool:
    """Return whether the action does not give access where it usually ends, or the reverse.

    On the triggers that are the course owner's choice, every action is usual.
    """
    if trigger in TAKES_BACK:
        return action.effect is not Effect.GIVES
    if trigger in {Trigger.PRODUCT_PURCHASED, *GIVES_BACK}:
        return action.effect is not Effect.ENDS
    return True


def holes(
    product: Product | None,
    rules: Iterable[Paired],
    *,
    subscription: bool,
    paid_once: bool = False,
) -> list[Trigger]:
    """Return the triggers that lack a rule to end, or give back, what a purchase gives.

    Looks at what the rules of `product` give, or with None at what the global rules give. A rule
    whose course is gone gives nothing, so it needs no companions.

    `rules` are the account's rules for this product and its global rules, on or off.
    `subscription` tells whether the product was seen to be sold by subscription, and `paid_once`
    whether it was bought, and not so. Until either is known, a product with a rule of its own for a
    Subscription trigger counts as sold by subscription, too.
    """
    number = product.pk if product else None
    rules = [rule for rule in rules if rule.product_id is None or rule.product_id == number]
    own = [rule for rule in rules if rule.product_id == number]
    return _holes(own, rules, subscription=subscription, paid_once=paid_once)


def holes_in(
    rules: Sequence[Paired], *, subscription: bool, paid_once: bool = False
) -> list[Trigger]:
    """Return the same for a product, given its own rules and its account's global ones alone."""
    own = [rule for rule in rules if rule.product_id is not None]
    return _holes(own, rules, subscription=subscription, paid_once=paid_once)


def _holes(
    own: Sequence[Paired], rules: Iterable[Paired], *, subscription: bool, paid_once: bool
) -> list[Trigger]:
    giving = {rule.destination_id for rule in own if gives_now(rule)}
    if not giving:
        return []
    # What SamCart sent counts for more than the rules: they may have been added just in case.
    if not paid_once:
        subscription = subscription or any(Trigger(rule.trigger).of_subscription for rule in own)
    answered = _answered(rules)
    wanted = (*ENDS, *GIVES_BACK) if subscription else MATTERS_ALWAYS
    return [each for each in wanted if any((each, target) not in answered for target in giving)]


def given(product: Product | None, rules: Iterable[Known]) -> list[Known]:
    """Return the product's own rules that give its buyers access now; with None, the global ones.

    A rule gives nothing while it is off or its course is gone.
    """
    number = product and product.pk
    return [rule for rule in rules if rule.product_id == number and gives_now(rule)]


def is_to_give(rule: Paired) -> bool:
    """Return whether this rule is on and gives access on a purchase, if its course exists."""
    return rule.enabled and rule.gives_on_purchase


def gives_now(rule: Paired) -> bool:
    """Return whether a purchase gives access by this rule: it is on and its course exists."""
    return is_to_give(rule) and not rule.is_gone


def passes_on_now(rule: Paired) -> bool:
    """Return whether this rule is on and passes a purchase on."""
    return rule.trigger == Trigger.PRODUCT_PURCHASED and rule.enabled and rule.spec.passes_on


def is_answered(giving: Paired, trigger: Trigger, rules: Iterable[Paired]) -> bool:
    """Return whether an enabled rule does on this trigger what is recommended.

    That is to end the access that `giving` gives or, on triggers in GIVES_BACK, to give it back.
    """
    return (trigger, giving.destination_id) in _answered(rules)


def is_there(giving: Paired, trigger: Trigger, rules: Iterable[Paired]) -> bool:
    """Return the same for a rule that is on or off."""
    target = giving.destination_id
    return any(r.trigger == trigger and r.destination_id == target and _answers(r) for r in rules)


def _answered(rules: Iterable[Paired]) -> set[tuple[str, int | None]]:
    """Return (trigger, destination ID) of each enabled rule that ends access or gives it back."""
    return {
        (rule.trigger, rule.destination_id) for rule in rules if rule.enabled and _answers(rule)
    }


def _answers(rule: Paired) -> bool:
    return rule.spec.gives_access if rule.trigger in GIVES_BACK else rule.spec.ends_access


def only_off(
    holes: Iterable[Trigger], own: Sequence[Paired], rules: Iterable[Paired]
) -> list[Trigger]:
    """Return which of these holes close once some of these rules are turned on.

    `own` are the product's rules, and `rules` all that may run for it; or both the global ones.
    """
    rules = list(rules)
    if all(rule.enabled for rule in rules):
        return []
    giving = {rule.destination_id for rule in own if gives_now(rule)}
    there = {(rule.trigger, rule.destination_id) for rule in rules if _answers(rule)}
    return [each for each in holes if all((each, target) in there for target in giving)]


def turned_off(giving: Iterable[Paired], trigger: Trigger, rules: Sequence[Known]) -> list[Known]:
    """Return the rules that only need turning on for what is recommended on this trigger.

    That is what should happen then to the courses that `giving` gives. A rule is left out if
    another one that is on does the same.
    """
    off = [r for r in rules if not r.enabled and r.trigger == trigger and _answers(r)]
    targets = {rule.destination_id for rule in giving} if off else set()
    return [
        rule
        for rule in off
        if rule.destination_id in targets and not is_answered(rule, trigger, rules)
    ]


def companions(rules: Iterable[Rule]) -> list[Rule]:
    """Return unsaved rules that end what `rules` give, or give it back, without existing ones.

    They cover the Subscription triggers even if the product is not sold by subscription. A rule
    whose trigger never fires costs nothing; a missing one lets a canceled buyer keep the course.
    None ends on the same trigger what one of `rules` gives on it.
    """
    rules = [rule for rule in rules if rule.spec.gives_access]
    proposed = [
        _like(rule, trigger, action)
        for rule in rules
        for triggers, action in (
            (ENDS, rule.spec.opposite),
            (GIVES_BACK, rule.action),
        )
        for trigger in (triggers if action else ())
        if trigger != rule.trigger
    ]
    known = {key(rule) for rule in rules} | set(stored_among(proposed))
    fresh: dict[tuple[object, ...], Rule] = {}
    for rule in proposed:
        if key(rule) not in known:
            fresh.setdefault(key(rule), rule)
    return list(fresh.values())


def stored(rule: Rule) -> Rule | None:
    """Return the stored rule, on or off, that does the same as this unsaved one, or None."""
    return stored_among([rule]).get(key(rule))


def stored_among(rules: Iterable[Rule]) -> dict[tuple[object, ...], Rule]:
    """Return the stored rules that do the same as these unsaved ones, by `key`. One query."""
    wanted = {key(rule): rule for rule in rules}
    if not wanted:
        return {}
    # A rule for a course that is not saved yet has no destination ID and matches no stored rule.
    targets = {rule.destination_id for rule in wanted.values()}
    products = {rule.product_id for rule in wanted.values()}
    same = Rule.objects.filter(
        _one_of("destination", targets),
        _one_of("product", products),
        integration__in={rule.integration_id for rule in wanted.values()},
        trigger__in={rule.trigger for rule in wanted.values()},
    ).select_related("marketplace", "product", "integration", "destination")
    return {key(rule): rule for rule in same.order_by("-pk") if key(rule) in wanted}


def _one_of(name: str, numbers: Collection[int | None]) -> Q:
    named = Q(**{f"{name}__in": [number for number in numbers if number is not None]})
    return named | Q(**{name: None}) if None in numbers else named


def by_trigger(rules: Iterable[Rule]) -> list[tuple[Trigger, list[Rule]]]:
    """Group rules by trigger, as pages show them with ticks."""
    found: dict[Trigger, list[Rule]] = {}
    for rule in rules:
        found.setdefault(Trigger(rule.trigger), []).append(rule)
    return list(found.items())


def add(rules: Iterable[Rule]) -> int:
    """Save these rules, all or none, and return how many. Raises ValidationError."""
    new = list(rules)
    with changing.all_or_none():
        for rule in new:
            rule.full_clean()
        changing.add_all(new)
    return len(new)


def _like(rule: Rule, trigger: Trigger, action: str) -> Rule:
    return Rule(
        marketplace=rule.marketplace,
        scope=rule.scope,
        product=rule.product,
        trigger=trigger,
        integration=rule.integration,
        action=action,
        destination=rule.destination,
    )


def key(rule: Rule) -> tuple[object, ...]:
    """Return what identifies a rule. Two rules with the same key do the same, on or off."""
    return (
        rule.marketplace_id,
        rule.product_id,
        rule.trigger,
        rule.integration_id,
        rule.action,
        rule.destination_id,
    )
