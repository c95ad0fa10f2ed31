"""One accepted connection: read requests, send answers, and fail in the ways that faults need."""

import contextlib
import dataclasses
import re
import socket
import struct
import threading

from integrations.thinkific.sandbox.wire import Reply, Request, encode, head_of, parse_head

MAX_HEAD = 64 * 1024
MAX_BODY = 1024 * 1024


class HangupError(Exception):
    """This connection is over."""


class BadRequestError(Exception):
    """The request cannot be read. `status` is the answer before the connection is closed."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Connection:
    """One connection. Every wait ends when `stopping` is set or the client leaves."""

    def __init__(self, sock: socket.socket, stopping: threading.Event) -> None:
        self._sock = sock
        self._stopping = stopping
        self._buffer = b""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def read_request(self) -> Request:
        """Return the next request. Raises HangupError if none comes, BadRequestError if no HTTP."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > MAX_HEAD:
                raise BadRequestError(431)
            self._receive()
        head, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
        try:
            request = parse_head(head)
        except ValueError as error:
            raise BadRequestError(400) from error
        length = request.headers.get("content-length", "0")
        if "transfer-encoding" in request.headers:
            raise BadRequestError(411)
        if not re.fullmatch(r"\d{1,9}", length):
            raise BadRequestError(400)
        if length == "0":
            return request
        return dataclasses.replace(request, body=self._read_body(request, int(length)))

    def _read_body(self, request: Request, length: int) -> bytes:
        if length > MAX_BODY:
            raise BadRequestError(413)
        if request.headers.get("expect", "").lower() == "100-continue":
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        while len(self._buffer) < length:
            self._receive()
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return body

    def _receive(self) -> None:
        piece = self._sock.recv(65536)
        if not piece:
            raise HangupError
        self._buffer += piece

    def send(self, data: bytes) -> None:
        """Send all of it. Raises OSError if the client has gone."""
        self._sock.sendall(data)

    def reply(self, reply: Reply) -> None:
        """Send a whole answer in one piece."""
        self.send(encode(reply))

    def drip(self, data: bytes, delay: float) -> None:
        """Send the data byte by byte, `delay` seconds apart."""
        for number in range(len(data)):
            self.send(data[number : number + 1])
            self.pause(delay)

    def cut_off(self, reply: Reply, sent: int) -> None:
        """Announce the whole body, send only `sent` bytes of it and raise HangupError."""
        line, headers = head_of(reply)
        self.send(line + headers + reply.body[:sent])
        raise HangupError

    def pause(self, seconds: float) -> None:
        """Wait. Raises HangupError if the server stops meanwhile."""
        if seconds and self._stopping.wait(seconds):
            raise HangupError

    def until_closed(self) -> None:
        """Stay silent until the client gives up or the server stops, then raise HangupError."""
        with contextlib.suppress(OSError):
            while self._sock.recv(65536):
                pass
        raise HangupError

    def reset(self) -> None:
        """Make the connection end with RST instead of an orderly close, and raise HangupError."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise HangupError

    def wake(self) -> None:
        """End, from another thread, whatever this connection waits for."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._sock.close()
