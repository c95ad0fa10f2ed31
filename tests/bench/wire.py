"""A bare HTTP client for our own servers on loopback: one socket, keep-alive, nothing else."""

import socket
from typing import Self


class Line:
    """A connection; it is made again when the server has ended it after an answer."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None
        self._received = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        return self._open().fileno()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def send(self, request: bytes) -> None:
        self._received.clear()
        self._open().sendall(request)

    def receive(self) -> bytes | None:
        """Read once; return the answer when it is complete, else None.

        Raises ConnectionError when the server ended the connection inside an answer.
        """
        data = self._open().recv(65536)
        if not data:
            self.close()
            raise ConnectionError("The server ended the connection inside an answer.")
        self._received += data
        if not _complete(self._received):
            return None
        answer = bytes(self._received)
        if b"\r\nconnection: close\r\n" in answer.partition(b"\r\n\r\n")[0].lower() + b"\r\n":
            self.close()
        return answer

    def ask(self, request: bytes) -> bytes:
        """Send a request and wait for the complete answer."""
        self.send(request)
        while (answer := self.receive()) is None:
            pass
        return answer

    def _open(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=30)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket


def post(path: str, body: bytes, headers: str = "") -> bytes:
    """Return a POST of JSON as it goes over the wire."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"{headers}Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def status(answer: bytes) -> int:
    """Return the status of an answer."""
    return int(answer[9:12])


def content(answer: bytes) -> bytes:
    """Return the body of an answer that was not sent in chunks."""
    return answer.partition(b"\r\n\r\n")[2]


def _complete(received: bytearray) -> bool:
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return False
    for line in bytes(received[:end]).lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return len(received) - end - 4 >= int(value)
        if name == b"transfer-encoding" and b"chunked" in value:
            return received.endswith(b"\r\n0\r\n\r\n")
    raise ValueError("An answer without a length.")
