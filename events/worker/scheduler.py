"""Check once a second whether anything is due, and whether the cluster beside us works."""

from datetime import timedelta

from django.db.models import Q
from django.db.models.functions import Now

from events.access import history
from events.alerts import rounds
from events.execution import due_work
from events.models import Delivery, Worker
from events.queue import wake
from events.retention import housekeeping
from events.worker import background


def register(cluster: str) -> None:
    """Record a cluster that is about to start."""
    Worker.objects.update_or_create(name=cluster, defaults={"seen_at": None, "stopping": False})
    housekeeping.begin()
    rounds.begin()


def deregister(cluster: str) -> None:
    """Remove a cluster that has ended."""
    Worker.objects.filter(name=cluster).delete()


def forget_old() -> None:
    """Remove clusters that ended a day ago; younger ones say when a worker was last seen."""
    long_ago = Now() - timedelta(days=1)
    Worker.objects.filter(
        Q(seen_at__lt=long_ago) | Q(seen_at=None, started_at__lt=long_ago)
    ).delete()


def ask_to_stop(cluster: str) -> None:
    """Tell the cluster's tasks to claim nothing more."""
    Worker.objects.filter(name=cluster).update(stopping=True)


def tick(cluster: str, *, beat_after: float) -> float | None:
    """Wake a worker if something is due, or our cluster was silent for `beat_after` seconds.

    Returns the seconds since the cluster was seen, None if it never was. The heartbeat is a wake-up
    like any other: what does not come through the queue proves nothing.
    """
    silent = Worker.objects.filter(name=cluster).silence()
    if silent is None or silent > beat_after or anything_due():
        wake.wake()
    return silent


def anything_due() -> bool:
    """Whether a worker would find something to do now."""
    return work_due() or housekeeping.due() or background.due()


def work_due() -> bool:
    """Whether an event waits to be read, an action to be carried out, or history to be read."""
    unread = Delivery.objects.filter(state=Delivery.State.NEW).exists()
    return unread or due_work.exists() or history.unread() is not None
