"""An event whose address cannot be used gets one from a person, and is carried out for it."""

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from events.access import decisions, history
from events.access.lock import lock
from events.access.whose import QUOTED, STUDENT_EMAIL
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
    """Whether the run failed because its event has no usable address: a retry cannot help."""
    needed = run.customer_id is None and not run.spec.passes_on
    return needed and run.status == Status.FAILED and run.integration_id is not None


def asked(event: EventLog) -> list[RuleRun]:
    """The failed actions that wait for the address that is asked for next; none where none is.

    It is the payer's, or else a student's: of one field of the order at a time, for two fields may
    name two persons.
    """
    return _next(RuleRun.objects.filter(event=event))


def _next(runs: RuleRunQuerySet) -> list[RuleRun]:
    of_whom: dict[tuple[bool, str], list[RuleRun]] = {}
    for run in runs.without_email().select_related("integration").order_by("pk"):
        if run.integration is not None:  # else it cannot be carried out any more
            of_student = run.code == STUDENT_EMAIL
            field = run.integration.student_field.strip().casefold() if of_student else ""
            of_whom.setdefault((of_student, field), []).append(run)
    first = min(of_whom, key=lambda whom: whom[0], default=None)  # the oldest of alike ones
    return of_whom[first] if first else []


def sent(run: RuleRun) -> str:
    """The address that came for a failed action and cannot be used, "" where none is known."""
    address = run.event.email_as_sent
    # An order may name several students, and the event keeps one address.
    if run.code == STUDENT_EMAIL and address[:QUOTED] not in run.message:
        return ""
    return address


def give_email(event: EventLog, text: str, *, by: str, asked_for: str = "") -> int:
    """Carry the event's actions out for this address; how many were queued.

    It is for those actions that `asked` names; `asked_for` is the number of the first that it named
    when the person saw it, "" where that is the same. A student's address leaves the payer. What
    waits for a person or for its day waits as it would have with an address of SamCart's. The
    event's reason tells what SamCart sent, why it could not be used, and who gave what instead.
    Raises ValueError with a sentence for an address that cannot be used, and for one that is not
    asked for any more.
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
            raise ValueError(say("This e-mail address is not asked for any more. Reload the page."))
        pays = event.customer is None and found[0].code != STUDENT_EMAIL
        names = sale if pays else None
        customer = _customer(event, names, email=email, as_sent=strip_invisible(text))
        before = event.reason or (WITHDRAWN if event.withdrawn else "")
        came = _came(event, sale) if pays else found[0].message
        if pays:
            event.customer = customer
        given = {"person": by, "email": customer.readable_email}
        event.reason = joined([before, came, say("{person} gave {email} instead.", **given)])
        event.email_given_at, event.email_given_by = Now(), by
        event.save(update_fields=["customer", "reason", "email_given_at", "email_given_by"])
        message = held or say("Queued for {email}, which {person} gave.", **given)
        queued = [_go_on(run, customer, message, held) for run in found]
        refresh_event(event.pk)
        audit.record(Act.EMAIL_CORRECTED, event, after={"email": customer.readable_email})
        wake()
    return sum(queued)


def _go_on(run: RuleRun, customer: Customer, message: str, held: str) -> bool:
    """Whether the run is carried out now that there is a customer for it."""
    run.customer, run.message = customer, message
    run.status, run.code = (Status.HELD, "held") if held else (Status.WAITING, "queued")
    run.attempts = run.crashes = 0
    run.finished_at, run.next_attempt_at = None, None if held else timezone.now()
    if run.target and not held:
        decisions.decide_alone(run)
    run.save()
    return run.status == Status.WAITING and not run.is_pending


def _came(event: EventLog, sale: SaleEvent | None) -> str:
    """Which address SamCart sent, and why it cannot be used."""
    problem = sale.email_problem if sale else examine_email(event.email_as_sent)[1]
    as_sent = event.email_as_sent
    sent = say('SamCart sent "{email}".', email=as_sent) if as_sent else ""
    return joined([sent, problem])


def _customer(event: EventLog, sale: SaleEvent | None, *, email: str, as_sent: str) -> Customer:
    """The customer with this address; a new one who pays gets the name that the body tells."""
    names = {}
    # Someone who only knows a withdrawn address must not be able to name customers.
    if sale and not event.withdrawn:
        names = {"first_name": sale.first_name, "last_name": sale.last_name}
    customer, _ = Customer.objects.get_or_create(
        email=email, defaults={"email_as_sent": as_sent, **names}
    )
    return customer


def _sale(event: EventLog) -> SaleEvent | None:
    """What the body says of this event's line; None when it is not kept any more."""
    delivery = Delivery.objects.filter(events=event, body_removed_at=None).first()
    lines = read(delivery, {}).lines if delivery else ()
    return lines[event.line].sale if event.line < len(lines) else None
