"""Who paid for whom, if the payer is not the student."""

from collections.abc import Collection, Sequence

from events.access.event_student import STUDENT_EMAIL
from events.access.sale import Sale
from events.models import EventLog, RuleRun
from events.reports.access.standing import MAX_ROWS
from events.reports.sentences.sentence import (
    BAD,
    QUIET,
    Code,
    Sentence,
    happening,
    of_order,
    outcome,
    upper,
)
from integrations.models import Customer
from integrations.sentences import Said, format_day, say
from integrations.who import shown_who
from rules.triggers import Trigger

# At most this many orders of one kind are shown, the newest.
MAX_TOLD = 5


def sentences(customer: Customer) -> list[Sentence]:
    """Say for whom the customer paid, and who paid for the customer."""
    return [*_of_others(customer), *_paid_by_others(customer), *_without_student(customer)]


def _of_others(customer: Customer) -> list[Sentence]:
    """Say whose access the customer's events were about, if it is someone else's."""
    events = EventLog.objects.filter(customer=customer).order_by("-received_at", "-pk")
    runs = RuleRun.objects.filter(event__in=list(events.values_list("pk", flat=True)[:MAX_ROWS]))
    runs = runs.exclude(customer=customer).exclude(customer=None).exclude(target="")
    found = {
        (run.event.order_id, run.customer): run
        for run in runs.select_related("event", "customer").order_by("received_at", "pk")
    }
    newest = list(found.values())[-MAX_TOLD:]
    moves = _moves({run.customer_id for run in newest if run.customer_id})
    return [
        Sentence(
            QUIET,
            _about(run, run.customer, moves),
            Code.OF_ANOTHER,
            customer=run.customer.pk,
        )
        for run in newest
        if run.customer
    ]


def _moves(students: Collection[int]) -> list[RuleRun]:
    """Return the actions by which persons moved access to these students, the newest last."""
    here = RuleRun.objects.filter(
        customer__in=students, event__by_hand=EventLog.ByHand.MOVE_HERE, grant__isnull=False
    )
    return list(here.select_related("event", "grant").order_by("pk")) if students else []


def _about(run: RuleRun, student: Customer, moves: Sequence[RuleRun]) -> Said:
    email, sale = student.readable_email, Sale.of(run.event)
    for move in reversed(moves):
        if move.customer_id == student.pk and move.grant and sale.is_same(Sale.of(move.grant)):
            return say(
                "{person} moved what was bought{order} to {email} on {day}.",
                person=shown_who(move.event.author) or say("Somebody"),
                order=of_order(run.event),
                email=email,
                day=format_day(move.received_at),
            )
    if run.event.trigger == Trigger.PRODUCT_PURCHASED:
        return say("Bought for {email}{order}.", email=email, order=of_order(run.event))
    return say("{event} is about {email}.", event=upper(happening(run)), email=email)


def _paid_by_others(customer: Customer) -> list[Sentence]:
    """Say who paid for the customer's access, if it was someone else."""
    runs = RuleRun.objects.filter(
        customer=customer, event__trigger=Trigger.PRODUCT_PURCHASED, event__customer__isnull=False
    )
    runs = runs.exclude(target="").exclude(event__customer=customer)
    newest = runs.select_related("event__customer").order_by("-received_at", "-pk")
    payers = {(run.event.order_id, run.event.customer): run.event for run in newest[:MAX_ROWS]}
    return [
        Sentence(
            QUIET,
            say("{email} paid{order}.", email=payer.readable_email, order=of_order(event)),
            Code.PAID_BY,
            customer=payer.pk,
        )
        for (_, payer), event in list(payers.items())[:MAX_TOLD]
        if payer
    ]


def _without_student(customer: Customer) -> list[Sentence]:
    """Say what the customer paid for and nobody got, because the student's address is unusable."""
    runs = RuleRun.objects.filter(
        event__customer=customer, status=RuleRun.Status.FAILED, code=STUDENT_EMAIL
    )
    newest = runs.select_related("event").order_by("-received_at", "-pk")[:MAX_ROWS]
    events = {run.event: run for run in newest}
    return [
        Sentence(BAD, outcome(run), Code.STUDENT_EMAIL, event=event.pk)
        for event, run in list(events.items())[:MAX_TOLD]
    ]
