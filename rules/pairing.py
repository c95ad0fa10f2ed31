"""Rules that belong together: what gives access should be ended, and given back, by others."""

from collections.abc import Collection, Iterable
from typing import Protocol, TypeVar

from django.db.models import Q

from integrations.models import Product
from rules import changing
from rules.actions import ActionSpec
from rules.models import Rule
from rules.triggers import Trigger

# SamCart strongly recommends to end access on these (its help page); Canceled fires for
# delinquent subscriptions too. The other triggers are the creator's choice.
ENDS = (Trigger.PRODUCT_REFUNDED, Trigger.SUBSCRIPTION_CANCELED)
GIVES_BACK = (Trigger.SUBSCRIPTION_RECOVERED, Trigger.SUBSCRIPTION_RESTARTED)
# Of what is not sold by subscription, only a refund can be missed.
MATTERS_ALWAYS = (Trigger.PRODUCT_REFUNDED,)


class Paired(Protocol):
    """What is looked at of a rule: of a row of the table, or of `RuleFacts`."""

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


def holes(product: Product | None, rules: Iterable[Paired], *, subscription: bool) -> list[Trigger]:
    """The triggers that matter on which nothing ends, or gives back, what a purchase gives.

    Looked at is what the rules of this product give, or with None what global rules give. A rule
    whose course has gone gives nothing, so nothing of it is to be ended. `rules` are those of the
    account, for this product and global, on or off. `subscription`: whether the product was seen
    to be sold as one; a rule of its own for a Subscription trigger says so as well.
    """
    return holes_of(product.pk if product else None, rules, subscription=subscription)


def holes_of(number: int | None, rules: Iterable[Paired], *, subscription: bool) -> list[Trigger]:
    """The same of a product by its number."""
    rules = [rule for rule in rules if rule.product_id is None or rule.product_id == number]
    own = [rule for rule in rules if rule.product_id == number]
    giving = {rule.destination_id for rule in own if gives_now(rule)}
    if not giving:
        return []
    subscription = subscription or any(Trigger(rule.trigger).of_subscription for rule in own)
    answered = _answered(rules)
    wanted = (*ENDS, *GIVES_BACK) if subscription else MATTERS_ALWAYS
    return [each for each in wanted if any((each, target) not in answered for target in giving)]


def given(product: Product | None, rules: Iterable[Known]) -> list[Known]:
    """Those of these rules that give a buyer of this product access now; with None, global ones.

    A rule that is off gives nothing, nor does one whose course has gone.
    """
    number = product and product.pk
    return [rule for rule in rules if rule.product_id == number and gives_now(rule)]


def gives_now(rule: Paired) -> bool:
    """Whether a purchase gives something by it: it is on, and its course is there."""
    return rule.enabled and rule.gives_on_purchase and not rule.is_gone


def is_answered(giving: Paired, trigger: Trigger, rules: Iterable[Paired]) -> bool:
    """Whether one of the rules that are on does on this trigger what the recommendation says.

    That is to end the access that `giving` gives, or to give it back.
    """
    return (trigger, giving.destination_id) in _answered(rules)


def _answered(rules: Iterable[Paired]) -> set[tuple[str, int | None]]:
    """(trigger, destination) of what the recommendation asks for and one of these does."""
    return {
        (rule.trigger, rule.destination_id)
        for rule in rules
        if rule.enabled
        and (rule.spec.gives_access if rule.trigger in GIVES_BACK else rule.spec.ends_access)
    }


def companions(rules: Iterable[Rule]) -> list[Rule]:
    """Unsaved rules that end what these give, and give it back; those that exist are left out.

    All of them, however it is sold: a rule for what never comes costs nothing, and one that is
    missing lets a canceled buyer keep the course.
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
    ]
    known = {key(rule) for rule in rules} | set(stored_among(proposed))
    fresh: dict[tuple[object, ...], Rule] = {}
    for rule in proposed:
        if key(rule) not in known:
            fresh.setdefault(key(rule), rule)
    return list(fresh.values())


def stored(rule: Rule) -> Rule | None:
    """The rule that is there already and does the same as this unsaved one, on or off."""
    return stored_among([rule]).get(key(rule))


def stored_among(rules: Iterable[Rule]) -> dict[tuple[object, ...], Rule]:
    """The stored rules that do the same as one of these unsaved ones, by `key`; in one query."""
    wanted = {key(rule): rule for rule in rules}
    if not wanted:
        return {}
    # What a course by its number is not yet is in no rule.
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
    """As they are shown and ticked: those of one trigger together."""
    found: dict[Trigger, list[Rule]] = {}
    for rule in rules:
        found.setdefault(Trigger(rule.trigger), []).append(rule)
    return list(found.items())


def add(rules: Iterable[Rule]) -> int:
    """Save these rules as one step; how many. Raises ValidationError for one that cannot be."""
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
    """What makes a rule the same as another, on or off."""
    return (
        rule.marketplace_id,
        rule.product_id,
        rule.trigger,
        rule.integration_id,
        rule.action,
        rule.destination_id,
    )
