"""Where a person moved access from one customer to another."""

from events.models import EventLog
from integrations.audit import Act
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
