"""What a button would do for many events: what is done for whom, and who is left out and why."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from django.utils import timezone
from django.utils.text import capfirst

from events.access import ended_by_hand
from events.access.other_grants import OtherGrants, gives_all
from events.execution import former_days, rerun, retry_reasons, wait_reasons
from events.execution.undo_preview import Undo
from events.models import EventLog, RuleRun
from events.reports import review, rules_now
from events.reports.earlier import nothing_to_end
from integrations.models import Customer
from integrations.sentences import format_day, format_time, joined, say
from rules.listing import listed
from rules.models import Rule

# At most this many at once, because each is decided under the lock that the inbox needs too.
MAX_LINES = 1000


@dataclass(frozen=True, slots=True)
class Line:
    """An event and what is done for it, or why nothing is.

    If a person only gives back what one action ended, `ending` is that action's ID.
    """

    event: EventLog
    customer: Customer | None
    what: str
    why_not: str = ""
    ending: int | None = None


@dataclass(frozen=True, slots=True)
class BatchPreview:
    """The first MAX_LINES of what was chosen; `more` says whether there are others.

    `waiting` are the actions of lines that are left out. They may wait for an integration.
    `still_given` is the number of lines of which some access stays open by something else.
    """

    lines: Sequence[Line]
    more: bool = False
    waiting: Sequence[RuleRun] = ()
    still_given: int = 0

    @property
    def done(self) -> list[Line]:
        return [line for line in self.lines if not line.why_not]

    @property
    def left_out(self) -> list[Line]:
        return [line for line in self.lines if line.why_not]


def of_retry(runs: Sequence[RuleRun], *, anyway: bool) -> BatchPreview:
    """Return what queuing these actions again would do.

    With `anyway`, a line says if that gives something for a refunded or canceled purchase.
    """
    reasons = retry_reasons.reasons(runs[:MAX_LINES], anyway=anyway)
    back = retry_reasons.taken_back(runs[:MAX_LINES]) if anyway else {}
    lines = [
        Line(run.event, run.customer, _again(run, back.get(run.pk, "")), reasons[run.pk])
        for run in runs[:MAX_LINES]
    ]
    waiting = [run for run in runs[:MAX_LINES] if reasons[run.pk]]
    return BatchPreview(lines, more=len(runs) > MAX_LINES, waiting=waiting)


def _again(run: RuleRun, taken_back: str) -> str:
    return joined([_does(run), taken_back], by="; ")


def of_dismissal(runs: Sequence[RuleRun]) -> BatchPreview:
    """Return what dismissing these actions would do."""
    can = set(
        RuleRun.objects.dismissible()
        .filter(pk__in=[r.pk for r in runs[:MAX_LINES]])
        .values_list("pk", flat=True)
    )
    lines = [
        Line(
            run.event,
            run.customer,
            _does(run),
            ""
            if run.pk in can
            else say("only what failed, waits for you or ends later can be dismissed"),
        )
        for run in runs[:MAX_LINES]
    ]
    return BatchPreview(lines, more=len(runs) > MAX_LINES)


def of_days(runs: Sequence[RuleRun]) -> BatchPreview:
    """Return what applying the days of their rules to these endings would do."""
    shown = runs[:MAX_LINES]
    can = former_days.waiting().filter(pk__in=[run.pk for run in shown]).select_related("rule")
    found = {run.pk: run for run in can}
    lines = [
        Line(
            run.event,
            run.customer,
            _on_another_day(found[run.pk]) if run.pk in found else "",
            "" if run.pk in found else say("no other day follows from its rule"),
        )
        for run in shown
    ]
    return BatchPreview(lines, more=len(runs) > MAX_LINES)


def _on_another_day(run: RuleRun) -> str:
    course, day, before = run.destination_name, former_days.day_of(run), run.next_attempt_at
    assert before is not None
    if day <= timezone.now():
        return say("{course} ends now", course=course)
    return say(
        "{course} ends on {day} instead of {before}",
        course=course,
        day=format_day(day),
        before=format_day(before),
    )


def of_review(events: Sequence[EventLog]) -> BatchPreview:
    """Return what marking these events as dealt with would do."""
    lines = [
        Line(
            event,
            event.customer,
            say("Mark as dealt with"),
            "" if review.may_be_marked(event) else say("it was not left undone"),
        )
        for event in events[:MAX_LINES]
    ]
    return BatchPreview(lines, more=len(events) > MAX_LINES)


def of_undo(undos: Sequence[Undo]) -> BatchPreview:
    """Return what undoing a batch would do."""
    shown = undos[:MAX_LINES]
    only = [one.ended[0] for one in shown if len(one.ended) == len(one.runs) and not one.why_not]
    given_back = ended_by_hand.can_be_given_back(only) if len(shown) > 1 else {}
    stays = _still_given(shown)
    lines = [
        Line(
            one.event,
            one.runs[0].customer,
            _undone(one, stays),
            one.why_not,
            one.number if len(one.runs) == 1 and given_back.get(one.number) else None,
        )
        for one in shown
    ]
    keeps = sum(not one.why_not and any(run.grant_id in stays for run in one.gave) for one in shown)
    return BatchPreview(lines, more=len(undos) > MAX_LINES, still_given=keeps)


def _still_given(undos: Sequence[Undo]) -> set[int | None]:
    """Return the IDs of the grants that end, and whose access stays open by something else.

    That may be what is given back in the same step, such as a bundle. Takes one query.
    """
    ending = [run.grant for one in undos for run in one.gave if run.grant and not one.why_not]
    others, found = OtherGrants(ending), set[int | None]()
    for one in undos:
        back = [run.grant for run in one.ended if run.grant]
        for grant in (run.grant for run in one.gave):
            if grant is None:
                continue
            same = (each for each in back if each.integration_id == grant.integration_id)
            parts = {part for each in same for part in each.parts}
            if others.give(grant) or gives_all(parts, grant.target, grant.parts):
                found.add(grant.pk)
    return found


def _undone(one: Undo, stays: Collection[int | None]) -> str:
    ends = [run for run in one.gave if run.grant_id not in stays]
    kept = [run for run in one.gave if run.grant_id in stays]
    new, old, waits, open_ = (
        listed([run.destination_name for run in runs])
        for runs in (one.ended, ends, one.pending, kept)
    )
    what = []
    if new and old:
        what.append(say("Give {new}, end {old}", new=new, old=old))
    elif new or old:
        what.append(say("Give {new}", new=new) if new else say("End {old}", old=old))
    if waits:
        what.append(say("Drop what waits to end {courses}", courses=waits))
    if open_:
        what.append(say("kept through something else: {courses}", courses=open_))
    return joined(what, by="; ")


def of_rerun(events: Sequence[EventLog]) -> BatchPreview:
    """Return what running the rules again for these events would do."""
    more, events = len(events) > MAX_LINES, events[:MAX_LINES]
    fitting = rules_now.fitting(events)
    obstacles = nothing_to_end.ended_meanwhile(events) | rerun.obstacles(events)
    of_these = RuleRun.objects.filter(event__in=events).order_by("pk")
    of_these = of_these.select_related("event", "integration", "rule__destination")
    lost = set(of_these.lost().values_list("pk", flat=True))
    runs: dict[int, list[RuleRun]] = {}
    for run in of_these:
        runs.setdefault(run.event_id, []).append(run)
    again = rerun.to_retry(of_these, lost)
    cannot = retry_reasons.reasons(again)
    can = {r.pk for r in again if not cannot[r.pk] and not retry_reasons.is_outdated(r)}
    waiting = [r for r in of_these if r.status == RuleRun.Status.WAITING and not r.is_pending]
    keeps = wait_reasons.reasons(waiting)
    lines = []
    for event in events:
        of_event = runs.get(event.pk, [])
        ran = {run.form for run in of_event}
        what: list[str] = [_once_more(run) for run in of_event if run.pk in can]
        new = [rule for rule in fitting.get(event.pk, []) if RuleRun.form_of(rule) not in ran]
        what += [_in_short(rule) for rule in new]
        why_not = obstacles.get(event.pk, "") or (
            "" if what else _why_nothing(of_event, keeps, cannot)
        )
        lines.append(Line(event, event.customer, joined(what, by="; "), why_not))
    left_out = {line.event.pk for line in lines if line.why_not}
    return BatchPreview(lines, more=more, waiting=[r for r in waiting if r.event_id in left_out])


def _once_more(run: RuleRun) -> str:
    """Return text like "Enroll in Course Two", and when it would go otherwise."""
    action = _does(run)
    if not run.waits_to_retry or run.next_attempt_at is None:
        return action
    return say(
        "Try now: {action} (it waits, next try {moment})",
        action=action,
        moment=format_time(run.next_attempt_at),
    )


def _why_nothing(
    runs: Sequence[RuleRun], keeps: Mapping[int, str], cannot: Mapping[int, str]
) -> str:
    """Say why nothing is done for the event of these runs.

    `keeps` says by run ID what a waiting run waits for, `cannot` why a run cannot be retried.
    """
    kept = next((keeps[run.pk] for run in runs if run.pk in keeps), "")
    return kept or rerun.why_nothing(runs, cannot)


def _does(run: RuleRun) -> str:
    """ "Enroll in Course Two" """
    return capfirst(say(run.spec.in_short, name=run.destination_name))


def _in_short(rule: Rule) -> str:
    """ "Enroll in Course Two" """
    name = rule.destination.name if rule.destination else rule.integration
    return capfirst(say(rule.spec.in_short, name=name))
