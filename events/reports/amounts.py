"""What was paid, as SamCart's bodies tell it; for lists that leave Admit."""

from collections.abc import Sequence

from events.models import Delivery, EventLog
from integrations.samcart import amounts
from integrations.samcart.amounts import Amounts
from integrations.secrets import SecretUnreadable
from integrations.sentences import Said, joined, say

READ = ("sealed_body", "content_type", "content_encoding")


def of_events(events: Sequence[EventLog]) -> dict[int, Amounts]:
    """Return the sums of these events by pk, in one query. Empty where the body was removed."""
    numbers = {event.delivery_id for event in events if event.delivery_id}
    sent = Delivery.objects.only(*READ).in_bulk(numbers) if numbers else {}
    return {event.pk: _of(event, sent.get(event.delivery_id or 0)) for event in events}


def sentences_of(events: Sequence[EventLog]) -> dict[int, Said]:
    """Return what each of these events says was paid, by pk; without those that do not tell."""
    found = {pk: _sentence(each) for pk, each in of_events(events).items()}
    return {pk: text for pk, text in found.items() if text}


def _sentence(sums: Amounts) -> Said:
    price = say("Price {price}.", price=str(sums.price)) if sums.price is not None else ""
    total = ""
    if sums.order_total is not None:
        total = say("Total of the order {total}.", total=str(sums.order_total))
    return joined([price, total])


def _of(event: EventLog, sent: Delivery | None) -> Amounts:
    if sent is None:
        return Amounts()
    product = event.product.external_id if event.product else ""
    try:
        body = sent.body
    except SecretUnreadable:
        return Amounts()
    return amounts.read(body, sent.content_type, sent.content_encoding, product=product)
