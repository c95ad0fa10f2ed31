"""Connections that end when the time of a call is up, whatever the other side does.

The time-outs of `requests` start again with every byte, so an answer of one byte a second never
ends (a deadline of 2 s took 16 s in the body and 35 s in the headers). Here the socket itself
knows when the call ends: before each read and each write it allows itself only the time that is
left. That holds for the status line, the headers, chunk sizes and the body alike, needs no timer
thread, and so has nothing that a fork could lose. Connecting and the TLS handshake take one
time-out for the whole of it; the name look-up, which nothing can interrupt, is waited for in a
thread of its own.

A call may also restrict the addresses that it connects to. The address itself is checked, right
before it is connected to and before an open connection is reused, so it does not matter what a
name resolved to earlier.
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
# Proxies and firewalls forget silent connections without a word, and a POST sent on one of those
# would be in doubt.
IDLE_SECONDS = 15.0

# They write addresses, which hold e-mails, and headers they cannot read, which may echo the key.
# A filter stays whatever the logging settings say about levels.
for _name in ("urllib3.connection", "urllib3.connectionpool"):
    logging.getLogger(_name).addFilter(lambda record: False)

# As socket.getaddrinfo returns them.
Addresses = Sequence[tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]]
LookUp = Callable[[str, int, float], Addresses]  # host, port, seconds
_here = threading.local()  # .call: the call under way; .adapter and .pid: see adapter()


class Stage(StrEnum):
    """How far a call has got."""

    START = "start"
    LOOK_UP = "look up"
    CONNECT = "connect"
    SECURE = "secure"  # connected; with https the handshake is under way
    SENT = "sent"  # from here on the other side may have acted on the request


class AddressNotAllowed(OSError):
    """The call may not connect to this address."""


def any_address(address: str) -> bool:
    """Allows every address."""
    return True


def look_up(host: str, port: int, seconds: float) -> Addresses:
    """The addresses of a host; raises OSError or UnicodeError, TimeoutError after `seconds`."""
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
    """A call under way: when it ends (monotonic seconds) and how far it has got.

    `may_connect` gets each IP address before it is used, `look_up` finds a host's addresses.
    """

    ends: float
    may_connect: Callable[[str], bool]
    look_up: LookUp
    stage: Stage = Stage.START

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self.ends

    def seconds_left(self) -> float:
        """More than 0; raises TimeoutError when nothing is left."""
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
    """Everything that this thread's adapter does inside ends within so many seconds.

    What is cut off raises whatever the broken part of the stack raises; `CallDeadline.is_over`
    tells it from other faults. An address for which `may_connect` is false raises
    AddressNotAllowed, at the bottom of a chain of causes.
    """
    outer = getattr(_here, "call", None)
    ends = time.monotonic() + seconds
    _here.call = call = CallDeadline(ends, may_connect, look_up)
    try:
        yield call
    finally:
        _here.call = outer


def adapter() -> HTTPAdapter:
    """What sends the requests of this thread; it keeps its connections open between calls.

    It carries no key, keeps no cookie, follows no redirect and knows no proxy or .netrc of the
    environment, so all sites can share it. A session of `requests` would have to be talked out
    of each of them, and takes a quarter more of the processor's time (measured). A forked
    process makes its own, for two on one connection would read each other's answers.
    """
    if getattr(_here, "pid", None) != os.getpid():
        _here.adapter, _here.pid = _Adapter(pool_maxsize=1), os.getpid()
    kept: HTTPAdapter = _here.adapter
    return kept


@cache
def tls_context() -> ssl.SSLContext:
    """What every https connection is checked with: certifi's authorities and the system's own.

    The system's (and `SSL_CERT_FILE`, which OpenSSL reads with them) let a server behind a
    company's own authority work. One per process, for loading them takes 20 ms and more.
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
    """Allows each read and write only what is left of the call."""

    def recv_into(self, *args: Any, **options: Any) -> int:
        self.settimeout(_current().seconds_left())
        return super().recv_into(*args, **options)

    def send(self, *args: Any, **options: Any) -> int:
        self.settimeout(_current().seconds_left())
        return super().send(*args, **options)

    def sendall(self, *args: Any, **options: Any) -> None:
        # Plain sockets take this as the limit of the whole; TLS ones send piece by piece, above.
        self.settimeout(_current().seconds_left())
        super().sendall(*args, **options)


class _SecureSocket(_TimedSocket, ssl.SSLSocket):
    pass


class _Connection(HTTPConnection):
    _last_used = 0.0

    @property
    def is_connected(self) -> bool:
        """urllib3 asks this before it reuses a connection.

        The threads' connections serve all calls, and another call may have allowed more addresses.
        """
        rested = time.monotonic() - self._last_used
        if rested > IDLE_SECONDS or not super().is_connected:
            return False
        try:
            return _current().may_connect(self.sock.getpeername()[0])
        except OSError:  # closed by the other side in this moment
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
        # The shared context holds the authorities; requests would load them for each connection.
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
            fresh.settimeout(call.seconds_left())  # the TLS handshake takes this as a whole
        except OSError as error:
            fresh.close()
            trouble = error
        else:
            return fresh
    raise trouble
