"""What was paid, as SamCart's bodies tell it; for lists that leave Admit."""

from collections.abc import Sequence

from events.models import Delivery, EventLog
from integrations.samcart import amounts
from integrations.samcart.amounts import Amounts
from integrations.secrets import SecretUnreadable

READ = ("sealed_body", "content_type", "content_encoding")


def of_events(events: Sequence[EventLog]) -> dict[int, Amounts]:
    """Return the sums of these events by pk, in one query. Empty where the body was removed."""
    numbers = {event.delivery_id for event in events if event.delivery_id}
    sent = Delivery.objects.only(*READ).in_bulk(numbers) if numbers else {}
    return {event.pk: _of(event, sent.get(event.delivery_id or 0)) for event in events}


def _of(event: EventLog, sent: Delivery | None) -> Amounts:
    if sent is None:
        return Amounts()
    product = event.product.external_id if event.product else ""
    try:
        body = sent.body
    except SecretUnreadable:
        return Amounts()
    return amounts.read(body, sent.content_type, sent.content_encoding, product=product)
