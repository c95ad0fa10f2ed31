"""What runs pass on: the body that SamCart sent, as it came."""

from collections.abc import Iterable

from events.models import Delivery, RuleRun
from rules.actions import Message


def messages_of(runs: Iterable[RuleRun]) -> dict[int, Message]:
    """Return the messages that these runs pass on, by run ID, without those whose body is gone.

    Takes one query, or none if no run passes anything on. Raises SecretUnreadable.
    """
    passing = [run for run in runs if run.spec.passes_on]
    if not passing:
        return {}
    deliveries = Delivery.objects.in_bulk({run.event.delivery_id for run in passing} - {None})
    found = {}
    for run in passing:
        delivery = deliveries.get(run.event.delivery_id or 0)
        if delivery is not None and (message := _message(run, delivery)):
            found[run.pk] = message
    return found


def message_of(run: RuleRun) -> Message | None:
    """Return the message that a run passes on; None if it passes none on, or the body is gone."""
    return messages_of([run]).get(run.pk)


def _message(run: RuleRun, delivery: Delivery) -> Message | None:
    body = delivery.body
    if delivery.body_removed_at is not None or not body:
        return None
    return Message(
        number=str(run.message_id),
        body=body,
        content_type=delivery.content_type,
        content_encoding=delivery.content_encoding,
        trigger=run.event.trigger or "",
        event=run.event.pk,
    )
