"""The two kinds of web processes: one takes every connection and the webhook, one the pages.

Processes for the webhook hand all other connections to the one for the pages, so that a flood of
page requests does not touch the webhook.
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
from typing import Any

from django.conf import settings

from config.server.child import HAND_OVER, TAKE_OVER
from config.server.request_reader import (
    BUSY,
    MAX_BYTES,
    MAX_UNFINISHED,
    READ_SECONDS,
    READ_SIZE,
    Connection,
    RequestReader,
)
from events.receiving import grouped_log

log = logging.getLogger(__name__)
# The pause while no descriptor is free for another connection.
PAUSE_SECONDS = 0.05
_lost = grouped_log.GroupedLog(
    lambda count: log.warning("page_connections_lost", extra={"count": count})
)
# The pages give way to the webhook and to the workers.
NICENESS = 10
# A webhook's address in another spelling goes to the process for the pages, which answers it too.
HOOK = re.compile(rb"[A-Z]+ (?:https?://[^/ ]*)?/+(?:(?:web)?hooks?|sam-?cart)/", re.IGNORECASE)


class HookWorker(RequestReader):
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
        conn.until = time.monotonic() + READ_SECONDS
        self._leaving.append(conn)
        if not self._blocked:
            self._hand_over()
        # Connections waiting for pages must not crowd out those for the webhook.
        while len(self._leaving) > MAX_UNFINISHED or self._leaving_bytes() > MAX_BYTES // 2:
            self._refuse_oldest()
        return True

    def murder_pending(self) -> None:
        super().murder_pending()
        while self._leaving and self._leaving[0].until <= time.monotonic():
            self._refuse_oldest()

    def _refuse_oldest(self) -> None:
        refused = self._leaving.popleft()
        with contextlib.suppress(OSError):
            refused.sock.send(BUSY)
        self.end(refused)

    def _leaving_bytes(self) -> int:
        return sum(len(conn.incoming.data) for conn in self._leaving)

    def _hand_over(self, _: object = None) -> None:
        """Hand over the queued connections. When the other end does not read, go on later."""
        pages = self._pages
        assert pages is not None
        while self._leaving:
            conn = self._leaving[0]
            try:
                socket.send_fds(pages, [bytes(conn.incoming.data)], [conn.sock.fileno()])
            except OSError as error:
                if error.errno == errno.EMSGSIZE:  # it would block those behind it
                    self._refuse_oldest()
                    continue
                break
            self._leaving.popleft()
            self.end(conn)
        blocked = bool(self._leaving)
        if blocked and not self._blocked:
            self.poller.register(pages, selectors.EVENT_WRITE, self._hand_over)
        elif self._blocked and not blocked:
            self.poller.unregister(pages)
        self._blocked = blocked


def _has_free_descriptor() -> bool:
    try:
        os.close(os.dup(0))
    except OSError as error:
        return error.errno not in {errno.EMFILE, errno.ENFILE}
    return True


class PageWorker(RequestReader):
    """Answers the connections handed to it: pages, sign-in and health."""

    most_body = settings.DATA_UPLOAD_MAX_MEMORY_SIZE

    def init_process(self) -> None:
        os.nice(NICENESS)
        self.sockets = [socket.socket(fileno=int(os.environ[TAKE_OVER]))]
        super().init_process()

    def accept(self, listener: socket.socket) -> None:
        # Without a free descriptor the connection would be lost. So it waits in the socket, and the
        # process that sent it refuses it when that takes too long.
        if not _has_free_descriptor():
            self._cut_oldest()
            time.sleep(PAUSE_SECONDS)
            return
        try:
            received, files, flags, _ = socket.recv_fds(listener, 4 * READ_SIZE, 1)
        except OSError:
            return
        if flags & (socket.MSG_CTRUNC | socket.MSG_TRUNC) or not files:
            _lost.add()
            for number in files:
                os.close(number)
            return
        for number in files:
            line = socket.socket(fileno=number)
            try:
                client, server = line.getpeername(), line.getsockname()
            except OSError:
                line.close()  # the client has gone
            else:
                self.begin(line, client, server, received)
