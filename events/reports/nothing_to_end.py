"""Whether rules have something to end for refunds and cancellations."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from events.access.ledger import Sale
from events.deciding import revocations
from events.deciding.fired import fired_by
from events.models import EventLog, Grant, RuleRun
from events.reports import rules_now
from integrations.sentences import say
from rules.models import Rule
from rules.triggers import Trigger

Row = TypeVar("Row", EventLog, Grant)

NOTHING = _("nothing that the purchase gave is left to end")


def known(events: Iterable[EventLog], fitting: Mapping[int, Sequence[Rule]]) -> dict[int, bool]:
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
    of_sales = Q(order_id__in={event.order_id for event in asked} - {""})
    of_sales |= Q(subscription_id__in={event.subscription_id for event in asked} - {""})
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
    ended = known(
        asked, {event.pk: fitting.get(event.pk, ()) for event in asked if event.pk not in failing}
    )
    return {pk: say(NOTHING) for pk, ends in ended.items() if not ends}


def _ends(rule: Rule) -> bool:
    return rule.spec.ends_access and not rule.ends_all


def ending_rule(event: EventLog, integration: int | None, target: str) -> Rule | None:
    """Return a rule that ends this course or bundle at such an event; one that is on goes first."""
    rules = Rule.objects.filter(
        Q(product=event.product_id) | Q(product=None),
        marketplace=event.marketplace_id,
        trigger__in=fired_by(event.trigger),
    ).with_names()
    ending = (
        rule
        for rule in rules.order_by("-enabled", "pk")
        if rule.spec.ends_access and rule.integration_id == integration and target in parts_of(rule)
    )
    return next(ending, None)


def would_end(rule: Rule, grant: Grant) -> bool:
    """Whether the grant gives now what the rule ends, or a part of it."""
    same = grant.is_active and grant.integration_id == rule.integration_id
    return same and not parts_of(rule).isdisjoint(grant.parts)


def parts_of(rule: Rule) -> frozenset[str]:
    """Return the rule's course or bundle, and the courses in the bundle."""
    inside = rule.destination.course_ids if rule.destination else []
    return frozenset([rule.target, *(f"course:{number}" for number in inside)])


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
