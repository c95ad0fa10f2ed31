"""Whether rules have something to end for refunds and cancellations, and whether it then ends."""

from collections.abc import Iterable, Mapping, Sequence

from django.utils.translation import gettext_lazy as _

from events.access.other_grants import OtherGrants
from events.access.sale import BySale, Sale, near
from events.models import EventLog, Grant, RuleRun
from events.reports import rules_now
from integrations.sentences import say
from integrations.targets import course_target
from rules.models import Rule
from rules.triggers import TAKES_BACK, Trigger

NOTHING = _("nothing that the purchase gave is left to end")


def has_something_to_end(
    events: Iterable[EventLog], fitting: Mapping[int, Sequence[Rule]]
) -> dict[int, bool]:
    """Return, by event ID, whether its `fitting` rules have something to end.

    For events whose rules only end access; without a rule, whether something is open. A purchase
    that Admit does not know may have given it, so its events are left out.
    """
    asked = {
        event: fitting[event.pk]
        for event in events
        if event.pk in fitting and all(map(ends_purchase, fitting[event.pk]))
    }
    found: dict[int, bool] = {}
    for event, open_ in _open_of(asked).items():
        rules = asked[event]
        ends = [grant for grant in open_ for rule in rules if would_end(rule, grant)]
        found[event.pk] = bool(ends if rules else open_)
    return found


def ending_nothing(
    events: Iterable[EventLog], fitting: Mapping[int, Sequence[Rule]]
) -> dict[int, set[int]]:
    """Return, by event ID, the IDs of those of its `fitting` rules that have nothing to end.

    Only for events some of whose rules end access. A purchase that Admit does not know may have
    given it, so its events are left out.
    """
    ending = {
        event: [rule for rule in fitting.get(event.pk, ()) if ends_purchase(rule)]
        for event in events
    }
    asked = {event: rules for event, rules in ending.items() if rules}
    return {
        event.pk: {
            rule.pk for rule in asked[event] if not any(would_end(rule, grant) for grant in open_)
        }
        for event, open_ in _open_of(asked).items()
    }


def _open_of(events: Iterable[EventLog]) -> dict[EventLog, list[Grant]]:
    """Return what the purchases of these events gave that is open, if Admit knows the purchase."""
    asked = [event for event in events if Sale.of(event).is_named]
    if not asked:
        return {}
    of_sales = near(asked)
    gave = BySale(Grant.objects.filter(of_sales, source=Grant.Source.PURCHASE))
    bought = BySale(EventLog.objects.filter(of_sales).of_triggers(Trigger.PRODUCT_PURCHASED))
    found = {}
    for event in asked:
        grants = gave.of(event)
        if bought.of(event) or any(grant.opened_at for grant in grants):
            found[event] = [grant for grant in grants if grant.is_active]
    return found


def given_besides(ran: Mapping[EventLog, Sequence[Rule]]) -> dict[int, set[int]]:
    """Return, by event ID, the IDs of its rules that end the purchase's access alone.

    Something else gives the student the same, and no rule in `ran`, by event, ends that as well.
    Takes two queries, or none if no rule ends access.
    """
    ending = {
        event: [rule for rule in rules if ends_purchase(rule)]
        for event, rules in ran.items()
        if any(map(ends_purchase, rules)) and not any(rule.ends_all for rule in rules)
    }
    if not ending:
        return {}
    gave = BySale(Grant.objects.active().filter(near(ending), source=Grant.Source.PURCHASE))
    ends = {
        event: [row for row in gave.of(event) if any(would_end(rule, row) for rule in rules)]
        for event, rules in ending.items()
    }
    others = OtherGrants({row.pk: row for rows in ends.values() for row in rows}.values())
    return {
        event.pk: {rule.pk for rule in rules if _is_still_given(rule, ends[event], others)}
        for event, rules in ending.items()
    }


def _is_still_given(rule: Rule, grants: Iterable[Grant], others: OtherGrants) -> bool:
    """Whether these other grants give all that the rule ends of the grants."""
    ends = [grant for grant in grants if would_end(rule, grant)]
    return bool(ends) and all(others.give(grant, parts_of(rule)) for grant in ends)


def ended_meanwhile(events: Iterable[EventLog]) -> dict[int, str]:
    """Return, by ID, why running the rules again for these events would do nothing.

    Only for refunds and cancellations for which no rule did anything and no action failed, and
    after which something else ended what the purchase gave.
    """
    asked = [event for event in events if event.gave_nothing and event.trigger in TAKES_BACK]
    if not asked:
        return {}
    failed = RuleRun.objects.filter(event__in=asked, status=RuleRun.Status.FAILED)
    failing = set(failed.values_list("event", flat=True))
    fitting = rules_now.fitting(asked)
    ended = has_something_to_end(
        asked, {event.pk: fitting.get(event.pk, ()) for event in asked if event.pk not in failing}
    )
    return {pk: say(NOTHING) for pk, ends in ended.items() if not ends}


def ends_purchase(rule: Rule) -> bool:
    """Whether the rule ends what the purchase gave, and nothing else."""
    return rule.spec.ends_access and not rule.ends_all


def would_end(rule: Rule, grant: Grant) -> bool:
    """Whether the grant gives now what the rule ends, or a part of it."""
    same = grant.is_active and grant.integration_id == rule.integration_id
    return same and not parts_of(rule).isdisjoint(grant.parts)


def parts_of(rule: Rule) -> frozenset[str]:
    """Return the rule's course or bundle, and the courses in the bundle."""
    inside = rule.destination.course_ids if rule.destination else []
    return frozenset([rule.target, *(course_target(number) for number in inside)])
