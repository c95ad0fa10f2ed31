"""What the end of an attempt means for its run and its event."""

import logging
import random
from dataclasses import dataclass

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from django.db.models import CharField

from events.execution import wait_reasons
from events.models import EventLog, RuleRun
from integrations import app_registry, rate_limit
from integrations.errors import (
    TRIES_AGAIN,
    KeyRejected,
    LimitReached,
    OutOfTime,
    Refused,
    Retry,
)
from integrations.queries import Parameter, Query, Update
from integrations.secrets import SecretUnreadable
from integrations.thinkific.access_check import reject_key

log = logging.getLogger(__name__)
Status = RuleRun.Status
# No action needs so many calls unless it walks through page after page: time alone does not
# bring that to an end, and it would use up the site's calls for ever.
MANY_CALLS = 20
DATABASE_PAUSE_SECONDS = 5.0

_LOCK = Query(
    lambda: EventLog.objects.select_for_update().filter(pk=Parameter("event")).values_list("pk")
)
_STATUSES = Query(lambda: RuleRun.objects.filter(event=Parameter("event")).values_list("status"))
_SHOW = Update(
    lambda: EventLog.objects.filter(pk=Parameter("event")), status=Parameter("status", CharField())
)


@dataclass(frozen=True, slots=True)
class Result:
    """How an attempt ended; `again_in` is in seconds, `counts` False when it was no true try."""

    status: RuleRun.Status
    code: str
    message: str
    again_in: float = 0.0
    counts: bool = True

    @property
    def over(self) -> bool:
        """Whether the run does not go on by itself."""
        return self.status != Status.WAITING


def of_error(run: RuleRun, error: Exception, *, calls: int, answer_seconds: float = 0.0) -> Result:
    """What an error means: give up, try again later, or wait until the site is open.

    `calls` is how many the attempt had made, `answer_seconds` what their answers took. Only
    answers to the run's own calls count toward giving up: a pause of the site, the wait for a slot
    and our own database do not. A secret that cannot be opened pauses its site.
    """
    match error:
        case Refused():
            return Result(Status.FAILED, error.code, error.message)
        case KeyRejected() | LimitReached():
            return _pause(error.code, f"{error.message} {error.goes_on}".strip())
        case SecretUnreadable():
            assert run.integration is not None
            reject_key(run.integration, error.message)
            return _pause("key_unreadable", error.message)
        case rate_limit.SiteBlocked():
            assert run.integration is not None
            return _pause("site_paused", wait_reasons.at_closed_site(run.integration, error.why))
        case OutOfTime() | rate_limit.NoSlot() if calls >= MANY_CALLS:
            return _retry(
                run, "too_many_calls", f"It was not done after {calls} calls to {_outside(run)}."
            )
        case OutOfTime() if answer_seconds >= settings.TASK_SECONDS / 2:
            message = f"It is answered too slowly: {calls} calls to {_outside(run)} took too long."
            return _retry(run, "too_slow", message)
        case OutOfTime():
            return _pause(error.code, f"{error.message} {error.goes_on}")
        case rate_limit.NoSlot():
            message = f"Waits for its turn: only so many calls a minute go to {_outside(run)}."
            return _pause("no_slot", message, again_in=error.seconds)
        case Retry():
            at_least = error.seconds or 0.0
            return _retry(run, error.code, error.message, goes_on=error.goes_on, at_least=at_least)
        case OperationalError() | InterfaceError():
            message = "Admit's own database was busy or away. It goes on by itself."
            return _pause("database_busy", message, again_in=DATABASE_PAUSE_SECONDS)
        case _:
            return _broke(run, error)


def refresh_event(event_id: int) -> None:
    """Bring the event's status up to its runs; inside the caller's transaction."""
    if connection.features.has_select_for_update:
        # Two runs of one event may end at once: the second one to get the row sees the first.
        _LOCK.all(event=event_id)
    statuses = [status for (status,) in _STATUSES.all(event=event_id)]
    _SHOW.make(event=event_id, status=EventLog.status_of(statuses))


def _broke(run: RuleRun, error: Exception) -> Result:
    """What Admit's own fault means; called where the error is handled."""
    log.exception("action_broke", extra={"run": run.pk})
    return _retry(
        run,
        "broken",
        f"Admit itself failed ({type(error).__name__}), not {_outside(run)}.",
        then="Call your technician, then retry.",
    )


def _outside(run: RuleRun) -> str:
    """How sentences name what the run calls."""
    return app_registry.APPS[run.spec.app].outside


def _pause(code: str, message: str, *, again_in: float = 0.0) -> Result:
    return Result(Status.WAITING, code, message, again_in=again_in, counts=False)


def _retry(
    run: RuleRun,
    code: str,
    message: str,
    *,
    goes_on: str = TRIES_AGAIN,
    at_least: float = 0.0,
    then: str = "",
) -> Result:
    """Try again after the schedule's delay, or after `at_least` seconds; fail when it is over.

    `goes_on` is told as long as it is true, `then` once the schedule is over.
    """
    delays = settings.RETRY_DELAYS
    if run.attempts < len(delays):
        # A tenth more or less, so that what failed together does not come back together.
        delay = delays[run.attempts] * random.uniform(0.9, 1.1)  # noqa: S311 - no secret
        again_in = max(delay, at_least)
        return Result(Status.WAITING, code, f"{message} {goes_on}", again_in=again_in)
    times = "once" if run.attempts == 1 else f"{run.attempts} times"
    then = then or f"Retry when {_outside(run)} works again."
    return Result(Status.FAILED, code, f"{message} Admit tried {times} and has given up. {then}")
