"""Where a person moved access from one customer to another."""

from collections.abc import Collection
from typing import Any

from django.db.models import QuerySet

from events.models import EventLog, Grant, RuleRun
from integrations.audit import Act
from integrations.audit_values import RUN
from integrations.models import AuditEntry, Customer
from integrations.samcart.normalize import examine_email


def moved_to(event: EventLog) -> Customer | None:
    """Return who got the access that this event moved away, if that is still known."""
    moved = _entries().filter(number=str(event.customer_id), at__gte=event.received_at)
    address = _address(moved.order_by("pk").values_list("after", flat=True).first())
    return Customer.objects.filter(email=address).first() if address else None


def all_moved_to(customers: Collection[int]) -> dict[int, Customer]:
    """Return {customer ID: who got it last} for those of these whose access was all moved away.

    As far as it is known. Takes one query if nothing was moved away from them, else three.
    """
    moved = _entries().filter(number__in=[str(each) for each in customers]).order_by("pk")
    rows = moved.values_list("number", "after")
    addresses = {int(number): _address(after) for number, after in rows}
    if not addresses:
        return {}
    have = set(Grant.objects.filter(customer__in=addresses).values_list("customer", flat=True))
    known = {each.email: each for each in Customer.objects.filter(email__in=addresses.values())}
    return {
        who: known[address]
        for who, address in addresses.items()
        if who not in have and address in known
    }


def moved_from(runs: Collection[RuleRun]) -> dict[int, Customer]:
    """Return {event ID: who had the access before}, as far as it is known, for these runs' events.

    Takes two queries if one of the runs moved access to its customer, else none.
    """
    here = {run.pk: run for run in runs if run.event.by_hand == EventLog.ByHand.MOVE_HERE}
    if not here:
        return {}
    moved = _entries().filter(
        at__gte=min(run.received_at for run in here.values()),
        **{f"after__{RUN}__in": list(here)},
    )
    numbers = {
        here[(after or {})[RUN]].event_id: int(number)
        for number, after in moved.values_list("number", "after")
        if number.isdecimal()
    }
    known = Customer.objects.in_bulk(set(numbers.values()))
    return {event: known[who] for event, who in numbers.items() if who in known}


def _entries() -> QuerySet[AuditEntry]:
    return AuditEntry.objects.filter(act=Act.ACCESS_MOVED, kind=Customer._meta.model_name)


def _address(after: dict[str, Any] | None) -> str:
    """Return the address to which an entry says that access was moved; "" if it was erased."""
    return examine_email(str((after or {}).get("email", "")))[0]
