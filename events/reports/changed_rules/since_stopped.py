"""Whom it concerns that rules were turned off or deleted: the events since then."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from django.db.models import Q

from events.models import EventLog
from events.reports.changed_rules.refunded import MAX_REFUNDS, refunded_with_access
from events.reports.earlier.earlier_buyers import customers_of
from rules.fired import firing
from rules.models import Rule
from rules.triggers import Trigger

# At most this many purchases that gave nothing are looked at, the newest.
MAX_EVENTS = 500


def still_in(rules: Iterable[Rule], since: Mapping[int, datetime]) -> dict[int, int]:
    """Return how many buyers were refunded or canceled since then and have what a rule would end.

    `rules` end access and are off or deleted; `since` maps their IDs, as the result does. Rules
    whose course or bundle is unknown, or without such buyers, are left out. Takes the same queries
    for any number of rules, none for none.
    """
    rules = [rule for rule in rules if rule.destination]
    if not rules:
        return {}
    triggers = {rule.pk: set(firing(rule.trigger)) for rule in rules}
    fired = set().union(*triggers.values())
    endings = EventLog.objects.filter(
        left_open=True, trigger__in=fired, received_at__gt=min(since[each.pk] for each in rules)
    )
    newest = list(endings.order_by("-received_at", "-pk")[:MAX_REFUNDS])
    who: dict[int, set[int]] = defaultdict(set)
    found = refunded_with_access(among=newest, by=[*fired]) if newest else []
    for each in found:
        for rule in rules:
            if (
                each.refund.trigger in triggers[rule.pk]
                and each.refund.received_at > since[rule.pk]
                and each.refund.marketplace_id == rule.marketplace_id
                and rule.product_id in (None, each.event.product_id)
            ):
                who[rule.pk] |= {
                    grant.customer_id
                    for grant in each.grants
                    if (grant.integration_id, grant.target) == (rule.integration_id, rule.target)
                }
    return {pk: len(customers) for pk, customers in who.items() if customers}


def got_nothing(rules: Collection[Rule], since: Mapping[int, datetime]) -> dict[int, int]:
    """Return how many bought since each of these rules was deleted and got nothing, by its ID.

    `since` maps the same IDs. Rules without such buyers are left out. Takes one query, none without
    rules.
    """
    if not rules:
        return {}
    place = Q(product__in={rule.product_id for rule in rules if rule.product_id})
    place |= Q(marketplace__in={rule.marketplace_id for rule in rules if not rule.product_id})
    bought = EventLog.objects.filter(
        place,
        trigger=Trigger.PRODUCT_PURCHASED,
        gave_nothing=True,
        dealt_with_at=None,
        undone_at=None,
        received_at__gt=min(since[rule.pk] for rule in rules),
        customer__isnull=False,
    ).exclude(status=EventLog.Status.REPEAT)
    fields = ("customer", "product", "marketplace", "received_at")
    events = list(bought.order_by("-received_at", "-pk").only(*fields)[:MAX_EVENTS])
    found = {
        rule.pk: len(
            customers_of(
                event
                for event in events
                if event.received_at > since[rule.pk]
                and rule.marketplace_id == event.marketplace_id
                and rule.product_id in (None, event.product_id)
            )
        )
        for rule in rules
    }
    return {pk: buyers for pk, buyers in found.items() if buyers}
