"""What a person does by hand with a customer's access: each time an event, with its author.

Like the inbox, a person decides under the lock of deciding.
"""

from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from events.access.ledger import BY_HAND
from events.access.lock import lock
from events.models import EventLog, Grant, RuleRun
from events.queue.wake import wake
from integrations.models import Customer, Destination, Integration
from rules import actions
from rules.actions import ActionSpec, Effect

ByHand = EventLog.ByHand


@dataclass(frozen=True, slots=True)
class Author:
    """Who does it, and why."""

    name: str
    reason: str


def give(customer: Customer, destination: Destination, author: Author) -> EventLog:
    """Give access to a course or bundle, beside whatever else gives it.

    Raises ValueError with a sentence where that cannot be done.
    """
    if destination.gone_at is not None:
        raise ValueError(f"{destination} is gone from Thinkific. Choose another.")
    spec = _spec(destination.integration, destination.kind, Effect.GIVES)
    with transaction.atomic():
        lock()
        grant = Grant(
            source=Grant.Source.HAND,
            customer=customer,
            integration=destination.integration,
            target=spec.concerns(destination.external_id),
            name=destination.name,
            course_ids=destination.course_ids,
        )
        same = Grant.objects.active().filter(
            source=Grant.Source.HAND,
            customer=customer,
            integration=grant.integration,
            target=grant.target,
        )
        if same.exists():
            raise ValueError(f"This customer was given {destination.name} by hand before.")
        event = _event(ByHand.GIVE, customer, author)
        grant.state, grant.opened_at = Grant.State.ACTIVE, event.received_at
        grant.decided_at, grant.because, grant.event = event.received_at, BY_HAND, event
        grant.save()
        _run(event, spec, customer, grant, destination.external_id).save()
        wake()
    return event


def _spec(integration: Integration, kind: str, effect: Effect) -> ActionSpec:
    """The action that does this to a course or bundle of the integration."""
    fitting = (spec for spec in actions.ACTIONS.values() if spec.app == integration.app)
    return next(spec for spec in fitting if spec.target == kind and spec.effect is effect)


def _event(
    what: EventLog.ByHand,
    customer: Customer,
    author: Author,
    status: EventLog.Status = EventLog.Status.WAITING,
) -> EventLog:
    return EventLog.objects.create(
        by_hand=what,
        author=author.name[:150],
        author_note=author.reason,
        customer=customer,
        status=status,
        received_at=timezone.now(),
    )


def _run(
    event: EventLog, spec: ActionSpec, customer: Customer, grant: Grant, number: int
) -> RuleRun:
    """The run (not saved) that makes Thinkific follow, for the grant's course or bundle."""
    return RuleRun(
        event=event,
        customer=customer,
        grant=grant,
        received_at=event.received_at,
        integration=grant.integration,
        action=spec.key,
        destination_id=number,
        destination_name=grant.name,
        target=grant.target,
        site=grant.integration.site,
        rule_sentence=f"By hand: {spec.label}, {grant.name} on {grant.integration}",
        code="not_started",
        next_attempt_at=event.received_at,
    )
