"""What is too old to be kept, which of it is still needed, and how the rest is removed.

Each task finds candidates by an index, says which of them may go, and removes those in the
caller's short transaction.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from importlib import import_module
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from django_q.models import OrmQ, Task

from events.access.lock import try_lock
from events.models import (
    Alert,
    AlertMessage,
    Batch,
    ComparisonFinding,
    ComparisonRun,
    EventLog,
    RuleTexts,
)
from events.retention import old_sales
from events.retention.old_sales import delete, older
from integrations import audit_erasure
from integrations.models import ApiCall, AuditEntry

# A wake-up is deleted when it is taken. One that nobody took for this long was left by a version
# before 0.3.0, which kept what it took, or was in the database when REDIS_URL was set.
WAKE_UP_KEPT = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class RetentionTask:
    """How one kind of row is removed. `one` and `many` name it in sentences.

    `rows` returns the candidates. If some of them must stay, `may_go` returns those that need not,
    and `time` is the field by which pages are ordered, so that the walk gets past those that stay.
    """

    name: str
    one: str
    many: str
    rows: Callable[[], QuerySet[Any]]
    remove: Callable[[Sequence[Any]], int]
    may_go: Callable[[Sequence[Any]], list[Any]] = list
    time: str = ""

    def page(self, after: tuple[datetime | None, int], size: int) -> list[tuple[Any, Any]]:
        """Return the next candidates after this place as (time, pk), oldest first.

        Without a `time` field the place is ignored, and the times are None.
        """
        if not self.time:
            return [(None, pk) for pk in self.rows().order_by().values_list("pk", flat=True)[:size]]
        rows, (at, pk) = self.rows(), after
        if at is not None:
            beyond = Q(**{f"{self.time}__gt": at}) | Q(pk__gt=pk)
            rows = rows.filter(beyond, **{f"{self.time}__gte": at})
        return list(rows.order_by(self.time, "pk").values_list(self.time, "pk")[:size])


# What else would pile up


def _alerts() -> QuerySet[Alert]:
    """Return alerts that ended longer ago than exchanges are kept. Their messages go with them."""
    return older(Alert, "ended_at", settings.KEEP_EXCHANGES_DAYS)


def _remove_alerts(pks: Sequence[int]) -> int:
    return delete(Alert.objects.filter(pk__in=pks))


def _alert_messages() -> QuerySet[AlertMessage]:
    old = older(AlertMessage, "created_at", settings.KEEP_EXCHANGES_DAYS)
    return old.filter(next_attempt_at=None)


def _exchanges() -> QuerySet[ApiCall]:
    return older(ApiCall, "sent_at", settings.KEEP_EXCHANGES_DAYS)


def _batches() -> QuerySet[Batch]:
    return older(Batch, "started_at", settings.KEEP_EXCHANGES_DAYS)


def _comparisons() -> QuerySet[ComparisonRun]:
    """Return old comparisons, which say nothing about Thinkific today."""
    return older(ComparisonRun, "finished_at", settings.KEEP_EXCHANGES_DAYS)


def _remove_comparisons(pks: Sequence[int]) -> int:
    delete(ComparisonFinding.objects.filter(comparison__in=pks))
    return delete(ComparisonRun.objects.filter(pk__in=pks))


def _unused_texts() -> QuerySet[RuleTexts]:
    used = EventLog.objects.filter(rule_texts=OuterRef("pk"))
    return RuleTexts.objects.filter(~Exists(used))


def _texts_that_go(pks: Sequence[int]) -> list[int]:
    """Return the texts that may go, under the lock for deciding.

    Without the lock the inbox could be about to use one of them for a new event.
    """
    if connection.in_atomic_block and not try_lock():
        return []
    return list(_unused_texts().filter(pk__in=pks).values_list("pk", flat=True))


def _audit() -> QuerySet[AuditEntry]:
    return older(AuditEntry, "at", settings.KEEP_AUDIT_DAYS)


def _stale_wake_ups() -> QuerySet[OrmQ]:
    return OrmQ.objects.filter(lock__lt=Now() - WAKE_UP_KEPT)  # type: ignore[no-any-return]


def _sessions() -> Any:
    """Return the session model of SESSION_ENGINE, found as `clearsessions` finds it."""
    return import_module(settings.SESSION_ENGINE).SessionStore.get_model_class()


def _deleting(model: Any) -> Callable[[Sequence[Any]], int]:
    return lambda pks: delete(model.objects.filter(pk__in=pks))


TASKS = (
    RetentionTask(
        "payloads",
        "payload of SamCart",
        "payloads of SamCart",
        old_sales.payloads,
        old_sales.remove_payloads,
        old_sales.payloads_that_go,
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
        old_sales.events,
        old_sales.remove_deliveries,
        partial(old_sales.lock_and_choose, of="delivery"),
        "received_at",
    ),
    RetentionTask(
        "by_hand",
        "event by hand with its actions",
        "events by hand with their actions",
        old_sales.by_hand,
        old_sales.remove_events,
        partial(old_sales.lock_and_choose, of="pk"),
        "received_at",
    ),
    RetentionTask(
        "grants",
        "grant that has ended",
        "grants that have ended",
        old_sales.grants,
        old_sales.remove_grants,
        old_sales.grants_that_go,
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
        "audit",
        "entry of who changed what",
        "entries of who changed what",
        _audit,
        audit_erasure.remove,
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
