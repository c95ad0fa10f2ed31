"""Our own system checks, for faults that no single setting shows."""

from collections.abc import Collection
from itertools import pairwise
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from config import health
from events.execution import claiming
from integrations.calls import rate_limit


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


@register
def calls_of_a_run_fit_into_a_task(**_: Any) -> list[CheckMessage]:
    """A task has time for as many calls as one action may need.

    Only a warning: an error would stop an installation that still receives events.
    """
    gap, _tolerance = rate_limit.spacing()
    if (claiming.CALLS_OF_A_RUN - 1) * gap <= claiming.CALLS_SHARE * settings.TASK_SECONDS:
        return []
    return [
        Warning(
            f"THINKIFIC_CALLS_PER_MINUTE ({settings.THINKIFIC_CALLS_PER_MINUTE}) is too small: an "
            f"action that needs {claiming.CALLS_OF_A_RUN} calls may never come to its end.",
            hint="Set it to 6 or more, or LEASE_SECONDS back to its default where that is shorter.",
            id="admit.W001",
        )
    ]


@register(Tags.database)
def program_is_not_overtaken(
    *, databases: Collection[str] | None = None, **_: Any
) -> list[CheckMessage]:
    """`migrate` refuses a database that a newer Admit has migrated."""
    # Only `migrate` passes databases. Others must not open one, nor create an empty SQLite file.
    overtaken = databases and health.overtaken()
    return [Error(health.OVERTAKEN, id="admit.E003")] if overtaken else []
