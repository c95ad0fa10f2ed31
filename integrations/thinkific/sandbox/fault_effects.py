"""What each kind of fault does to a call and its connection."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

from integrations.thinkific.sandbox.api import error_reply
from integrations.thinkific.sandbox.connection import Connection, HangupError
from integrations.thinkific.sandbox.faults import Fault, Switches
from integrations.thinkific.sandbox.wire import (
    HTML,
    JSON,
    Reply,
    head_of,
    html_reply,
    json_reply,
)

_PIECE = 64 * 1024


@dataclass(frozen=True, slots=True)
class FaultContext:
    """One call that a fault has struck.

    `carry_out` does what the call asks and returns the true answer. `note` records the status that
    is really sent. `elsewhere` is where a redirect leads.
    """

    line: Connection
    fault: Fault
    method: str
    switches: Switches
    elsewhere: str
    carry_out: Callable[[], Reply]
    note: Callable[[int], None]

    def applied(self) -> None:
        if self.fault.applied:
            self.carry_out()

    def send(self, reply: Reply) -> None:
        self.note(reply.status)
        self.line.reply(reply)

    def ok(self) -> int:
        """Return the fault's status, or else the status that a success of this call would have."""
        return self.fault.status or (201 if self.method == "POST" else 200)


def _status(context: FaultContext) -> None:
    context.applied()
    fault = context.fault
    status = fault.status or 503
    if fault.body is None:
        context.send(error_reply(status, context.switches, fault.headers))
    elif isinstance(fault.body, str):
        context.send(Reply(status, fault.body.encode(), HTML, fault.headers))
    else:
        context.send(json_reply(status, fault.body, fault.headers))


def _delay(context: FaultContext) -> None:
    """Carry the call out before or after the wait, even if the client has gone by then."""
    if not context.fault.applied:
        context.line.pause(context.fault.delay)
        context.send(context.carry_out())
        return
    reply = context.carry_out()
    context.line.pause(context.fault.delay)
    context.send(reply)


def _reset(context: FaultContext) -> None:
    context.applied()
    context.line.reset()


def _drop(context: FaultContext) -> None:
    context.carry_out()
    raise HangupError


def _black_hole(context: FaultContext) -> None:
    context.applied()
    context.line.until_closed()


def _drip(context: FaultContext) -> None:
    """Send one byte at a time from the part that the kind names."""
    reply = _with_body(context.carry_out())
    line, headers = head_of(reply)
    at_once, slowly = {
        "drip_status_line": (b"", line + headers + reply.body),
        "drip_headers": (line, headers + reply.body),
        "drip_body": (line + headers, reply.body),
    }[context.fault.kind]
    context.note(reply.status)
    context.line.send(at_once)
    context.line.drip(slowly, context.fault.delay)


def _truncated(context: FaultContext) -> None:
    reply = _with_body(context.carry_out())
    context.note(reply.status)
    context.line.cut_off(reply, len(reply.body) // 2)


def _html(context: FaultContext) -> None:
    context.applied()
    fault = context.fault
    reply = html_reply(fault.status or 200, fault.headers)
    own = fault.body.encode() if isinstance(fault.body, str) else reply.body
    context.send(replace(reply, body=own))


def _garbage(context: FaultContext) -> None:
    context.applied()
    own = context.fault.body
    broken = own if isinstance(own, str) else '{"items": [{"id": 17, "user_id": '
    context.send(Reply(context.ok(), broken.encode(), JSON, context.fault.headers))


def _endless(context: FaultContext) -> None:
    context.applied()
    headers = {"Transfer-Encoding": "chunked", **context.fault.headers}
    line, rest = head_of(Reply(context.ok(), headers=headers))
    context.note(context.ok())
    context.line.send(line + rest)
    piece = b"%x\r\n" % _PIECE + b" " * _PIECE + b"\r\n"
    while True:
        context.line.send(piece)
        context.line.pause(context.fault.delay)


def _bomb(context: FaultContext) -> None:
    context.applied()
    headers = {"Content-Encoding": "gzip", **context.fault.headers}
    context.send(Reply(context.ok(), packed(context.fault.size), JSON, headers))


def _redirect(context: FaultContext) -> None:
    context.applied()
    headers = {"Location": context.elsewhere, **context.fault.headers}
    context.send(Reply(context.fault.status or 302, b"", HTML, headers))


def _empty(context: FaultContext) -> None:
    reply = context.carry_out()
    status = context.fault.status or (reply.status if reply.status < 300 else 200)
    context.send(Reply(status, b"", JSON, context.fault.headers))


def _with_body(reply: Reply) -> Reply:
    """Return the answer, with a body of spaces if it has none that could be spoiled."""
    return reply if reply.body else replace(reply, status=200, body=b" " * 64)


@lru_cache(maxsize=4)
def packed(size: int) -> bytes:
    """Return a gzip body of some `size` / 1000 bytes that unpacks to `size` bytes of valid JSON."""
    first, last = b'{"items": [', b'], "meta": {"pagination": {"next_page": null}}}'
    blanks = max(size - len(first) - len(last), 0)
    packer = zlib.compressobj(level=1, wbits=31)
    parts = [packer.compress(first)]
    while blanks:
        step = min(blanks, 1024 * 1024)
        parts.append(packer.compress(b" " * step))
        blanks -= step
    return b"".join([*parts, packer.compress(last), packer.flush()])


ACTS: dict[str, Callable[[FaultContext], None]] = {
    "status": _status,
    "delay": _delay,
    "reset": _reset,
    "drop": _drop,
    "black_hole": _black_hole,
    "drip_headers": _drip,
    "drip_status_line": _drip,
    "drip_body": _drip,
    "truncated": _truncated,
    "html": _html,
    "garbage": _garbage,
    "endless": _endless,
    "bomb": _bomb,
    "redirect": _redirect,
    "empty": _empty,
}
