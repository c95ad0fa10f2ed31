"""Pauses of a receiver: which answers begin one, and how it ends.

A receiver cannot be asked a neutral question, that is, without sending a message. So its pause is
short, and the next message finds out whether it is open again.
"""

from collections.abc import Generator
from functools import partial
from typing import Any, TypeVar

from integrations.calls import rate_limit
from integrations.calls.exchanges import Answer
from integrations.calls.findings import Finding, Learning
from integrations.errors import LimitReached, OutOfTime, OutsideError, Retry
from integrations.models import CallBudget, Integration, SiteAnswer
from integrations.notify_url.calls import HttpPost
from integrations.steps import through

T = TypeVar("T")
Blocked = CallBudget.Blocked
AWAY_SECONDS = 30.0


def checked(
    attempt: Learning, steps: Generator[HttpPost, Answer, T], /
) -> Generator[HttpPost, Answer, T]:
    """Run the steps and note in the attempt what each answer says about the receiver.

    If a receiver asks for a pause, all its messages wait. The message that it refused counts the
    attempt and is tried again on its own schedule: otherwise a receiver that always asks for a
    pause would keep it waiting forever.
    """
    return through(steps, partial(_send, attempt))


def found(error: OutsideError) -> Finding:
    """Return what an error says about the receiver: LIMITED, OPEN, or UNKNOWN if no answer came."""
    if isinstance(error, LimitReached) or (isinstance(error, Retry) and error.seconds is not None):
        return Finding(SiteAnswer.LIMITED, error)
    if error.status is None:
        return Finding(SiteAnswer.UNKNOWN, error)
    return Finding(SiteAnswer.OPEN)


def take_effect(integration: Integration, finding: Finding) -> None:
    """Note whether the receiver can be reached, and pause it if it needs a pause.

    An answer to an earlier address or secret changes nothing.
    """
    error = finding.error
    reached = finding.state != SiteAnswer.UNKNOWN
    states = Integration.Connection
    known = integration.with_same_secret().update(
        connection=states.CONNECTED if reached else states.UNREACHABLE,
        connection_message="" if reached or error is None else error.message,
    )
    if not known:
        return
    if not reached:
        rate_limit.block_at_least(integration.pk, Blocked.AWAY, AWAY_SECONDS)
    elif isinstance(error, LimitReached | Retry):
        rate_limit.block_at_least(integration.pk, Blocked.LIMIT, error.seconds or AWAY_SECONDS)


def try_now(integration: Integration) -> SiteAnswer:
    """End the pause, so that the next message goes out."""
    rate_limit.unblock(integration.pk)
    return SiteAnswer.OPEN


def _send(attempt: Learning, call: HttpPost) -> Generator[Any, Any, Answer]:
    try:
        answer: Answer = yield call
    except OutOfTime:
        raise  # nothing was sent
    except OutsideError as error:
        _note(attempt, found(error))
        raise _of_this_message(error) from error
    _note(attempt, Finding(SiteAnswer.OPEN))
    return answer


def _note(attempt: Learning, finding: Finding) -> None:
    if not (attempt.connected and finding.state == SiteAnswer.OPEN):
        attempt.found(finding)


def _of_this_message(error: OutsideError) -> OutsideError:
    if not isinstance(error, LimitReached):
        return error
    return Retry(
        error.message, status=error.status, code=error.code, in_doubt=False, seconds=error.seconds
    )
