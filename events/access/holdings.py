"""What a student has access to, and what a person's decision about it ends."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from events.access import book, ledger, students
from events.access.ledger import Change, Judgment
from events.models import EventLog, Grant, RuleRun
from integrations.models import Customer, ThinkificUser
from integrations.sentences import say

ByHand = EventLog.ByHand


@dataclass(frozen=True, slots=True)
class Holding:
    """A course or bundle that a student has access to, with all the grants that give it."""

    grants: tuple[Grant, ...]

    @property
    def key(self) -> str:
        """The key by which a person's choice names it."""
        return key_of(self.grants[0])


def key_of(row: Grant | RuleRun) -> str:
    """Return the key of a holding, such as "3 course:501": the integration and the target."""
    return f"{row.integration_id} {row.target}"


def of_customer(customer: Customer) -> list[Holding]:
    """Return what the customer has access to by the ledger, ordered by name.

    This includes the access of other customers who are the same Thinkific user.
    """
    return of_grants(_of_student(customer))


def _of_student(customer: Customer) -> Q:
    """Return a condition for grants or runs of all customers who are the same Thinkific user."""
    sites = ThinkificUser.objects.filter(customer=customer).values_list("integration", flat=True)
    same = students.same_users((site, customer.pk) for site in sites)
    whom = Q(customer=customer)
    for (site, _), customers in same.items():
        whom |= Q(integration=site, customer__in=customers)
    return whom


def of_grants(whom: Q) -> list[Holding]:
    """Return the same for the active grants among these."""
    lasting = Q(until=None) | Q(until__gt=Now())
    active = Grant.objects.active().filter(whom, lasting).select_related("integration")
    found: dict[tuple[int, str], list[Grant]] = {}
    for grant in active.order_by("name", "integration", "target", "pk"):
        found.setdefault((grant.integration_id, grant.target), []).append(grant)
    return [Holding(tuple(grants)) for grants in found.values()]


def given_alone(runs: Collection[RuleRun]) -> set[int]:
    """Return the IDs of those of these runs whose grants alone give what the customer has there.

    Their customers have the target of the run by this grant, and by no other. Takes three queries.
    """
    same = students.same_users((run.integration_id, run.customer_id) for run in runs)
    active = _active_of(set().union(*same.values()))
    found = set()
    for run in runs:
        whose = same[run.integration_id, run.customer_id]
        there = {
            grant.pk
            for grant in active
            if grant.customer_id in whose and key_of(grant) == key_of(run)
        }
        if there == {run.grant_id}:
            found.add(run.pk)
    return found


def moved_alone(runs: Collection[RuleRun]) -> set[int]:
    """Return the IDs of those of these runs whose customers have only what was moved with them.

    Takes two queries.
    """
    of_moves = RuleRun.objects.filter(event__in={run.event_id for run in runs})
    moved = set(of_moves.values_list("event", "grant"))
    has: dict[int | None, set[int]] = {}
    for grant in _active_of({run.customer_id for run in runs if run.customer_id}):
        has.setdefault(grant.customer_id, set()).add(grant.pk)
    return {
        run.pk
        for run in runs
        if run.customer_id in has
        and all((run.event_id, each) in moved for each in has[run.customer_id])
    }


def _active_of(customers: Collection[int]) -> list[Grant]:
    return list(Grant.objects.active().filter(customer__in=customers))


def end(grants: Iterable[Grant], event: EventLog, at: datetime) -> None:
    """End these grants because of a person's event. Call it under the deciding lock."""
    for grant in grants:
        ledger.end_it(grant, Change.by_hand(grant, event, at))
        book.save(grant, opened=False)


def decide(run: RuleRun, event: EventLog, *, anyway: bool) -> None:
    """Let a person's decision change the ledger, now that its day has come or if wanted `anyway`.

    Call it under the deciding lock. The run is changed, and not saved.
    """
    grant, now = run.grant, timezone.now()
    if not (event.is_gift or event.ends_by_hand):
        return  # no other event by hand changes a grant here
    if run.spec.gives_access:
        if grant is not None and not grant.is_active:
            ledger.open_it(grant, Change.by_hand(grant, event, now))
            book.save(grant, opened=True)
        return
    ending = [row for row in _meant(run, event) if row.is_active]
    end(ending, event, now)
    if not ending and not anyway:
        message = say("Nothing was ended: the access that it was about had ended before.")
        run.skip(Judgment.ENDED_BEFORE.value, message)


def move_endings(customer: Customer, other: Customer, grants: Iterable[Grant]) -> None:
    """Let the endings that wait follow these grants, which move from the customer to the other.

    What a person set to end on a day becomes one ending for each grant that moves: the other may
    have the same by grants of their own, and those stay. Call it under the deciding lock, before
    the grants move.
    """
    set_by_hand = Q(event__by_hand__in=[ByHand.END, ByHand.END_DAY])
    waiting = RuleRun.objects.pending()
    moving = {grant.pk for grant in grants}
    of_a_day = waiting.filter(set_by_hand, _of_student(customer)).order_by("pk")
    for run in of_a_day.select_related("event", "customer"):
        meant = [row for row in _meant(run, run.event) if row.is_active]
        moved = [row for row in meant if row.pk in moving]
        if moved and len(moved) == len(meant):  # nothing that it is about stays
            run.grant, run.customer = moved.pop(0), other
            run.save(update_fields=["grant", "customer"])
        for row in moved:
            run.pk, run.message_id, run.grant, run.customer = None, uuid4(), row, other
            run.save(force_insert=True)
    waiting.filter(customer=customer).exclude(set_by_hand).update(customer=other)


def _meant(run: RuleRun, event: EventLog) -> list[Grant]:
    """Return the grants that a person decided to end.

    For a gift, that is its own grant; otherwise what was open when the person decided, and nothing
    that was given or bought since. If that was moved to another customer, it is the grant that was
    moved, and nothing that this customer has besides.
    """
    if event.is_gift:
        return [run.grant] if run.grant else []
    if run.integration_id is None or run.customer is None:
        return []
    if run.customer_id != event.customer_id:  # its grant was moved to this customer
        rows = Grant.objects.filter(pk=run.grant_id or 0)
    else:
        same = students.same_user(run.integration_id, run.customer)
        rows = Grant.objects.filter(
            customer__in=same, integration=run.integration_id, target=run.target
        )
    return list(rows.filter(opened_at__lte=run.received_at))
