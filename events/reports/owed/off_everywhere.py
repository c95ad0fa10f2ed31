"""Global rules that gave access and were turned off lately, and the buyers who missed them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q
from django.utils import timezone

from events.access import revocations
from events.models import EventLog
from events.reports.access import held_access
from events.reports.earlier.earlier_buyers import customers_of
from events.reports.owed.promise import LATELY
from rules import changing
from rules.facts import Places
from rules.models import Rule
from rules.triggers import Trigger

MAX_RULES = 5
# At most this many purchases are looked at, the newest.
MAX_EVENTS = 500


@dataclass(frozen=True, slots=True)
class OffEverywhere:
    """A global rule that is off `since` then, and how many `buyers` since lack what it gave.

    There are `more` if older purchases were not looked at.
    """

    rule: Rule
    since: datetime
    buyers: int
    more: bool


def found(places: Places) -> list[OffEverywhere]:
    """Return the rules that were turned off within LATELY, the last one first.

    A rule that has been off for longer is assumed to be off on purpose. A rule that no buyer missed
    is left out. Takes no query if no global rule that gives access is off.
    """
    off = [
        rule.pk
        for rules in places.everywhere.values()
        for rule in rules
        if rule.gives_on_purchase and not rule.enabled and not rule.is_gone
    ]
    switches = changing.last_switches(off) if off else {}
    lately = timezone.now() - LATELY
    since = {pk: entry.at for pk, entry in switches.items() if entry.at >= lately}
    newest = sorted(since, key=lambda pk: since[pk], reverse=True)[:MAX_RULES]
    rules = Rule.objects.with_names().in_bulk(newest) if newest else {}
    asked = [rules[pk] for pk in newest if pk in rules]
    return missed(asked, since)


def missed(rules: Sequence[Rule], since: Mapping[int, datetime]) -> list[OffEverywhere]:
    """Return for each of these rules that gave access who bought since then and does not have it.

    `since` maps their IDs. Rules that no buyer missed are left out. Takes no query without rules.
    """
    if not rules:
        return []
    events = _purchases(rules, min(since[rule.pk] for rule in rules))
    events, more = events[:MAX_EVENTS], len(events) > MAX_EVENTS
    ended = revocations.later_endings(events)
    paid = [event for event in events if event.pk not in ended]
    held = held_access.held(customers_of(paid)) if paid else {}
    told = []
    for rule in rules:
        missed = {
            event.customer_id
            for event in paid
            if (rule.product_id or event.product_id) == event.product_id
            and event.marketplace_id == rule.marketplace_id
            # SQLite keeps milliseconds: who bought in that of the switch may lack it as well.
            and event.received_at >= since[rule.pk]
            and (rule.integration_id, rule.target) not in held.get(event.customer_id or 0, {})
        }
        if missed:
            told.append(OffEverywhere(rule, since[rule.pk], len(missed), more))
    return told


def _purchases(rules: Sequence[Rule], since: datetime) -> list[EventLog]:
    """Return the newest purchases since then that these rules were for, at most MAX_EVENTS + 1."""
    place = Q(product__in={rule.product_id for rule in rules if rule.product_id})
    place |= Q(marketplace__in={rule.marketplace_id for rule in rules if not rule.product_id})
    bought = EventLog.objects.filter(
        place,
        Q(dealt_with_at=None) | Q(gave_nothing=False),
        trigger=Trigger.PRODUCT_PURCHASED,
        received_at__gte=since,
        customer__isnull=False,
        undone_at=None,
    ).exclude(status=EventLog.Status.REPEAT)
    newest = bought.order_by("-received_at", "-pk").only("marketplace", *revocations.READ)
    return list(newest[: MAX_EVENTS + 1])
