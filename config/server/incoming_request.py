"""The bytes of one HTTP request as they arrive, and whether all of them are here.

It reads only what decides where a request ends. A malformed request counts as complete: gunicorn's
parser then refuses it. A body in chunks is put together here, because gunicorn copies all that is
left for each chunk: a megabyte in chunks of one byte took it several seconds.
"""

import re

# Longer heads are passed on and refused.
LONGEST_HEAD = 64 * 1024
# Framing may make a chunked body several times larger; no honest sender exceeds this.
FRAMING = 2
HEADER = re.compile(rb"\r\n(content-length|transfer-encoding|expect)[ \t]*:([^\r\n]*)", re.I)
TRANSFER = re.compile(rb"\r\ntransfer-encoding:[^\r\n]*", re.I)
CHUNK = re.compile(rb"([0-9a-f]{1,15})[ \t]*(?:;[^\r\n]*)?", re.I)
EXPECT = re.compile(rb"\r\nexpect[ \t]*:[^\r\n]*", re.I)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class IncomingRequest:
    """A request that is being received. `most` is how many bytes of a body are accepted."""

    def __init__(self, most: int) -> None:
        self.data = bytearray()
        self.complete = False
        # Whether the sender waits for "100 Continue" before it sends the body.
        self.awaits_continue = False
        self._most = most
        self._body_at = 0
        self._length: int | None = None
        self._chunked = False
        self._next_chunk = 0
        self._body = bytearray()  # contents of the complete chunks

    def add(self, data: bytes) -> None:
        """Add bytes that have arrived."""
        searched = max(0, len(self.data) - 3)
        self.data += data
        if not self._body_at:
            end = self.data.find(b"\r\n\r\n", searched)
            if end < 0:
                self.complete = len(self.data) > LONGEST_HEAD
                return
            self._read_head(end)
        self.complete = self.complete or self._has_body()

    def break_off(self) -> None:
        """Note that nothing more will come.

        Of a chunked body only the first incomplete chunk is kept, so that gunicorn refuses it.
        """
        if self._chunked and self._length is None:
            del self.data[self._body_at : self._next_chunk]
            self._next_chunk = self._body_at

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
        """Whether nothing is left unread after the request: no body, no second request."""
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
        codings = [value for name, value in found if name == b"transfer-encoding"]
        lengths = [value for name, value in found if name == b"content-length"]
        if codings:
            self._chunked = codings == [b"chunked"] and not lengths and _may_be_chunked(head)
            self.complete = not self._chunked
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
        if self._has_last_chunk():
            return True
        if len(self.data) > FRAMING * self._most + LONGEST_HEAD:
            return self._is_too_large()
        return False

    def _has_last_chunk(self) -> bool:
        while len(self._body) <= self._most:
            at = self._next_chunk
            line = self.data.find(b"\r\n", at, at + LONGEST_HEAD)
            if line < 0:
                return len(self.data) > at + LONGEST_HEAD and self._is_malformed()
            found = CHUNK.fullmatch(self.data, at, line)
            if found is None:
                return self._is_malformed()
            size, begin = int(found[1], 16), line + 2
            if not size:
                return self._has_trailers(line)
            if len(self.data) < begin + size + 2:
                known = len(self._body) + len(self.data) - begin
                return known > self._most and self._is_too_large()
            if self.data[begin + size : begin + size + 2] != b"\r\n":
                return self._is_malformed()
            self._body += self.data[begin : begin + size]
            self._next_chunk = begin + size + 2
        return self._is_too_large()

    def _has_trailers(self, line: int) -> bool:
        end = self.data.find(b"\r\n\r\n", line)
        if end < 0:
            return len(self.data) > line + LONGEST_HEAD and self._is_malformed()
        self._become_plain(len(self._body), bytes(self._body + self.data[end + 4 :]))
        return True

    def _is_too_large(self) -> bool:
        """Turn it into a request that the view refuses by its length alone. Always True."""
        self._become_plain(self._most + 1, b"")
        return True

    def _is_malformed(self) -> bool:
        """Turn it into a request that begins with the chunk that gunicorn refuses. Always True."""
        self.break_off()
        return True

    def _become_plain(self, length: int, rest: bytes) -> None:
        head = bytes(self.data[: self._body_at - 4])
        head = TRANSFER.sub(b"\r\nContent-Length: %d" % length, head)
        self.data[:] = head + b"\r\n\r\n" + rest
        self._body_at, self._length = len(head) + 4, length


def _may_be_chunked(head: bytes) -> bool:
    """Return whether gunicorn would read chunks after this head."""
    return TRANSFER.search(head) is not None and head.partition(b"\r\n")[0].endswith(b" HTTP/1.1")
