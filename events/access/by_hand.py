"""What a person does by hand with a customer's access. Each act is an event with an author.

Like the inbox, a person's act is decided under the deciding lock.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from events.access import (
    before_admit,
    book,
    ended_by_hand,
    grant_runs,
    hand_audit,
    hand_grants,
    history,
    holdings,
    ledger,
    pending,
)
from events.access.lock import lock
from events.models import EventLog, Grant, RuleRun
from events.models.runs import RuleRunQuerySet
from events.queue.wake import wake
from integrations import audit
from integrations.audit import Act
from integrations.audit_values import RUN
from integrations.models import Customer, Destination
from integrations.samcart.normalize import examine_email, strip_invisible
from integrations.sentences import joined, say
from rules.actions import Effect

ByHand = EventLog.ByHand
SENTENCE = _("By hand: {action}, {course} on {site}")
CHANGED_SINCE = _(
    "This access was given back since, or somebody decided about it. Open the customer's page "
    "again, then decide."
)

NOTHING_TO_MOVE = _("Admit knows of no access that this customer has now.")
STAYS = _(
    "The school gave this access before Admit, and it ends on the day that the school had set, so "
    "it cannot be moved. Give the other student access in Thinkific."
)


@dataclass(frozen=True, slots=True)
class Author:
    """Who acts, and why."""

    name: str
    reason: str


def give(
    customer: Customer,
    destination: Destination,
    author: Author,
    until: date | None = None,
    purchase: EventLog | None = None,
) -> EventLog:
    """Give access to a course or bundle; `until` is its last day.

    With a `purchase`, this is what that gives, as if by a rule: it ends with it, and an event that
    gave nothing is dealt with. Else it is a gift, beside whatever else gives it. What was given in
    the same way before gets another last day. Raises ValueError with a sentence if it cannot be
    given.
    """
    if destination.gone_at is not None:
        raise ValueError(joined([destination.missing, say("Choose another.")]))
    history.check()
    spec = grant_runs.spec_for(destination.integration, destination.kind, Effect.GIVES)
    with transaction.atomic():
        lock()
        grant = hand_grants.find_or_new(customer, destination, spec, purchase)
        known = grant.is_active
        event = _event(ByHand.GIVE_DAY if known else ByHand.GIVE, customer, author)
        replaced = list(_endings(grant)) if known else []
        runs = _giving(event, grant, until)
        if known and _days(replaced) == _days(runs[1:]):
            given = say("This customer was given {course} by hand before.", course=destination.name)
            raise ValueError(given)
        _open(grant, event)
        RuleRun.objects.bulk_create(runs)
        if purchase is not None:
            hand_grants.deal_with(purchase, event)
        pending.replace(replaced, author.name)
        if known:
            hand_audit.record_last_day(grant, replaced, runs[-1], author.reason)
        else:
            hand_audit.record_giving(Act.ACCESS_GIVEN, grant, runs[-1], author.reason)
        wake()
    return event


def _giving(event: EventLog, grant: Grant, until: date | None) -> list[RuleRun]:
    """Return the run that gives it and, with a last day, the one that waits to end it."""
    runs = [_run(event, Effect.GIVES, grant, grant)]
    if until is not None:
        runs.append(_run(event, Effect.ENDS, grant, grant))
        pending.wait_until(runs[-1], until)
    return runs


def _open(grant: Grant, event: EventLog) -> None:
    """Open the grant by this act, and save it."""
    opened = not grant.is_active
    ledger.open_it(grant, ledger.Change.by_hand(grant, event, event.received_at))
    book.save(grant, opened=opened)


def _endings(grant: Grant) -> RuleRunQuerySet:
    """Return the waiting endings that people have set for this grant alone."""
    same = pending.by_hand([grant.customer_id], grant.integration_id, grant.target)
    return same.filter(grant=grant, event__by_hand__in=[ByHand.GIVE, ByHand.GIVE_DAY])


def note(customer: Customer, author: Author) -> EventLog:
    """Keep the author's note about the customer. Nothing else happens."""
    with transaction.atomic():
        audit.record(Act.NOTE_ADDED, customer, note=author.reason)
        return _event(ByHand.NOTE, customer, author, status=EventLog.Status.NOTED)


def end(customer: Customer, key: str, author: Author, on: date | None = None) -> EventLog:
    """End the customer's access to the course or bundle of this holding, whatever gave it.

    It ends now, or at the end of the day `on`, and later events of these purchases do not reopen
    it. Raises ValueError with a sentence if there is no such access or day.
    """
    history.check()
    with transaction.atomic():
        lock()
        holding = next((each for each in holdings.of_customer(customer) if each.key == key), None)
        if holding is None:
            raise ValueError(say("This customer does not have this access anymore."))
        first = holding.grants[0]
        whose = {customer.pk, *(grant.customer_id for grant in holding.grants)}
        replaced = list(pending.by_hand(whose, first.integration_id, first.target))
        changes_day = bool(replaced) and on is not None
        event = _event(ByHand.END_DAY if changes_day else ByHand.END, customer, author)
        run = _run(event, Effect.ENDS, first, first)
        if on is None:
            holdings.end(holding.grants, event, event.received_at)
        else:
            pending.wait_until(run, on)
        run.save()
        pending.replace(replaced, author.name)
        if changes_day:
            hand_audit.record_last_day(first, replaced, run, author.reason)
        else:
            hand_audit.record_ending(first, replaced, run, author.reason)
        wake()
    return event


def give_back(ending: RuleRun, author: Author) -> EventLog:
    """Reopen what a person ended with this action. A later refund or cancellation ends it.

    Raises ValueError with a sentence if nothing of it is as the person left it.
    """
    history.check()
    with transaction.atomic():
        lock()
        customer, grants = ending.customer, ended_by_hand.can_be_given_back([ending]).get(ending.pk)
        if customer is None or not grants:
            raise ValueError(CHANGED_SINCE)
        event = _event(ByHand.GIVE_BACK, customer, author)
        ended_by_hand.give_back(ending, grants, event)
        giving = RuleRun.objects.bulk_create(_run(event, Effect.GIVES, one, one) for one in grants)
        hand_audit.record_giving(Act.ACCESS_GIVEN_BACK, grants[0], giving[0], author.reason)
        wake()
    return event


def change_day(ending: RuleRun, author: Author, until: date) -> EventLog:
    """Change the last day of an access that a person gave, or set to end on a day.

    `ending` is the run that waits for the old day. Raises ValueError with a sentence if there is no
    such access or day.
    """
    assert ending.customer is not None
    if ending.event.ends_by_hand:
        return end(ending.customer, holdings.key_of(ending), author, until)
    given = Destination.objects.of_target(ending.integration_id, ending.target).first()
    if given is None:
        raise ValueError(say("This customer does not have this access anymore."))
    return give(ending.customer, given, author, until, hand_grants.purchase_of(ending.grant))


def move(customer: Customer, email: str, author: Author) -> Customer:
    """Move all that the customer has or had to the customer with this e-mail address.

    Later events of these purchases are about the new student. Access from before Admit that has an
    end stays, because Admit gives access without one. Returns the new student, creating one if the
    address is new. Raises ValueError with a sentence if nothing can be moved.
    """
    address = other_address(customer, email)
    history.check()
    with transaction.atomic():
        lock()
        moved = holdings.of_grants(Q(customer=customer, until=None))
        if not moved:
            stays = holdings.of_grants(Q(customer=customer))
            raise ValueError(say(STAYS if stays else NOTHING_TO_MOVE))
        names = {"first_name": customer.first_name, "last_name": customer.last_name}
        other, _ = Customer.objects.get_or_create(
            email=address, defaults={"email_as_sent": strip_invisible(email), **names}
        )
        to, source = other.readable_email, customer.readable_email
        away = _event(ByHand.MOVE_AWAY, customer, author, say("Moved to {email}.", email=to))
        here = _event(ByHand.MOVE_HERE, other, author, say("Moved from {email}.", email=source))
        gone = before_admit.drop_doubles(customer, other)
        gives = [one for each in moved for one in each.grants if one.pk not in gone]
        holdings.move_endings(customer, other, gives)
        # Ended grants move, too: a purchase has one student.
        Grant.objects.filter(customer=customer, until=None).update(customer=other, seen_at=None)
        # The ending runs change no grant: this customer has none anymore.
        ending = [_run(away, Effect.ENDS, holding.grants[0], None) for holding in moved]
        giving = [_run(here, Effect.GIVES, one, one) for one in gives]
        RuleRun.objects.bulk_create([*ending, *giving])
        audit.record(
            Act.ACCESS_MOVED,
            customer,
            before={"email": source},
            after={"email": to, RUN: giving[0].pk},
            note=author.reason,
        )
        wake()
    return other


def other_address(customer: Customer, email: str) -> str:
    """Return the address to which `move` moves, as Admit keeps it.

    Raises ValueError with a sentence if it cannot be used.
    """
    address, problem = examine_email(email)
    if problem:
        raise ValueError(problem if strip_invisible(email) else say("Enter the other address."))
    if address == customer.email:
        raise ValueError(say("This is the address that the customer has already."))
    return address


def _days(endings: Iterable[RuleRun]) -> set[datetime | None]:
    return {run.next_attempt_at for run in endings}


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
    """Return a run, not saved, that gives or ends the grant's target in Thinkific.

    It does so for the event's customer. `changed` is the grant that the run counts for, if any.
    """
    return grant_runs.run_for(
        grant,
        effect,
        SENTENCE,
        event=event,
        customer=event.customer,
        grant=changed,
        received_at=event.received_at,
        next_attempt_at=event.received_at,
    )
