"""Can the customer get in, and if not, why: the first lines of a customer's page.

What concerns one course or bundle is read from the grants, see `why`.
"""

from dataclasses import dataclass, replace
from datetime import timedelta

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from events.deciding import revocations
from events.execution.rerun import payload_removed
from events.models import EventLog, RuleRun
from events.models.runs import UNFINISHED
from events.reports import (
    backfill,
    batches,
    dashboard,
    left_behind,
    letter,
    payers,
    pending_endings,
    replies,
    review,
    why,
)
from events.reports.sentence import BAD, GOOD, QUIET, WAIT, Code, Sentence, of_order
from events.reports.standing import MAX_ROWS, UNDECIDED, Standing
from integrations.models import AuditEntry, Customer, ThinkificUser
from integrations.sentences import Said, at, joined, on, say, say_count
from rules import actions
from rules.listing import listed
from rules.models import Rule

ORDER = (BAD, WAIT, GOOD, QUIET)
# What the customer has comes first: whether she can get in is the answer.
AFTERWARDS = {Code.ENDS_LATER, Code.GAVE_NOTHING}
# So many events of one kind are told, the newest first.
MAX_EVENTS_TOLD = 5


@dataclass(frozen=True, slots=True)
class AccessReport:
    """What to say to the person who asks, and what to write to the customer.

    `language` is the code of that in which the reply is. `targets` are the courses and bundles
    that the customer has now.
    """

    lines: tuple[Sentence, ...]
    reply: str
    language: str
    targets: tuple[str, ...]


def describe(customer: Customer) -> AccessReport:
    """The sentences about this customer, the gravest first."""
    told = why.of_customer(customer)
    others = list(_without_target(customer))
    besides = [run for run in others if not run.spec.passes_on]
    nothing = list(_told(EventLog.objects.filter(review.STILL_NOTHING, customer=customer)))
    back = revocations.ended_since(nothing)
    now, had = backfill.rules_now(nothing), backfill.had(nothing)
    lines = [
        *(sentence for _, sentence in told),
        *(line for each, _ in told if each.grants for line in pending_endings.lines(each)),
        *(why.besides(run) for run in besides if run.status in UNDECIDED),
        *_nothing_goes_on(told, besides),
        *(
            _had_already(each, had[each.pk])
            if each.pk in had and each.pk not in back
            else _gave_nothing(each, back.get(each.pk), now.get(each.pk, []))
            for each in nothing
        ),
        *(_gives_another(*each) for each in left_behind.of_customer(customer)),
        *_not_understood(customer),
        *_administrators(customer),
        *payers.sentences(customer),
    ]
    lines.sort(key=_rank)
    lines = _advised_once(lines)
    if not lines:
        lines = _nothing(why.called(customer), customer)
    # What is passed on is no matter of the customer's access, and so comes last.
    passed_on = [run for run in others if run.spec.passes_on and run.status in UNDECIDED]
    template = letter.current()
    reply = replies.reply(
        customer,
        told,
        template,
        owed=[event for event in nothing if event.pk not in back and event.pk not in had],
        besides=dict.fromkeys(run.event for run in besides),
    )
    targets = tuple(each.target for each, _ in told if each.held)
    lines += map(why.besides, passed_on)
    return AccessReport(tuple(lines), reply, template.language, targets)


def _advised_once(lines: list[Sentence]) -> list[Sentence]:
    """The same without the advice that an earlier sentence gives."""
    first = next((line for line in lines if line.short), None)
    return [
        replace(line, text=line.short) if line.short and line is not first else line
        for line in lines
    ]


def _rank(line: Sentence) -> int:
    afterwards = line.kind == WAIT and line.code in AFTERWARDS
    return ORDER.index(GOOD if afterwards else line.kind)


def _without_target(customer: Customer) -> QuerySet[RuleRun]:
    """The newest actions that change no access; what was passed on says nothing of the customer."""
    runs = RuleRun.objects.filter(customer=customer, target="")
    runs = runs.exclude(action__in=actions.passing_on(), status=RuleRun.Status.DONE)
    runs = runs.select_related("event", "event__product", "integration")
    return runs.order_by("-received_at", "-pk")[:MAX_ROWS]


def _had_already(event: EventLog, has: Said) -> Sentence:
    """That the purchase gave nothing, and that another one gives what it would give."""
    text = joined([say("Paid for {product}{order}, which gave nothing.", **_facts(event)), has])
    if payload_removed(event.delivery):
        return Sentence(QUIET, text, Code.HAD_ALREADY, event=event.pk)
    more = say("Enrolled for this purchase too, the customer keeps it if the other is refunded.")
    return Sentence(QUIET, joined([text, more]), Code.HAD_ALREADY, enroll=event.pk)


def _gave_nothing(event: EventLog, back: EventLog | None, now: list[Rule]) -> Sentence:
    facts = _facts(event)
    rule = next(filter(backfill.gives_now, now), None)
    if back is None and (undone := batches.undone(event.pk)):
        return _undone(event, undone, rule)
    if back is None and rule is not None:
        text = say("Paid for {product}{order} and got nothing.", **facts)
        text = joined([text, backfill.since(event, rule)])
        if removed := payload_removed(event.delivery):
            by_hand = say(
                "But {why}. Enroll the customer in Thinkific by hand, then mark this as dealt "
                "with.",
                why=removed,
            )
            return Sentence(WAIT, joined([text, by_hand]), Code.RULE_EXISTS, event=event.pk)
        return Sentence(WAIT, text, Code.RULE_EXISTS, enroll=event.pk)
    if back is None and event.fits_what_is_off:
        text = say(
            "Paid for {product}{order}, but no rule gives anything for it: the rule that fits is "
            "turned off. Turn it on, then run the event's rules again.",
            **facts,
        )
        return Sentence(WAIT, text, Code.GAVE_NOTHING, event=event.pk)
    if back is None:
        text = say("Paid for {product}{order}, but no rule gives anything for it.", **facts)
        return Sentence(WAIT, text, Code.GAVE_NOTHING, product=event.product_id)
    text = say(
        "Paid for {product}{order} and got nothing; {ending}. Mark it as dealt with if nothing is "
        "owed.",
        ending=revocations.sentence(back),
        **facts,
    )
    return Sentence(QUIET, text, Code.GAVE_NOTHING, event=event.pk)


def _undone(event: EventLog, undone: AuditEntry, rule: Rule | None) -> Sentence:
    text = say(
        "{person} undid on {day} what was given for {product}{order}.",
        person=undone.who,
        day=on(undone.at),
        **_facts(event),
    )
    if rule is None:
        return Sentence(QUIET, text, Code.GAVE_NOTHING, event=event.pk)
    text = joined([text, say("A rule still fits it.")])
    return Sentence(QUIET, text, Code.RULE_EXISTS, enroll=event.pk)


def _gives_another(run: RuleRun, instead: list[Rule]) -> Sentence:
    """That a rule was changed or deleted since. That may be right for earlier buyers."""
    facts: dict[str, object] = {
        "old": run.destination_name,
        "order": of_order(run.event),
        "new": listed([str(rule.destination) for rule in instead]),
    }
    if run.rule is None:
        text = say(
            "The rule that gave {old}{order} was deleted. The same purchase gives {new} now.",
            **facts,
        )
    else:
        text = say("The rule that gave {old}{order} gives {new} now.", **facts)
    return Sentence(QUIET, text, Code.RULE_CHANGED, enroll=run.event_id)


def _facts(event: EventLog) -> dict[str, object]:
    return {"product": event.product or say("something"), "order": of_order(event)}


def _nothing_goes_on(
    told: list[tuple[Standing, Sentence]], besides: list[RuleRun]
) -> list[Sentence]:
    """That what waits will not go on by itself, where no worker runs."""
    runs = [run for each, _ in told for run in each.runs] + besides
    if not any(run.status in UNFINISHED for run in runs) or not dashboard.worker_is_silent():
        return []
    text = say(
        "Nothing is being carried out: no worker has been seen for two minutes. Nothing received "
        "is lost. Call your technician."
    )
    return [Sentence(WAIT, text, Code.NO_WORKER)]


def _not_understood(customer: Customer) -> list[Sentence]:
    return [
        Sentence(
            WAIT,
            joined(
                [
                    say("Nothing was done yet about an event{order}.", order=of_order(event)),
                    event.reason,
                ]
            ),
            Code.NOT_UNDERSTOOD,
            event=event.pk,
        )
        for event in _told(review.not_understood().filter(customer=customer))
    ]


def _administrators(customer: Customer) -> list[Sentence]:
    thinkific_users = ThinkificUser.objects.filter(customer=customer, administrator=True)
    return [
        Sentence(
            WAIT,
            say(
                "This e-mail is an administrator of {site}; enrollments of administrators do not "
                "show in Thinkific. Test with another address.",
                site=thinkific_user.integration,
            ),
            Code.ADMINISTRATOR,
            integration=thinkific_user.integration_id,
        )
        for thinkific_user in thinkific_users.select_related("integration")
    ]


def _nothing(name: str, customer: Customer) -> list[Sentence]:
    events = EventLog.objects.filter(customer=customer)
    dealt = [
        Sentence(
            QUIET,
            say(
                "Paid for {product}{order}; no rule gave anything for it, and {person} dealt with "
                "it on {moment}.",
                person=event.dealt_with_by or say("somebody"),
                moment=at(event.dealt_with_at),
                **_facts(event),
            ),
            Code.GAVE_NOTHING,
            event=event.pk,
        )
        for event in _told(events.filter(review.PAID_FOR_NOTHING, dealt_with_at__isnull=False))
        if event.dealt_with_at
    ]
    if dealt:
        return dealt
    return [Sentence(QUIET, _never(name, customer, anything=events.exists()), Code.NOTHING)]


def _never(name: str, customer: Customer, *, anything: bool) -> Said:
    if anything:
        return say(
            "{name} bought nothing that a rule gives access for. Look at the events below.",
            name=name,
        )
    days, email = settings.KEEP_EVENTS_DAYS, customer.readable_email
    if days and customer.created_at < timezone.now() - timedelta(days=days):
        return say_count(
            days,
            "Nothing was received for {email} in the last day.",
            "Nothing was received for {email} in the last {number} days.",
            email=email,
        )
    return say("Nothing was received for {email}.", email=email)


def _told(events: QuerySet[EventLog]) -> QuerySet[EventLog]:
    found = events.select_related("product", "delivery").defer(
        "delivery__sealed_body", "delivery__query"
    )
    return found.order_by("-received_at", "-pk")[:MAX_EVENTS_TOLD]
