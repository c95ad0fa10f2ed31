"""Buyers from before a rule: it has not run for their events, but fits them now."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from events.access import event_student, sentences
from events.access.ledger import Sale
from events.deciding import revocations
from events.execution import rerun
from events.models import EventLog, Grant, RuleRun
from events.models.event_log import ACCOUNT
from events.reports import earlier, nothing_to_end, standing
from events.reports.earlier_buyers import BackfillCandidate, Preview, customers_of
from integrations.models import Product
from integrations.sentences import Said, format_day, format_time, joined, say
from rules import actions, changing
from rules.engine import Reason
from rules.listing import listed
from rules.models import Rule
from rules.pairing import Paired

# A rule is run for at most this many events at once; the button can be pressed again.
MAX_EVENTS = 500
HOLDS_TOO = _("This purchase will hold that too: nothing changes in Thinkific.")
NO_CUSTOMER = _("the order carries no usable e-mail address")


def preview(*rules: Rule, product: Product | None = None) -> Preview:
    """Return for whom the rules would run now and for whom not. Changes nothing.

    For an event that gave nothing, all rules that fit it would run; for one that gave something,
    those of `rules` that have not run. Looks at MAX_EVENTS events at most: the newest that gave
    nothing, then those that gave something, and last those that a person undid. Takes a handful of
    queries, however many rules there are.
    """
    if not rules:
        return Preview([], [], [], more=False)
    events = earlier.events(rules, product, MAX_EVENTS + 1)
    events, more = events[:MAX_EVENTS], len(events) > MAX_EVENTS
    fitting = rules_now(events)
    missing = _missing(rules, events, fitting)
    has, kept = nothing_to_end.known(events, fitting), revocations.kept_since(events)
    nothing = {pk: say(nothing_to_end.NOTHING) for pk, ends in has.items() if not ends}
    obstacles = nothing | rerun.obstacles(events)
    # Access that will end by itself is not counted, because the rules would give it without an end.
    held = standing.held(customers_of(events), without_end=True)
    rows = []
    for event in events:
        fit, undone = fitting.get(event.pk, []), event.undone_at is not None
        if not event.gave_nothing:
            fresh, again = missing[event.pk].fresh, missing[event.pk].undone
            fit, undone = fresh or again, not fresh
        why_not = obstacles.get(event.pk, "") if event.customer_id else say(NO_CUSTOMER)
        why_not = why_not or ("" if fit else say(rerun.NO_RULE))
        grants = [] if why_not else _has_all(event, fit, held)
        if grants and all(Sale.of(event).is_same(Sale.of(grant)) for grant in grants):
            why_not = say("has {courses} already", courses=_names(grants))
        note = joined([_has(grants), HOLDS_TOO]) if grants else _undone(event) if undone else ""
        facts = {"has": has.get(event.pk, False), "is_kept": event.pk in kept}
        note = "" if why_not else note
        rows.append(BackfillCandidate(event, fit, why_not, note, undone, **facts))
    can = [row for row in rows if not row.why_not]
    return Preview(
        [row for row in can if not row.is_undone],
        [row for row in can if row.is_undone],
        [row for row in rows if row.why_not],
        more,
    )


def _missing(
    rules: Iterable[Rule], events: Iterable[EventLog], fitting: Mapping[int, Sequence[Rule]]
) -> dict[int, earlier.Missing]:
    """Return, for the events that gave something, which of these rules have not run."""
    asked = {rule.pk for rule in rules if earlier.is_offered(rule)}
    return earlier.missing(
        {
            event: [rule for rule in fitting.get(event.pk, ()) if rule.pk in asked]
            for event in events
            if not event.gave_nothing
        }
    )


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
    fitting = rules_now(asked)
    ended = nothing_to_end.known(
        asked, {event.pk: fitting.get(event.pk, ()) for event in asked if event.pk not in failing}
    )
    return {pk: say(nothing_to_end.NOTHING) for pk, ends in ended.items() if not ends}


def settled(events: Sequence[EventLog]) -> set[int]:
    """Return the IDs of those purchases for which nothing is owed any more.

    The purchase was refunded or canceled since, or the buyer has all that the rules give now.
    """
    ended = revocations.later_endings(events)
    return {*ended, *already_given([event for event in events if event.pk not in ended])}


def _undone(event: EventLog) -> Said:
    if not event.gave_nothing or event.undone_at is None:
        return say("A person took back what was given for it before.")
    if event.trigger in revocations.ENDING:
        return say("What it ended was given back on {day}.", day=format_day(event.undone_at))
    return say("What was given for it was undone on {day}.", day=format_day(event.undone_at))


def already_given(events: Sequence[EventLog]) -> dict[int, Said]:
    """Return {event ID: what gives its buyer already all that the rules give now}.

    Events whose buyer lacks something are left out.
    """
    held = standing.held(customers_of(events)) if events else {}
    # Most buyers have nothing, and then they cannot have all that the rules give.
    fitting = rules_now([event for event in events if held.get(event.customer_id or 0)])
    found = {
        event.pk: _has_all(event, fitting[event.pk], held)
        for event in events
        if event.pk in fitting
    }
    return {pk: _has(grants) for pk, grants in found.items() if grants}


def rules_now(events: Sequence[EventLog]) -> dict[int, list[Rule]]:
    """Return {event ID: the rules that are on and fit it now}, its product's own rules first.

    Rules that pass on are left out if they have passed on the delivery already, or if the event is
    one by hand.
    """
    rules = (
        Rule.objects.alias(account=ACCOUNT)
        .filter(
            Q(product=None) | Q(product__in={event.product_id for event in events}),
            enabled=True,
            trigger__in={event.trigger for event in events},
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
        own, everywhere = (
            by_place.get((event.marketplace_id, event.trigger, product), [])
            for product in (event.product_id, None)
        )
        fitting = [
            rule
            for rule in (*own, *(everywhere if own is not everywhere else ()))
            if (event.delivery_id, rule.pk) not in passed_on
            and not (event.by_hand and rule.pk in passes_on)
        ]
        if fitting:
            found[event.pk] = fitting
    return found


def _passed_on(events: Sequence[EventLog]) -> set[tuple[int, int | None]]:
    """Return (delivery ID, rule ID) for all that was passed on already."""
    runs = RuleRun.objects.filter(
        event__delivery__in={event.delivery_id for event in events},
        action__in=actions.passing_on(),
    )
    return set(runs.values_list("event__delivery", "rule"))


def gives_now(rule: Paired) -> bool:
    """Return whether this rule is on and gives something when its product is bought."""
    return rule.enabled and rule.gives_on_purchase


def since(event: EventLog, rule: Rule, *, several: bool = False) -> Said:
    """Say why a rule that is on and fits the event now did not run for it when it came.

    With `several` the event is the newest of several purchases, and the sentence is about them.
    """
    if rule.created_at > event.received_at:
        return say("A rule exists since {moment}.", moment=format_time(rule.created_at))
    if [rule.pk, Reason.OFF] not in event.verdicts:
        return say("A rule fits them now.") if several else say("A rule fits it now.")
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


def _on_now(event: EventLog, rule: Rule) -> Said:
    moment = changing.on_since(rule)
    if moment and moment > event.received_at:
        return say("It has been on since {moment}.", moment=format_time(moment))
    return say("It is on now.")


def _has(found: Sequence[Grant]) -> Said:
    """Say that the buyer has all of it already, and what gives it.

    If other purchases give it, this one should hold it too, because those may be refunded.
    """
    sources = listed([*dict.fromkeys(sentences.holds(grant) for grant in found)])
    return say("Has {courses} already by {sources}.", courses=_names(found), sources=sources)


def _names(grants: Iterable[Grant]) -> str:
    return listed([*dict.fromkeys(grant.name for grant in grants)])


def _has_all(event: EventLog, rules: Sequence[Rule], held: standing.Held) -> list[Grant]:
    """Return the grants that give the buyer all that these rules give; none if one is missing."""
    mine = held.get(event.customer_id or 0, {})
    found = []
    for rule in rules:
        if rule.spec.passes_on:
            continue
        grant = mine.get((rule.integration_id, rule.target))
        if not rule.spec.gives_access or grant is None:
            return []
        if event_student.names_another(event, rule.integration):
            return []
        found.append(grant)
    return found
