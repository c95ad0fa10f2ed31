"""Claiming: due runs are taken under a lease, in order, so many at once and no more."""

import functools
import random
import time
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import DurationField, F, QuerySet, UUIDField
from django.db.models.functions import Now

from events.models import RuleRun
from integrations import app_registry, rate_limit
from integrations.app_registry import AppSpec
from integrations.models import CallBudget, Integration
from integrations.queries import Parameter, Query, Update

Status = RuleRun.Status
# The share of a task's time that a call may wait for its slot: with more runs at once than
# that allows, the later calls of each would find the task's time over.
SLOT_SHARE = 1 / 7
# No action takes more calls unless something is amiss. A run begins when there is time for all of
# them: one that came half the way would look again with its next turn, and two of those could
# use up each other's slots for ever.
CALLS_OF_A_RUN = 4
# Where the budget is too small for so many, as many as go into this share of a task's time.
CALLS_SHARE = 0.55
NOTHING: Mapping[int, int] = MappingProxyType({})

_DUE = Query(
    lambda: RuleRun.objects.due().filter(integration=Parameter("site")).values_list("pk")[:1]
)
_APPS = Query(lambda: Integration.objects.values_list("pk", "app"))
_LOCK = Query(
    lambda: (
        CallBudget.objects.select_for_update()
        .filter(pk=Parameter("site"))
        .values_list(F("next_slot") - rate_limit.EpochNow())
    )
)
_RUNNING = Query(
    lambda: RuleRun.objects.filter(
        integration=Parameter("site"), status=Status.RUNNING
    ).values_list("pk")
)
_CLAIMED = Query(
    lambda: (
        RuleRun.objects.held_by(Parameter("token", UUIDField()))
        .select_related("event", "integration", "customer")
        .order_by("received_at", "id")
    )
)


def claim(
    limit: int, *, busy: Mapping[int, int] = NOTHING, until: float = float("inf")
) -> list[RuleRun]:
    """Take up to `limit` due runs under a lease: the oldest of each open site first.

    None whose calls could not all start before `until` (monotonic seconds).

    For one customer and site, runs go one at a time in receipt order. A site gets no more
    than its calls at once, no more than half of the threads, and of each process its share:
    `busy` tells how many runs of which sites are under way in this one. All sites of an app get
    no more than the app's share of the threads.
    """
    claimed: list[RuleRun] = []
    if limit <= 0:
        return claimed
    sites = list(rate_limit.open_sites())
    random.shuffle(sites)  # no site is always served last
    apps = {site: app_registry.APPS[key] for site, key in _APPS.all()}
    threads: Counter[str] = Counter()  # what each app holds of them
    for site in busy.keys() & apps.keys():
        threads[apps[site].key] += busy[site]
    for site in sites:
        app = apps.get(site)
        if app is None:
            continue  # deleted at this very moment
        of_app = int(app.share_of_threads * settings.WORKER_THREADS) - threads[app.key]
        room = min(limit - len(claimed), _share(app) - busy.get(site, 0), of_app)
        if room > 0 and _DUE.all(site=site):
            claimed_here = _claim_at(site, app, room, until)
            threads[app.key] += len(claimed_here)
            claimed += claimed_here
    return claimed


def _claim_at(site: int, app: AppSpec, limit: int, until: float) -> list[RuleRun]:
    token = uuid4()
    with transaction.atomic():
        # The site's row makes its claims one at a time, so that the count below holds.
        locked = _LOCK.all(site=site)
        if not locked:
            CallBudget.objects.select_for_update().get_or_create(pk=site)
        elif time.monotonic() + _needs(app, locked[0][0]) > until:
            return []
        room = min(limit, _at_once(app) - len(_RUNNING.all(site=site)))
        lease = timedelta(seconds=settings.LEASE_SECONDS)
        first = _first(room).all(site=site) if room > 0 else []
        runs = {f"run{number}": pk for number, (pk,) in enumerate(first)}
        if not (runs and _take(len(runs)).make(**runs, token=token, lease=lease)):
            return []
    return _CLAIMED.all(token=token)


@functools.cache
def _first(count: int) -> Query[tuple[int]]:
    """The first so many in line at a site."""

    def first() -> QuerySet[RuleRun, tuple[int]]:
        due = RuleRun.objects.due().filter(integration=Parameter("site"))
        return due.next_in_line().order_by("received_at", "id").values_list("pk")[:count]

    return Query(first)


@functools.cache
def _take(count: int) -> Update:
    """Take so many runs by their numbers, counting the attempt before the work.

    A statement of its own: within the other one PostgreSQL, which may not know yet how many
    runs wait, looked for the first ones again for each of them.
    """
    runs: list[Any] = [Parameter(f"run{number}") for number in range(count)]
    return Update(
        lambda: RuleRun.objects.filter(pk__in=runs, status=Status.WAITING),
        status=Status.RUNNING,
        attempts=F("attempts") + 1,
        lease_token=Parameter("token", UUIDField()),
        lease_until=Now() + Parameter("lease", DurationField()),
        started_at=Now(),
    )


def _needs(app: AppSpec, next_slot: float) -> float:
    """Seconds from now to the last call of a run that begins now, when it goes alone."""
    gap, tolerance = rate_limit.spacing(app.calls_per_minute())
    if not gap:
        return 0.0
    further = min(CALLS_OF_A_RUN - 1, int(settings.TASK_SECONDS * CALLS_SHARE / gap))
    return max(0.0, next_slot - tolerance) + further * gap


def _share(app: AppSpec) -> int:
    """What one process takes of a site: all of it in one would leave the other cores idle.

    Where a budget paces the calls they are idle anyway, and one process must do for all of it.
    """
    gap, _ = rate_limit.spacing(app.calls_per_minute())
    return _at_once(app) if gap else -(-_at_once(app) // settings.WORKER_PROCESSES)


def _at_once(app: AppSpec) -> int:
    gap, _ = rate_limit.spacing(app.calls_per_minute())
    most = min(app.calls_at_once, settings.WORKER_THREADS // 2)
    if gap:
        most = min(most, int(settings.TASK_SECONDS * SLOT_SHARE / gap))
    return max(1, most)
