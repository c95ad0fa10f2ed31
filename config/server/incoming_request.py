"""The bytes of one HTTP request as they arrive, and whether all of them are here.

It reads only what decides where a request ends. A malformed request counts as complete: gunicorn's
parser then refuses it.
"""

import re

# Longer heads are passed on and refused.
LONGEST_HEAD = 64 * 1024
# Framing may make a chunked body several times larger; no honest sender exceeds this.
FRAMING = 2
HEADER = re.compile(rb"\r\n(content-length|transfer-encoding|expect)[ \t]*:([^\r\n]*)", re.I)
EXPECT = re.compile(rb"\r\nexpect[ \t]*:[^\r\n]*", re.I)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class IncomingRequest:
    """A request that is being received; at most `most` bytes of its body are waited for."""

    def __init__(self, most: int) -> None:
        self.data = bytearray()
        self.complete = False
        # Whether the sender waits for "100 Continue" before it sends the body.
        self.awaits_continue = False
        self._most = most
        self._body_at = 0
        self._length: int | None = None
        self._next_chunk = 0
        self._chunked_bytes = 0

    def add(self, data: bytes) -> None:
        """Take what has arrived."""
        searched = max(0, len(self.data) - 3)
        self.data += data
        if not self._body_at:
            end = self.data.find(b"\r\n\r\n", searched)
            if end < 0:
                self.complete = len(self.data) > LONGEST_HEAD
                return
            self._read_head(end)
        self.complete = self.complete or self._has_body()

    @property
    def head_complete(self) -> bool:
        return self._body_at > 0

    @property
    def request_line(self) -> bytes:
        """The first line, or "" while it is not here."""
        end = self.data.find(b"\r\n", 0, LONGEST_HEAD)
        return bytes(self.data[:end]) if end > 0 else b""

    @property
    def all_read(self) -> bool:
        """Whether nothing is left unread behind the request: no body, no second request."""
        return self._length is not None and len(self.data) == self._body_at + self._length

    def _read_head(self, end: int) -> None:
        head = bytes(self.data[:end])
        found = [(name.lower(), value.strip().lower()) for name, value in HEADER.findall(head)]
        self.awaits_continue = (b"expect", b"100-continue") in found
        if self.awaits_continue:
            # Already answered while waiting for the body: gunicorn must not answer it again.
            head = EXPECT.sub(b"", head)
            self.data[:end] = head
        self._body_at = self._next_chunk = len(head) + 4
        chunked = any(b"chunked" in value for name, value in found if name == b"transfer-encoding")
        lengths = [value for name, value in found if name == b"content-length"]
        if chunked:
            self.complete = bool(lengths)
        elif not lengths:
            self._length = 0
        elif len(lengths) == 1 and lengths[0].isdigit() and len(lengths[0]) < 20:
            self._length = int(lengths[0])
            # The view refuses it by this length alone.
            self.complete = self._length > self._most
        else:
            self.complete = True

    def _has_body(self) -> bool:
        if self._length is not None:
            return len(self.data) >= self._body_at + self._length
        return self._has_last_chunk() or len(self.data) > FRAMING * self._most + LONGEST_HEAD

    def _has_last_chunk(self) -> bool:
        while self._chunked_bytes <= self._most:
            at = self._next_chunk
            line = self.data.find(b"\r\n", at, at + LONGEST_HEAD)
            if line < 0:
                return len(self.data) > at + LONGEST_HEAD
            try:
                size = int(bytes(self.data[at:line]).partition(b";")[0], 16)
            except ValueError:
                return True
            if size <= 0:
                return size < 0 or self._has_trailers(line)
            if len(self.data) < line + 2 + size + 2:
                return self._chunked_bytes + len(self.data) - line - 2 > self._most
            self._chunked_bytes += size
            self._next_chunk = line + 2 + size + 2
        return True

    def _has_trailers(self, line: int) -> bool:
        end = self.data.find(b"\r\n\r\n", line)
        if end < 0:
            return len(self.data) > line + LONGEST_HEAD
        self._length = end + 4 - self._body_at
        return True
