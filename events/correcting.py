"""An event without a usable e-mail address gets one from a person, and is carried out for it."""

from django.db import transaction
from django.db.models.functions import Now

from events.deciding import must_be_held
from events.models import Delivery, EventLog, RuleRun
from events.reading import read
from events.results import refresh_event
from events.wake import wake
from integrations.models import Customer
from integrations.samcart.identity import examine_email, without_unseen_ends
from integrations.samcart.payload import SaleEvent

Status = RuleRun.Status


def wants_email(event: EventLog) -> bool:
    """Whether the event failed because SamCart sent no usable address with it."""
    return event.customer_id is None and event.status == EventLog.Status.FAILED


def give_email(event: EventLog, text: str, *, by: str) -> int:
    """Carry the event's actions out for this address; how many were queued.

    What a person must release is held as it would have been with an address of SamCart's. Why
    that one could not be used stays with the event. Raises ValueError with a sentence for an
    address that cannot be used, and for an event that has a customer.
    """
    email, problem = examine_email(text)
    if problem:
        raise ValueError(problem if text.strip() else "Enter the customer's e-mail address.")
    sale = _sale(event)
    held = must_be_held(event, sale.line_status if sale else "")
    with transaction.atomic():
        event = EventLog.objects.select_for_update(of=("self",)).get(pk=event.pk)
        if not wants_email(event):
            raise ValueError("This event has a customer already. Reload the page.")
        event.customer = _customer(event, sale, email=email, as_sent=without_unseen_ends(text))
        event.reason = f"{event.reason} {by} gave {email} instead.".strip()
        event.email_given_at, event.email_given_by = Now(), by
        event.save(update_fields=["customer", "reason", "email_given_at", "email_given_by"])
        queued = event.runs.filter(customer=None, status=Status.FAILED).update(
            customer=event.customer,
            status=Status.HELD if held else Status.WAITING,
            message=held or f"Queued for {email}, which {by} gave.",
            attempts=0,
            crashes=0,
            next_attempt_at=None if held else Now(),
            finished_at=None,
        )
        refresh_event(event.pk)
        wake()
    return 0 if held else queued


def _customer(event: EventLog, sale: SaleEvent | None, *, email: str, as_sent: str) -> Customer:
    """The customer with this address; a new one gets the name that the body tells."""
    names = {}
    # Someone who only knows a withdrawn address must not name anybody.
    if sale and not event.delivery.withdrawn:
        names = {"first_name": sale.first_name, "last_name": sale.last_name}
    customer, _ = Customer.objects.get_or_create(
        email=email, defaults={"email_as_sent": as_sent, **names}
    )
    return customer


def _sale(event: EventLog) -> SaleEvent | None:
    """What the body says of this event's line; None when it is not kept any more."""
    delivery = Delivery.objects.get(pk=event.delivery_id)
    lines = read(delivery, {}).lines if delivery.body_removed_at is None else ()
    return lines[event.line].sale if event.line < len(lines) else None
