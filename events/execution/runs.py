"""Carrying out: claim -> act -> finish. The rows are the queue; a lease guards each run."""

import logging
from datetime import timedelta
from functools import partial

from django.conf import settings
from django.db import IntegrityError
from django.db.models import CharField, DateTimeField, DurationField, F, Q, QuerySet, UUIDField
from django.db.models.functions import Now

from events.execution import messages, results
from events.execution.claiming import claim
from events.execution.results import Result, refresh_event
from events.execution.thread_pool import ThreadPool
from events.models import RuleRun
from integrations import app_registry, rate_limit, together
from integrations.models import Destination, FieldMapping, Integration
from integrations.queries import Parameter, Query, Update
from integrations.thinkific.session import Session
from rules.actions import Order
from rules.triggers import Trigger

__all__ = ["LeaseLost", "carry_out", "claim", "due", "run_due", "to_ask"]

log = logging.getLogger(__name__)
Status = RuleRun.Status
_AT = Parameter("received_at", DateTimeField())
# Of events received later, for the same customer, site and course or bundle.
_DONE_LATER = Query(
    lambda: (
        RuleRun.objects.exclude(event=Parameter("event"))
        .filter(
            Q(received_at__gt=_AT) | Q(received_at=_AT, pk__gt=Parameter("pk")),
            customer=Parameter("customer"),
            integration=Parameter("site"),
            target=Parameter("target", CharField()),
            status=Status.DONE,
        )
        .order_by("-received_at", "-pk")
        .values_list("event__trigger", "event__order_id")[:1]
    )
)
_DESTINATION = Query(
    lambda: Destination.objects.filter(
        integration=Parameter("site"),
        kind=Parameter("kind", CharField()),
        external_id=Parameter("external_id"),
    )
)


def _ours() -> QuerySet[RuleRun]:
    return RuleRun.objects.filter(pk=Parameter("pk")).held_by(Parameter("token", UUIDField()))


_RENEW = Update(_ours, lease_until=Now() + Parameter("lease", DurationField()))
_RESULT = {
    "status": Parameter("status", CharField()),
    "code": Parameter("code", CharField()),
    "message": Parameter("message", CharField()),
    "attempts": F("attempts") - Parameter("uncounted"),
    "crashes": 0,
    "lease_token": None,
    "lease_until": None,
}
_END = Update(_ours, **_RESULT, next_attempt_at=None, finished_at=Now())
_WAIT = Update(
    _ours,
    **_RESULT,
    next_attempt_at=Now() + Parameter("again_in", DurationField()),
    finished_at=None,
)


class LeaseLost(Exception):
    """Another worker has taken the run over: whatever we still do must not be written."""


def run_due(pool: ThreadPool, *, until: float) -> int:
    """Begin whatever is due and finds a free thread; how many runs that are.

    `until` (monotonic seconds) is when the last call of a run may start. A site whose pause is
    over is asked first whether it is open again.
    """
    busy = pool.busy()
    for site in to_ask():
        if not busy[site.pk]:
            pool.begin(partial(app_registry.of(site).ask, site, until=until), site=site.pk)
    claimed = claim(pool.free(), busy=pool.busy(), until=until)
    for run in claimed:
        pool.begin(partial(carry_out, run, until=until), site=run.integration_id or 0)
    return len(claimed)


def carry_out(run: RuleRun, *, until: float = float("inf")) -> None:
    """Do what a claimed run says, and write down how it ended."""
    session = None
    result = None
    try:
        overtaken = _overtaken(run)
        if overtaken:
            result = Result(Status.SKIPPED, "overtaken", overtaken)
        else:
            session, order = _prepare(run, until)
            outcome = session.carry_out(run.spec.run(session.attempt, order))
            result = Result(Status.DONE, outcome.code, outcome.message)
    except LeaseLost:
        pass
    except Exception as error:
        result = results.of_error(
            run,
            error,
            calls=session.attempt.calls if session else 0,
            answer_seconds=session.answer_seconds if session else 0.0,
        )
    if _finish(run, result, session):
        assert result is not None
        log.info("run_ended", extra={"run": run.pk, "status": result.status.value})
    else:
        log.warning("lease_lost", extra={"run": run.pk})


def due() -> bool:
    """Whether a worker would find something to do now."""
    sites = rate_limit.open_sites() | rate_limit.sites_to_ask()
    ready = RuleRun.objects.due().filter(integration__in=sites)
    return any(
        found.exists() for found in (ready, RuleRun.objects.lapsed(), RuleRun.objects.orphaned())
    )


def to_ask() -> list[Integration]:
    """Sites whose pause is over, with runs that wait for it."""
    sites = rate_limit.sites_to_ask()
    if not sites:
        return []
    waiting = RuleRun.objects.due().filter(integration__in=sites)
    return list(Integration.objects.filter(pk__in=waiting.values("integration")))


# Act


def _overtaken(run: RuleRun) -> str:
    """A sentence when an event received later was carried out already, else ""."""
    if run.forced or not run.target:
        return ""
    trigger, order = _DONE_LATER.first(
        pk=run.pk,
        event=run.event_id,
        customer=run.customer_id,
        site=run.integration_id,
        target=run.target,
        received_at=run.received_at,
    ) or ("", "")
    if not trigger:
        return ""
    of_order = f" of order {order}" if order else ""
    return (
        f"Overtaken by {Trigger(trigger).happening}{of_order}, "
        "which was received later and is done already."
    )


def _prepare(run: RuleRun, until: float) -> tuple[Session, Order]:
    assert run.integration is not None
    found = _DESTINATION.first(
        site=run.integration.pk, kind=run.spec.target, external_id=run.destination_id
    )
    filled = FieldMapping.objects.values_for(run.integration, run.event.custom_fields)
    session = Session(
        run.integration,
        run.customer,
        run_id=run.pk,
        labels={field.external_id: field.label for field in filled},
        renew=lambda: _renew(run),
        until=until,
        app=app_registry.of(run.integration),
    )
    order = Order(
        destination_id=run.destination_id or 0,
        destination=run.destination_name,
        course_ids=tuple(found.course_ids) if found else (),
        said_gone=bool(found and found.gone_at),
        fields={field.external_id: value for field, value in filled.items()},
        attempt=run.attempts,
        message=messages.of(run),
    )
    return session, order


def _renew(run: RuleRun) -> None:
    lease = timedelta(seconds=settings.LEASE_SECONDS)
    if not _RENEW.make(pk=run.pk, token=run.lease_token, lease=lease):
        raise LeaseLost


# Finish


def _finish(run: RuleRun, result: Result | None, session: Session | None) -> bool:
    """Write what the session learned, and the result if there is one and the lease is still ours.

    False when the lease was lost.
    """

    def write() -> bool:
        if session is not None:
            session.write()
        return end()

    def end() -> bool:
        if result is None:
            return False
        written = (_END if result.over else _WAIT).make(
            pk=run.pk,
            token=run.lease_token,
            status=result.status,
            code=result.code,
            message=result.message,
            uncounted=0 if result.counts else 1,
            again_in=timedelta(seconds=result.again_in),
        )
        if written and result.over:
            refresh_event(run.event_id)
        return bool(written)

    try:
        return together.write(write)
    except IntegrityError:
        # The site or the customer was deleted meanwhile, and what was learned of them has no place.
        return together.write(end)
