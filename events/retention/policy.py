"""What is too old to be kept, what of it is still needed, and how the rest is removed.

Each task finds candidates by an index, says which of them may go, and removes those inside the
caller's short transaction.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from importlib import import_module
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Exists, Min, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from django_q.models import OrmQ, Task

from events.access.lock import try_lock
from events.deciding.repeats import WINDOW
from events.models import (
    Alert,
    AlertMessage,
    Batch,
    ComparisonFinding,
    ComparisonRun,
    Delivery,
    EventLog,
    EventTerm,
    Grant,
    RuleRun,
    RuleTexts,
)
from events.reports.review import NOT_UNDERSTOOD
from integrations import audit
from integrations.models import ApiCall, AuditEntry, Customer

Status = EventLog.Status
# What still waits for Thinkific or for a person is never too old.
OPEN = Q(status__in=[Status.WAITING, Status.FAILED, Status.HELD]) | NOT_UNDERSTOOD
# One that is taken is gone at once. What nobody takes for so long was left by a version before
# 0.3.0, which kept what it took, or lay in the database when REDIS_URL was set.
WAKE_UP_KEPT = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class RetentionTask:
    """One kind of row. `one` and `many` name it in sentences.

    `rows` are the candidates. Where some of them stay, `may_go` tells which do not, and `time`
    is the field by which the walk goes past them.
    """

    name: str
    one: str
    many: str
    rows: Callable[[], QuerySet[Any]]
    remove: Callable[[Sequence[Any]], int]
    may_go: Callable[[Sequence[Any]], list[Any]] = list
    time: str = ""

    def page(self, after: tuple[datetime | None, int], size: int) -> list[tuple[Any, Any]]:
        """The next candidates after this place, oldest first: (time, pk)."""
        if not self.time:
            return [(None, pk) for pk in self.rows().order_by().values_list("pk", flat=True)[:size]]
        rows, (at, pk) = self.rows(), after
        if at is not None:
            beyond = Q(**{f"{self.time}__gt": at}) | Q(pk__gt=pk)
            rows = rows.filter(beyond, **{f"{self.time}__gte": at})
        return list(rows.order_by(self.time, "pk").values_list(self.time, "pk")[:size])


def _older(model: Any, field: str, days: int) -> QuerySet[Any]:
    if not days:
        return model.objects.none()  # type: ignore[no-any-return]
    return model.objects.filter(  # type: ignore[no-any-return]
        **{f"{field}__lt": timezone.now() - timedelta(days=days)}
    )


# What SamCart sent


def payloads() -> QuerySet[Delivery]:
    """Deliveries that were read and whose body is too old."""
    old = _older(Delivery, "received_at", settings.KEEP_PAYLOADS_DAYS)
    return old.filter(state=Delivery.State.READ, body_removed_at=None)


def _payloads_that_go(pks: Sequence[int]) -> list[int]:
    needed = EventLog.objects.filter(OPEN, delivery__in=pks).values_list("delivery", flat=True)
    return sorted(set(pks) - set(needed))


def _remove_payloads(pks: Sequence[int]) -> int:
    read = Delivery.objects.filter(pk__in=pks, state=Delivery.State.READ, body_removed_at=None)
    return read.update(sealed_body=b"", query="", body_removed_at=Now())


# Events


def events() -> QuerySet[Delivery]:
    """Deliveries that are too old as a whole, with their events and actions.

    Skips those that an unread delivery may still be compared with: whether it repeats one, or
    whether a subscription was canceled too.
    """
    old = _older(Delivery, "received_at", settings.KEEP_EVENTS_DAYS)
    unread = Delivery.objects.filter(state=Delivery.State.NEW).aggregate(at=Min("received_at"))
    if unread["at"] is not None:
        old = old.filter(received_at__lt=unread["at"] - WINDOW)
    return old.filter(state=Delivery.State.READ)


def _events_that_go(pks: Sequence[int], of: str) -> list[int]:
    """Nothing of a customer goes as long as any event of that customer is open.

    A held action is decided when a person releases it: by what came before and after it.
    """
    of_customer = EventLog.objects.filter(OPEN, customer=OuterRef("customer"))
    kept = EventLog.objects.filter(OPEN | Exists(of_customer), **{f"{of}__in": pks})
    return sorted(set(pks) - set(kept.values_list(of, flat=True)))


def _remove_deliveries(pks: Sequence[int]) -> int:
    found = EventLog.objects.filter(delivery__in=pks)
    _remove_events(list(found.values_list("pk", flat=True)))
    Delivery.objects.filter(repeat_of__in=pks).update(repeat_of=None)
    return Delivery.objects.filter(pk__in=pks)._raw_delete(connection.alias)


def _remove_events(found: Sequence[int]) -> int:
    """By bare statements: Django's own cascade would first fetch every row."""
    of_runs = RuleRun.objects.filter(event__in=found).values_list("pk", "customer")
    runs = [pk for pk, _ in of_runs]
    customers = {customer for _, customer in of_runs}
    customers |= set(EventLog.objects.filter(pk__in=found).values_list("customer", flat=True))
    alias = connection.alias
    ApiCall.objects.filter(run_id__in=runs)._raw_delete(alias)
    RuleRun.objects.filter(pk__in=runs)._raw_delete(alias)
    EventTerm.objects.filter(event__in=found)._raw_delete(alias)
    Grant.objects.filter(event__in=found).update(event=None)
    number: int = EventLog.objects.filter(pk__in=found)._raw_delete(alias)
    _remove_unknown(customers)
    return number


def _lock_and_choose(pks: Sequence[int], *, of: str) -> list[int]:
    """Those that may go now, held until the transaction ends: a retry may just have begun.

    `of` is the column of an event by which they are chosen: its own number, or its delivery.
    In the order in which retries take their locks, actions before events; and before these the
    lock of deciding, for the inbox may be about to use one of their customers for a new event.
    """
    if connection.in_atomic_block and not try_lock():
        return []
    if connection.features.has_select_for_update and connection.in_atomic_block:
        runs = RuleRun.objects.filter(**{f"event__{of}__in": pks}).order_by("pk")
        list(runs.select_for_update(of=("self",)).values_list("pk"))
        events_ = EventLog.objects.filter(**{f"{of}__in": pks}).order_by("pk")
        list(events_.select_for_update(of=("self",)).values_list("pk"))
    return _events_that_go(pks, of)


def _by_hand() -> QuerySet[EventLog]:
    return _older(EventLog, "received_at", settings.KEEP_EVENTS_DAYS).filter(delivery=None)


# Grants


def _grants() -> QuerySet[Grant]:
    """Those that are over. What is active stays, however old it is."""
    return _older(Grant, "decided_at", settings.KEEP_EVENTS_DAYS) & Grant.objects.over()


def _grants_that_go(pks: Sequence[int]) -> list[int]:
    """Without those by which an open event or action is decided, for one at a time decides."""
    if connection.in_atomic_block and not try_lock():
        return []
    open_events = EventLog.objects.filter(OPEN)
    of_customer = open_events.filter(customer=OuterRef("customer"))
    by_action = open_events.filter(runs__grant=OuterRef("pk"))
    over = _grants().filter(~Exists(of_customer), ~Exists(by_action), pk__in=pks)
    return list(over.values_list("pk", flat=True))


def _remove_grants(pks: Sequence[int]) -> int:
    RuleRun.objects.filter(grant__in=pks).update(grant=None)
    grants = Grant.objects.filter(pk__in=pks)
    customers = set(grants.values_list("customer", flat=True))
    number: int = grants._raw_delete(connection.alias)
    _remove_unknown(customers)
    return number


# Customers


def _remove_unknown(customers: Collection[int | None]) -> None:
    """Remove those of whom nothing is known any more: no event, no action, and no access.

    With their accounts in Thinkific, as remembered, and their words of the search.
    """
    of_customer = {"customer": OuterRef("pk")}
    Customer.objects.filter(
        ~Exists(EventLog.objects.filter(**of_customer)),
        ~Exists(RuleRun.objects.filter(**of_customer)),
        ~Exists(Grant.objects.filter(**of_customer)),
        pk__in=[pk for pk in customers if pk],
    ).delete()


# What else would pile up


def _alerts() -> QuerySet[Alert]:
    """Alerts that are over for as long as exchanges are kept; their messages go with them."""
    return _older(Alert, "ended_at", settings.KEEP_EXCHANGES_DAYS)


def _remove_alerts(pks: Sequence[int]) -> int:
    _, removed = Alert.objects.filter(pk__in=pks).delete()
    return removed.get(Alert._meta.label, 0)


def _alert_messages() -> QuerySet[AlertMessage]:
    old = _older(AlertMessage, "created_at", settings.KEEP_EXCHANGES_DAYS)
    return old.filter(next_attempt_at=None)


def _exchanges() -> QuerySet[ApiCall]:
    return _older(ApiCall, "sent_at", settings.KEEP_EXCHANGES_DAYS)


def _batches() -> QuerySet[Batch]:
    return _older(Batch, "started_at", settings.KEEP_EXCHANGES_DAYS)


def _comparisons() -> QuerySet[ComparisonRun]:
    """What was found then differs from today's Thinkific."""
    return _older(ComparisonRun, "finished_at", settings.KEEP_EXCHANGES_DAYS)


def _remove_comparisons(pks: Sequence[int]) -> int:
    ComparisonFinding.objects.filter(comparison__in=pks)._raw_delete(connection.alias)
    return ComparisonRun.objects.filter(pk__in=pks)._raw_delete(connection.alias)


def _unused_texts() -> QuerySet[RuleTexts]:
    used = EventLog.objects.filter(rule_texts=OuterRef("pk"))
    return RuleTexts.objects.filter(~Exists(used))


def _texts_that_go(pks: Sequence[int]) -> list[int]:
    """Under the lock of deciding, for the inbox may be about to use one of them for a new event."""
    if connection.in_atomic_block and not try_lock():
        return []
    return list(_unused_texts().filter(pk__in=pks).values_list("pk", flat=True))


def _audit() -> QuerySet[AuditEntry]:
    return _older(AuditEntry, "at", settings.KEEP_AUDIT_DAYS)


def _stale_wake_ups() -> QuerySet[OrmQ]:
    return OrmQ.objects.filter(lock__lt=Now() - WAKE_UP_KEPT)  # type: ignore[no-any-return]


def _sessions() -> Any:
    """The model of the engine that SESSION_ENGINE names, as `clearsessions` finds it."""
    return import_module(settings.SESSION_ENGINE).SessionStore.get_model_class()


def _deleting(model: Any) -> Callable[[Sequence[Any]], int]:
    return lambda pks: model.objects.filter(pk__in=pks)._raw_delete(connection.alias)


TASKS = (
    RetentionTask(
        "payloads",
        "payload of SamCart",
        "payloads of SamCart",
        payloads,
        _remove_payloads,
        _payloads_that_go,
        "received_at",
    ),
    RetentionTask(
        "exchanges",
        "exchange with Thinkific",
        "exchanges with Thinkific",
        _exchanges,
        _deleting(ApiCall),
    ),
    RetentionTask(
        "events",
        "delivery with its events and actions",
        "deliveries with their events and actions",
        events,
        _remove_deliveries,
        partial(_lock_and_choose, of="delivery"),
        "received_at",
    ),
    RetentionTask(
        "by_hand",
        "event by hand with its actions",
        "events by hand with their actions",
        _by_hand,
        _remove_events,
        partial(_lock_and_choose, of="pk"),
        "received_at",
    ),
    RetentionTask(
        "grants",
        "grant that has ended",
        "grants that have ended",
        _grants,
        _remove_grants,
        _grants_that_go,
        "decided_at",
    ),
    RetentionTask("alerts", "alert that is over", "alerts that are over", _alerts, _remove_alerts),
    RetentionTask(
        "alert_messages",
        "message about alerts",
        "messages about alerts",
        _alert_messages,
        _deleting(AlertMessage),
    ),
    RetentionTask(
        "batches",
        "list of what was done for many",
        "lists of what was done for many",
        _batches,
        _deleting(Batch),
    ),
    RetentionTask(
        "comparisons",
        "comparison with Thinkific",
        "comparisons with Thinkific",
        _comparisons,
        _remove_comparisons,
    ),
    RetentionTask(
        "texts",
        "text of rules that no event uses",
        "texts of rules that no event uses",
        _unused_texts,
        _deleting(RuleTexts),
        _texts_that_go,
    ),
    RetentionTask(
        "audit", "entry of who changed what", "entries of who changed what", _audit, audit.remove
    ),
    RetentionTask(
        "tasks", "result of a task", "results of tasks", Task.objects.all, _deleting(Task)
    ),
    RetentionTask(
        "wake_ups",
        "wake-up that nobody took",
        "wake-ups that nobody took",
        _stale_wake_ups,
        _deleting(OrmQ),
    ),
    RetentionTask(
        "sessions",
        "session that has ended",
        "sessions that have ended",
        lambda: _sessions().objects.filter(expire_date__lt=Now()),
        lambda pks: _deleting(_sessions())(pks),
    ),
)
