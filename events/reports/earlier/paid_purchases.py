"""A student's purchases, and those that are still paid for: not refunded or canceled since."""

from django.db.models import Q

from events.access import event_student, revocations
from events.access.sale import Sale, near
from events.models import EventLog, Grant
from integrations.models import Customer
from rules.triggers import Trigger

# At most this many purchases of a customer are looked at, the newest.
MAX_PURCHASES = 20


def of_student(customer: Customer, *which: Q) -> list[EventLog]:
    """Return this student's newest purchases that meet the conditions, also those moved here.

    At most MAX_PURCHASES. Purchases that were moved away are left out.
    """
    if customer.pk is None:
        return []
    sales = list(Grant.objects.filter(customer=customer, source=Grant.Source.PURCHASE)[:100])
    bought = EventLog.objects.filter(Q(customer=customer) | near(sales), *which).trusted()
    newest = bought.of_triggers(Trigger.PRODUCT_PURCHASED).order_by("-received_at", "-pk")
    known = newest.select_related("customer", "product", "delivery").defer(
        "delivery__sealed_body", "delivery__query"
    )
    events = list(known[:MAX_PURCHASES])
    students = event_student.known(events)
    return [each for each in events if students.get(each.pk, each.customer) == customer]


def still_paid(customer: Customer) -> list[EventLog]:
    """Return the student's purchases that were not refunded or canceled since, the newest first.

    A purchase that came in several events is returned once.
    """
    events = of_student(customer)
    ended = revocations.later_endings(events)
    found: list[EventLog] = []
    for event in events:
        same = (Sale.of(event).is_same(Sale.of(other)) for other in found)
        if event.pk not in ended and not any(same):
            found.append(event)
    return found
