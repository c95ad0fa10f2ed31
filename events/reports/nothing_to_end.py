"""Whether rules have something to end for refunds and cancellations, and whether it then ends."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeVar

from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from events.access import ledger
from events.access.ledger import Sale
from events.deciding import revocations
from events.models import EventLog, Grant, RuleRun
from events.reports import rules_now
from integrations.sentences import say
from rules.models import Rule
from rules.triggers import Trigger

Row = TypeVar("Row", EventLog, Grant)

NOTHING = _("nothing that the purchase gave is left to end")


def has_something_to_end(
    events: Iterable[EventLog], fitting: Mapping[int, Sequence[Rule]]
) -> dict[int, bool]:
    """Return, by event ID, whether its `fitting` rules have something to end.

    For events whose rules only end access; without a rule, whether something is open. A purchase
    that Admit does not know may have given it, so its events are left out.
    """
    asked = {event: fitting[event.pk] for event in events if event.pk in fitting}
    asked = {
        event: rules
        for event, rules in asked.items()
        if Sale.of(event).is_named and all(map(_ends, rules))
    }
    if not asked:
        return {}
    of_sales = _of_sales(asked)
    gave = _by_name(Grant.objects.filter(of_sales, source=Grant.Source.PURCHASE))
    bought = _by_name(EventLog.objects.filter(of_sales).of_triggers(Trigger.PRODUCT_PURCHASED))
    found: dict[int, bool] = {}
    for event, rules in asked.items():
        grants = _same(event, gave)
        is_known = _same(event, bought) or any(grant.opened_at for grant in grants)
        if is_known:
            open_ = [grant for grant in grants if grant.is_active]
            ends = [grant for grant in open_ for rule in rules if would_end(rule, grant)]
            found[event.pk] = bool(ends if rules else open_)
    return found


def given_besides(ran: Mapping[EventLog, Sequence[Rule]]) -> dict[int, set[int]]:
    """Return, by event ID, the IDs of its rules that end the purchase's access alone.

    Something else gives the student the same, and no rule in `ran`, by event, ends that as well.
    Takes two queries, or none if no rule ends access.
    """
    ending = {
        event: [rule for rule in rules if _ends(rule)]
        for event, rules in ran.items()
        if any(map(_ends, rules)) and not any(rule.ends_all for rule in rules)
    }
    if not ending:
        return {}
    gave = _by_name(Grant.objects.active().filter(_of_sales(ending), source=Grant.Source.PURCHASE))
    ends = {
        event: [row for row in _same(event, gave) if any(would_end(rule, row) for rule in rules)]
        for event, rules in ending.items()
    }
    ended = {row.pk: row for rows in ends.values() for row in rows}
    others: dict[int, list[Grant]] = defaultdict(list)
    lasting = Grant.objects.filter(Q(until=None) | Q(until__gt=Now()))
    for row in lasting.filter(customer__in={row.customer_id for row in ended.values()}):
        if row.pk not in ended:
            others[row.customer_id].append(row)
    return {
        event.pk: {rule.pk for rule in rules if _stays(rule, ends[event], others)}
        for event, rules in ending.items()
    }


def _stays(rule: Rule, grants: Iterable[Grant], others: Mapping[int, list[Grant]]) -> bool:
    """Whether these other grants, by customer ID, give all that the rule ends of the grants."""
    ends = [grant for grant in grants if would_end(rule, grant)]
    for grant in ends:
        rows, parts = others.get(grant.customer_id, []), parts_of(rule) & grant.parts
        held = {part for part in parts if ledger.holder(rows, grant.integration_id, part)}
        # Who has all courses of a bundle has the bundle.
        courses = {part for part in parts if part.startswith("course:")}
        if grant.target not in held and not (courses or parts) <= held:
            return False
    return bool(ends)


def ended_meanwhile(events: Iterable[EventLog]) -> dict[int, str]:
    """Return, by ID, why running the rules again for these events would do nothing.

    Only for refunds and cancellations for which no rule did anything and no action failed, and
    after which something else ended what the purchase gave.
    """
    asked = [
        event for event in events if event.gave_nothing and event.trigger in revocations.ENDING
    ]
    if not asked:
        return {}
    failed = RuleRun.objects.filter(event__in=asked, status=RuleRun.Status.FAILED)
    failing = set(failed.values_list("event", flat=True))
    fitting = rules_now.fitting(asked)
    ended = has_something_to_end(
        asked, {event.pk: fitting.get(event.pk, ()) for event in asked if event.pk not in failing}
    )
    return {pk: say(NOTHING) for pk, ends in ended.items() if not ends}


def _ends(rule: Rule) -> bool:
    return rule.spec.ends_access and not rule.ends_all


def would_end(rule: Rule, grant: Grant) -> bool:
    """Whether the grant gives now what the rule ends, or a part of it."""
    same = grant.is_active and grant.integration_id == rule.integration_id
    return same and not parts_of(rule).isdisjoint(grant.parts)


def parts_of(rule: Rule) -> frozenset[str]:
    """Return the rule's course or bundle, and the courses in the bundle."""
    inside = rule.destination.course_ids if rule.destination else []
    return frozenset([rule.target, *(f"course:{number}" for number in inside)])


def _of_sales(events: Collection[EventLog]) -> Q:
    orders = Q(order_id__in={event.order_id for event in events} - {""})
    return orders | Q(subscription_id__in={event.subscription_id for event in events} - {""})


def _by_name(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Group the rows by their order, and by their subscription."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        for name in {row.order_id, row.subscription_id} - {""}:
            found[name].append(row)
    return found


def _same(event: EventLog, rows: Mapping[str, list[Row]]) -> list[Row]:
    """Return the rows of the purchase that the event is about."""
    sale = Sale.of(event)
    near = [row for name in (sale.order_id, sale.subscription_id) for row in rows.get(name, ())]
    return [row for row in near if sale.is_same(Sale.of(row))]
