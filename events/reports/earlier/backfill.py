"""Buyers from before a rule: it has not run for their events, but fits them now."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from django.utils.translation import gettext_lazy as _

from events.access import event_student, revocations
from events.access.sale import Sale
from events.execution import rerun
from events.models import EventLog
from events.reports import rules_now
from events.reports.access import held_access
from events.reports.earlier import earlier, given_already, nothing_to_end, paid_again
from events.reports.earlier.earlier_buyers import BackfillCandidate, Preview
from integrations.models import Customer, Product
from integrations.sentences import Said, format_day, joined, say
from rules import changing
from rules.listing import listed
from rules.models import Rule
from rules.triggers import TAKES_BACK

# A rule is run for at most this many events at once; the button can be pressed again.
MAX_EVENTS = 500
HOLDS_TOO = _("This purchase will hold that too: nothing changes in Thinkific.")
NO_CUSTOMER = _("the order carries no usable e-mail address")


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of all the events of a preview; it is looked up once for all of them.

    By event ID: the rules that fit, those of the asked ones that have not run, the IDs of those
    that have nothing to end, the IDs of the asked ones whose course a person let the buyer keep,
    and why an event cannot be run for, and whom it is about. `held` is what these students have.
    `missed` has the IDs of those asked global rules that give access and were off then.
    """

    fitting: Mapping[int, Sequence[Rule]]
    missing: Mapping[int, earlier.Missing]
    ending_nothing: Mapping[int, Collection[int]]
    overruled: Mapping[int, Collection[int]]
    obstacles: Mapping[int, str]
    students: Mapping[int, Customer]
    held: held_access.Held
    missed: Mapping[int, Collection[int]]


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
    rows = candidates(rules, events)
    can = [row for row in rows if not row.why_not]
    run = _with_rules_without_loss([row for row in can if not row.is_undone])
    undone = _with_rules_without_loss([row for row in can if row.is_undone])
    return Preview(
        [row for row in run if not row.loses_nothing],
        [row for row in undone if not row.loses_nothing],
        [row for row in rows if row.why_not]
        + [replace(row, why_not=row.note) for row in undone if row.loses_nothing],
        more,
        [row for row in run if row.loses_nothing],
    )


def candidates(rules: Iterable[Rule], events: Sequence[EventLog]) -> list[BackfillCandidate]:
    """Return for each of these events which of the rules would run, or why none will."""
    known = _look_up(rules, events)
    return [_candidate(event, known) for event in events]


def _with_rules_without_loss(rows: Sequence[BackfillCandidate]) -> list[BackfillCandidate]:
    """Return the rows with their `rules_without_loss`, as if the rules of all of them ran."""
    without_loss = nothing_to_end.given_besides({row.event: row.rules for row in rows})
    return [_losing_less(row, without_loss.get(row.event.pk, set())) for row in rows]


def _losing_less(row: BackfillCandidate, without_loss: set[int]) -> BackfillCandidate:
    if not without_loss:
        return row
    names = dict.fromkeys(str(rule.destination) for rule in row.rules if rule.pk in without_loss)
    text = say("Stays open by something else: {courses}.", courses=listed([*names]))
    return replace(row, rules_without_loss=without_loss, note=joined([row.note, text]))


def _look_up(rules: Iterable[Rule], events: Sequence[EventLog]) -> _Known:
    fitting, students = rules_now.fitting(events), _students(events)
    return _Known(
        fitting,
        _missing(rules, events, fitting),
        nothing_to_end.ending_nothing(events, fitting),
        _overruled(rules, events, fitting),
        paid_again.obstacles(events) | rerun.obstacles(events),
        students,
        # Access that will end by itself is not counted: the rules would give it without an end.
        held_access.held({each.pk for each in students.values()}, without_end=True),
        _missed(rules, events),
    )


def _students(events: Sequence[EventLog]) -> dict[int, Customer]:
    """Return {event ID: who gets or loses it}: usually its customer."""
    payers = {event.pk: event.customer for event in events if event.customer}
    return payers | event_student.known(events)


def _missed(rules: Iterable[Rule], events: Iterable[EventLog]) -> dict[int, set[int]]:
    """Return, by event ID, which of these global rules that give access were off when it came."""
    asked = [rule.pk for rule in rules if rule.gives_on_purchase and not rule.product_id]
    off = changing.off_times(asked)
    return {
        event.pk: {
            rule
            for rule, times in off.items()
            if any(
                since <= event.received_at and (until is None or event.received_at < until)
                for since, until in times
            )
        }
        for event in (events if off else ())
    }


def _candidate(event: EventLog, known: _Known) -> BackfillCandidate:
    fit, undone = _to_run(event, known)
    why_not = known.obstacles.get(event.pk, "") if event.customer_id else say(NO_CUSTOMER)
    if not fit and not why_not:
        idle = known.ending_nothing.get(event.pk)
        why_not = say(nothing_to_end.NOTHING if idle else rerun.NO_RULE)
    student = known.students.get(event.pk)
    mine = known.held.get(student.pk, {}) if student else {}
    held = given_already.given(event, fit, mine)
    has = [] if why_not else given_already.all_given(event, fit, mine)
    if has and all(Sale.of(event).is_same(Sale.of(grant)) for _, grant in has):
        why_not = say("has {courses} already", courses=given_already.names(has))
    note = ""
    if has and not why_not:
        note = joined([given_already.sentence(has), HOLDS_TOO])
    elif undone and not why_not:
        note = _undone(event)
    return BackfillCandidate(
        event,
        fit,
        why_not,
        note,
        undone,
        held_rules={rule.pk for rule, _ in held},
        is_known_open=event.pk in known.ending_nothing
        and all(map(nothing_to_end.ends_purchase, fit)),
        overruled_rules=known.overruled.get(event.pk, ()),
        missed_rules=known.missed.get(event.pk, ()),
        student=student,
    )


def _to_run(event: EventLog, known: _Known) -> tuple[Sequence[Rule], bool]:
    """Return the rules that would run for an event, and whether a person undid what they did."""
    idle = known.ending_nothing.get(event.pk, ())
    if event.has_nothing:
        fit = [rule for rule in known.fitting.get(event.pk, ()) if rule.pk not in idle]
        return fit, event.undone_at is not None
    missing = known.missing[event.pk]
    fresh = [rule for rule in missing.fresh if rule.pk not in idle]
    undone = [rule for rule in missing.undone if rule.pk not in idle]
    return fresh or undone, not fresh


def _missing(
    rules: Iterable[Rule], events: Iterable[EventLog], fitting: Mapping[int, Sequence[Rule]]
) -> dict[int, earlier.Missing]:
    """Return, for the events that gave something, which of these rules have not run."""
    asked = {rule.pk for rule in rules if earlier.is_offered(rule)}
    return earlier.missing(
        {
            event: [rule for rule in fitting.get(event.pk, ()) if rule.pk in asked]
            for event in events
            if not event.has_nothing
        }
    )


def _overruled(
    rules: Iterable[Rule], events: Iterable[EventLog], fitting: Mapping[int, Sequence[Rule]]
) -> dict[int, set[int]]:
    """Return, by event ID, the IDs of these rules whose course a person let the buyer keep."""
    asked = {rule.pk for rule in rules}
    return {
        pk: {
            rule.pk
            for rule in fitting.get(pk, ())
            if rule.pk in asked
            and rule.spec.ends_access
            and any(nothing_to_end.would_end(rule, grant) for grant in grants)
        }
        for pk, grants in revocations.kept_since(events).items()
    }


def _undone(event: EventLog) -> Said:
    if not event.gave_nothing or event.undone_at is None:
        return say("A person took back what was given for it before.")
    if event.trigger in TAKES_BACK:
        return say("What it ended was given back on {day}.", day=format_day(event.undone_at))
    return say("What was given for it was undone on {day}.", day=format_day(event.undone_at))
