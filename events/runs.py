"""Carrying out: claim -> act -> finish. The rows are the queue; a lease guards each run."""

import logging
import random
from datetime import timedelta
from functools import partial
from uuid import UUID, uuid4

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from events import results
from events.crew import Crew
from events.models import RuleRun
from events.models.runs import RuleRunQuerySet
from events.results import Result, refresh_event
from integrations import budget
from integrations.errors import Refused
from integrations.models import CallBudget, Destination, FieldMapping
from integrations.thinkific.visit import Visit
from rules import actions
from rules.models import Action
from rules.triggers import Trigger

log = logging.getLogger(__name__)
Status = RuleRun.Status
# Thinkific serves about ten calls at once; eight leave room for the site's other tools.
CALLS_AT_ONCE = 8
# The share of a task's time that a call may wait for its slot: with more runs at once than
# that allows, the later calls of each would find the task's time over.
SLOT_SHARE = 1 / 6


# So many seconds from now by the database's clock, in the form in which Django stores times.
_IN_SECONDS = {
    "sqlite": "STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f000', 'now', %s || ' seconds')",
    "postgresql": "STATEMENT_TIMESTAMP() + make_interval(secs => %s)",
}


class LeaseLost(Exception):
    """Another worker has taken the run over: whatever we still do must not be written."""


def run_due(crew: Crew, *, until: float) -> int:
    """Begin whatever is due and finds a free thread; how many runs that are.

    `until` (monotonic seconds) is when the last call of a run may start.
    """
    claimed = claim(crew.free())
    for run in claimed:
        crew.begin(partial(carry_out, run, until=until))
    return len(claimed)


def claim(limit: int) -> list[RuleRun]:
    """Take up to `limit` due runs under a lease: the oldest of each open site first.

    For one customer and site, runs go one at a time in receipt order. A site gets no more
    than its calls at once, and no more than half of the threads.
    """
    claimed: list[RuleRun] = []
    if limit <= 0:
        return claimed
    sites = list(budget.open_sites().items())
    random.shuffle(sites)  # no site is always served last
    for site, probe in sites:
        room = limit - len(claimed)
        if room > 0 and RuleRun.objects.due().filter(integration=site).exists():
            claimed += _claim_at(site, 1 if probe else room)
    return claimed


def carry_out(run: RuleRun, *, until: float = float("inf")) -> None:
    """Do what a claimed run says, and write down how it ended."""
    visit = None
    result = None
    try:
        overtaken = _overtaken(run)
        if overtaken:
            result = Result(Status.SKIPPED, overtaken)
        else:
            visit, order = _prepare(run, until)
            message = actions.carry_out(Action(run.action), visit, order)
            result = Result(Status.DONE, message)
    except LeaseLost:
        pass
    except Exception as error:
        result = results.of_error(run, error, calls=visit.calls if visit else 0)
    if _finish(run, result, visit):
        assert result is not None
        log.info("run_ended", extra={"run": run.pk, "status": result.status.value})
    else:
        log.warning("lease_lost", extra={"run": run.pk})


def due() -> bool:
    """Whether a worker would find something to do now."""
    ready = RuleRun.objects.due().filter(integration__in=list(budget.open_sites()))
    return any(
        found.exists() for found in (ready, RuleRun.objects.lapsed(), RuleRun.objects.orphaned())
    )


# Claim


def _claim_at(site: int, limit: int) -> list[RuleRun]:
    token = uuid4()
    with transaction.atomic():
        # The site's row makes its claims one at a time, so that the counts below hold.
        CallBudget.objects.select_for_update().get_or_create(pk=site)
        running = RuleRun.objects.filter(integration=site, status=Status.RUNNING).count()
        due = RuleRun.objects.due().filter(integration=site, customer__isnull=False)
        # Half at a time, so that the threads of one process do not leave others without work.
        most = _at_once()
        room = max(0, min(limit, most - running, -(-most // 2)))
        first = due.next_in_line().order_by("received_at", "id")[:room]
        chosen = RuleRun.objects.filter(pk__in=list(first.values_list("pk", flat=True)))
        if not chosen.claim(token, _lease()):
            return []
    mine = RuleRun.objects.held_by(token).select_related("event", "integration", "customer")
    return list(mine.order_by("received_at", "id"))


def _at_once() -> int:
    gap, _ = budget.spacing()
    most = min(CALLS_AT_ONCE, settings.WORKER_THREADS // 2)
    if gap:
        most = min(most, int(settings.TASK_SECONDS * SLOT_SHARE / gap))
    return max(1, most)


# Act


def _overtaken(run: RuleRun) -> str:
    """A sentence when an event received later was carried out already, else ""."""
    if run.forced:
        return ""
    later = RuleRun.objects.all().after(run).filter(status=Status.DONE)
    newest = later.order_by("-received_at", "-pk").values_list("event__trigger", "event__order_id")
    trigger, order = newest.first() or ("", "")
    if not trigger:
        return ""
    of_order = f" of order {order}" if order else ""
    return (
        f"Overtaken by the {Trigger(trigger).label}{of_order}, "
        "which was received later and is done already."
    )


def _prepare(run: RuleRun, until: float) -> tuple[Visit, actions.Order]:
    assert run.integration is not None
    action = Action(run.action)
    found = Destination.objects.filter(
        integration=run.integration,
        kind=action.destination_kind,
        external_id=run.destination_id,
    ).first()
    # What has gone can hold no access to end; but asking whether it does, does no harm.
    if found is not None and found.gone_at and action.gives_access:
        raise Refused(
            f"{run.destination_name} is gone from Thinkific. "
            "Refresh the integration, then edit the rule and retry."
        )
    visit = Visit(
        run.integration,
        run.customer,
        run_id=run.pk,
        renew=lambda: _renew(run),
        until=until,
    )
    order = actions.Order(
        destination_id=run.destination_id,
        destination=run.destination_name,
        course_ids=tuple(found.course_ids) if found else (),
        fields=FieldMapping.objects.values_for(run.integration, run.event.custom_fields),
    )
    return visit, order


def _renew(run: RuleRun) -> None:
    """Before each call, so by a statement that is not composed anew each time."""
    token = RuleRun._meta.get_field("lease_token").get_db_prep_save(run.lease_token, connection)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE events_rulerun SET lease_until = {_IN_SECONDS[connection.vendor]} "
            "WHERE id = %s AND status = 'running' AND lease_token = %s",
            [settings.LEASE_SECONDS, run.pk, token],
        )
        if not cursor.rowcount:
            raise LeaseLost


# Finish


def _finish(run: RuleRun, result: Result | None, visit: Visit | None) -> bool:
    """Write what the visit learned, and the result if there is one and the lease is still ours.

    False when the lease was lost.
    """
    with transaction.atomic():
        if visit is not None:
            visit.write()
        if result is None:
            return False
        written = _still_ours(run).update(
            status=result.status,
            message=result.message,
            attempts=F("attempts") - (0 if result.counts else 1),
            crashes=0,
            lease_token=None,
            lease_until=None,
            next_attempt_at=None if result.over else Now() + timedelta(seconds=result.again_in),
            finished_at=Now() if result.over else None,
        )
        if written and result.over:
            refresh_event(run.event_id)
    return bool(written)


def _lease() -> timedelta:
    return timedelta(seconds=settings.LEASE_SECONDS)


def _still_ours(run: RuleRun) -> RuleRunQuerySet:
    token: UUID | None = run.lease_token
    assert token is not None
    return RuleRun.objects.filter(pk=run.pk).held_by(token)
