"""What a person does by hand with a customer's access: each time an event, with its author.

Like the inbox, a person decides under the lock of deciding.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from events.access import history, ledger, students
from events.access.lock import lock
from events.models import EventLog, Grant, RuleRun
from events.queue.wake import wake
from integrations import audit
from integrations.audit import Act
from integrations.models import Customer, Destination, Integration, ThinkificUser
from integrations.samcart.normalize import examine_email, strip_invisible
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
    history.check()
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
        ledger.open_it(grant, ledger.Change.by_hand(grant, event))
        grant.save()
        _run(event, Effect.GIVES, grant, grant).save()
        audit.record(Act.ACCESS_GIVEN, customer, after=_named([grant]), note=author.reason)
        wake()
    return event


def note(customer: Customer, author: Author) -> EventLog:
    """Keep what the author has to say about the customer; nothing else happens."""
    with transaction.atomic():
        audit.record(Act.NOTE_ADDED, customer, note=author.reason)
        return _event(ByHand.NOTE, customer, author, status=EventLog.Status.NOTED)


@dataclass(frozen=True, slots=True)
class Holding:
    """A course or bundle that a student has access to, with all the grants that give it."""

    grants: tuple[Grant, ...]

    @property
    def key(self) -> str:
        """ "3 course:501": the integration, and what it is there."""
        return f"{self.grants[0].integration_id} {self.grants[0].target}"


def holdings(customer: Customer) -> list[Holding]:
    """What the customer has access to by the ledger, in the order of the names.

    That is also what another customer has who is the same Thinkific user.
    """
    sites = ThinkificUser.objects.filter(customer=customer).values_list("integration", flat=True)
    same = students.same_users((site, customer.pk) for site in sites)
    whom = Q(customer=customer)
    for (site, _), customers in same.items():
        whom |= Q(integration=site, customer__in=customers)
    return _holdings(whom)


def _holdings(whom: Q) -> list[Holding]:
    active = Grant.objects.active().filter(whom).select_related("integration")
    found: dict[tuple[int, str], list[Grant]] = {}
    for grant in active.order_by("name", "integration", "target", "pk"):
        found.setdefault((grant.integration_id, grant.target), []).append(grant)
    return [Holding(tuple(grants)) for grants in found.values()]


def end(customer: Customer, key: str, author: Author) -> EventLog:
    """End the customer's access to the course or bundle of this holding, whatever gave it.

    It stays ended whatever comes for these purchases later. Raises ValueError with a sentence
    where there is no such access.
    """
    history.check()
    with transaction.atomic():
        lock()
        holding = next((each for each in holdings(customer) if each.key == key), None)
        if holding is None:
            raise ValueError("This customer does not have this access any more.")
        event = _event(ByHand.END, customer, author)
        for grant in holding.grants:
            ledger.end_it(grant, ledger.Change.by_hand(grant, event))
            grant.save(update_fields=["state", "ended_at", "decided_at", "because", "event"])
        first = holding.grants[0]
        _run(event, Effect.ENDS, first, first).save()
        audit.record(Act.ACCESS_ENDED, customer, before=_named([first]), note=author.reason)
        wake()
    return event


def move(customer: Customer, email: str, author: Author) -> Customer:
    """Make the one with this e-mail address the student of all that the customer has or had.

    Later events of these purchases are about the new student. Returns that one, who is made where
    the address is new. Raises ValueError with a sentence where nothing can be moved.
    """
    address, problem = examine_email(email)
    if problem:
        raise ValueError(problem if strip_invisible(email) else "Enter the other address.")
    if address == customer.email:
        raise ValueError("This is the address that the customer has already.")
    history.check()
    with transaction.atomic():
        lock()
        moved = _holdings(Q(customer=customer))
        if not moved:
            raise ValueError("Admit knows of no access that this customer has now.")
        names = {"first_name": customer.first_name, "last_name": customer.last_name}
        other, _ = Customer.objects.get_or_create(
            email=address, defaults={"email_as_sent": strip_invisible(email), **names}
        )
        away = _event(ByHand.MOVE_AWAY, customer, author, f"Moved to {other.readable_email}.")
        here = _event(ByHand.MOVE_HERE, other, author, f"Moved from {customer.readable_email}.")
        # What has ended goes along: a purchase has one student.
        Grant.objects.filter(customer=customer).update(customer=other, seen_at=None)
        # The ending ones change no grant: there is none of this customer any more.
        ending = [_run(away, Effect.ENDS, holding.grants[0], None) for holding in moved]
        giving = [
            _run(here, Effect.GIVES, grant, grant) for holding in moved for grant in holding.grants
        ]
        RuleRun.objects.bulk_create([*ending, *giving])
        audit.record(
            Act.ACCESS_MOVED,
            customer,
            before={"email": customer.readable_email},
            after={"email": other.readable_email},
            note=author.reason,
        )
        wake()
    return other


def _named(grants: Iterable[Grant]) -> dict[str, list[str]]:
    """What these give, for the audit."""
    return {"access": [f"{grant.name} on {grant.integration}" for grant in grants]}


def _spec(integration: Integration, kind: str, effect: Effect) -> ActionSpec:
    """The action that does this to a course or bundle of the integration."""
    fitting = (spec for spec in actions.ACTIONS.values() if spec.app == integration.app)
    return next(spec for spec in fitting if spec.target == kind and spec.effect is effect)


def _event(
    what: EventLog.ByHand,
    customer: Customer,
    author: Author,
    reason: str = "",
    status: EventLog.Status = EventLog.Status.WAITING,
) -> EventLog:
    return EventLog.objects.create(
        by_hand=what,
        author=author.name[:150],
        author_note=author.reason,
        customer=customer,
        status=status,
        reason=reason,
        received_at=timezone.now(),
    )


def _run(event: EventLog, effect: Effect, grant: Grant, changed: Grant | None) -> RuleRun:
    """The run (not saved) that gives or ends in Thinkific what the grant is for.

    It does so for the event's customer. `changed` is the grant as which that counts, if any.
    """
    kind, number = actions.read_target(grant.target)
    spec = _spec(grant.integration, kind, effect)
    return RuleRun(
        event=event,
        customer=event.customer,
        grant=changed,
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
