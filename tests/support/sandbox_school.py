"""A school in the sandbox and plain calls to it, for tests of the sandbox itself."""

import contextlib
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import requests

from integrations.thinkific.sandbox import Bundle, Course, Sandbox, School

KEY = "0123456789abcdef0123456789abcdef"
TOKEN = "a-bearer-token-that-is-longer-than-an-api-key"


@dataclass(frozen=True, slots=True)
class Place:
    """A sandbox with the school `acme`, which has two courses and a bundle of both."""

    sandbox: Sandbox
    school: School
    course: Course
    second: Course
    bundle: Bundle

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        json: Any = None,
        timeout: float = 5,
    ) -> requests.Response:
        """Make one call with the right key, on a new connection."""
        return requests.request(
            method,
            self.sandbox.url + path,
            params=query,
            json=json,
            headers={"X-Auth-API-Key": self.school.key, "X-Auth-Subdomain": self.school.subdomain},
            timeout=timeout,
            allow_redirects=False,
        )

    def post(self, path: str, **body: Any) -> requests.Response:
        return self.call("POST", path, json=body)

    def put(self, path: str, **body: Any) -> requests.Response:
        return self.call("PUT", path, json=body)

    def items(self, path: str, query: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the rows of a list."""
        items: list[dict[str, Any]] = self.call("GET", path, query=query).json()["items"]
        return items


@contextlib.contextmanager
def opened() -> Iterator[Place]:
    with Sandbox() as sandbox:
        school = sandbox.add_school("acme", key=KEY, token=TOKEN)
        course, second = school.add_course("Watercolor"), school.add_course("Drawing")
        bundle = school.add_bundle("All of it", [course, second])
        yield Place(sandbox, school, course, second, bundle)


@contextlib.contextmanager
def connected(sandbox: Sandbox, *, timeout: float = 5) -> Iterator[socket.socket]:
    """Open a bare connection to the sandbox."""
    with socket.create_connection((sandbox.host, sandbox.port), timeout=timeout) as sock:
        yield sock


def request_bytes(place: Place, method: str, path: str, body: bytes = b"") -> bytes:
    """Return a request as bytes, as it goes over the wire."""
    head = (
        f"{method} /api/public/v1{path} HTTP/1.1\r\nHost: sandbox\r\n"
        f"X-Auth-API-Key: {place.school.key}\r\nX-Auth-Subdomain: acme\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
