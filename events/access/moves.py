"""Where a person moved access from one customer to another."""

from collections.abc import Collection

from events.models import EventLog, RuleRun
from integrations.audit import Act
from integrations.audit_values import RUN
from integrations.models import AuditEntry, Customer
from integrations.samcart.normalize import examine_email


def moved_to(event: EventLog) -> Customer | None:
    """Return who got the access that this event moved away, if that is still known."""
    moved = AuditEntry.objects.filter(
        act=Act.ACCESS_MOVED,
        kind=Customer._meta.model_name,
        number=str(event.customer_id),
        at__gte=event.received_at,
    )
    after = moved.order_by("pk").values_list("after", flat=True).first() or {}
    address, _ = examine_email(str(after.get("email", "")))
    return Customer.objects.filter(email=address).first() if address else None


def moved_from(runs: Collection[RuleRun]) -> dict[int, Customer]:
    """Return {event ID: who had the access before}, as far as it is known, for these runs' events.

    Takes two queries if one of the runs moved access to its customer, else none.
    """
    here = {run.pk: run for run in runs if run.event.by_hand == EventLog.ByHand.MOVE_HERE}
    if not here:
        return {}
    moved = AuditEntry.objects.filter(
        act=Act.ACCESS_MOVED,
        kind=Customer._meta.model_name,
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
