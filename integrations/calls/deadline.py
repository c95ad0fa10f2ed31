"""Connections that end when the time of a call is up, whatever the other side does.

The timeouts of `requests` start again with every byte, so an answer of one byte a second never
times out (measured: with a limit of 2 s, 16 s for a body and 35 s for headers). Here the socket
itself knows when the call ends and allows each read and write only the time that is left. That
covers status line, headers, chunk sizes and body, and needs no timer thread, which a fork would
lose. Connecting and the TLS handshake each have one timeout for the whole step. A name lookup
cannot be interrupted, so it runs in a thread of its own.

A call can also restrict the IP addresses that it connects to. The address is checked right before
it is connected to and before an open connection is reused, so it does not matter what a name
resolved to earlier.
"""

import logging
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from queue import Empty, SimpleQueue
from typing import Any

import certifi
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NewConnectionError
from urllib3.util.ssl_ import create_urllib3_context

CONNECT_SECONDS = 5.0  # for one address; a host may have several
# Proxies and firewalls silently drop idle connections, and a POST sent on such a connection would
# be in doubt.
IDLE_SECONDS = 15.0

# These loggers write URLs, which contain e-mails, and unreadable headers, which may echo the key.
# Unlike a level, a filter stays whatever the logging settings say.
for _name in ("urllib3.connection", "urllib3.connectionpool"):
    logging.getLogger(_name).addFilter(lambda record: False)

# As socket.getaddrinfo returns them.
Addresses = Sequence[tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]]
LookUp = Callable[[str, int, float], Addresses]  # host, port, seconds
_here = threading.local()  # .call: the call under way; .adapter and .pid: see adapter()


class Stage(StrEnum):
    """How far a call has come."""

    START = "start"
    LOOK_UP = "look up"
    CONNECT = "connect"
    SECURE = "secure"  # connected; with https the handshake is under way
    SENT = "sent"  # from here on the other side may have acted on the request


class AddressNotAllowed(OSError):
    """The call may not connect to this address."""


def any_address(address: str) -> bool:
    """Allow every address."""
    return True


def look_up(host: str, port: int, seconds: float) -> Addresses:
    """Return a host's addresses. Raises OSError (TimeoutError after `seconds`) or UnicodeError."""
    kind = socket.SOCK_STREAM
    with suppress(socket.gaierror):
        return socket.getaddrinfo(host, port, type=kind, flags=socket.AI_NUMERICHOST)
    found: SimpleQueue[Addresses | Exception] = SimpleQueue()

    def ask() -> None:
        try:
            found.put(socket.getaddrinfo(host, port, type=kind))
        except (OSError, UnicodeError) as error:
            found.put(error)

    threading.Thread(target=ask, name="look-up", daemon=True).start()
    try:
        result = found.get(timeout=seconds)
    except Empty:
        raise TimeoutError("the name was not looked up in time") from None
    if isinstance(result, Exception):
        raise result
    return result


@dataclass(slots=True)
class CallDeadline:
    """A call under way: when it ends (monotonic seconds) and how far it has come.

    `may_connect` decides on each IP address before it is used; `look_up` finds a host's addresses.
    """

    ends: float
    may_connect: Callable[[str], bool]
    look_up: LookUp
    stage: Stage = Stage.START

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self.ends

    def seconds_left(self) -> float:
        """Return the seconds left, more than 0. Raises TimeoutError if none are left."""
        left = self.ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time of the call is up")
        return left


@contextmanager
def within(
    seconds: float,
    *,
    may_connect: Callable[[str], bool] = any_address,
    look_up: LookUp = look_up,
) -> Iterator[CallDeadline]:
    """Limit all that this thread's adapter does inside the block to so many seconds altogether.

    When time is up, some part of the stack raises an error of its own; `CallDeadline.is_over`
    tells that from other faults. An address that `may_connect` refuses raises AddressNotAllowed,
    at the bottom of a chain of causes.
    """
    outer = getattr(_here, "call", None)
    ends = time.monotonic() + seconds
    _here.call = call = CallDeadline(ends, may_connect, look_up)
    try:
        yield call
    finally:
        _here.call = outer


def adapter() -> HTTPAdapter:
    """Return this thread's sender of requests. It keeps its connections open between calls.

    It holds no key or cookie, follows no redirect and uses no proxy or .netrc from the environment,
    so all sites can share it. A `requests.Session` would need each of these turned off, and takes a
    quarter more CPU time (measured). A forked process gets its own adapter, because two processes
    on one connection would read each other's answers.
    """
    if getattr(_here, "pid", None) != os.getpid():
        _here.adapter, _here.pid = _Adapter(pool_maxsize=1), os.getpid()
    kept: HTTPAdapter = _here.adapter
    return kept


@cache
def tls_context() -> ssl.SSLContext:
    """Return the context that checks every https connection by certifi's and the system's CAs.

    The system's CAs, and `SSL_CERT_FILE`, which OpenSSL reads with them, are for servers behind a
    company's own CA. Made once per process, because loading takes 20 ms or more.
    """
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
    context.load_verify_locations(certifi.where())
    context.load_default_certs()
    context.sslsocket_class = _SecureSocket
    return context


def _current() -> CallDeadline:
    call: CallDeadline | None = getattr(_here, "call", None)
    if call is None:
        raise RuntimeError("Use a connection inside `with within(seconds)` only.")
    return call


class _TimedSocket(socket.socket):
    """A socket that allows each read and write only the time that is left of the call."""

    def recv_into(self, *args: Any, **options: Any) -> int:
        self.settimeout(_current().seconds_left())
        return super().recv_into(*args, **options)

    def send(self, *args: Any, **options: Any) -> int:
        self.settimeout(_current().seconds_left())
        return super().send(*args, **options)

    def sendall(self, *args: Any, **options: Any) -> None:
        # A plain socket takes this as the limit for all data. A TLS socket calls `send` for each
        # piece.
        self.settimeout(_current().seconds_left())
        super().sendall(*args, **options)


class _SecureSocket(_TimedSocket, ssl.SSLSocket):
    pass


class _Connection(HTTPConnection):
    _last_used = 0.0

    @property
    def is_connected(self) -> bool:
        """Whether urllib3 may reuse this connection.

        A thread's connections serve all calls, so another call may have allowed more addresses.
        """
        rested = time.monotonic() - self._last_used
        if rested > IDLE_SECONDS or not super().is_connected:
            return False
        try:
            return _current().may_connect(self.sock.getpeername()[0])
        except OSError:  # the other side closed it just now
            return False

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        _current().stage = Stage.SENT
        self._last_used = time.monotonic()
        super().send(data)

    def _new_conn(self) -> socket.socket:
        call = _current()
        try:
            call.stage = Stage.LOOK_UP
            addresses = call.look_up(self.host, self.port, call.seconds_left())
            call.stage = Stage.CONNECT
            connected = _connect(addresses, call)
        except (OSError, UnicodeError) as error:
            raise NewConnectionError(self, str(error)) from error
        call.stage = Stage.SECURE
        return connected


class _SecureConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class _Adapter(HTTPAdapter):
    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = False, **options: Any
    ) -> None:
        super().init_poolmanager(connections, maxsize, block, ssl_context=tls_context(), **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        # The shared context has the CAs; requests would load them for each connection.
        conn.cert_reqs = "CERT_REQUIRED"


def _connect(addresses: Addresses, call: CallDeadline) -> socket.socket:
    trouble = OSError("the name has no address")
    for family, kind, protocol, _, address in addresses:
        if not call.may_connect(address[0]):
            raise AddressNotAllowed(f"{address[0]} is not allowed")
        try:
            fresh = _TimedSocket(family, kind, protocol)
        except OSError as error:  # this machine may not speak IPv6
            trouble = error
            continue
        try:
            fresh.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            fresh.settimeout(min(CONNECT_SECONDS, call.seconds_left()))
            fresh.connect(address)
            fresh.settimeout(call.seconds_left())  # this limits the whole TLS handshake
        except OSError as error:
            fresh.close()
            trouble = error
        else:
            return fresh
    raise trouble
