"""The two kinds of web processes: one takes every connection and the webhook, one the pages.

Both read a request to its end in their event loop, under a deadline, before a thread sees it:
slow senders occupy no thread. Processes for the webhook hand connections that ask for anything
else over to those for the pages, which may be flooded without the webhook noticing.
"""

import contextlib
import errno
import logging
import os
import re
import selectors
import socket
import time
from collections import deque
from concurrent.futures import Future
from functools import partial
from typing import Any

from django.conf import settings
from gunicorn import http
from gunicorn.workers.gthread import TConn, ThreadWorker

from config.child import HAND_OVER, TAKE_OVER
from config.incoming import CONTINUE, Incoming
from events import tally

log = logging.getLogger(__name__)
# From the first byte to the last of a request, and of an answer.
READ_SECONDS = 10.0
ANSWER_SECONDS = 30.0
# What a sender still sends after its answer is read so long, or the answer would be lost.
LINGER_SECONDS = 2.0
# More unfinished requests, or bytes of them, cut the oldest one.
MOST_UNFINISHED = 500
MOST_UNFINISHED_BYTES = 64 * 1024 * 1024
AT_ONCE = 64 * 1024
# The pages give way to the webhook and to the workers.
NICENESS = 10
# Written in another way, an address is answered by the process for the pages, just as well.
HOOK = re.compile(rb"[A-Z]+ (?:https?://[^/ ]*)?/+(?:(?:web)?hooks?|sam-?cart)/", re.IGNORECASE)
TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 10\r\nContent-Length: 0\r\n"
    b"Connection: close\r\n\r\n"
)

_cut = tally.Tally(lambda count: log.warning("slow_requests_cut", extra={"count": count}))


class Connection(TConn):
    """A connection with what has been received of its request."""

    incoming: Incoming
    until: float
    lingering = False


class WholeRequests(ThreadWorker):
    """Gunicorn's threads, given requests that are complete."""

    most_body = settings.WEBHOOK_MAX_BYTES

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.unfinished: dict[Connection, None] = {}
        self._unfinished_bytes = 0
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
        """Wait for the request of a new connection, of which some bytes may be here."""
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        conn = Connection(self.cfg, line, client, server)
        self.nr_conns += 1
        self._await_request(conn, READ_SECONDS)
        if received:
            self._take(conn, received)
        if len(self.unfinished) > MOST_UNFINISHED:
            self._cut_oldest()

    def goes_elsewhere(self, conn: Connection) -> bool:
        """Whether another process answers this request; then it has the connection."""
        return False

    def _await_request(self, conn: Connection, seconds: float) -> None:
        conn.incoming = Incoming(self.most_body)
        self._wait(conn, seconds)

    def _wait(self, conn: Connection, seconds: float) -> None:
        conn.until = time.monotonic() + seconds
        self.unfinished[conn] = None
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._read, conn))

    def _read(self, conn: Connection, _: object) -> None:
        try:
            data = conn.sock.recv(AT_ONCE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if data and not conn.lingering:
            self._take(conn, data)
        elif not data and conn.incoming.head_complete and not conn.lingering:
            self._start(conn)  # broken off: the view tells the sender so
        elif not data:
            self.leave(conn)
            self.end(conn)

    def _take(self, conn: Connection, data: bytes) -> None:
        incoming = conn.incoming
        before = len(incoming.data)
        if not before:
            conn.until = time.monotonic() + READ_SECONDS
        incoming.add(data)
        self._unfinished_bytes += len(incoming.data) - before
        if incoming.awaits_continue and not incoming.complete:
            incoming.awaits_continue = False
            with contextlib.suppress(OSError):
                conn.sock.send(CONTINUE)
        if self.goes_elsewhere(conn):
            return
        if incoming.complete:
            self._start(conn)
        while self._unfinished_bytes > MOST_UNFINISHED_BYTES and self.unfinished:
            self._cut_oldest()

    def _start(self, conn: Connection) -> None:
        self.leave(conn)
        self.enqueue_req(conn)

    def leave(self, conn: Connection) -> None:
        """Wait for no more of this connection."""
        del self.unfinished[conn]
        self._unfinished_bytes -= len(conn.incoming.data)
        self.poller.unregister(conn.sock)

    def end(self, conn: Connection) -> None:
        """Close our side of a connection that nobody waits for."""
        self.nr_conns -= 1
        conn.sock.close()

    def finish_request(self, conn: Any, fs: "Future[bool]") -> None:
        answered = not fs.cancelled() and fs.exception() is None
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
        tally.tell_all()

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

    def handle_exit(self, sig: int, frame: Any) -> None:
        super().handle_exit(sig, frame)
        self.method_queue.defer(self._hurry)

    def _hurry(self) -> None:
        """What has not begun to ask when we stop gets a moment for it, and no more."""
        soon = time.monotonic() + LINGER_SECONDS
        for conn in self.unfinished:
            if not conn.incoming.data:
                conn.until = min(conn.until, soon)

    # In a thread

    def handle(self, conn: Any) -> bool:
        # From memory: there is nothing for which a thread could be made to wait.
        conn.parser = http.get_parser(self.cfg, [bytes(conn.incoming.data)], conn.client)
        conn.initialized = conn.data_ready = True
        answered: bool = super().handle(conn)
        return answered

    def handle_request(self, req: Any, conn: Any) -> bool:
        conn.sock.settimeout(ANSWER_SECONDS)
        try:
            answered: bool = super().handle_request(req, conn)
        except TimeoutError:
            # Whoever does not read an answer is treated as somebody who has gone.
            raise ConnectionResetError(errno.ECONNRESET, "not read in time") from None
        return answered


class HookWorker(WholeRequests):
    """Takes every connection, answers the webhook, and hands the others over."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._pages: socket.socket | None = None
        self._leaving: deque[Connection] = deque()
        self._blocked = False

    def init_process(self) -> None:
        number = os.environ.get(HAND_OVER)
        if number:
            self._pages = socket.socket(fileno=int(number))
        super().init_process()

    def goes_elsewhere(self, conn: Connection) -> bool:
        line = conn.incoming.request_line if self._pages else b""
        if not line or HOOK.match(line):
            return False
        self.leave(conn)
        self._leaving.append(conn)
        if not self._blocked:
            self._hand_over()
        if len(self._leaving) > MOST_UNFINISHED:
            refused = self._leaving.popleft()
            with contextlib.suppress(OSError):
                refused.sock.send(BUSY)
            self.end(refused)
        return True

    def _hand_over(self, _: object = None) -> None:
        """Send what is leaving; when nobody takes it at the other end, go on later."""
        pages = self._pages
        assert pages is not None
        while self._leaving:
            conn = self._leaving[0]
            try:
                socket.send_fds(pages, [bytes(conn.incoming.data)], [conn.sock.fileno()])
            except OSError:
                break
            self._leaving.popleft()
            self.end(conn)
        blocked = bool(self._leaving)
        if blocked and not self._blocked:
            self.poller.register(pages, selectors.EVENT_WRITE, self._hand_over)
        elif self._blocked and not blocked:
            self.poller.unregister(pages)
        self._blocked = blocked


class PageWorker(WholeRequests):
    """Answers what it is handed over: pages, sign-in and health."""

    most_body = settings.DATA_UPLOAD_MAX_MEMORY_SIZE

    def init_process(self) -> None:
        os.nice(NICENESS)
        self.sockets = [socket.socket(fileno=int(os.environ[TAKE_OVER]))]
        super().init_process()

    def accept(self, listener: socket.socket) -> None:
        try:
            received, files, _, _ = socket.recv_fds(listener, 4 * AT_ONCE, 1)
        except OSError:
            return
        for number in files:
            line = socket.socket(fileno=number)
            try:
                client, server = line.getpeername(), line.getsockname()
            except OSError:
                line.close()  # the client has gone
            else:
                self.begin(line, client, server, received)
