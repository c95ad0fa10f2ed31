"""Which rules fit an event now, and why they did not run for it when it came."""

from collections import defaultdict
from collections.abc import Sequence

from django.db.models import Q

from events.models import EventLog, Grant, RuleRun
from events.models.event_log import ACCOUNT
from integrations.sentences import Said, format_time, joined, say
from rules import actions, changing
from rules.engine import Reason
from rules.fired import fired_by
from rules.models import Rule

OVER = {RuleRun.Status.DONE, RuleRun.Status.SKIPPED}


def fitting(events: Sequence[EventLog]) -> dict[int, list[Rule]]:
    """Return {event ID: the rules that are on and fit it now}, its product's own rules first.

    Rules that pass on are left out if they have passed on the delivery already, or if the event is
    one by hand.
    """
    rules = (
        Rule.objects.alias(account=ACCOUNT)
        .filter(
            Q(product=None) | Q(product__in={event.product_id for event in events}),
            enabled=True,
            trigger__in={each for event in events for each in fired_by(event.trigger)},
            account__in={event.marketplace_id for event in events},
        )
        .select_related("product", "integration", "destination")
    )
    by_place: dict[tuple[int | None, str | None, int | None], list[Rule]] = defaultdict(list)
    for rule in rules.order_by("pk") if events else ():
        by_place[rule.marketplace_id, rule.trigger, rule.product_id].append(rule)
    passes_on = {rule.pk for each in by_place.values() for rule in each if rule.spec.passes_on}
    passed_on = _passed_on(events) if passes_on else set()
    found: dict[int, list[Rule]] = {}
    for event in events:
        fit = [
            rule
            for product in dict.fromkeys((event.product_id, None))
            for trigger in fired_by(event.trigger)
            for rule in by_place.get((event.marketplace_id, trigger, product), ())
            if (event.delivery_id, rule.pk) not in passed_on
            and not (event.by_hand and rule.pk in passes_on)
        ]
        if fit:
            found[event.pk] = fit
    return found


def turned_off(event: EventLog) -> list[Rule]:
    """Return the rules that are off and would do something for the customer if turned on."""
    rules = Rule.objects.filter(
        Q(product=None) | Q(product=event.product_id),
        enabled=False,
        trigger__in=fired_by(event.trigger),
        marketplace=event.marketplace_id,
    ).exclude(action__in=actions.passing_on())
    return [rule for rule in rules.order_by("pk").with_names() if not rule.is_gone]


def all_ran(event: EventLog) -> bool:
    """Whether actions of all rules that fit the event now are over, and none is to be retried."""
    runs = list(event.runs.all())
    fit = fitting([event]).get(event.pk, [])
    ran = {run.form for run in runs}
    if not fit or not all(RuleRun.form_of(rule) in ran for rule in fit):
        return False
    if not all(run.status in OVER for run in runs):
        return False
    given = [run.grant_id for run in runs if run.spec.gives_access and run.grant_id]
    return not Grant.objects.active().lost().filter(pk__in=given).exists()


def since(event: EventLog, rule: Rule, *, several: bool = False) -> Said:
    """Say why a rule that is on and fits the event now did not run for it when it came.

    With `several` the event is the newest of several purchases, and the sentence is about them.
    """
    if rule.created_at > event.received_at:
        return say("A rule exists since {moment}.", moment=format_time(rule.created_at))
    if [rule.pk, Reason.OFF] not in event.verdicts:
        return say("A rule matches them now.") if several else say("A rule matches it now.")
    then = (
        say("The rule was off when the last of them bought.")
        if several
        else say("The rule was off then.")
    )
    return joined([then, _on_now(event, rule)])


def off_then(event: EventLog, rule: Rule | None) -> Said:
    """Say how a rule stands now that was off when the event came. None is a deleted rule."""
    if rule is None:
        return say("The rule was off then. It was deleted since.")
    if not rule.enabled:
        return say("The rule is turned off.")
    return joined([say("The rule was off then."), _on_now(event, rule)])


def _passed_on(events: Sequence[EventLog]) -> set[tuple[int, int | None]]:
    """Return (delivery ID, rule ID) for all that was passed on already."""
    runs = RuleRun.objects.filter(
        event__delivery__in={event.delivery_id for event in events},
        action__in=actions.passing_on(),
    )
    return set(runs.values_list("event__delivery", "rule"))


def _on_now(event: EventLog, rule: Rule) -> Said:
    moment = changing.on_since(rule)
    if moment and moment > event.received_at:
        return say("It has been on since {moment}.", moment=format_time(moment))
    return say("It is on now.")
