"""Rules that belong together: what gives access should be ended, and given back, by others."""

from collections.abc import Iterable

from django.db import transaction

from integrations.models import Product
from rules.models import Action, Rule
from rules.triggers import Trigger

# SamCart strongly recommends to end access on these (its help page); Canceled fires for
# delinquent subscriptions too. The other triggers are the creator's choice.
ENDS_ALWAYS = (Trigger.PRODUCT_REFUNDED,)
ENDS_SUBSCRIPTION = (Trigger.SUBSCRIPTION_CANCELED,)
GIVES_BACK = (Trigger.SUBSCRIPTION_RECOVERED, Trigger.SUBSCRIPTION_RESTARTED)
OPPOSITE: dict[Action, Action] = {
    Action.CREATE_COURSE_ENROLLMENT: Action.EXPIRE_COURSE_ENROLLMENT,
    Action.CREATE_BUNDLE_ENROLLMENT: Action.EXPIRE_BUNDLE_ENROLLMENT,
}


def holes(product: Product, rules: Iterable[Rule], *, subscription: bool) -> list[Trigger]:
    """The recommended triggers on which nothing takes away what a purchase of this gives.

    A rule whose course has gone gives nothing, so nothing of it is to be ended. `rules` are those
    of the account, for this product and global. `subscription`: whether the
    product was ever sold as one.
    """
    mine = [rule for rule in rules if rule.enabled and rule.product_id in {None, product.pk}]
    wanted = ENDS_ALWAYS + (ENDS_SUBSCRIPTION if subscription else ())
    given = [
        rule
        for rule in mine
        if _gives_on_purchase(rule) and rule.product_id and not rule.destination.gone_at
    ]
    return [
        trigger for trigger in wanted if any(not _is_ended(rule, trigger, mine) for rule in given)
    ]


def companions(rules: Iterable[Rule], *, subscription: bool) -> list[Rule]:
    """Unsaved rules that end what these give, and give it back; those that exist are left out."""
    proposed: list[Rule] = []
    for rule in rules:
        action = Action(rule.action)
        if not action.gives_access:
            continue
        ends = ENDS_ALWAYS + (ENDS_SUBSCRIPTION if subscription else ())
        proposed += [_like(rule, trigger, OPPOSITE[action]) for trigger in ends]
        if subscription:
            proposed += [_like(rule, trigger, action) for trigger in GIVES_BACK]
    fresh: dict[tuple[object, ...], Rule] = {}
    for rule in proposed:
        if not _stored(rule):
            fresh.setdefault(_key(rule), rule)
    return list(fresh.values())


def add(rules: Iterable[Rule]) -> int:
    """Save these rules together; how many. Raises ValidationError for one that cannot be."""
    number = 0
    with transaction.atomic():
        for rule in rules:
            rule.full_clean()
            rule.save()
            number += 1
    return number


def _gives_on_purchase(rule: Rule) -> bool:
    return rule.trigger == Trigger.PRODUCT_PURCHASED and Action(rule.action).gives_access


def _is_ended(giving: Rule, trigger: Trigger, rules: list[Rule]) -> bool:
    return any(
        rule.trigger == trigger
        and not Action(rule.action).gives_access
        and rule.destination_id == giving.destination_id
        for rule in rules
    )


def _like(rule: Rule, trigger: Trigger, action: Action) -> Rule:
    return Rule(
        marketplace=rule.marketplace,
        scope=rule.scope,
        product=rule.product,
        trigger=trigger,
        integration=rule.integration,
        action=action,
        destination=rule.destination,
    )


def _key(rule: Rule) -> tuple[object, ...]:
    return (
        rule.marketplace_id,
        rule.product_id,
        rule.trigger,
        rule.integration_id,
        rule.action,
        rule.destination_id,
    )


def _stored(rule: Rule) -> bool:
    names = ("marketplace", "product", "trigger", "integration", "action", "destination")
    return Rule.objects.filter(**dict(zip(names, _key(rule), strict=True))).exists()
