"""What a button would do for many: for whom what is done, and who is left out and why."""

from collections.abc import Sequence
from dataclasses import dataclass

from events.execution import rerun, retry_by_hand
from events.models import EventLog, RuleRun
from events.reports import backfill, review
from integrations.models import Customer
from integrations.sentences import say
from rules.models import Rule

# So many at once: each is decided under the lock that the inbox needs too.
AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Line:
    """An event and what is done for it, or why nothing is."""

    event: EventLog
    customer: Customer | None
    what: str
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """The first AT_ONCE of what was chosen; `more` says that there are others."""

    lines: Sequence[Line]
    more: bool = False

    @property
    def done(self) -> list[Line]:
        return [line for line in self.lines if not line.why_not]

    @property
    def left_out(self) -> list[Line]:
        return [line for line in self.lines if line.why_not]


def of_retry(runs: Sequence[RuleRun], *, anyway: bool) -> Look:
    """What queuing these actions again would do."""
    reasons = retry_by_hand.reasons(runs[:AT_ONCE], anyway=anyway)
    lines = [
        Line(run.event, run.customer, f"{run.spec.label}, {run.destination_name}", reasons[run.pk])
        for run in runs[:AT_ONCE]
    ]
    return Look(lines, more=len(runs) > AT_ONCE)


def of_dismissal(runs: Sequence[RuleRun]) -> Look:
    """What dismissing these actions would do."""
    can = set(
        RuleRun.objects.dismissible()
        .filter(pk__in=[r.pk for r in runs[:AT_ONCE]])
        .values_list("pk", flat=True)
    )
    lines = [
        Line(
            run.event,
            run.customer,
            f"{run.spec.label}, {run.destination_name}",
            ""
            if run.pk in can
            else say("only what failed, waits for you or ends later can be dismissed"),
        )
        for run in runs[:AT_ONCE]
    ]
    return Look(lines, more=len(runs) > AT_ONCE)


def of_review(events: Sequence[EventLog]) -> Look:
    """What marking these events as dealt with would do."""
    lines = [
        Line(
            event,
            event.customer,
            say("Mark as dealt with"),
            "" if review.needs_a_person(event) else say("it was not left undone"),
        )
        for event in events[:AT_ONCE]
    ]
    return Look(lines, more=len(events) > AT_ONCE)


def of_rerun(events: Sequence[EventLog]) -> Look:
    """What running the rules again for these events would do."""
    more, events = len(events) > AT_ONCE, events[:AT_ONCE]
    obstacles, fitting = rerun.obstacles(events), backfill.rules_now(events)
    of_these = RuleRun.objects.filter(event__in=events).select_related("event", "rule__destination")
    lost = set(of_these.lost().values_list("pk", flat=True))
    runs: dict[int, list[RuleRun]] = {}
    for run in of_these:
        runs.setdefault(run.event_id, []).append(run)
    lines = []
    for event in events:
        of_event = runs.get(event.pk, [])
        ran = {run.form for run in of_event}
        failed = RuleRun.Status.FAILED
        again = [
            run
            for run in of_event
            if (run.status == failed and not retry_by_hand.is_outdated(run)) or run.pk in lost
        ]
        what = [f"{run.spec.label}, {run.destination_name}" for run in again]
        new = [rule for rule in fitting.get(event.pk, []) if RuleRun.form_of(rule) not in ran]
        what += [_in_short(rule) for rule in new]
        why_not = obstacles.get(event.pk, "") or ("" if what else say(rerun.NOTHING_NEW))
        lines.append(Line(event, event.customer, "; ".join(what), why_not))
    return Look(lines, more=more)


def _in_short(rule: Rule) -> str:
    """ "Create Course Enrollment, Course Two" """
    return f"{rule.spec.label}, {rule.destination.name if rule.destination else rule.integration}"
