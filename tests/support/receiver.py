"""A receiver of Notify URLs on loopback, healthy or in any of the ways in which one may be ill.

with Receiver(secret) as receiver:
    receiver.behavior = answers(503, {"Retry-After": "60"})
    ...  # receiver.url, receiver.requests, receiver.verified()
"""

import ssl
import threading
from collections.abc import Callable, Mapping

from standardwebhooks import Webhook

from tests.support.wire import Peer, Wire, head

Behavior = Callable[[Peer], None]


def answers(
    status: int, headers: Mapping[str, str] | None = None, body: str | bytes = b""
) -> Behavior:
    """Answer each message in the same way."""
    return lambda peer: peer.answer(status, body, headers)


healthy = answers(200, body="Thank you.")
gone = answers(410)


def redirects(to: str, status: int = 302) -> Behavior:
    """Redirect each message elsewhere."""
    return answers(status, {"Location": to})


def sends(data: bytes) -> Behavior:
    """Send these bytes as the answer, and close the connection."""

    def behave(peer: Peer) -> None:
        peer.send(data)
        peer.sock.close()

    return behave


def drips(begun: bytes, data: bytes) -> Behavior:
    """Send the first bytes at once, then drip the others one by one without end."""

    def behave(peer: Peer) -> None:
        peer.send(begun)
        peer.drip(data)

    return behave


def silent(peer: Peer) -> None:
    """Take the message and never answer."""
    peer.wait()


def drips_headers() -> Behavior:
    """Send a status, and headers that never end."""
    return drips(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n")


def drips_body(status: int) -> Behavior:
    """Send status and headers, and a body that never ends."""
    return drips(head(status, {"Connection": "close"}), b"x")


def never_stops(peer: Peer) -> None:
    """Answer 200, then send without end as much as the client takes."""
    peer.send(head(200, {"Connection": "close"}))
    peer.flood(b"x" * 65536)


class Receiver(Wire):
    """Takes messages and behaves as `behavior` says; tests may change that while it serves."""

    def __init__(
        self,
        secret: str = "",
        behavior: Behavior = healthy,
        *,
        path: str = "/hook",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(self._serve_messages, tls=tls)
        self.secret = secret
        self.behavior = behavior
        self.most_at_once = 0  # The most messages that were under way at the same time.
        self._under_way = 0
        self._lock = threading.Lock()
        self.url += path

    def verified(self) -> list[str]:
        """Return the IDs of all messages so far, in order; raises if a signature is wrong."""
        for request in self.requests:
            webhook = Webhook(self.secret)
            webhook.verify(request.body, request.headers, json_parse=False)
        return [request.headers["webhook-id"] for request in self.requests]

    def _serve_messages(self, peer: Peer) -> None:
        while peer.read():
            self._count(1)
            try:
                self.behavior(peer)
            finally:
                self._count(-1)

    def _count(self, change: int) -> None:
        with self._lock:
            self._under_way += change
            self.most_at_once = max(self.most_at_once, self._under_way)
