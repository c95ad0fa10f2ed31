"""Claiming: due runs are taken under a lease, in order, and only so many at once."""

import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from uuid import uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Now

from events.models import RuleRun
from integrations import app_registry
from integrations.app_registry import AppSpec
from integrations.calls import rate_limit, slots
from integrations.models import CallBudget, Integration, ThinkificUser

Status = RuleRun.Status
# Without a limit of calls, this many runs are claimed for each call that may go at once: while some
# wait for answers, others are read and written, many with one commit.
AHEAD = 4
# The share of a task's time that a call may wait for its slot. With more runs at once, the task's
# time would be over before their later calls.
SLOT_SHARE = 1 / 7
# No action takes more calls than this unless something is amiss. A run begins only if there is time
# for all of them: one that stops halfway looks again in its next turn, and two of those could use
# up each other's slots forever.
CALLS_OF_A_RUN = 4
# If the budget is too small for that, as many as fit into this share of a task's time.
CALLS_SHARE = 0.55
# A run whose worker died so often in a row is carried out alone: it may be what stops the workers,
# and those beside it would be blamed as well.
CRASHES_BESIDE_OTHERS = 2
_ALONE = Q(crashes__gte=CRASHES_BESIDE_OTHERS)
# How many runs are under way, by app and site.
Busy = Mapping[tuple[str, int], int]
NOTHING: Busy = MappingProxyType({})


def claims(
    limit: int, *, busy: Busy = NOTHING, until: float = float("inf")
) -> Iterator[list[RuleRun]]:
    """Take up to `limit` due runs under a lease, site by site: each site's oldest first.

    The runs of a site are yielded before the next site is claimed. A run is claimed only if all its
    calls can start before `until` (monotonic seconds).

    For one customer and site, runs go one at a time in receipt order. A site, and all sites of an
    app, get no more than their share of this process; `busy` is what is under way here. A run that
    must be alone comes first and only while nothing is under way, and then nothing comes with it.
    """
    if limit <= 0:
        return
    if not any(busy.values()):
        for site, key in _sites_with_work(_ALONE):
            if runs := _claim_at(site, app_registry.APPS[key], 1, until, _ALONE):
                yield runs
                return
    # Skip sites with more than half their share: a claim costs about as much for one as for many.
    full = [site for (key, site), n in busy.items() if n > _share(app_registry.APPS[key]) // 2]
    sites = _sites_with_work(~_ALONE, but=full)
    random.shuffle(sites)  # no site is always served last
    of_app: Counter[str] = Counter()
    for (key, _), number in busy.items():
        of_app[key] += number
    for site, key in sites:
        app = app_registry.APPS[key]
        room = min(
            limit,
            _share(app) - busy.get((key, site), 0),
            int(app.share_of_threads * settings.WORKER_THREADS) - of_app[key],
        )
        runs = _claim_at(site, app, room, until, ~_ALONE) if room > 0 else []
        of_app[key] += len(runs)
        limit -= len(runs)
        yield runs


def calls_at_once(app: AppSpec) -> int:
    """Return how many calls of one process may be under way at a site of the app."""
    gap, _ = rate_limit.spacing(app.calls_per_minute())
    return app.calls_at_once if gap else _part(app.calls_at_once)


def must_be_alone(run: RuleRun) -> bool:
    """Whether nothing may be claimed in this process while the run is under way."""
    return run.crashes >= CRASHES_BESIDE_OTHERS


def _sites_with_work(which: Q, but: Sequence[int] = ()) -> list[tuple[int, str]]:
    """Return the open sites `but` these with such due runs, each with its app."""
    due = RuleRun.objects.due().decided().filter(which, integration=OuterRef("pk"))
    paused = CallBudget.objects.filter(pk=OuterRef("pk")).exclude(blocked="")
    sites = Integration.objects.filter(Exists(due), ~Exists(paused), enabled=True)
    return list(sites.exclude(pk__in=but).values_list("pk", "app"))


def _claim_at(site: int, app: AppSpec, limit: int, until: float, which: Q) -> list[RuleRun]:
    token = uuid4()
    with transaction.atomic():
        # The lock on the site's row makes its claims one at a time, so that the count below holds.
        budget = slots.lock({site: app.calls_per_minute()}).get(site)
        if budget is None or time.monotonic() + _needs(budget) > until:
            return []
        running = RuleRun.objects.filter(integration=site, status=Status.RUNNING)
        busy = list(running.values_list("customer", flat=True))
        room = min(limit, _at_once(app) - len(busy))
        due = RuleRun.objects.due().decided().with_customer().filter(which, integration=site)
        first = due.next_in_line().order_by("received_at", "id").values_list("pk", "customer")
        runs = _one_for_each_user(site, first[:room], busy) if room > 0 else []
        # A separate statement: inside the other one, PostgreSQL, which may not know yet how many
        # runs wait, searched for the first ones again for each of them.
        taken = RuleRun.objects.filter(pk__in=runs, status=Status.WAITING).update(
            status=Status.RUNNING,
            attempts=F("attempts") + 1,  # counted before the work
            lease_token=token,
            lease_until=Now() + timedelta(seconds=settings.LEASE_SECONDS),
            started_at=Now(),
        )
        if not taken:
            return []
        # Read before the commit: a claimed run that we cannot read would wait until its lease ends.
        held = RuleRun.objects.filter(pk__in=runs).held_by(token)
        with_rows = held.select_related("event", "integration", "customer")
        return list(with_rows.order_by("received_at", "id"))


def _one_for_each_user(
    site: int, runs: Iterable[tuple[int, int | None]], busy: Sequence[int | None]
) -> list[int]:
    """Return the pks of runs to take: at most one for each Thinkific user, none for a busy one.

    `runs` are (pk, customer) pairs, `busy` the customers with a run under way. Two customers may be
    one user, and what one run ends another may be about to give.
    """
    runs = list(runs)
    customers = {customer for _, customer in runs} | set(busy)
    known = ThinkificUser.objects.filter(integration=site, customer__in=customers - {None})
    users = dict(known.values_list("customer", "user_id")) if runs else {}
    taken = {users[customer] for customer in busy if customer in users}
    found = []
    for pk, customer in runs:
        user = users.get(customer) if customer else None
        if user is None or user not in taken:
            found.append(pk)
        if user is not None:
            taken.add(user)
    return found


def _needs(budget: slots.Budget) -> float:
    """Return the seconds until a run that begins now, and runs alone, starts its last call."""
    gap, _ = rate_limit.spacing(budget.calls_per_minute)
    if not gap:
        return 0.0
    further = min(CALLS_OF_A_RUN - 1, int(settings.TASK_SECONDS * CALLS_SHARE / gap))
    return budget.slot_in + further * gap


def _share(app: AppSpec) -> int:
    """Return how many runs of a site one process takes.

    If a budget paces the calls, the cores are idle anyway, and one process must do for the whole
    site. If not, it takes its part only, or the other cores would be idle.
    """
    gap, _ = rate_limit.spacing(app.calls_per_minute())
    return _at_once(app) if gap else _part(_at_once(app))


def _part(whole: int) -> int:
    return -(-whole // settings.WORKER_PROCESSES)


def _at_once(app: AppSpec) -> int:
    """Return how many runs of a site may be under way in all processes of all machines."""
    gap, _ = rate_limit.spacing(app.calls_per_minute())
    if not gap:
        return app.calls_at_once * AHEAD
    return max(1, min(app.calls_at_once, int(settings.TASK_SECONDS * SLOT_SHARE / gap)))
