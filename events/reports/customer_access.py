"""Can she get in, and if not, why: the first line of a customer's page.

Worked out from what Admit did, in the order in which SamCart's events were received: the last
one decides. What somebody changed by hand in Thinkific is only known by asking there.
"""

from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from events.deciding import revocations
from events.execution.rerun import payload_removed
from events.models import EventLog, RuleRun
from events.models.runs import UNFINISHED
from events.reports import backfill, dashboard, place_sentences, replies, review
from events.reports.place_sentences import BAD, GOOD, QUIET, WAIT, Sentence, of_order, when
from events.reports.places import Place, by_place
from integrations.models import Customer, ThinkificUser
from rules import actions
from rules.models import Rule
from rules.triggers import Trigger

UNDECIDED = (*UNFINISHED, "failed", "held")
ORDER = (BAD, WAIT, GOOD, QUIET)
# The newest of them decide; nobody has so many.
MAX_RUNS = 500
# So many events of one kind are told, the newest first.
MAX_EVENTS_TOLD = 5


@dataclass(frozen=True, slots=True)
class AccessReport:
    """What to say to the person who asks, and what to write to the customer."""

    lines: tuple[Sentence, ...]
    reply: str


def describe(customer: Customer) -> AccessReport:
    """The sentences about this customer, the gravest first."""
    found = RuleRun.objects.filter(customer=customer).order_by("-received_at", "-pk")
    # What was passed on says nothing of the customer.
    found = found.exclude(action__in=actions.passing_on(), status=RuleRun.Status.DONE)
    runs = list(found.select_related("event", "event__product", "integration")[:MAX_RUNS])[::-1]
    name = customer.first_name.strip()[:60] or "The customer"
    places = by_place(runs, frozenset(found.lost().values_list("pk", flat=True)))
    kept, left = _paid_for_otherwise(places), _not_paid_for(places)
    lines = [
        place_sentences.about(name, place, kept.get(place), left.get(place)) for place in places
    ]
    passed_on = [run for run in runs if run.spec.passes_on]
    runs = [run for run in runs if not run.spec.passes_on]
    besides = [run for run in runs if not run.target]
    lines += [place_sentences.besides(run) for run in besides if run.status in UNDECIDED]
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
    # It is no matter of the customer's access, and so comes last.
    lines += [place_sentences.besides(run) for run in passed_on if run.status in UNDECIDED]
    owed = [event for event in nothing if event.pk not in back]
    done_besides = dict.fromkeys(run.event for run in besides)
    return AccessReport(
        tuple(lines),
        replies.reply(customer, places, owed=owed, kept={*kept, *left}, besides=done_besides),
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


def _gave_nothing(event: EventLog, back: EventLog | None, now: list[Rule]) -> Sentence:
    bought = f"Paid for {event.product or 'something'}{of_order(event)}"
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
            f"Nothing was done yet about an event{of_order(event)}. {event.reason}",
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
            f"Paid for {event.product or 'something'}{of_order(event)}; no rule gave anything "
            f"for it, and {event.dealt_with_by or 'somebody'} dealt with it on "
            f"{when(event.dealt_with_at)}.",
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
