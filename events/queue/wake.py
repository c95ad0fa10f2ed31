"""Wake-ups: all that travels through django-q2. Losing or doubling one costs seconds."""

import functools

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from django_q.brokers import Broker, get_broker
from django_q.tasks import async_task

from events.queue import wake_pipe
from integrations.database import queries

TASK = "events.worker.tasks.work"
_WAITS = "SELECT 1 FROM django_q_ormq WHERE key = %s AND lock <= %s LIMIT 1"


def wake() -> None:
    """Queue a wake-up unless one waits to be taken. Commits with the caller's transaction.

    One that was taken does not count: its task may be past the new work. Two callers at once may
    queue two, or a wake-up may be missed; the scheduler makes up for that.
    """
    if settings.REDIS_URL:
        # Robust: an unreachable Redis must not fail the caller, whose work is committed.
        transaction.on_commit(_push_if_none, robust=True)
        return
    if not queued():
        async_task(TASK, broker=_broker())
        transaction.on_commit(wake_pipe.notify)


def queued() -> bool:
    """Whether a wake-up waits to be taken. Always False with Redis, which is not asked."""
    if settings.REDIS_URL:
        return False
    # Make the broker first: that closes old connections.
    key = _broker().list_key
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    with queries.cursor() as cursor:  # runs for each event: the ORM is slower
        cursor.execute(_WAITS, [key, now])
        return cursor.fetchone() is not None


def _push_if_none() -> None:
    if _broker().queue_size() == 0:
        async_task(TASK, broker=_broker())


@functools.cache
def _broker() -> Broker:
    # Cached: with Redis each call would open a connection (measured).
    return get_broker()
