"""An event without a usable e-mail address gets one from a person, and is carried out for it."""

from django.db import transaction
from django.db.models.functions import Now

from events.models import EventLog, RuleRun
from events.results import refresh_event
from events.wake import wake
from integrations.models import Customer
from integrations.samcart.identity import examine_email, without_unseen_ends

Status = RuleRun.Status


def wants_email(event: EventLog) -> bool:
    """Whether the event failed because SamCart sent no usable address with it."""
    return event.customer_id is None and event.status == EventLog.Status.FAILED


def give_email(event: EventLog, text: str, *, by: str) -> int:
    """Carry the event's actions out for this address; how many were queued.

    Why SamCart's own address could not be used stays with the event. Raises ValueError with a
    sentence for an address that cannot be used, and for an event that has a customer.
    """
    email, problem = examine_email(text)
    if problem:
        raise ValueError(problem if text.strip() else "Enter the customer's e-mail address.")
    with transaction.atomic():
        event = EventLog.objects.select_for_update(of=("self",)).get(pk=event.pk)
        if not wants_email(event):
            raise ValueError("This event has a customer already. Reload the page.")
        as_sent = without_unseen_ends(text)
        event.customer, _ = Customer.objects.get_or_create(
            email=email, defaults={"email_as_sent": as_sent}
        )
        event.reason = f"{event.reason} {by} gave {email} instead.".strip()
        event.email_given_at, event.email_given_by = Now(), by
        event.save(update_fields=["customer", "reason", "email_given_at", "email_given_by"])
        queued = event.runs.filter(customer=None, status=Status.FAILED).update(
            customer=event.customer,
            status=Status.WAITING,
            message=f"Queued for {email}, which {by} gave.",
            attempts=0,
            crashes=0,
            next_attempt_at=Now(),
            finished_at=None,
        )
        refresh_event(event.pk)
        wake()
    return queued
