"""Find and remove what is too old: payloads, events with their actions, grants, and customers.

Rows are found by an index. Those that are still needed stay; the rest is removed in the caller's
short transaction.
"""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Exists, Min, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Now, NullIf
from django.utils import timezone

from events.access.ledger import BY_HAND
from events.access.lock import try_lock
from events.deciding.repeats import WINDOW
from events.execution.reviewing import NOT_UNDERSTOOD
from events.models import Delivery, EventLog, EventTerm, Grant, RuleRun
from integrations.models import ApiCall, Customer

Status = EventLog.Status
# An event may be done except for an ending that waits for its day.
TO_END = Exists(RuleRun.objects.delayed().filter(event=OuterRef("pk")))
# What still waits for Thinkific, for its day or for a person is never too old.
OPEN = Q(status__in=[Status.WAITING, Status.FAILED, Status.HELD]) | NOT_UNDERSTOOD | Q(TO_END)


def older(model: Any, field: str, days: int) -> QuerySet[Any]:
    """Return the rows whose `field` is more than `days` days ago; none for 0 days."""
    if not days:
        return model.objects.none()  # type: ignore[no-any-return]
    return model.objects.filter(  # type: ignore[no-any-return]
        **{f"{field}__lt": timezone.now() - timedelta(days=days)}
    )


def delete(rows: QuerySet[Any]) -> int:
    """Delete the rows. Return how many there were, without rows that are deleted with them."""
    _, removed = rows.delete()
    return removed.get(rows.model._meta.label, 0)


# What SamCart sent


def payloads() -> QuerySet[Delivery]:
    """Return deliveries that were read and whose body is too old."""
    old = older(Delivery, "received_at", settings.KEEP_PAYLOADS_DAYS)
    return old.filter(state=Delivery.State.READ, body_removed_at=None)


def payloads_that_go(pks: Sequence[int]) -> list[int]:
    needed = EventLog.objects.filter(OPEN, delivery__in=pks).values_list("delivery", flat=True)
    return sorted(set(pks) - set(needed))


def remove_payloads(pks: Sequence[int]) -> int:
    read = Delivery.objects.filter(pk__in=pks, state=Delivery.State.READ, body_removed_at=None)
    return read.update(sealed_body=b"", query="", body_removed_at=Now())


# Events


def events() -> QuerySet[Delivery]:
    """Return deliveries that are too old as a whole, with their events and actions.

    Deliveries with which an unread one may still be compared are left out: it may repeat one, or
    one may say that a subscription was canceled too.
    """
    old = older(Delivery, "received_at", settings.KEEP_EVENTS_DAYS)
    unread = Delivery.objects.filter(state=Delivery.State.NEW).aggregate(at=Min("received_at"))
    if unread["at"] is not None:
        old = old.filter(received_at__lt=unread["at"] - WINDOW)
    return old.filter(state=Delivery.State.READ)


def _events_that_go(pks: Sequence[int], of: str) -> list[int]:
    """Return those that may go: none of a customer who has an open event.

    A held action is decided when a person releases it, by what came before and after it.
    """
    of_customer = EventLog.objects.filter(OPEN, customer=OuterRef("customer"))
    kept = EventLog.objects.filter(OPEN | Exists(of_customer), **{f"{of}__in": pks})
    return sorted(set(pks) - set(kept.values_list(of, flat=True)))


def remove_deliveries(pks: Sequence[int]) -> int:
    found = EventLog.objects.filter(delivery__in=pks)
    remove_events(list(found.values_list("pk", flat=True)))
    Delivery.objects.filter(repeat_of__in=pks).update(repeat_of=None)
    return delete(Delivery.objects.filter(pk__in=pks))


def remove_events(found: Sequence[int]) -> int:
    """Delete events after the rows that refer to them: a cascade would fetch all those first."""
    of_runs = RuleRun.objects.filter(event__in=found).values_list("pk", "customer")
    runs = [pk for pk, _ in of_runs]
    customers = {customer for _, customer in of_runs}
    customers |= set(EventLog.objects.filter(pk__in=found).values_list("customer", flat=True))
    delete(ApiCall.objects.filter(run_id__in=runs))
    delete(RuleRun.objects.filter(pk__in=runs))
    delete(EventTerm.objects.filter(event__in=found))
    Grant.objects.filter(event__in=found).update(event=None)
    number = delete(EventLog.objects.filter(pk__in=found))
    _remove_unknown(customers)
    return number


def lock_and_choose(pks: Sequence[int], *, of: str) -> list[int]:
    """Return those that may go now, locked until the transaction ends: a retry may have begun.

    `of` is the event's column by which they are chosen: "pk" or "delivery". Locks are taken in the
    order of retries, actions before events. The lock for deciding comes first, because the inbox
    may be about to use one of these customers for a new event.
    """
    if connection.in_atomic_block and not try_lock():
        return []
    if connection.features.has_select_for_update and connection.in_atomic_block:
        runs = RuleRun.objects.filter(**{f"event__{of}__in": pks}).order_by("pk")
        list(runs.select_for_update(of=("self",)).values_list("pk"))
        events_ = EventLog.objects.filter(**{f"{of}__in": pks}).order_by("pk")
        list(events_.select_for_update(of=("self",)).values_list("pk"))
    return _events_that_go(pks, of)


def by_hand() -> QuerySet[EventLog]:
    return older(EventLog, "received_at", settings.KEEP_EVENTS_DAYS).filter(delivery=None)


# Grants


def grants() -> QuerySet[Grant]:
    """Return old grants that are over. Active grants stay, however old they are."""
    return older(Grant, "decided_at", settings.KEEP_EVENTS_DAYS) & Grant.objects.over()


def grants_that_go(pks: Sequence[int]) -> list[int]:
    """Return those that may go now: none by which an open event or action is still decided.

    What a person ended stays while its order or subscription has an event, because the next payment
    would open it again. In a transaction it takes the lock for deciding, and returns none if it
    does not get it.
    """
    if connection.in_atomic_block and not try_lock():
        return []
    open_events = EventLog.objects.filter(OPEN)
    of_customer = open_events.filter(customer=OuterRef("customer"))
    by_action = open_events.filter(runs__grant=OuterRef("pk"))
    over = grants().filter(~Exists(of_customer), ~Exists(by_action), pk__in=pks)
    over = over.exclude(_has_events("order_id") | _has_events("subscription_id"), because=BY_HAND)
    return list(over.values_list("pk", flat=True))


def _has_events(named: str) -> Exists:
    """Whether an event names the same order or subscription as the grant."""
    # For a grant that names none the look-up is for NULL: most events have "" there.
    same = EventLog.objects.filter(**{named: NullIf(OuterRef(named), Value(""))})
    return Exists(same)


def remove_grants(pks: Sequence[int]) -> int:
    RuleRun.objects.filter(grant__in=pks).update(grant=None)
    rows = Grant.objects.filter(pk__in=pks)
    customers = set(rows.values_list("customer", flat=True))
    number = delete(rows)
    _remove_unknown(customers)
    return number


# Customers


def _remove_unknown(customers: Collection[int | None]) -> None:
    """Remove customers who have no event, no action and no grant anymore.

    Their remembered Thinkific users and their search terms are deleted with them.
    """
    of_customer = {"customer": OuterRef("pk")}
    Customer.objects.filter(
        ~Exists(EventLog.objects.filter(**of_customer)),
        ~Exists(RuleRun.objects.filter(**of_customer)),
        ~Exists(Grant.objects.filter(**of_customer)),
        pk__in=[pk for pk in customers if pk],
    ).delete()
