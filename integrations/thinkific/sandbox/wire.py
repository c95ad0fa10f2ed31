"""HTTP/1.1 by hand: parse requests and encode answers, so that faults can control every byte."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl, unquote

JSON = "application/json; charset=utf-8"
HTML = "text/html; charset=utf-8"
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_REASONS = {each.value: each.phrase for each in HTTPStatus}
# What Cloudflare, in front of the API, answers if it cannot reach the origin.
_REASONS |= {520: "Web Server Returned an Unknown Error", 522: "Connection Timed Out"}


@dataclass(frozen=True, slots=True)
class Request:
    """One request. Header names are in lower case; the last value of a query name counts."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    keep_alive: bool

    def json(self) -> Any:
        """Return the body as JSON. Raises ValueError if it is not JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. `headers` replace the usual ones of the same name."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


def json_reply(status: int, value: Any, headers: Mapping[str, str] = _NO_HEADERS) -> Reply:
    """Return an answer with a JSON body."""
    return Reply(status, json.dumps(value).encode(), JSON, headers)


def reason(status: int) -> str:
    """Return the reason phrase of a status."""
    return _REASONS.get(status, "Error")


def html_reply(status: int, headers: Mapping[str, str] = _NO_HEADERS) -> Reply:
    """Return an error page as a proxy in front of the API sends it."""
    title = f"{status} {reason(status)}"
    page = f"<!DOCTYPE html><html><head><title>{title}</title></head><body>{title}</body></html>"
    return Reply(status, page.encode(), HTML, headers)


def head_of(reply: Reply) -> tuple[bytes, bytes]:
    """Return the status line and the headers of an answer."""
    line = f"HTTP/1.1 {reply.status} {reason(reply.status)}\r\n".encode()
    usual = {"Date": _date()}
    if reply.status not in (204, 304):
        usual["Content-Type"] = reply.content_type
        usual["Content-Length"] = str(len(reply.body))
    if reply.headers:
        own = {name.lower() for name in reply.headers}
        if "transfer-encoding" in own:
            own.add("content-length")
        usual = {name: value for name, value in usual.items() if name.lower() not in own}
        usual.update(reply.headers)
    headers = "".join(f"{name}: {value}\r\n" for name, value in usual.items())
    return line, f"{headers}\r\n".encode("latin-1")


def encode(reply: Reply) -> bytes:
    """Return the bytes of a whole answer."""
    line, headers = head_of(reply)
    return line + headers + (b"" if reply.status in (204, 304) else reply.body)


def parse_head(head: bytes) -> Request:
    """Return a request without its body. Raises ValueError if it is not HTTP/1."""
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, version = first.split(" ")
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        raise ValueError(f"not HTTP/1: {version!r}")
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError(f"no header: {line!r}")
        headers[name.lower()] = value.strip()
    path, _, query = target.partition("?")
    connection = headers.get("connection", "").lower()
    keep = connection != "close" if version == "HTTP/1.1" else connection == "keep-alive"
    pairs = dict(parse_qsl(query, keep_blank_values=True)) if query else {}
    return Request(method, unquote(path), pairs, headers, b"", keep)


_dated: tuple[int, str] = (0, "")


def _date() -> str:
    global _dated
    second = int(time.time())
    if _dated[0] != second:
        _dated = (second, formatdate(second, usegmt=True))
    return _dated[1]
