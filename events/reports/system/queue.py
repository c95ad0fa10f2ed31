"""The queue: wake-ups, workers, deliveries, actions, calls. Read only."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Count, Min, QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.models import OrmQ

from events.models import Delivery, RuleRun, Worker
from events.models.runs import DELAYED
from events.reports import counting
from integrations import app_registry
from integrations.calls import rate_limit
from integrations.finding.ordering import by_name
from integrations.models import ApiCall, CallBudget, Integration

# Lists on the page stop here.
MAX_LISTED = 50


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """How many wait, and since when the first one does; `count` stops at counting.MAX_COUNT."""

    count: int
    oldest: datetime | None = None

    @property
    def spoken(self) -> str:
        """The count as text, such as "1,204" or "10,000+"."""
        return counting.format_count(self.count)


@dataclass(frozen=True, slots=True)
class SiteQueue:
    """A site's place in the budget of calls: why it is paused, and what it did.

    A pause ends when the site answers. `asks_at` is the earliest time at which Admit asks it, None
    if it may ask at once.
    """

    integration: Integration
    why: str  # the label of a CallBudget.Blocked; "" if calls may go out
    asks_at: datetime | None
    next_call: datetime | None  # None: at once
    calls_last_minute: int


def wake_ups() -> QueueDepth | None:
    """Return how many wake-ups no worker has taken yet; None if Redis does not answer.

    The payload in django-q2's rows is a pickle, and is not read.
    """
    if settings.REDIS_URL:
        return _in_redis()
    free = OrmQ.objects.filter(lock__lte=timezone.now())
    return QueueDepth(counting.count(free), free.aggregate(oldest=Min("lock"))["oldest"])


def workers() -> list[Worker]:
    """Return the worker clusters, the one seen last first."""
    return list(Worker.objects.order_by("-seen_at", "-started_at")[:MAX_LISTED])


def unread() -> QueueDepth:
    """Return how many deliveries were kept and not read yet."""
    new = Delivery.objects.filter(state=Delivery.State.NEW)
    return QueueDepth(counting.count(new), new.aggregate(oldest=Min("received_at"))["oldest"])


def due() -> QueueDepth:
    """Return how many waiting actions are due."""
    return _of_runs(RuleRun.objects.due())


def later() -> QueueDepth:
    """Return how many waiting actions are tried again later; `oldest` is the next one's time.

    Endings that wait for their day are not among them.
    """
    found = RuleRun.objects.filter(status=RuleRun.Status.WAITING, next_attempt_at__gt=Now())
    return _of_runs(found.exclude(code=DELAYED))


def endings() -> QueueDepth:
    """Return how many endings wait for a later day; `oldest` is the next one's time."""
    return _of_runs(RuleRun.objects.of_a_later_day())


def running() -> list[RuleRun]:
    """Return the actions under a lease now, ordered by the end of the lease."""
    found = RuleRun.objects.filter(status=RuleRun.Status.RUNNING).order_by("lease_until", "pk")
    return list(found.select_related("integration")[:MAX_LISTED])


def sites() -> list[SiteQueue]:
    """Return every site with its pause, its next slot, and its calls of the last minute."""
    rows = CallBudget.objects.select_related("integration").annotate(now=rate_limit.EpochNow())
    lately = ApiCall.objects.filter(sent_at__gt=Now() - timedelta(minutes=1)).order_by()
    calls = dict(lately.values_list("integration").annotate(Count("pk")))
    in_order = rows.order_by(by_name("integration__name"))
    return [_site(row, calls.get(row.integration.pk, 0)) for row in in_order]


def paused() -> dict[int, datetime]:
    """Return {integration ID: until when nothing is sent to it}.

    Pauses that are over are left out, and so are rejected keys, which only another key ends.
    """
    needs_nobody = CallBudget.objects.exclude(blocked__in=["", CallBudget.Blocked.KEY])
    rows = needs_nobody.annotate(now=rate_limit.EpochNow())
    return {row.pk: end for row in rows if (end := _end(row))}


def _end(row: CallBudget) -> datetime | None:
    """Return when its pause ends: measured by the database's clock, given in ours."""
    left = row.blocked_until - row.now  # type: ignore[attr-defined]
    return timezone.now() + timedelta(seconds=left) if row.blocked and left > 0 else None


def _site(row: CallBudget, calls: int) -> SiteQueue:
    # Measured by the database's clock, given in ours.
    gap = row.next_slot - row.now  # type: ignore[attr-defined]
    calls_per_minute = app_registry.of(row.integration).calls_per_minute()
    spacing, ahead = rate_limit.spacing(calls_per_minute)
    return SiteQueue(
        row.integration,
        str(CallBudget.Blocked(row.blocked).label) if row.blocked else "",
        _end(row),
        timezone.now() + timedelta(seconds=gap - ahead) if spacing and gap > ahead else None,
        calls,
    )


def _in_redis() -> QueueDepth | None:
    from redis.exceptions import RedisError  # 6 MB in each program, for those who use it only

    try:
        return QueueDepth(int(get_broker().queue_size()))
    except RedisError:
        return None


def _of_runs(found: QuerySet[RuleRun]) -> QueueDepth:
    if not (number := counting.count(found)):
        return QueueDepth(0)
    return QueueDepth(number, found.aggregate(oldest=Min("next_attempt_at"))["oldest"])
