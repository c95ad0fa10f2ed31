"""A receiver for trying Notify URLs: it checks signatures, and its page shows the messages."""

import threading
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from standardwebhooks import Webhook, WebhookVerificationError

MOST_KEPT = 100  # messages
LARGEST_BODY = 1024 * 1024  # bytes; SamCart's are far smaller
READ_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A message with a valid signature."""

    message_id: str
    trigger: str
    event: str
    body: bytes
    received_at: datetime


class SampleReceiver:
    """Receives messages signed with `secret` on the loopback interface until its block ends.

    `with SampleReceiver() as receiver:` serves at `receiver.url`; `receiver.page` is for people.
    A message with a known ID is answered 204 and not kept again, one with a wrong signature 401.
    Port 0 means any free port. Raises OSError if the port is taken.
    """

    def __init__(self, secret: str = "", port: int = 0) -> None:
        self.secret = secret
        self.messages: deque[ReceivedMessage] = deque(maxlen=MOST_KEPT)
        self._lock = threading.Lock()
        self._server = _Server(self, port)
        self.page = f"http://127.0.0.1:{self._server.server_port}/"
        self.url = f"{self.page}hook"

    def __enter__(self) -> Self:
        # The argument is the interval, in seconds, at which it checks whether to stop.
        serve = self._server.serve_forever
        threading.Thread(target=serve, args=(0.05,), name="receiver", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take(self, headers: dict[str, str], body: bytes) -> int:
        """Check a message and keep it. Return the status to answer with."""
        try:
            Webhook(self.secret).verify(body, headers, json_parse=False)
        except (WebhookVerificationError, ValueError):  # a signature may be any text
            return 401
        message = ReceivedMessage(
            headers["webhook-id"],
            headers.get("admit-trigger", ""),
            headers.get("admit-event", ""),
            body,
            datetime.now(UTC),
        )
        with self._lock:
            if all(each.message_id != message.message_id for each in self.messages):
                self.messages.append(message)
        return 204


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, receiver: SampleReceiver, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.receiver = receiver


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = READ_SECONDS

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()) or int(length) > LARGEST_BODY:
            self.close_connection = True
            self._answer(413 if length else 411)
            return
        body = self.rfile.read(int(length))
        headers = {name.lower(): text for name, text in self.headers.items()}
        self._answer(self.server.receiver.take(headers, body))

    def do_GET(self) -> None:
        self._answer(200, _page(list(self.server.receiver.messages)))

    def log_message(self, *_: Any) -> None:
        """Log nothing: the page shows what came."""

    def _answer(self, status: int, page: str = "") -> None:
        data = page.encode()
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Security-Policy", "default-src 'none'")
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _page(messages: list[ReceivedMessage]) -> str:
    rows = "".join(
        f"<h2>{escape(each.trigger)}, event {escape(each.event)}</h2>"
        f"<p>{each.received_at:%Y-%m-%d %H:%M:%S} UTC, webhook-id {escape(each.message_id)}, "
        "the signature is right.</p>"
        f"<pre>{escape(each.body.decode('utf-8', 'replace'))}</pre>"
        for each in reversed(messages)
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Sample receiver</title>'
        f"<h1>What came</h1>{rows or '<p>Nothing so far.</p>'}</html>"
    )
