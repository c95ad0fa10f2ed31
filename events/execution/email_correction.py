"""A person corrects an unusable e-mail address of an event, and its actions are carried out."""

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from events.access import decisions, history
from events.access.event_student import QUOTED, STUDENT_EMAIL
from events.access.lock import lock
from events.deciding.planning import WITHDRAWN, must_be_held
from events.deciding.reading import read
from events.models import Delivery, EventLog, RuleRun
from events.models.event_status import refresh_event
from events.models.runs import RuleRunQuerySet
from events.queue.wake import wake
from integrations import audit
from integrations.audit import Act
from integrations.models import Customer
from integrations.samcart.normalize import examine_email, strip_invisible
from integrations.samcart.parser import SaleEvent
from integrations.sentences import joined, say

Status = RuleRun.Status


def lacks_email(run: RuleRun) -> bool:
    """Whether the run failed because its event has no usable address, so a retry cannot help."""
    needed = run.customer_id is None and not run.spec.passes_on
    return needed and run.status == Status.FAILED and run.integration_id is not None


def runs_to_correct(event: EventLog) -> list[RuleRun]:
    """Return the failed actions whose address is asked for next; [] if none is.

    The payer's is asked for first, then a student's: one field of the order at a time, because two
    fields may name two people.
    """
    return _next(RuleRun.objects.filter(event=event))


def _next(runs: RuleRunQuerySet) -> list[RuleRun]:
    of_whom: dict[tuple[bool, str], list[RuleRun]] = {}
    for run in runs.without_email().select_related("integration").order_by("pk"):
        if run.integration is not None:  # otherwise it can never be carried out
            of_student = run.code == STUDENT_EMAIL
            field = run.integration.student_field.strip().casefold() if of_student else ""
            of_whom.setdefault((of_student, field), []).append(run)
    first = min(of_whom, key=lambda whom: whom[0], default=None)  # the oldest wins a tie
    return of_whom[first] if first else []


def unusable_address(run: RuleRun) -> str:
    """Return the unusable address that came for a failed action, "" if none is known."""
    address = run.event.email_as_sent
    # An order may name several students, but the event keeps one address: it may be another's.
    if run.code == STUDENT_EMAIL and address[:QUOTED] not in run.message:
        return ""
    return address


def give_email(event: EventLog, text: str, *, by: str, asked_for: str = "") -> int:
    """Carry out the event's actions for this address. Return how many were queued.

    These are the actions that `runs_to_correct` returns. `asked_for` is the ID of the first that it
    returned when the person saw it; "" skips that check. A student's address leaves the payer as it
    is. What would have waited for a person or for its day still waits. The event's reason says what
    SamCart sent, why it was unusable, and who gave what instead.

    Raises ValueError with a sentence if the address is unusable, or not asked for anymore.
    """
    email, problem = examine_email(text)
    if problem:
        raise ValueError(problem if text.strip() else say("Enter the e-mail address."))
    history.check()
    sale = _sale(event)
    held = must_be_held(event, sale.line_status if sale else "")
    with transaction.atomic():
        lock()
        event = EventLog.objects.select_for_update(of=("self",)).get(pk=event.pk)
        found = _next(RuleRun.objects.filter(event=event).select_for_update(of=("self",)))
        if not found or asked_for not in {"", str(found[0].pk)}:
            raise ValueError(say("This e-mail address is not asked for anymore. Reload the page."))
        pays = event.customer is None and found[0].code != STUDENT_EMAIL
        names = sale if pays else None
        customer = _customer(event, names, email=email, as_sent=strip_invisible(text))
        before = event.reason or (WITHDRAWN if event.withdrawn else "")
        came = _came(event, sale) if pays else found[0].message
        if pays:
            event.customer = customer
        given = {"person": by, "email": customer.readable_email}
        event.reason = joined([before, came, say("{person} entered {email} instead.", **given)])
        event.email_given_at, event.email_given_by = Now(), by
        event.save(update_fields=["customer", "reason", "email_given_at", "email_given_by"])
        message = held or say("Queued for {email}, which {person} entered.", **given)
        queued = [_go_on(run, customer, message, held) for run in found]
        refresh_event(event.pk)
        audit.record(Act.EMAIL_CORRECTED, event, after={"email": customer.readable_email})
        wake()
    return sum(queued)


def _go_on(run: RuleRun, customer: Customer, message: str, held: str) -> bool:
    """Let the run go on for this customer. Return whether it is carried out now."""
    run.customer, run.message = customer, message
    run.status, run.code = (Status.HELD, "held") if held else (Status.WAITING, "queued")
    run.attempts = run.crashes = 0
    run.finished_at, run.next_attempt_at = None, None if held else timezone.now()
    if run.target and not held:
        decisions.decide_alone(run)
    run.save()
    return run.status == Status.WAITING and not run.is_pending


def _came(event: EventLog, sale: SaleEvent | None) -> str:
    """Say which address SamCart sent, and why it is unusable."""
    problem = sale.email_problem if sale else examine_email(event.email_as_sent)[1]
    as_sent = event.email_as_sent
    sent = say('SamCart sent "{email}".', email=as_sent) if as_sent else ""
    return joined([sent, problem])


def _customer(event: EventLog, sale: SaleEvent | None, *, email: str, as_sent: str) -> Customer:
    """Return the customer with this address. A new payer gets the names in the body."""
    names = {}
    # Someone who only knows a withdrawn address must not be able to name customers.
    if sale and not event.withdrawn:
        names = {"first_name": sale.first_name, "last_name": sale.last_name}
    customer, _ = Customer.objects.get_or_create(
        email=email, defaults={"email_as_sent": as_sent, **names}
    )
    return customer


def _sale(event: EventLog) -> SaleEvent | None:
    """Return what the body says about this event's line; None if it is not kept anymore."""
    delivery = Delivery.objects.filter(events=event, body_removed_at=None).first()
    lines = read(delivery, {}).lines if delivery else ()
    return lines[event.line].sale if event.line < len(lines) else None
