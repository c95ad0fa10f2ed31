"""What to say of a course or bundle that a customer got, lost or waits for."""

from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from events.deciding import revocations
from events.execution import wait_reasons
from events.models import EventLog, RuleRun
from events.reports import replies
from events.reports.places import Place

GOOD, WAIT, BAD, QUIET = "good", "wait", "bad", "quiet"


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence; `kind` is good, wait, bad or quiet. At most one of the numbers leads on.

    `enroll` is an event for which the rules are to be run now.
    """

    kind: str
    text: str
    run: int | None = None
    event: int | None = None
    product: int | None = None
    integration: int | None = None
    enroll: int | None = None


def about(name: str, place: Place, kept: RuleRun | None, left: EventLog | None) -> Sentence:
    """How it stands there.

    `kept` is another purchase that still pays for what was ended, `left` the refund or
    cancellation of what is still there.
    """
    settled, undecided = place.settled, place.open
    if undecided is not None:
        return _undecided(name, place, undecided)
    if settled is None:
        return Sentence(QUIET, f"{name}: {place.name} was not given. {place.newest.message}")
    if place.has:
        return _has(name, place, settled, left)
    if place.lost:
        return _lost(name, place, settled, left)
    what = f"{name} has no access to {place.name}"
    if not place.given:
        cause = replies.cause(settled)
        text = f"{what}. {cause[0].upper()}{cause[1:]}: {settled.message}"
        return Sentence(QUIET, text, run=settled.pk)
    text = f"{what}: {replies.cause(settled)} ended it."
    if kept is None:
        return Sentence(QUIET, text, run=settled.pk)
    return Sentence(
        WAIT,
        f"{text} Order {kept.event.order_id} gave it too and is still paid for. If {name} shall "
        "keep it, run the rules of that order again.",
        event=kept.event_id,
    )


def _has(name: str, place: Place, settled: RuleRun, left: EventLog | None) -> Sentence:
    since = f"{when(settled.finished_at or settled.received_at)}{_order(settled)}"
    if settled.integration_id is None:
        return Sentence(
            WAIT,
            f"{name} got {place.name} on {since}, but the site {settled.site} is not connected "
            "any more. Look in Thinkific whether it still opens.",
            run=settled.pk,
        )
    if left is not None:
        return _has_still(f"{name} has {place.name} since {since}", place, left)
    return Sentence(
        GOOD,
        f"{name} has {place.name} since {since}. If it does not open, it is the sign-in: on "
        "Thinkific's sign-in page press Forgot password?",
    )


def _lost(name: str, place: Place, settled: RuleRun, left: EventLog | None) -> Sentence:
    """What was given went with the account; it is owed unless it was taken back since."""
    since = f"{when(settled.finished_at or settled.received_at)}{_order(settled)}"
    text = (
        f"{name} has no access to {place.name}: it was given on {since} to an account that was "
        "deleted in Thinkific"
    )
    if left is not None:
        return Sentence(QUIET, f"{text}; {revocations.sentence(left)}.", run=settled.pk)
    return Sentence(
        WAIT,
        f"{text}. To give it to the new account, run the event's rules again.",
        event=settled.event_id,
    )


def _has_still(has: str, place: Place, left: EventLog) -> Sentence:
    """What was paid for was taken back, and the access is still there."""
    text = f"{has}, though {revocations.sentence(left)}"
    ending = next((run for run in reversed(place.runs) if run.event_id == left.pk), None)
    if ending is not None:
        return Sentence(WAIT, f"{text}; the access was not ended. {ending.message}", run=ending.pk)
    return Sentence(
        WAIT,
        f"{text}: nothing ended the access. If it shall end, make a rule for that event, then "
        "run its rules.",
        event=left.pk,
    )


def _undecided(name: str, place: Place, run: RuleRun) -> Sentence:
    kind = BAD if run.status == RuleRun.Status.FAILED else WAIT
    state = f"{_state(run)}{_order(run)}"
    if run.spec.gives_access:
        if place.has:
            what = f"{name} has {place.name}; giving it once more {state}."
        else:
            what = f"{name} does not have {place.name} yet: it {state}."
    elif place.has:
        what = f"{name} still has {place.name}: ending it {state}."
    else:
        what = f"{name} has no access to {place.name}; ending it {state}."
    return Sentence(kind, f"{what} {wait_reasons.reason(run)}".strip(), run=run.pk)


def besides(run: RuleRun) -> Sentence:
    """What changes no access, and is not done yet."""
    kind = BAD if run.status == RuleRun.Status.FAILED else WAIT
    text = f"{run.spec.label}, {run.destination_name}: it {_state(run)}{_order(run)}."
    return Sentence(kind, f"{text} {wait_reasons.reason(run)}".strip(), run=run.pk)


def _state(run: RuleRun) -> str:
    states = {RuleRun.Status.FAILED: "failed", RuleRun.Status.HELD: "is held"}
    return states.get(RuleRun.Status(run.status), "is waiting")


def when(moment: datetime) -> str:
    local = timezone.localtime(moment)
    return f"{local.day} {local:%b %H:%M}"


def of_order(event: EventLog) -> str:
    return f" (order {event.order_id})" if event.order_id else ""


def _order(run: RuleRun) -> str:
    return of_order(run.event)
