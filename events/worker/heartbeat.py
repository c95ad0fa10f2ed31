"""Signs of life: each task records the cluster that ran it, so that its watchdog sees it."""

import os
import time

from django.db.models.functions import Now

from events.models import Worker

# Set by `manage.py up` for the cluster that it starts.
CLUSTER = "ADMIT_CLUSTER"
EVERY_SECONDS = 1.0
_last: dict[str, tuple[float, bool]] = {}


def record() -> bool:
    """Record that this cluster works, at most once a second. Return True if it is to stop."""
    name = os.environ.get(CLUSTER, "")
    if not name:
        return False
    at, stopping = _last.get(name, (0.0, False))
    if time.monotonic() - at < EVERY_SECONDS:
        return stopping
    Worker.objects.filter(name=name).update(seen_at=Now())
    stopping = Worker.objects.filter(name=name, stopping=True).exists()
    _last[name] = (time.monotonic(), stopping)
    return stopping
