"""What the stand-in holds: its schools, its switches and faults, and the calls that came."""

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
    """One call as it arrived; `status` and `until` come with the answer.

    `at` and `until` are seconds of `time.monotonic()`; `path` is the part below the API's base,
    such as `/enrollments/17`. `status` None: no answer went out, or none yet. `school` is the
    site whose key opened, else the one that the subdomain header claims. `done` is the status
    of what the school did at `done_at`, whether or not that answer went out; None: nothing.
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
    """Schools, switches, faults and calls. Thread safe."""

    def __init__(self) -> None:
        self.switches = Switches()
        self.faults = Faults()
        self.schools: dict[str, School] = {}
        self._lock = threading.Lock()
        self._calls: deque[RecordedCall] = deque(maxlen=CALLS_KEPT)

    def add_school(
        self, subdomain: str, *, key: str | None = None, token: str | None = None
    ) -> School:
        """Adds a site; a key of 32 characters is made when none is given.

        Raises ValueError if there is one of that name.
        """
        with self._lock:
            if subdomain in self.schools:
                raise ValueError(f"There is a school {subdomain} already.")
            school = School(subdomain, key=key, token=token, switches=self.switches)
            self.schools[subdomain] = school
            return school

    @property
    def calls(self) -> list[RecordedCall]:
        """All calls in order of arrival; of more than CALLS_KEPT the newest."""
        with self._lock:
            return list(self._calls)

    def clear_calls(self) -> None:
        with self._lock:
            self._calls.clear()

    def record(self, request: Request, path: str, school: str | None, params: Any) -> RecordedCall:
        """Put a call that has just arrived on the list."""
        body = params if isinstance(params, dict) and request.body else None
        agent = request.headers.get("user-agent", "")
        with self._lock:
            # Under the lock, so that the order of the list is the order of `at`.
            call = RecordedCall(
                time.monotonic(), request.method, path, request.query, body, school, agent
            )
            self._calls.append(call)
        return call
