"""Whatever dies: nothing acknowledged is lost or done twice. `make faults` has many more."""

import os
from pathlib import Path
from typing import Any

import pytest

from integrations.thinkific.sandbox import RecordedCall, School
from tests.faults.__main__ import FAULTS
from tests.faults.checker import done_twice
from tests.faults.database import Place
from tests.faults.fault import strike
from tests.support import live

linux = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="looks at processes in Linux' /proc"
)
SERVER = os.environ.get("DATABASE_URL", "")
PLACE = Place(SERVER if SERVER.startswith("postgres") else "")
SHORT = [name for name, fault in FAULTS.items() if fault.short]
# What happens to the processes or at Thinkific: a second database adds nothing to these here.
# `make faults` strikes with each on both.
OUTSIDE = {"idle-workers-killed", "message-worker-killed", "one-denied", "sigterm"}


@linux
@pytest.mark.slow
@pytest.mark.each_database
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.first_database] if name in OUTSIDE else [])
        for name in SHORT
    ],
)
def test_nothing_is_lost_and_nothing_done_twice(name: str):
    outcome = strike(FAULTS[name], PLACE, seed=1, long=False)
    assert outcome.good, "\n".join(outcome.faults)
    assert outcome.acknowledged > 0


def test_what_is_left_out_on_the_second_database_is_there():
    assert set(SHORT) > OUTSIDE


# The checker can tell


@pytest.fixture
def acme() -> School:
    with live.school() as (_, school):
        dana = school.add_user("dana@example.com")
        school.enroll(dana, school.courses[live.COURSE])
        return school


def _call(
    at: float, method: str, path: str, body: dict[str, Any], done: int | None, took: float = 0.5
) -> RecordedCall:
    return RecordedCall(
        at, method, path, {}, body, "acme", "", done=done, done_at=done and at + took
    )


def _user(
    at: float, done: int | None, email: str = "dana@example.com", took: float = 0.5
) -> RecordedCall:
    return _call(at, "POST", "/users", {"email": email}, done, took)


def _enrollment(at: float, done: int | None, took: float = 0.5) -> RecordedCall:
    return _call(at, "POST", "/enrollments", {"user_id": 1000001, "course_id": 501}, done, took)


def _look(at: float, who: int = 1000001) -> RecordedCall:
    asked = {"query[user_id]": str(who), "query[course_id]": "501"}
    return RecordedCall(
        at, "GET", "/enrollments", asked, None, "acme", "", 200, done=200, done_at=at
    )


def _look_up(at: float) -> RecordedCall:
    asked = {"query[email]": "dana@example.com"}
    return RecordedCall(at, "GET", "/users", asked, None, "acme", "", 200, done=200, done_at=at)


def _ended(at: float) -> RecordedCall:
    return _call(at, "PUT", "/enrollments/2000001", {"expiry_date": "2020-01-01T00:00:00Z"}, 204)


@pytest.mark.parametrize(
    ("calls", "twice"),
    [
        ([_user(1, 201), _enrollment(2, 201)], 0),
        ([_user(1, 201), _user(2, 422, "DANA@example.com")], 1),
        ([_user(1, None), _user(2, 201)], 0),
        ([_user(1, 422), _user(2, 422)], 0),
        ([_enrollment(1, 201), _enrollment(2, 201)], 1),
        ([_enrollment(1, 201), _enrollment(2, None)], 1),
        ([_enrollment(1, None), _enrollment(2, 201)], 0),
        ([_enrollment(1, 201), _ended(2), _enrollment(3, 201)], 0),
        # Carried out only after Admit had looked: nobody could see it.
        ([_enrollment(1, 201, took=9), _look(2), _enrollment(3, 201)], 0),
        ([_enrollment(1, 201, took=1.5), _look(2), _enrollment(3, 201)], 0),
        ([_user(1, 201, took=9), _look_up(2), _user(3, 201)], 0),
        # Late, but nobody looked; or at another, or before the first, or once it was there.
        ([_enrollment(1, 201, took=9), _enrollment(3, 201)], 1),
        ([_enrollment(1, 201, took=9), _look(2, who=7), _enrollment(3, 201)], 1),
        ([_look(0), _enrollment(1, 201, took=9), _enrollment(3, 201)], 1),
        ([_enrollment(1, 201), _look(2), _enrollment(3, 201)], 1),
        ([_user(1, 201, took=9), _user(3, 201)], 1),
    ],
)
def test_a_creating_call_after_one_that_was_done_counts_as_twice(acme, calls, twice):
    assert len(done_twice(acme, calls)) == twice
