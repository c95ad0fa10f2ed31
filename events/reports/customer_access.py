"""Can she get in, and if not, why: the first line of a customer's page.

Worked out from what Admit did, in the order in which SamCart's events were received: the last
one decides. What somebody changed by hand in Thinkific is only known by asking there.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from events.deciding import revocations
from events.execution import wait_reasons
from events.execution.rerun import payload_removed
from events.models import EventLog, RuleRun
from events.models.runs import UNFINISHED
from events.reports import backfill, dashboard, replies, review
from events.reports.places import Place, by_place
from integrations.models import Customer, ThinkificUser
from rules.models import Rule
from rules.triggers import Trigger

GOOD, WAIT, BAD, QUIET = "good", "wait", "bad", "quiet"
UNDECIDED = (*UNFINISHED, "failed", "held")
ORDER = (BAD, WAIT, GOOD, QUIET)
# The newest of them decide; nobody has so many.
MAX_RUNS = 500
# So many events of one kind are told, the newest first.
MAX_EVENTS_TOLD = 5


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


@dataclass(frozen=True, slots=True)
class AccessReport:
    """What to say to whoever asks, and what to write to the customer."""

    lines: tuple[Sentence, ...]
    reply: str


def describe(customer: Customer) -> AccessReport:
    """The sentences about this customer, the gravest first."""
    found = RuleRun.objects.filter(customer=customer).order_by("-received_at", "-pk")
    runs = list(found.select_related("event", "event__product", "integration")[:MAX_RUNS])[::-1]
    name = customer.first_name.strip()[:60] or "The customer"
    places = by_place(runs, frozenset(found.lost().values_list("pk", flat=True)))
    kept, left = _paid_for_otherwise(places), _not_paid_for(places)
    lines = [_about(name, place, kept.get(place), left.get(place)) for place in places]
    lines += [_besides(run) for run in runs if not run.target and run.status in UNDECIDED]
    lines += _nothing_goes_on(runs)
    nothing = list(_told(review.gave_nothing().filter(customer=customer)))
    back = revocations.ended_since(nothing)
    now = backfill.rules_now(nothing)
    lines += [_gave_nothing(event, back.get(event.pk), now.get(event.pk, [])) for event in nothing]
    lines += _not_understood(customer)
    lines += _administrators(customer)
    lines.sort(key=lambda line: ORDER.index(line.kind))
    if not lines:
        lines = _nothing(name, customer)
    owed = [event for event in nothing if event.pk not in back]
    besides = dict.fromkeys(run.event for run in runs if not run.target)
    return AccessReport(
        tuple(lines),
        replies.reply(customer, places, owed=owed, kept={*kept, *left}, besides=besides),
    )


def _paid_for_otherwise(places: list[Place]) -> dict[Place, RuleRun]:
    """Where a refund or cancellation ended what another purchase, still paid for, gave as well."""
    others: dict[Place, list[RuleRun]] = {}
    for place in places:
        end = place.settled
        if end is not None and not place.has and end.event.trigger in revocations.ENDING:
            others[place] = [run for run in place.given if _of_another_order(run, end)]
    back = revocations.ended_since({run.event for runs in others.values() for run in runs})
    still = {
        place: [run for run in runs if run.event.pk not in back] for place, runs in others.items()
    }
    return {place: runs[-1] for place, runs in still.items() if runs}


def _not_paid_for(places: list[Place]) -> dict[Place, EventLog]:
    """The refund or cancellation of what gave this, where nothing ended the access."""
    given = {
        place: [run.event for run in place.given] for place in places if place.has or place.lost
    }
    back = revocations.ended_since({event for events in given.values() for event in events})
    return {
        place: back[events[-1].pk]
        for place, events in given.items()
        if all(event.pk in back for event in events)
    }


def _of_another_order(run: RuleRun, end: RuleRun) -> bool:
    one, other = run.event, end.event
    bought = one.trigger == Trigger.PRODUCT_PURCHASED
    return bought and bool(one.order_id and other.order_id) and one.order_id != other.order_id


def _about(name: str, place: Place, kept: RuleRun | None, left: EventLog | None) -> Sentence:
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
    since = f"{_when(settled.finished_at or settled.received_at)}{_order(settled)}"
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
    since = f"{_when(settled.finished_at or settled.received_at)}{_order(settled)}"
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
    """What was paid for was taken back, and the access is there all the same."""
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


def _besides(run: RuleRun) -> Sentence:
    """What changes no access, and is not done yet."""
    kind = BAD if run.status == RuleRun.Status.FAILED else WAIT
    text = f"{run.spec.label}, {run.destination_name}: it {_state(run)}{_order(run)}."
    return Sentence(kind, f"{text} {wait_reasons.reason(run)}".strip(), run=run.pk)


def _state(run: RuleRun) -> str:
    states = {RuleRun.Status.FAILED: "failed", RuleRun.Status.HELD: "is held"}
    return states.get(RuleRun.Status(run.status), "is waiting")


def _gave_nothing(event: EventLog, back: EventLog | None, now: list[Rule]) -> Sentence:
    bought = f"Paid for {event.product or 'something'}{_of_order(event)}"
    rule = next(filter(backfill.gives_now, now), None)
    if back is None and rule is not None:
        text = f"{bought} and got nothing. {backfill.since(event, rule)}"
        if removed := payload_removed(event.delivery):
            by_hand = "Enroll the customer in Thinkific by hand, then mark this as dealt with."
            return Sentence(WAIT, f"{text} But {removed}. {by_hand}", event=event.pk)
        return Sentence(WAIT, text, enroll=event.pk)
    paid = f"{bought}, but no rule gives anything"
    if back is None and event.fits_what_is_off:
        off = "the rule that fits is turned off. Turn it on, then run the event's rules again."
        return Sentence(WAIT, f"{paid} for it: {off}", event=event.pk)
    if back is None:
        return Sentence(WAIT, f"{paid} for it.", product=event.product_id)
    return Sentence(
        QUIET,
        f"{paid} for it; {revocations.sentence(back)}. Mark it as dealt with if nothing is owed.",
        event=event.pk,
    )


def _nothing_goes_on(runs: list[RuleRun]) -> list[Sentence]:
    """That what waits will not go on by itself, where no worker runs."""
    if not dashboard.worker_is_silent() or not any(run.status in UNFINISHED for run in runs):
        return []
    text = "Nothing is being carried out: no worker has been seen for two minutes."
    return [Sentence(WAIT, f"{text} Nothing received is lost. Call your technician.")]


def _not_understood(customer: Customer) -> list[Sentence]:
    return [
        Sentence(
            WAIT,
            f"Nothing was done yet about an event{_of_order(event)}. {event.reason}",
            event=event.pk,
        )
        for event in _told(review.not_understood().filter(customer=customer))
    ]


def _administrators(customer: Customer) -> list[Sentence]:
    thinkific_users = ThinkificUser.objects.filter(customer=customer, administrator=True)
    return [
        Sentence(
            WAIT,
            f"This e-mail is an administrator of {thinkific_user.integration}; enrollments of "
            "administrators do not show in Thinkific. Test with another address.",
            integration=thinkific_user.integration_id,
        )
        for thinkific_user in thinkific_users.select_related("integration")
    ]


def _nothing(name: str, customer: Customer) -> list[Sentence]:
    events = EventLog.objects.filter(customer=customer)
    dealt = [
        Sentence(
            QUIET,
            f"Paid for {event.product or 'something'}{_of_order(event)}; no rule gave anything "
            f"for it, and {event.dealt_with_by or 'somebody'} dealt with it on "
            f"{_when(event.dealt_with_at)}.",
            event=event.pk,
        )
        for event in _told(events.filter(review.PAID_FOR_NOTHING, dealt_with_at__isnull=False))
        if event.dealt_with_at
    ]
    if dealt:
        return dealt
    return [Sentence(QUIET, _never(name, customer, anything=events.exists()))]


def _never(name: str, customer: Customer, *, anything: bool) -> str:
    if anything:
        return f"{name} bought nothing that a rule gives access for. Look at the events below."
    days = settings.KEEP_EVENTS_DAYS
    if days and customer.created_at < timezone.now() - timedelta(days=days):
        return f"Nothing was received for {customer.readable_email} in the last {days} days."
    return f"Nothing was received for {customer.readable_email}."


def _told(events: QuerySet[EventLog]) -> QuerySet[EventLog]:
    found = events.select_related("product", "delivery").defer("delivery__body", "delivery__query")
    return found.order_by("-received_at", "-pk")[:MAX_EVENTS_TOLD]


def _when(moment: datetime) -> str:
    local = timezone.localtime(moment)
    return f"{local.day} {local:%b %H:%M}"


def _of_order(event: EventLog) -> str:
    return f" (order {event.order_id})" if event.order_id else ""


def _order(run: RuleRun) -> str:
    return _of_order(run.event)
