"""Carrying out: claim -> act -> finish. The rows are the queue; a lease guards each run."""

import logging
import random
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

from django.conf import settings
from django.db import close_old_connections, transaction
from django.db.models import Case, F, QuerySet, Value, When
from django.db.models.functions import Now

from events.models import EventLog, RuleRun
from integrations import budget
from integrations.errors import KeyRejected, LimitReached, OutOfTime, Refused, Retry
from integrations.models import CallBudget, Destination, FieldMapping
from integrations.secrets import SecretUnreadable
from integrations.thinkific.visit import Visit, reject_key
from rules import actions
from rules.models import Action
from rules.triggers import Trigger

log = logging.getLogger(__name__)
Status = RuleRun.Status
# Thinkific serves about ten calls at once; eight leave room for the site's other tools.
CALLS_AT_ONCE = 8
# Runs that would wait longer than this for a slot are better left unclaimed.
SLOTS_AHEAD_SECONDS = 10.0
CRASHES_ALLOWED = 3


class LeaseLost(Exception):
    """Another worker has taken the run over: whatever we still do must not be written."""


class GoneFromThinkific(Exception):
    """The catalogue knows that the course or bundle is no longer there."""


@dataclass(frozen=True, slots=True)
class Result:
    """How an attempt ended; `counts` is False when the site was not even asked."""

    status: RuleRun.Status
    message: str
    again_in: float = 0.0
    counts: bool = True


class Crew:
    """The threads of this process that carry runs out, each with a connection of its own."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="run")
        self._busy: set[Future[None]] = set()

    def free(self) -> int:
        """How many more runs may be begun; finished ones are counted out."""
        self._busy = {future for future in self._busy if not future.done()}
        return self.threads - len(self._busy)

    def begin(self, run: RuleRun, until: float) -> None:
        """Carry the run out in one of the threads."""
        self._busy.add(self._pool.submit(_carry_out_safely, run, until))

    def pause(self, seconds: float) -> bool:
        """Wait until a run has ended, at most so long; False when none is under way."""
        if self._busy:
            wait(self._busy, timeout=seconds, return_when=FIRST_COMPLETED)
        return bool(self._busy)


def run_due(crew: Crew, *, until: float) -> int:
    """Begin whatever is due and finds a free thread; how many runs that are.

    `until` (monotonic seconds) is when the last call of a run may start.
    """
    claimed = claim(crew.free())
    for run in claimed:
        crew.begin(run, until)
    return len(claimed)


def claim(limit: int) -> list[RuleRun]:
    """Take up to `limit` due runs under a lease: the oldest of each open site first.

    For one customer and site, runs go one at a time in receipt order. A site gets no more
    than its calls at once, and no more than half of the threads.
    """
    sites = list(budget.open_sites().items())
    random.shuffle(sites)  # no site is always served last
    claimed: list[RuleRun] = []
    for site, probe in sites:
        room = limit - len(claimed)
        if room > 0 and RuleRun.objects.due().filter(integration=site).exists():
            claimed += _claim_at(site, 1 if probe else room)
    return claimed


def _claim_at(site: int, limit: int) -> list[RuleRun]:
    token = uuid4()
    with transaction.atomic():
        # The site's row makes its claims one at a time, so that the counts below hold.
        CallBudget.objects.select_for_update().get(pk=site)
        running = RuleRun.objects.filter(integration=site, status=Status.RUNNING).count()
        due = RuleRun.objects.due().filter(integration=site).next_in_line()
        room = max(0, min(limit, _at_once() - running))
        first = list(due.order_by("received_at", "id").values_list("pk", flat=True)[:room])
        if not first:
            return []
        RuleRun.objects.filter(pk__in=first).claim(token, _lease())
    mine = RuleRun.objects.filter(pk__in=first).held_by(token)
    return list(mine.select_related("event", "integration", "customer").order_by("received_at"))


def _at_once() -> int:
    gap, _ = budget.spacing()
    most = min(CALLS_AT_ONCE, settings.WORKER_THREADS // 2)
    return max(1, min(most, int(SLOTS_AHEAD_SECONDS / gap))) if gap else most


def _carry_out_safely(run: RuleRun, until: float) -> None:
    close_old_connections()
    try:
        carry_out(run, until=until)
    except Exception as error:  # the lease runs out, and the run is taken up again
        log.error("run_without_result", extra={"run": run.pk, "error": type(error).__name__})
    finally:
        close_old_connections()


def carry_out(run: RuleRun, *, until: float = float("inf")) -> None:
    """Do what a claimed run says, and write down how it ended."""
    visit = None
    try:
        overtaken = _overtaken(run)
        if overtaken:
            result = Result(Status.SKIPPED, overtaken)
        else:
            visit, order = _prepare(run, until)
            message = actions.carry_out(Action(run.action), visit, order)
            result = Result(Status.DONE, message)
    except LeaseLost:
        log.warning("lease_lost", extra={"run": run.pk})
        result = None
    except Exception as error:
        result = _result_of(run, error)
    _finish(run, result, visit)


def _overtaken(run: RuleRun) -> str:
    """A sentence when an event received later was carried out already, else ""."""
    if run.forced:
        return ""
    later = RuleRun.objects.all().after(run).filter(status=Status.DONE)
    newest = later.select_related("event").order_by("received_at", "pk").last()
    if newest is None or newest.event.trigger is None:
        return ""
    what = Trigger(newest.event.trigger).label
    order = f" of order {newest.event.order_id}" if newest.event.order_id else ""
    return f"Overtaken by the {what}{order}, which was received later and is done already."


def _prepare(run: RuleRun, until: float) -> tuple[Visit, actions.Order]:
    assert run.integration is not None
    found = Destination.objects.filter(
        integration=run.integration,
        kind=Action(run.action).destination_kind,
        external_id=run.destination_id,
    ).first()
    # What has gone can hold no access to end; but asking whether it does, does no harm.
    if found is not None and found.gone_at and Action(run.action).gives_access:
        raise GoneFromThinkific
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
    held = RuleRun.objects.filter(pk=run.pk).held_by(_token(run))
    if not held.update(lease_until=Now() + _lease()):
        raise LeaseLost


def _result_of(run: RuleRun, error: Exception) -> Result:
    """What an error means for the run: refuse, retry, or stop until the site is open."""
    match error:
        case Refused():
            return Result(Status.FAILED, error.message)
        case KeyRejected() | LimitReached():
            return Result(Status.WAITING, error.message, counts=False)
        case OutOfTime():
            return Result(Status.WAITING, error.message, counts=False)
        case budget.SiteBlocked():
            return Result(Status.WAITING, _blocked_message(run, error), counts=False)
        case budget.NoSlot():
            message = "Waits for its turn: Thinkific allows only so many calls a minute."
            return Result(Status.WAITING, message, again_in=error.seconds, counts=False)
        case SecretUnreadable():
            assert run.integration is not None
            reject_key(run.integration, error.message)
            return Result(Status.WAITING, error.message, counts=False)
        case GoneFromThinkific():
            message = (
                f"{run.destination_name} is gone from Thinkific. "
                "Refresh the integration, then edit the rule and retry."
            )
            return Result(Status.FAILED, message)
        case Retry() if error.seconds is not None:
            return Result(Status.WAITING, error.message, counts=False)
        case Retry():
            return _retry(run, error.message)
        case _:
            log.exception("action_broke", extra={"run": run.pk})
            return _retry(run, f"Admit itself failed ({type(error).__name__}).")


def _blocked_message(run: RuleRun, blocked: budget.SiteBlocked) -> str:
    if blocked.why == CallBudget.Blocked.KEY:
        return (
            f"Waits because Thinkific rejected the key of {run.integration}. "
            "Edit the integration; then this goes on by itself."
        )
    return "Waits because Thinkific's limit was reached. It goes on by itself."


def _retry(run: RuleRun, message: str) -> Result:
    delays = settings.RETRY_DELAYS
    if run.attempts >= len(delays):
        return Result(
            Status.FAILED,
            f"{message} Admit tried {run.attempts} times and has given up. "
            "Retry when Thinkific works again.",
        )
    # A tenth to and fro, so that what failed together does not come back together.
    delay = delays[run.attempts] * random.uniform(0.9, 1.1)  # noqa: S311 - no secret
    return Result(Status.WAITING, message, again_in=delay)


def _finish(run: RuleRun, result: Result | None, visit: Visit | None) -> None:
    """Write the result if the lease is still ours, and whatever the visit learned anyway."""
    with transaction.atomic():
        if visit is not None:
            visit.write()
        if result is None:
            return
        over = result.status not in {Status.WAITING, Status.RUNNING}
        written = RuleRun.objects.filter(pk=run.pk).held_by(_token(run))
        mine = written.update(
            status=result.status,
            message=result.message,
            attempts=F("attempts") - (0 if result.counts else 1),
            crashes=0,
            lease_token=None,
            lease_until=None,
            next_attempt_at=None if over else Now() + timedelta(seconds=result.again_in),
            finished_at=Now() if over else None,
        )
        if mine and result.status != Status.WAITING:
            refresh_event(run.event_id)
    log.info("run_ended", extra={"run": run.pk, "status": result.status.value})


def refresh_event(event_id: int) -> None:
    """Bring the event's status up to its runs; inside the caller's transaction."""
    # Two runs of one event may end at once: the second one to get the row sees the first.
    event = EventLog.objects.select_for_update().only("pk").get(pk=event_id)
    statuses = RuleRun.objects.filter(event=event).values_list("status", flat=True)
    EventLog.objects.filter(pk=event_id).update(status=EventLog.status_of(statuses))


def revive() -> int:
    """Give back runs whose worker died, and end those that can never be carried out."""
    lapsed = list(RuleRun.objects.lapsed().values_list("pk", "event"))
    for pk, event in lapsed:
        with transaction.atomic():
            _give_back(RuleRun.objects.lapsed().filter(pk=pk))
            refresh_event(event)
    orphans = RuleRun.objects.filter(status=Status.WAITING, integration=None)
    for pk, event in list(orphans.values_list("pk", "event")):
        with transaction.atomic():
            RuleRun.objects.filter(pk=pk, status=Status.WAITING).update(
                status=Status.FAILED,
                finished_at=Now(),
                message="The integration was deleted before this could be carried out.",
            )
            refresh_event(event)
    if lapsed:
        log.warning("leases_lapsed", extra={"count": len(lapsed)})
    return len(lapsed)


def _give_back(lapsed: QuerySet[RuleRun]) -> None:
    too_often = (
        f"Admit stopped {CRASHES_ALLOWED} times while it carried this out. "
        "Call your technician, then retry."
    )
    last = {"crashes__gte": CRASHES_ALLOWED - 1}
    lapsed.update(
        status=Case(When(**last, then=Value(Status.FAILED)), default=Value(Status.WAITING)),
        message=Case(
            When(**last, then=Value(too_often)),
            default=Value("Admit stopped while it carried this out; it goes on by itself."),
        ),
        finished_at=Case(When(**last, then=Now()), default=None),
        crashes=F("crashes") + 1,
        lease_token=None,
        lease_until=None,
        next_attempt_at=Now(),
    )


def retry(runs: Iterable[RuleRun], *, anyway: bool = False) -> tuple[int, dict[str, int]]:
    """Queue finished, failed or held runs again.

    Returns how many were queued, and for the others how many per reason why not.
    `anyway` also carries out what a later event has overtaken.
    """
    queued = 0
    left: dict[str, int] = {}
    for run in runs:
        reason = _why_not_again(run, anyway=anyway)
        if reason:
            left[reason] = left.get(reason, 0) + 1
            continue
        with transaction.atomic():
            queued += RuleRun.objects.filter(pk=run.pk, status=run.status).update(
                status=Status.WAITING,
                message="Queued again.",
                attempts=0,
                crashes=0,
                forced=anyway,
                next_attempt_at=Now(),
                finished_at=None,
            )
            refresh_event(run.event_id)
    return queued, left


def retried_sentence(queued: int, left: dict[str, int]) -> str:
    """ "2 queued, 1 skipped: it had succeeded." """
    others = [f"{number} skipped: {reason}" for reason, number in left.items()]
    return ", ".join([f"{queued} queued", *others]) + "."


def _why_not_again(run: RuleRun, *, anyway: bool) -> str:
    if run.status in {Status.WAITING, Status.RUNNING}:
        return "goes on by itself"
    if run.status == Status.DONE:
        return "it had succeeded"
    if run.status == Status.SKIPPED and not anyway:
        return "a later event has overtaken it"
    if run.customer_id is None:
        return "the order carries no usable e-mail address"
    if run.integration_id is None:
        return "its integration was deleted"
    return ""


def due() -> bool:
    """Whether a worker would find something to do now: a run that is due, or a lease over."""
    sites = list(budget.open_sites())
    return (
        RuleRun.objects.due().filter(integration__in=sites).exists()
        or RuleRun.objects.lapsed().exists()
    )


def _lease() -> timedelta:
    return timedelta(seconds=settings.LEASE_SECONDS)


def _token(run: RuleRun) -> UUID:
    assert run.lease_token is not None
    return run.lease_token
