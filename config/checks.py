"""System checks of our own: relations between settings that no single value shows."""

from itertools import pairwise
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register


@register
def time_limits_nest(**_: Any) -> list[CheckMessage]:
    """A call ends within its task, a task within its lease, a lease before the queue's retry."""
    chain = [
        ("CALL_DEADLINE_SECONDS", settings.CALL_DEADLINE_SECONDS),
        ("TASK_SECONDS", settings.TASK_SECONDS),
        ("LEASE_SECONDS", settings.LEASE_SECONDS),
        ("QUEUE_RETRY_SECONDS", settings.QUEUE_RETRY_SECONDS),
    ]
    return [
        Error(f"{short} ({less}) must be below {long} ({more}).", id="admit.E001")
        for (short, less), (long, more) in pairwise(chain)
        if less >= more
    ]
