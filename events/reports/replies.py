"""What to write to a customer who asks where the course is; no word of how Admit works."""

from collections.abc import Collection

from django.utils import timezone

from events.models import EventLog, RuleRun
from events.reports.places import Place
from integrations.models import Customer
from rules.triggers import Trigger

MAX_EVENTS_TOLD = 5


def reply(
    customer: Customer,
    places: Collection[Place],
    *,
    owed: Collection[EventLog],
    kept: Collection[Place],
    besides: Collection[EventLog] = (),
) -> str:
    """A few friendly lines to send to the customer.

    `owed` was paid for and gave nothing. Of `kept` a person must decide: the places that another
    purchase pays for, and those that nothing pays for any more. For the events of `besides`
    something was done that gives no access.
    """
    said = [_about(customer, place, looked_after=place in kept) for place in places]
    said += [
        f"we received your payment{_for(event)} and are looking after your access. We will write "
        "again."
        for event in owed
    ]
    parts = [each for each in said if each][:MAX_EVENTS_TOLD]
    if not parts and besides:
        parts = [
            f"we received your order{_for(event)} and are looking into it. We will write again."
            for event in besides
        ][:MAX_EVENTS_TOLD]
    if not parts:
        parts = [
            f"we found no course for {customer.readable_email}. Could it be that you ordered with "
            "another e-mail address?"
        ]
    greeting = f"Hi {customer.first_name.strip()[:60] or 'there'},"
    return "\n\n".join([greeting, *parts])


def cause(run: RuleRun) -> str:
    """ "the refund of order 1183 on 3 May" """
    trigger = run.event.trigger
    what = Trigger(trigger).wording.happening if trigger else "an event"
    order = f" of order {run.event.order_id}" if run.event.order_id else ""
    day = timezone.localtime(run.received_at)
    return f"{what}{order} on {day.day} {day:%b}"


def _about(customer: Customer, place: Place, *, looked_after: bool) -> str:
    """One sentence about this place, "" where there is nothing that the customer should hear."""
    settled, undecided = place.settled, place.open
    ends = undecided is not None and undecided.spec.ends_access
    if looked_after or place.lost or (place.has and (place.newest.integration_id is None or ends)):
        return _looking_after(place)
    if place.has:
        return (
            f"you have access to {place.name}. Please sign in at "
            f"https://{place.newest.site}.thinkific.com with {customer.readable_email}. If you "
            'have no password yet, or forgot it, press "Forgot password?" there.'
        )
    if settled is not None and (undecided is None or ends):
        return f"your access to {place.name} ended with {cause(settled)}." if place.given else ""
    return _looking_after(place)


def _looking_after(place: Place) -> str:
    return f"we are looking after your access to {place.name}, and will write again."


def _for(event: EventLog) -> str:
    product = f" for {event.product}" if event.product else ""
    return product + (f" (order {event.order_id})" if event.order_id else "")
