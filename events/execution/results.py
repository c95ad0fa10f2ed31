"""What the end of an attempt means for its run and its event."""

import logging
import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError
from django.db.models import F
from django.db.models.functions import Now

from events.execution import gone_destinations, wait_reasons
from events.models import Grant, RuleRun
from events.models.event_status import show
from integrations import app_registry
from integrations.calls import rate_limit
from integrations.errors import (
    TRIES_AGAIN,
    KeyRejected,
    LimitReached,
    OutOfTime,
    Refused,
    Retry,
)
from integrations.secrets import SecretUnreadable
from integrations.sentences import Said, Text, joined, say, say_count
from integrations.thinkific.site_check import reject_key
from rules.actions.enrollments import UNLISTED

log = logging.getLogger(__name__)
Status = RuleRun.Status
# No action needs this many calls unless it walks through page after page. Running out of time does
# not end that: it would use up the site's calls forever.
MANY_CALLS = 20


@dataclass(frozen=True, slots=True)
class Result:
    """How an attempt ended. `again_in` is in seconds; `counts` is False if it was no real try."""

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
    """Return what an error means: give up, try again later, or wait until the site is open.

    `calls` is how many calls the attempt made, `answer_seconds` how long their answers took. Only
    answers to the run's own calls count toward giving up: a pause of the site, the wait for a slot
    and our own database do not. A secret that cannot be opened pauses its site.
    """
    match error:
        case Refused():
            return Result(Status.FAILED, error.code, error.message)
        case KeyRejected() | LimitReached():
            return _pause(error.code, joined([error.message, error.goes_on]))
        case SecretUnreadable():
            assert run.integration is not None
            reject_key(run.integration, error.message)
            return _pause("key_unreadable", error.message)
        case rate_limit.SiteBlocked():
            assert run.integration is not None
            return _pause("site_paused", wait_reasons.at_closed_site(run.integration, error.why))
        case OutOfTime() | rate_limit.NoSlot() if calls >= MANY_CALLS:
            return _retry(run, "too_many_calls", _too_many_calls(run, calls))
        case OutOfTime() if answer_seconds >= settings.TASK_SECONDS / 2:
            return _retry(run, "too_slow", _too_slow(run, calls))
        case OutOfTime():
            return _pause(error.code, joined([error.message, error.goes_on]))
        case rate_limit.NoSlot():
            message = say(
                "Waits for its turn: only so many calls a minute go to {outside}.",
                outside=_outside(run),
            )
            return _pause("no_slot", message, again_in=error.seconds)
        case Retry():
            at_least = error.seconds or 0.0
            return _retry(run, error.code, error.message, goes_on=error.goes_on, at_least=at_least)
        case _:
            return _broke(run, error)


def _too_many_calls(run: RuleRun, calls: int) -> Said:
    return say(
        "It was not done after {calls} calls to {outside}.", calls=calls, outside=_outside(run)
    )


def _too_slow(run: RuleRun, calls: int) -> Said:
    return say_count(
        calls,
        "The answers are too slow: 1 call to {outside} took too long.",
        "The answers are too slow: {number} calls to {outside} took too long.",
        outside=_outside(run),
    )


def hold(runs: Iterable[RuleRun]) -> set[tuple[int, UUID | None]]:
    """Lock the runs that are still ours. Return them by pk and token.

    One that lapsed may have been claimed here again; then its first token is not valid anymore.
    Call it inside a transaction.
    """
    ours = {(run.pk, run.lease_token) for run in runs}
    pks = {pk for pk, _ in ours}
    rows = RuleRun.objects.select_for_update().filter(pk__in=pks, status=Status.RUNNING)
    return ours & set(rows.order_by("pk").values_list("pk", "lease_token"))


def write(ended: Iterable[tuple[RuleRun, Result]], *, opened: Iterable[RuleRun] = ()) -> None:
    """Write how attempts ended. Call it inside the transaction that holds runs and events.

    `opened` are runs, ended or not, whose access Thinkific has just opened.
    """
    alike: dict[Result, list[RuleRun]] = {}
    for run, result in ended:
        alike.setdefault(result, []).append(run)
    for result, runs in alike.items():
        # Not "now and 0 seconds": written so, SQLite takes it for later than now.
        again_at = Now() + timedelta(seconds=result.again_in) if result.again_in else Now()
        RuleRun.objects.filter(pk__in=[run.pk for run in runs]).update(
            status=result.status,
            code=result.code,
            message=result.message,
            attempts=F("attempts") - (0 if result.counts else 1),
            crashes=0,
            lease_token=None,
            lease_until=None,
            next_attempt_at=None if result.over else again_at,
            finished_at=Now() if result.over else None,
        )
    done = [run for result, runs in alike.items() for run in runs if result.status == Status.DONE]
    _see([*opened, *done])
    show({run.event_id for result, runs in alike.items() for run in runs if result.over})


def _see(done: Iterable[RuleRun]) -> None:
    """Record that Thinkific holds what these runs gave."""
    given = {
        run.grant_id: run.customer_id for run in done if run.grant_id and run.spec.gives_access
    }
    if given:
        # Leave out what was moved to another student meanwhile.
        students = set(given.values())
        seen = Grant.objects.active().filter(pk__in=given, customer__in=students)
        seen.update(seen_at=Now())


def _broke(run: RuleRun, error: Exception) -> Result:
    """Return what a fault of Admit itself means."""
    # A database error may quote a row, so it is not logged.
    told = None if isinstance(error, DatabaseError) else error
    log.error("action_broke", extra={"run": run.pk}, exc_info=told)
    return _retry(
        run,
        "broken",
        say(
            "Admit itself failed ({kind}), not {outside}.",
            kind=type(error).__name__,
            outside=_outside(run),
        ),
        then=say("Call your technician, then retry."),
    )


def _outside(run: RuleRun) -> Text:
    """Return how sentences name what the run calls."""
    return app_registry.APPS[run.spec.app].outside


def _pause(code: str, message: str, *, again_in: float = 0.0) -> Result:
    return Result(Status.WAITING, code, message, again_in=again_in, counts=False)


def _retry(
    run: RuleRun,
    code: str,
    message: str,
    *,
    goes_on: str = "",
    at_least: float = 0.0,
    then: str = "",
) -> Result:
    """Try again after the schedule's delay, or after `at_least` seconds; fail at its end.

    `goes_on` is said while there are tries left, `then` when there are none; "" stands for the
    usual sentence.
    """
    delays = settings.RETRY_DELAYS
    if run.attempts < len(delays):
        # Vary it by a tenth, so that what failed together does not come back together.
        delay = delays[run.attempts] * random.uniform(0.9, 1.1)  # noqa: S311 - no secret
        again_in = max(delay, at_least)
        message = joined([message, goes_on or say(TRIES_AGAIN)])
        return Result(Status.WAITING, code, message, again_in=again_in)
    given_up = say_count(
        run.attempts,
        "Admit tried once and has given up.",
        "Admit tried {number} times and has given up.",
    )
    if not then and (unlisted := _no_longer_listed(run)):
        code, then = UNLISTED, unlisted
    then = then or say("Retry when {outside} works again.", outside=_outside(run))
    return Result(Status.FAILED, code, joined([message, given_up, then]))


def _no_longer_listed(run: RuleRun) -> Said | None:
    """Say what to do if Thinkific no longer lists what the run gives; None if it does."""
    there = gone_destinations.given_by(run).first() if run.integration_id else None
    if there is None or not there.left_list:
        return None
    return say(
        "Thinkific no longer lists {name}, so it was probably deleted. Choose another course for "
        "its rules, and retry what failed.",
        name=there,
    )
