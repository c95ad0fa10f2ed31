"""Purchases that gave nothing, and for which nothing is owed any more."""

from collections.abc import Sequence
from datetime import datetime

from events.deciding import revocations
from events.models import EventLog, Grant
from events.reports import backfill, review, standing
from integrations.sentences import Said, format_day, say

# The fields of an event that are read here.
READ = (
    "marketplace",
    "delivery",
    "trigger",
    "customer",
    "product",
    "order_id",
    "subscription_id",
    "by_hand",
    "received_at",
)


def settled(events: Sequence[EventLog]) -> set[int]:
    """Return the IDs of those purchases for which nothing is owed any more.

    The purchase was refunded or canceled since, the buyer has all that the rules give now, or no
    rule gives anything and a person gave the buyer access.
    """
    ended = revocations.later_endings(events)
    return {*ended, *already_in([event for event in events if event.pk not in ended])}


def already_in(events: Sequence[EventLog]) -> set[int]:
    """Return the IDs of those purchases whose buyer has access by something else."""
    held = standing.held_by_buyers(events)
    return {*backfill.already_given(events, held), *gifts(events, held)}


def gifts(events: Sequence[EventLog], held: standing.Held | None = None) -> dict[int, Grant]:
    """Return {event ID: what a person gave the buyer since}, if no rule that is on gives anything.

    Without a rule nobody knows what was bought, so a gift counts for one purchase: the newest
    before it. What has ended or is not in Thinkific yet does not count. `held` is what the buyers
    have, if that is known. Takes no query then, unless something of it was given by hand.
    """
    held = standing.held_by_buyers(events) if held is None else held
    by_hand = {
        customer: [grant for grant in grants.values() if grant.source == Grant.Source.HAND]
        for customer, grants in held.items()
    }
    given = {customer: grants for customer, grants in by_hand.items() if grants}
    if not given:
        return {}
    purchases = EventLog.objects.filter(review.GAVE_NOTHING, customer__in=given)
    found = list(purchases.only(*READ).order_by("-received_at", "-pk"))
    now = backfill.rules_now(found)
    without_rule = [
        each for each in found if not any(rule.spec.gives_access for rule in now.get(each.pk, ()))
    ]
    counted: dict[int, Grant] = {}
    for customer, grants in given.items():
        bought = [each for each in without_rule if each.customer_id == customer]
        for grant in sorted(grants, key=_since):
            before = [each for each in bought if each.received_at <= _since(grant)]
            free = [each.pk for each in before if each.pk not in counted]
            if free:
                counted[free[0]] = grant
    return {event.pk: counted[event.pk] for event in events if event.pk in counted}


def gift_sentence(grant: Grant) -> Said:
    """Say "Ink was given by hand on 26 Nov."."""
    day = format_day(_since(grant))
    return say("{course} was given by hand on {day}.", course=grant.name, day=day)


def _since(grant: Grant) -> datetime:
    return grant.opened_at or grant.decided_at
