"""Ask a site the neutral question: does it let us in? The calls involve no customer.

An answer to one request says nothing about the whole site: Thinkific, or a firewall in front of it,
may refuse what concerns one student and serve everybody else. So only the answer to this question,
never the answer to a customer's call, pauses a whole site or ends a running pause.
"""

from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from django.db import transaction

from integrations.calls import rate_limit
from integrations.calls.findings import Finding
from integrations.errors import (
    KeyRejected,
    LimitReached,
    OutOfTime,
    OutsideError,
    Refused,
    Retry,
)
from integrations.models import CallBudget, Integration, SiteAnswer
from integrations.sentences import joined, say
from integrations.steps import through
from integrations.thinkific.answers import Answer
from integrations.thinkific.attempt import Attempt
from integrations.thinkific.calls import Call, Get, Post, Steps

T = TypeVar("T")

# Cheap lists that every site has. A role can be limited to some resources, so one 403 proves
# nothing.
PATHS = ("/courses", "/users")


# How old an answer may be to be believed, so that many refusals ask only once.
BELIEVED_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Ask:
    """A question to the site about its state. The answer is a SiteAnswer.

    An answer is believed if it is at most `max_age` seconds old; None means that it must be newer
    than the beginning of the last call.
    """

    max_age: float | None = None


Request = Call | Ask
Checked = Generator[Request, Answer | SiteAnswer, T]


def checked(attempt: Attempt, steps: Steps[T]) -> Checked[T]:
    """Run the steps, and check each answer that may concern the whole site.

    Findings are noted in the attempt. If the whole site is stopped, the steps get KeyRejected,
    LimitReached or rate_limit.SiteBlocked; if an error concerns only one call, Refused or Retry. A
    definite answer to a POST settles the doubt about its target.
    """
    return through(steps, partial(_send, attempt))


def _send(attempt: Attempt, call: Call) -> Checked[Answer]:
    target = call.target if isinstance(call, Post) else ""
    try:
        answer = yield call
    except OutsideError as error:
        # If the call was not sent or got no definite answer, the doubt stays.
        if target and not (
            isinstance(error, OutOfTime) or (isinstance(error, Retry) and error.in_doubt)
        ):
            attempt.settle(target)
        raise (yield from _interpret(attempt, error)) from error
    assert isinstance(answer, Answer)
    _report_open(attempt)
    if target and answer.status == 202:
        attempt.accept(target)
    return answer


def _interpret(attempt: Attempt, error: OutsideError) -> Checked[Exception]:
    """Return the error for the steps, once it is known whether the answer concerns the site."""
    if isinstance(error, Refused):
        _report_open(attempt)
        return error
    told = finding_of(error)
    if told.state == SiteAnswer.UNKNOWN and error.status != 403:
        return error
    # An error without a status means that the call was not sent.
    if (not attempt.of_customer or error.status is None) and told.state != SiteAnswer.UNKNOWN:
        attempt.found(told)
        return error
    # After a 401 or 429, an older answer is useless: since then the key may have been changed, or
    # the limit reached.
    state = yield Ask(BELIEVED_SECONDS if error.status == 403 else None)
    assert isinstance(state, SiteAnswer)
    return interpret_refusal(error, state)


def _report_open(attempt: Attempt) -> None:
    if not attempt.connected:
        attempt.found(Finding(SiteAnswer.OPEN, neutral=not attempt.of_customer))


def ask() -> Steps[Finding]:
    """Ask by one call, and by a second one if the first proves nothing.

    OPEN: a call was answered. REFUSED: 401, or 403 to both. LIMITED: 429, or a 5xx that says when
    to call again. UNKNOWN: no answer, or another 5xx.
    """
    found = Finding(SiteAnswer.UNKNOWN)
    denied = 0
    for path in PATHS:
        try:
            yield Get(path, {"limit": 1})
        except Refused:
            return Finding(SiteAnswer.OPEN)  # refused, but answered
        except (KeyRejected, LimitReached, Retry) as error:
            found = finding_of(error)
            denied += error.status == 403
            if found.state != SiteAnswer.UNKNOWN or error.status is None:
                return found
        else:
            return Finding(SiteAnswer.OPEN)
    return Finding(SiteAnswer.REFUSED, found.error) if denied == len(PATHS) else found


def finding_of(error: OutsideError) -> Finding:
    """Return what an error of a call that concerns no customer says about the site."""
    match error:
        case KeyRejected(status=403):  # the key's role may lack only this path
            return Finding(SiteAnswer.UNKNOWN, error)
        case KeyRejected():
            return Finding(SiteAnswer.REFUSED, error)
        case LimitReached():
            return Finding(SiteAnswer.LIMITED, error)
        case Retry() if error.seconds is not None:
            return Finding(SiteAnswer.LIMITED, error)
    return Finding(SiteAnswer.UNKNOWN, error)


def interpret_refusal(error: OutsideError, state: SiteAnswer) -> Exception:
    """Return what the refusal of a customer's call means, given the site's state.

    It is KeyRejected, LimitReached or rate_limit.SiteBlocked if the whole site is stopped, and
    Refused or Retry if it concerns this call alone.
    """
    match state, error:
        case (SiteAnswer.REFUSED, KeyRejected()) | (SiteAnswer.LIMITED, LimitReached()):
            return error
        case SiteAnswer.REFUSED, _:
            return rate_limit.SiteBlocked(CallBudget.Blocked.KEY, rate_limit.KEY_PAUSE_SECONDS)
        case SiteAnswer.LIMITED, _:
            return rate_limit.SiteBlocked(CallBudget.Blocked.LIMIT, rate_limit.ASKING_SECONDS)
        case SiteAnswer.OPEN, KeyRejected():
            message = joined([error.alone, error.then])
            return Refused(message, status=error.status, code="request_denied", what=error.alone)
        case _, KeyRejected():
            message = say(
                "Thinkific denied access, and did not answer whether it does so in general."
            )
            return Retry(message, status=error.status, code="request_denied", in_doubt=False)
        case _, LimitReached():
            message = say("Thinkific limits this one request.")
            return Retry(
                message,
                status=error.status,
                code="request_limited",
                in_doubt=False,
                seconds=error.seconds,
            )
    return error


def take_effect(integration: Integration, found: Finding) -> None:
    """Open or pause the site as the finding says. Rejection of an old key pauses nothing."""
    if found.state == SiteAnswer.OPEN:
        accept_key(integration, neutral=found.neutral)
    elif found.state == SiteAnswer.REFUSED and found.error is not None:
        reject_key(integration, found.error.message)
    elif found.state == SiteAnswer.LIMITED and isinstance(found.error, LimitReached | Retry):
        rate_limit.block(integration.pk, CallBudget.Blocked.LIMIT, found.error.seconds or 1.0)
    elif found.error is not None and found.error.status is not None:
        # The site answers, but says nothing about the key, so a pause for a rejected key goes on.
        rate_limit.unblock(integration.pk, why=CallBudget.Blocked.LIMIT)


def reject_key(integration: Integration, message: str) -> None:
    """Pause the site, unless its key was changed since: an old key's answer says nothing."""
    refused = {"connection": Integration.Connection.REFUSED, "connection_message": message}
    with transaction.atomic():  # saving a new key waits for this row, and then ends the pause
        if integration.with_same_secret().update(**refused):
            rate_limit.block(integration.pk, CallBudget.Blocked.KEY, rate_limit.KEY_PAUSE_SECONDS)


def accept_key(integration: Integration, *, neutral: bool = True) -> None:
    """Note that the site answered: it is open, and its key works.

    A customer's call (not `neutral`) may have begun before a pause, so it ends no running pause.
    """
    if neutral:
        rate_limit.unblock(integration.pk)
    else:
        rate_limit.end_pause(integration.pk)
    connected = {"connection": Integration.Connection.CONNECTED, "connection_message": ""}
    integration.with_same_secret().update(**connected)


def has_its_key(integration: Integration) -> bool:
    """Return whether the site's key is still the one of this row, which was read earlier."""
    return integration.with_same_secret().exists()
