"""What a run passes on: the body that SamCart sent, as it came."""

from events.models import Delivery, RuleRun
from rules.actions import Message


def message_of(run: RuleRun) -> Message | None:
    """Return the message that a run passes on; None if it passes none on, or the body is gone."""
    if not run.spec.passes_on:
        return None
    delivery = Delivery.objects.filter(events=run.event_id).first()
    body = delivery.body if delivery else b""
    if delivery is None or delivery.body_removed_at is not None or not body:
        return None
    return Message(
        number=str(run.message_id),
        body=body,
        content_type=delivery.content_type,
        content_encoding=delivery.content_encoding,
        trigger=run.event.trigger or "",
        event=run.event.pk,
    )
