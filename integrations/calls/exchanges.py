"""Send one HTTP call of any app under its deadline, then judge and record it.

No other module calls another system by HTTP. It keeps no state and never retries. A call reads a
limited part of the answer, follows no redirect and uses no proxy from the environment.
"""

import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from http.client import HTTPException
from typing import Any

import requests
from django.conf import settings
from django.db import connections
from urllib3.exceptions import HTTPError

from integrations.calls.deadline import (
    CONNECT_SECONDS,
    AddressNotAllowed,
    CallDeadline,
    LookUp,
    Stage,
    adapter,
    any_address,
    look_up,
    within,
)
from integrations.errors import OutsideError
from integrations.sentences import say

_CHUNK = 16 * 1024
_WIRE_ERRORS = (requests.RequestException, HTTPError, HTTPException, OSError, ValueError)


@dataclass(frozen=True, slots=True)
class Answer:
    """A 2xx answer. `body`: a JSON object, array or None from Thinkific, text from a receiver."""

    status: int
    body: Any


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request that was sent, and its result, without secrets and safe to store."""

    method: str
    url: str
    request_body: str
    status: int | None
    response_body: str
    error: str
    milliseconds: int
    sent_at: datetime


@dataclass(frozen=True, slots=True)
class Request:
    """A request to be sent, and its limits.

    `body_text`: the body as the Exchange shows it.
    `seconds`: the time for the whole call.
    `largest`: the bytes of the decoded answer after which reading stops.
    `kept`: the characters that the Exchange keeps of each body.
    `hide`: removes secrets from the Exchange's texts.
    `may_connect`, `look_up`: see `deadline.CallDeadline`.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    body_text: str
    seconds: float
    largest: int
    kept: int
    hide: Callable[[str], str] = str  # the text as it is
    may_connect: Callable[[str], bool] = any_address
    look_up: LookUp = look_up


class CallFault(StrEnum):
    """The reason why a call ended before its answer was complete."""

    NOT_USABLE = "not usable"  # the request cannot be sent as it is
    NOT_ALLOWED = "not allowed"  # the call may not connect to the address
    NO_ADDRESS = "no address"
    NO_CERTIFICATE = "no certificate"  # no valid one for the host
    NO_TLS = "no TLS"
    NOT_IN_TIME = "not in time"  # no connection within the time of the call
    CONNECTION_REFUSED = "connection refused"
    UNREACHABLE = "unreachable"
    # From here on the other side may have acted on the request.
    NO_ANSWER_IN_TIME = "no answer in time"
    BROKEN_OFF = "broken off"
    TOO_LARGE = "too large"


@dataclass(frozen=True, slots=True)
class Reply:
    """What came over the wire. `status` is None if no answer came; `cut` is why it ended early."""

    status: int | None
    headers: Mapping[str, str]
    text: str
    fault: CallFault | None
    detail: str = ""  # for NO_CERTIFICATE: OpenSSL's reason


def refuse_in_transaction() -> None:
    """Raise RuntimeError inside a database transaction.

    A slow answer would hold the transaction's locks, and a rollback would lose the call's record.
    """
    if not settings.configured:
        return
    if any(each.in_atomic_block for each in connections.all(initialized_only=True)):
        raise RuntimeError("Nothing may be sent inside a database transaction.")


def carry_out(
    request: Request,
    judge: Callable[[Reply], Answer | OutsideError],
    after_call: Callable[[Exchange], None],
) -> Answer:
    """Send the request. Return the answer that `judge` makes of the reply, or raise its error.

    `after_call` gets the Exchange of whatever was sent, even if a signal interrupts the call.
    """
    sent_at, started = datetime.now(UTC), time.monotonic()

    def record(status: int | None, text: str, error: str) -> None:
        after_call(
            Exchange(
                method=request.method,
                url=request.hide(request.url),
                request_body=request.hide(request.body_text)[: request.kept],
                status=status,
                response_body=text[: request.kept],
                error=error,
                milliseconds=round((time.monotonic() - started) * 1000),
                sent_at=sent_at,
            )
        )

    try:
        reply = _send(request)
        outcome = judge(reply)
    except BaseException:  # a signal, or a fault of ours: it may have been sent anyway
        record(None, "", say("The call was interrupted."))
        raise
    if isinstance(outcome, OutsideError):
        record(reply.status, reply.text, outcome.message)
        raise outcome
    record(reply.status, reply.text, "")
    return outcome


def ask(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    seconds: float,
    body: bytes = b"",
    largest: int = _CHUNK,
) -> Reply:
    """Send a request that belongs to no app. It is not recorded.

    Raises RuntimeError inside a database transaction.
    """
    refuse_in_transaction()
    return _send(
        Request(
            method=method,
            url=url,
            headers=headers,
            body=body,
            body_text="",
            seconds=seconds,
            largest=largest,
            kept=0,
        )
    )


def text_of(body: bytes | bytearray) -> str:
    """Decode any bytes into text that a database can hold."""
    return body.decode("utf-8-sig", "replace").replace("\0", "\ufffd")


def _send(request: Request) -> Reply:
    """Send one request and return the reply. Network faults are returned in it, not raised."""
    received = bytearray()
    status: int | None = None
    answered: Mapping[str, str] = {}
    cut, detail = None, ""
    limits = within(request.seconds, may_connect=request.may_connect, look_up=request.look_up)
    with limits as call:
        try:
            prepared = requests.Request(
                request.method, request.url, headers=request.headers, data=request.body or None
            ).prepare()
            # The sockets keep the deadline; this limits what happens outside of them.
            timeout = (min(CONNECT_SECONDS, request.seconds), request.seconds)
            with adapter().send(prepared, stream=True, timeout=timeout) as response:
                status, answered = response.status_code, response.headers
                cut = _read(response, received, request.largest)
        except _WIRE_ERRORS as error:
            cut, detail = _fault_of(error, call), _certificate_fault(error)
    del received[request.largest :]
    return Reply(status, answered, request.hide(text_of(received)), cut, detail)


def _read(response: requests.Response, received: bytearray, largest: int) -> CallFault | None:
    """Append the decoded body to `received`, and stop soon after it exceeds `largest` bytes."""
    while chunk := response.raw.read1(_CHUNK, decode_content=True):
        received += chunk
        if len(received) > largest:
            return CallFault.TOO_LARGE
    return None


def _fault_of(error: Exception, call: CallDeadline) -> CallFault:
    timed_out = call.is_over or bool(_cause(error, TimeoutError))
    if call.stage is Stage.START:
        return CallFault.NOT_USABLE
    if call.stage is Stage.SENT:
        return CallFault.NO_ANSWER_IN_TIME if timed_out else CallFault.BROKEN_OFF
    if _cause(error, AddressNotAllowed):
        return CallFault.NOT_ALLOWED
    if call.stage is Stage.LOOK_UP:
        return CallFault.NO_ADDRESS
    secure = call.stage is Stage.SECURE
    if secure and _cause(error, ssl.SSLCertVerificationError):
        return CallFault.NO_CERTIFICATE
    if timed_out:
        return CallFault.NOT_IN_TIME
    if secure:
        return CallFault.NO_TLS
    refused = _cause(error, ConnectionRefusedError)
    return CallFault.CONNECTION_REFUSED if refused else CallFault.UNREACHABLE


def _certificate_fault(error: Exception) -> str:
    found = _cause(error, ssl.SSLCertVerificationError)
    return str(getattr(found, "verify_message", ""))


def _cause(error: BaseException | None, kind: type[BaseException]) -> BaseException | None:
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error
