"""A client, and servers on raw sockets for faults that no well-behaved HTTP server can show.

A script is a function that gets each connection as a `Peer` and does whatever it likes with it:

    def script(peer):
        while peer.read():
            peer.answer(200, "{}")

    with Wire(script) as server:
        ...  # server.url, server.requests, server.connections
"""

import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from integrations.thinkific.client import Client, Exchange

KEY = "0123456789abcdef0123456789abcdef"

_ASK_AGAIN = 0.01  # Seconds between two checks whether the server should stop.
_SLOW_CLIENT = 5.0  # Seconds that sending waits for a client that does not read.
_LONGEST_LIFE = 30.0  # No script runs longer than this, whatever it waits for.


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    target: str
    headers: dict[str, str]  # Names in lower case.
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class WatchedClient(Client):
    """A client that records its exchanges."""

    def __init__(self, address: str, **options: Any) -> None:
        self.exchanges: list[Exchange] = []
        wanted: dict[str, Any] = {
            "base_url": address,
            "site": "school",
            "secret": KEY,
            "after_call": self.exchanges.append,
            "deadline": 5.0,
            "version": "1.2.3",
        }
        super().__init__(**(wanted | options))


class Peer:
    """The server's end of one connection."""

    def __init__(self, server: "Wire", sock: socket.socket) -> None:
        self.server = server
        self.sock = sock
        self._buffer = b""

    def read(self) -> Request | None:
        """Return the next complete request, or None if the client has gone; record it."""
        while b"\r\n\r\n" not in self._buffer:
            if not self._receive():
                return None
        head, _, rest = self._buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        size = int(headers.get("content-length", "0"))
        self._buffer = rest
        while len(self._buffer) < size:
            if not self._receive():
                return None
        body, self._buffer = self._buffer[:size], self._buffer[size:]
        method, target, _ = first.split(" ", 2)
        request = Request(method, target, headers, body)
        self.server.requests.append(request)
        return request

    def send(self, data: bytes) -> None:
        self.sock.settimeout(_SLOW_CLIENT)
        self.sock.sendall(data)

    def answer(
        self, status: int, body: str | bytes = b"", headers: Mapping[str, str] | None = None
    ) -> None:
        """Send a complete answer with its length."""
        data = body.encode() if isinstance(body, str) else body
        self.send(head(status, {"Content-Length": str(len(data)), **(headers or {})}) + data)

    def drip(self, data: bytes, every: float = 0.05) -> None:
        """Send byte by byte, over and over, until the client goes or the server stops."""
        while True:
            for byte in data:
                self.send(bytes([byte]))
                if self.server.stopping.wait(every):
                    return

    def flood(self, data: bytes) -> None:
        """Send the same data without end, until the client goes or the server stops."""
        while not self.server.stopping.is_set():
            self.send(data)

    def reset(self) -> None:
        """Close with an RST instead of a FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def wait(self, seconds: float = _LONGEST_LIFE) -> None:
        """Send nothing until the server stops."""
        self.server.stopping.wait(seconds)

    def _receive(self) -> bool:
        while not self.server.stopping.is_set():
            with suppress(TimeoutError):
                self.sock.settimeout(_ASK_AGAIN)
                data = self.sock.recv(65536)
                self._buffer += data
                return bool(data)
        return False


class Wire:
    """A server on 127.0.0.1 that runs a script for each connection, each in its own thread.

    `tls` may be replaced while it serves.
    """

    def __init__(
        self, script: Callable[[Peer], None], *, tls: ssl.SSLContext | None = None
    ) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self.stopping = threading.Event()
        self._script = script
        self.tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_ASK_AGAIN)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self.port}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stopping.set()
        for thread in self._threads:
            thread.join(_LONGEST_LIFE)
        self._listener.close()

    def _accept(self) -> None:
        while not self.stopping.is_set():
            with suppress(TimeoutError):
                sock, _ = self._listener.accept()
                self.connections += 1
                thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, sock: socket.socket) -> None:
        sock.settimeout(_SLOW_CLIENT)
        with ExitStack() as closing, suppress(OSError):  # The client may leave at any moment.
            closing.callback(sock.close)
            if self.tls is not None:
                sock = self.tls.wrap_socket(sock, server_side=True)
                closing.callback(sock.close)
            self._script(Peer(self, sock))


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """Return the status line and headers, with the empty line after them."""
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {text}" for name, text in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def always(
    status: int, body: str | bytes = b"", headers: Mapping[str, str] | None = None
) -> Callable[[Peer], None]:
    """Return a script that gives the same answer to every request on every connection."""

    def script(peer: Peer) -> None:
        while peer.read():
            peer.answer(status, body, headers)

    return script


T = TypeVar("T")


def in_a_new_thread(work: Callable[[], T]) -> T:
    """Run `work` in a new thread, so with new connections; return its result."""
    results: list[T] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    thread.join(_LONGEST_LIFE)
    return results[0]


def side_by_side(names: Collection[T], check: Callable[[T], object]) -> None:
    """Check all of them at once, each in its own thread, because each takes long.

    Raises what one of them raised, with its name.
    """

    def named(name: T) -> None:
        try:
            check(name)
        except BaseException as error:
            error.add_note(f"in the case of {name!r}")
            raise

    with ThreadPoolExecutor(len(names)) as threads:
        list(threads.map(named, names))


def closed_port() -> int:
    """Return a port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def certificate(folder: Path, *, days: int = 1) -> tuple[ssl.SSLContext, Path]:
    """Return a server's TLS context, and the file of the authority that signed its certificate.

    The certificate is for 127.0.0.1 and admit.example.com. With negative `days` it has expired.
    """
    now = datetime.now(UTC)
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    authority = (
        _builder(authority_name, authority_name, authority_key, now, 1)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    names = x509.SubjectAlternativeName(
        [x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("admit.example.com")]
    )
    own = (
        _builder(subject, authority_name, key, now, days)
        .add_extension(names, critical=False)
        .add_extension(issuer, critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    (folder / "authority.pem").write_bytes(authority.public_bytes(pem))
    (folder / "server.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + own.public_bytes(pem)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return context, folder / "authority.pem"


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
    days: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=10))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
