"""Serve the stand-in on loopback: one thread per connection, keep-alive, no framework."""

import contextlib
import ipaddress
import logging
import socket
import threading
import time
from typing import Any, Self

from integrations.thinkific.sandbox import api, control
from integrations.thinkific.sandbox.connection import BadRequestError, Connection, HangupError
from integrations.thinkific.sandbox.fault_effects import ACTS, FaultContext
from integrations.thinkific.sandbox.faults import FaultableCall
from integrations.thinkific.sandbox.school import School
from integrations.thinkific.sandbox.state import State
from integrations.thinkific.sandbox.wire import Reply, Request, json_reply

log = logging.getLogger(__name__)


class Sandbox(State):
    """A stateful stand-in for Thinkific's Admin API v1, for tests, the demo and manual use.

    `with Sandbox() as sandbox:` serves until the block ends; or call `start()` and `stop()`. The
    port is bound at once, so that `url` is known. A stopped sandbox keeps its state and can be
    started again at the same address. Raises ValueError for a host that is not loopback, and
    OSError if the port is not free.
    """

    def __init__(self, port: int = 0, *, host: str = "127.0.0.1") -> None:
        super().__init__()
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
        if not address.is_loopback:
            raise ValueError(f"The sandbox serves on loopback only, and {host} is not.")
        self._family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
        self.host = str(address)
        self._lines: dict[Connection, threading.Thread] = {}
        self._stopping = threading.Event()
        self._accepting: threading.Thread | None = None
        self._listener: socket.socket | None = self._bound(port)
        self.port: int = self._listener.getsockname()[1]

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        host = f"[{self.host}]" if self._family == socket.AF_INET6 else self.host
        return f"http://{host}:{self.port}"

    @property
    def url(self) -> str:
        """The value for THINKIFIC_API_URL."""
        return f"{self.origin}{api.BASE_PATH}"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Self:
        """Begin to serve, unless it is serving already."""
        if self._accepting is not None:
            return self
        listener = self._listener or self._bound(self.port)
        listener.listen(512)
        # No way to wake accept() in a thread works on every system, so it times out regularly.
        listener.settimeout(0.1)
        self._listener = listener
        self._stopping = threading.Event()
        self._accepting = threading.Thread(
            target=self._accept, args=(listener, self._stopping), name="sandbox", daemon=True
        )
        self._accepting.start()
        return self

    def stop(self) -> None:
        """End every connection, whatever it waits for, and free the port."""
        self._stopping.set()
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        if self._accepting is not None:
            self._accepting.join()
            self._accepting = None
        with self._lock:
            lines = dict(self._lines)
        for line in lines:
            line.wake()
        give_up = time.monotonic() + 2
        for thread in lines.values():
            thread.join(max(give_up - time.monotonic(), 0))

    def _bound(self, port: int) -> socket.socket:
        listener = socket.socket(self._family, socket.SOCK_STREAM)
        try:
            # Set before the bind, the option allows a port that has connections in TIME_WAIT. But
            # then two sandboxes that ask for any free port could get the same one.
            if port:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self.host, port))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        except OSError:
            listener.close()
            raise
        return listener

    def _accept(self, listener: socket.socket, stopping: threading.Event) -> None:
        while not stopping.is_set():
            try:
                sock, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError:
                # A failed accept (too many open files) may work later; stop() ends the loop.
                stopping.wait(0.05)
                continue
            sock.setblocking(True)
            line = Connection(sock, stopping)
            thread = threading.Thread(target=self._serve, args=(line,), daemon=True)
            with self._lock:
                self._lines[line] = thread
            thread.start()

    def _serve(self, line: Connection) -> None:
        try:
            while True:
                self._answer_next(line)
        except (HangupError, OSError):
            pass
        finally:
            line.close()
            with self._lock:
                self._lines.pop(line, None)

    def _answer_next(self, line: Connection) -> None:
        try:
            request = line.read_request()
        except BadRequestError as error:
            line.reply(json_reply(error.status, {"error": "Bad request."}))
            raise HangupError from error
        try:
            if request.path.startswith(control.PATH):
                line.reply(control.answer(self, request))
            else:
                self._answer_call(line, request)
        except (HangupError, OSError):
            raise
        except Exception as error:
            log.exception("The sandbox could not answer %s %s", request.method, request.path)
            line.reply(json_reply(500, {"error": f"Fault of the sandbox itself: {error!r}"}))
        if not request.keep_alive:
            raise HangupError

    def _answer_call(self, line: Connection, request: Request) -> None:
        inside = request.path.startswith(f"{api.BASE_PATH}/")
        path = request.path.removeprefix(api.BASE_PATH) if inside else request.path
        school, claimed = self._opened(request)
        params = _params(request)
        call = self.record(request, path, claimed, params)
        switches = school.switches if school else self.switches

        def note(status: int) -> None:
            call.status, call.until = status, time.monotonic()

        def carry_out() -> Reply:
            reply = api.answer(school, request, path if inside else "", params)
            call.done, call.done_at = reply.status, time.monotonic()
            return reply

        fault = self.faults.take(
            FaultableCall(request.method, path, claimed, request.query, request.body)
        )
        if fault is None:
            reply = carry_out()
            line.pause(switches.latency)
            note(reply.status)
            line.reply(reply)
            return
        elsewhere = f"{self.url}/redirected"
        ACTS[fault.kind](
            FaultContext(line, fault, request.method, switches, elsewhere, carry_out, note)
        )
        if fault.headers and "close" in {value.lower() for value in fault.headers.values()}:
            raise HangupError

    def _opened(self, request: Request) -> tuple[School | None, str | None]:
        """Return the school whose key or token came, and the subdomain to record for the call."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            for school in list(self.schools.values()):
                if school.token is not None and school.token == token.strip():
                    return school, school.subdomain
        claimed = request.headers.get("x-auth-subdomain")
        found = self.schools.get(claimed or "")
        if scheme or found is None or request.headers.get("x-auth-api-key") != found.key:
            return None, claimed
        return found, found.subdomain


def _params(request: Request) -> Any:
    """Return the body's JSON: {} if there is none or the content type differs, None if broken."""
    if not request.body or "json" not in request.headers.get("content-type", ""):
        return {}
    try:
        return request.json()
    except (ValueError, RecursionError):
        return None
