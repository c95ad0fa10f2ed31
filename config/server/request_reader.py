"""A web process that reads each request to its end before a thread sees it.

It reads in its event loop and under a deadline, so that slow senders occupy no thread.
"""

import contextlib
import errno
import logging
import selectors
import socket
import time
from concurrent.futures import Future
from functools import partial
from typing import Any

from django.conf import settings
from gunicorn import http
from gunicorn.workers.gthread import TConn, ThreadWorker

from config.server.incoming_request import CONTINUE, IncomingRequest
from events.receiving import grouped_log

log = logging.getLogger(__name__)
# From the first byte to the last of a request, and of an answer.
READ_SECONDS = 10.0
ANSWER_SECONDS = 30.0
# How long we read on after an answer: a sender that is still sending would lose the answer.
LINGER_SECONDS = 2.0
# With more unfinished requests, or more bytes in all, the oldest unfinished one is cut off.
MAX_UNFINISHED = 500
MAX_BYTES = 32 * 1024 * 1024
READ_SIZE = 64 * 1024  # bytes
TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 10\r\nContent-Length: 0\r\n"
    b"Connection: close\r\n\r\n"
)

_cut = grouped_log.GroupedLog(
    lambda count: log.warning("slow_requests_cut", extra={"count": count})
)


class Connection(TConn):
    """A connection with the part of its request received so far."""

    incoming: IncomingRequest
    until: float
    lingering = False


class RequestReader(ThreadWorker):
    """Gunicorn's threads, given requests that are complete."""

    most_body = settings.WEBHOOK_MAX_BYTES

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.unfinished: dict[Connection, None] = {}
        self._bytes = 0
        self._look_at = 0.0

    # In the loop

    def accept(self, listener: socket.socket) -> None:
        try:
            line, client = listener.accept()
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE}:
                self._cut_oldest()
            return
        self.begin(line, client, listener.getsockname())

    def begin(self, line: socket.socket, client: Any, server: Any, received: bytes = b"") -> None:
        """Wait for the request of a new connection. `received` is what has arrived of it."""
        with contextlib.suppress(OSError):  # the client has gone already
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        conn = Connection(self.cfg, line, client, server)
        conn.incoming = IncomingRequest(self.most_body)
        self.nr_conns += 1
        self._await_request(conn, READ_SECONDS)
        if received:
            self._take(conn, received)
        if len(self.unfinished) > MAX_UNFINISHED:
            self._cut_oldest()

    def goes_elsewhere(self, conn: Connection) -> bool:
        """Return whether another process answers this request, and has taken the connection."""
        return False

    def _await_request(self, conn: Connection, seconds: float) -> None:
        self._bytes -= len(conn.incoming.data)
        conn.incoming = IncomingRequest(self.most_body)
        conn.until = time.monotonic() + seconds
        self.unfinished[conn] = None
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._read, conn))

    def _read(self, conn: Connection, _: object) -> None:
        if conn not in self.unfinished:
            return  # cut off earlier in this round of the loop
        try:
            data = conn.sock.recv(READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if data and not conn.lingering:
            self._take(conn, data)
        elif not data and conn.incoming.head_complete and not conn.lingering:
            before = len(conn.incoming.data)
            conn.incoming.break_off()
            self._bytes += len(conn.incoming.data) - before
            self._start(conn)  # the view answers that it was broken off
        elif not data:
            self.leave(conn)
            self.end(conn)

    def _take(self, conn: Connection, data: bytes) -> None:
        incoming = conn.incoming
        before = len(incoming.data)
        if not before:
            conn.until = time.monotonic() + READ_SECONDS
        incoming.add(data)
        self._bytes += len(incoming.data) - before
        if incoming.awaits_continue and not incoming.complete:
            incoming.awaits_continue = False
            with contextlib.suppress(OSError):
                conn.sock.send(CONTINUE)
        if self.goes_elsewhere(conn):
            return
        while self._bytes > MAX_BYTES and self.unfinished:
            self._cut_oldest()
        if incoming.complete and conn in self.unfinished:
            self._start(conn)

    def _start(self, conn: Connection) -> None:
        self.leave(conn)
        self.enqueue_req(conn)

    def leave(self, conn: Connection) -> None:
        """Stop waiting for data on this connection."""
        del self.unfinished[conn]
        self.poller.unregister(conn.sock)

    def end(self, conn: Connection) -> None:
        """Close our side of a connection that no one is waiting on."""
        self._bytes -= len(conn.incoming.data)
        self.nr_conns -= 1
        conn.sock.close()

    def finish_request(self, conn: Any, fs: "Future[bool]") -> None:
        answered = not fs.cancelled() and fs.exception() is None
        if conn.sock.fileno() < 0:
            self.end(conn)  # gunicorn has closed it in the middle of an answer
            return
        conn.sock.setblocking(False)
        if answered and fs.result() and conn.incoming.all_read and self.alive:
            self._await_request(conn, self.cfg.keepalive)
        elif conn.incoming.all_read:
            self.end(conn)
        else:
            self._linger(conn)

    def _linger(self, conn: Connection) -> None:
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.end(conn)
            return
        conn.lingering = True
        self._await_request(conn, LINGER_SECONDS)

    def murder_pending(self) -> None:
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + 0.25
        for conn in [conn for conn in self.unfinished if conn.until <= now]:
            self._cut_off(conn, TOO_SLOW)
        grouped_log.flush_all()

    def _cut_oldest(self) -> None:
        oldest = next(iter(self.unfinished), None)
        if oldest is not None:
            self._cut_off(oldest, BUSY)

    def _cut_off(self, conn: Connection, answer: bytes) -> None:
        self.leave(conn)
        if conn.incoming.data:
            _cut.add()
            with contextlib.suppress(OSError):
                conn.sock.send(answer)
        self.end(conn)

    def run(self) -> None:
        try:
            super().run()
        finally:
            grouped_log.flush_all(at_once=True)  # no later moment would log it

    def handle_exit(self, sig: int, frame: Any) -> None:
        super().handle_exit(sig, frame)
        self.method_queue.defer(self._hurry)

    def _hurry(self) -> None:
        """On shutdown, give idle connections a moment to begin a request."""
        soon = time.monotonic() + LINGER_SECONDS
        for conn in self.unfinished:
            if not conn.incoming.data:
                conn.until = min(conn.until, soon)

    # In a thread

    def handle(self, conn: Any) -> bool:
        # From memory: a sender cannot make the thread wait.
        conn.parser = http.get_parser(self.cfg, [bytes(conn.incoming.data)], conn.client)
        conn.initialized = conn.data_ready = True
        answered: bool = super().handle(conn)
        return answered

    def handle_request(self, req: Any, conn: Any) -> bool:
        conn.sock.settimeout(ANSWER_SECONDS)
        try:
            answered: bool = super().handle_request(req, conn)
        except TimeoutError:
            # A client that does not read its answer is treated as gone.
            raise ConnectionResetError(errno.ECONNRESET, "not read in time") from None
        return answered
