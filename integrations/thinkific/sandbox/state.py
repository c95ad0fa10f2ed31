"""The state of the stand-in: schools, switches, faults, and the calls that it received."""

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from integrations.thinkific.sandbox.faults import Faults, Switches
from integrations.thinkific.sandbox.school import School
from integrations.thinkific.sandbox.wire import Request

CALLS_KEPT = 100_000


@dataclass(slots=True)
class RecordedCall:
    """One call as it arrived, and its answer. Times are seconds of `time.monotonic()`.

    `at`: when it arrived.
    `path`: the part below the API's base, such as `/enrollments/17`.
    `school`: the site whose key or token it had, or else the one that the subdomain header claims.
    `status`, `until`: the status of the answer and when it was sent; None if there is none (yet).
    `done`, `done_at`: the status of what the school did and when, whether or not that answer was
    sent; None if it did nothing.
    """

    at: float
    method: str
    path: str
    query: dict[str, str]
    body: dict[str, Any] | None
    school: str | None
    user_agent: str
    status: int | None = None
    until: float | None = None
    done: int | None = None
    done_at: float | None = None


class State:
    """Schools, switches, faults and calls. Thread-safe."""

    def __init__(self) -> None:
        self.switches = Switches()
        self.faults = Faults()
        self.schools: dict[str, School] = {}
        self._lock = threading.Lock()
        self._calls: deque[RecordedCall] = deque(maxlen=CALLS_KEPT)

    def add_school(
        self, subdomain: str, *, key: str | None = None, token: str | None = None
    ) -> School:
        """Add a site. A key of 32 characters is made if none is given.

        Raises ValueError if there is a site with this subdomain.
        """
        with self._lock:
            if subdomain in self.schools:
                raise ValueError(f"There is a school {subdomain} already.")
            school = School(subdomain, key=key, token=token, switches=self.switches)
            self.schools[subdomain] = school
            return school

    @property
    def calls(self) -> list[RecordedCall]:
        """The last CALLS_KEPT calls in order of arrival."""
        with self._lock:
            return list(self._calls)

    def clear_calls(self) -> None:
        with self._lock:
            self._calls.clear()

    def record(self, request: Request, path: str, school: str | None, params: Any) -> RecordedCall:
        """Add a call that has just arrived to the list."""
        body = params if isinstance(params, dict) and request.body else None
        agent = request.headers.get("user-agent", "")
        with self._lock:
            # Created under the lock, so that the list is in the order of `at`.
            call = RecordedCall(
                time.monotonic(), request.method, path, request.query, body, school, agent
            )
            self._calls.append(call)
        return call
