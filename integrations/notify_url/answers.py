"""Judge a receiver's answer, or the lack of one: success, or an error named by Admit's reaction.

A receiver is somebody's own program, so the sentences name the status: its owner will look for it.
Only 410 ends a message. Everything else may be fixed on the receiver's side, so the message is
sent again. That does no harm, because it has the same ID.
"""

from datetime import datetime
from http import HTTPStatus
from typing import NamedTuple

from django.utils.translation import gettext_lazy as _

from integrations.calls import retry_after
from integrations.calls.exchanges import Answer, CallFault, Reply
from integrations.errors import LimitReached, OutsideError, Refused, Retry
from integrations.sentences import Text, say

PAUSE = 30.0  # seconds, if a receiver asks for a pause without saying how long

GONE = _(
    "The receiver answers 410 Gone: it does not want these messages anymore. "
    "Turn the rule off or edit the address."
)
NOT_ALLOWED = _(
    "{host} is not on the public internet anymore: its address is on this machine or in a "
    "private network, and Admit posts there only with ALLOW_PRIVATE_NOTIFY_URLS=true in its "
    "settings. Check the name's DNS, or edit the address."
)
NOT_HTTPS = _(
    "The address of {host} begins with http://, and Admit posts there only with "
    "ALLOW_PRIVATE_NOTIFY_URLS=true in its settings. Edit the address so that it begins with "
    "https://."
)


class _Failure(NamedTuple):
    """Why a message failed. The sentence may name {host}, {seconds}, {status} and {detail}."""

    code: str
    sentence: Text


# The failure for each reason why no answer came.
_FAULTS = {
    CallFault.NOT_USABLE: _Failure(
        code="unreachable",
        sentence=_("The address of {host} is not usable. Edit the address."),
    ),
    CallFault.NOT_ALLOWED: _Failure(
        code="address_not_allowed",
        sentence=NOT_ALLOWED,
    ),
    CallFault.NO_ADDRESS: _Failure(
        code="unreachable",
        sentence=_("{host} could not be looked up (DNS). Check the spelling of the address."),
    ),
    CallFault.NO_CERTIFICATE: _Failure(
        code="tls_failed",
        sentence=_(
            "The certificate of {host} is not valid{detail}. It must be replaced on the receiver's "
            "side; if it is good there, check this server's clock."
        ),
    ),
    CallFault.NO_TLS: _Failure(
        code="tls_failed",
        sentence=_(
            "No secure connection to {host} could be made (TLS). Check that the receiver speaks "
            "https at this address."
        ),
    ),
    CallFault.NOT_IN_TIME: _Failure(
        code="timed_out",
        sentence=_(
            "{host} could not be reached in time. Check that the receiver is up and that its "
            "firewall lets this server in."
        ),
    ),
    CallFault.CONNECTION_REFUSED: _Failure(
        code="unreachable",
        sentence=_("{host} refused the connection. Check that the receiver is up."),
    ),
    CallFault.UNREACHABLE: _Failure(
        code="unreachable",
        sentence=_("{host} could not be reached from this server. Check that the receiver is up."),
    ),
    CallFault.NO_ANSWER_IN_TIME: _Failure(
        code="timed_out",
        sentence=_(
            "{host} did not answer within {seconds} seconds. A receiver should answer first and "
            "do its work afterwards."
        ),
    ),
    CallFault.BROKEN_OFF: _Failure(
        code="unreachable",
        sentence=_("{host} accepted the message, and the connection broke off before its answer."),
    ),
}

_REDIRECTED = _Failure(
    code="redirected",
    sentence=_(
        "{host} answered {status}, a redirect, which Admit does not follow. "
        "Edit the address to where the receiver is."
    ),
)
_LIMITED = _Failure(
    code="limit_reached", sentence=_("{host} answered {status}: it wants fewer messages at a time.")
)
_REFUSED = _Failure(
    code="refused",
    sentence=_(
        "{host} answered {status}: it did not accept the message. Check the receiver's own log."
    ),
)
_FAILED = _Failure(
    code="receiver_failed",
    sentence=_("{host} answered {status}: it failed on its side. Check the receiver's own log."),
)


def judge(reply: Reply, *, host: str, seconds: float, now: datetime) -> Answer | OutsideError:
    """Judge a reply by its status alone. `seconds` is the deadline that the call had."""
    status = reply.status
    if status is None:
        return _no_answer(reply, host=host, seconds=seconds)
    if 200 <= status < 300:
        return Answer(status, reply.text)
    if status == HTTPStatus.GONE:
        return Refused(say(GONE), status=status, code="receiver_gone")
    pause = retry_after.seconds(reply.headers, now)
    failure = _of_status(status)
    sentence = say(failure.sentence, host=host, status=_named(status))
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return LimitReached(sentence, seconds=pause or PAUSE, status=status)
    return Retry(sentence, status=status, code=failure.code, in_doubt=False, seconds=pause)


def _no_answer(reply: Reply, *, host: str, seconds: float) -> Retry:
    failure = _FAULTS[reply.fault or CallFault.BROKEN_OFF]
    detail = f" ({reply.detail})" if reply.detail else ""
    sentence = say(failure.sentence, host=host, seconds=f"{seconds:g}", detail=detail)
    return Retry(sentence, code=failure.code, in_doubt=False)


def _of_status(status: int) -> _Failure:
    if 300 <= status < 400:
        return _REDIRECTED
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return _LIMITED
    return _REFUSED if 400 <= status < 500 else _FAILED


def _named(status: int) -> str:
    """Return the status with its standard name, never with the receiver's own words."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
