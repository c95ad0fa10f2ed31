"""Whatever dies, nothing acknowledged is lost or done twice. `make faults` has many more."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from integrations.thinkific.sandbox import RecordedCall, School
from tests.faults import access, shop
from tests.faults.__main__ import FAULTS
from tests.faults.checker import done_twice
from tests.faults.database import Place
from tests.faults.fault import strike
from tests.faults.stage import Sale
from tests.support import live

linux = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="looks at processes in Linux' /proc"
)
SERVER = os.environ.get("DATABASE_URL", "")
PLACE = Place(SERVER if SERVER.startswith("postgres") else "")
SHORT = [name for name, fault in FAULTS.items() if fault.short]
# What happens to the processes or at Thinkific, with the first database; the rest with the second
# one. `make faults` strikes with each on both.
OUTSIDE = {
    "before-the-answer",
    "idle-workers-killed",
    "message-worker-killed",
    "one-denied",
    "sigterm",
}


@linux
@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=pytest.mark.first_database if name in OUTSIDE else pytest.mark.second_database,
        )
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


def _in_course(at: float, course: int) -> RecordedCall:
    return _call(at, "POST", "/enrollments", {"user_id": 1000001, "course_id": course}, 201)


def _in_bundle(at: float, done: int | None = 201) -> RecordedCall:
    return _call(at, "POST", "/bundles/801/enrollments", {"user_id": 1000001}, done)


def _bundle_ended(at: float) -> RecordedCall:
    body = {"user_id": 1000001, "expiry_date": "2020-01-01T00:00:00Z"}
    return _call(at, "PUT", "/bundles/801/enrollments", body, 204)


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
        # Another course is no second one, and a bundle is none of its courses.
        ([_enrollment(1, 201), _in_course(2, 502), _in_bundle(3)], 0),
        ([_in_bundle(1), _in_bundle(2)], 1),
        ([_in_bundle(1, None), _in_bundle(2)], 0),
        ([_in_bundle(1), _bundle_ended(2), _in_bundle(3)], 0),
        ([_enrollment(1, 201), _bundle_ended(2), _enrollment(3, 201)], 0),
        ([_in_bundle(1), _ended(2), _in_bundle(3)], 0),
        ([_in_course(1, 505), _bundle_ended(2), _in_course(3, 505)], 1),
    ],
)
def test_a_creating_call_after_one_that_was_done_counts_as_twice(acme, calls, twice):
    assert len(done_twice(acme, calls)) == twice


# Thinkific, ledger and model

DANA = "dana@example.com"


def _sale(kind: str, order: int, product: int = shop.CLASS, status: int | None = 200) -> Sale:
    return Sale(order, DANA, kind, "acme", status, product)


BOUGHT, REFUNDED = _sale("Order", 1), _sale("Refund", 1)
PATH = [_sale("Order", 2, shop.PATH), _sale("Cancel", 2, shop.PATH)]


@pytest.mark.parametrize(
    ("sales", "granted", "wrong"),
    [
        ([BOUGHT], {501}, []),
        ([BOUGHT], set(), ["has course 501 in Thinkific, and no grant is active"]),
        (
            [BOUGHT],
            {501, 502},
            ["has an active grant of course 502, and not the course in Thinkific"],
        ),
        (
            [BOUGHT, REFUNDED],
            {501},
            ["has [501] and not [] after Order 1048001 in order 1, Refund 1048001 in order 1"],
        ),
        ([BOUGHT, *PATH], {501}, []),
        (
            PATH[:1],
            {501},
            ["has [501] and not [501, 502, 503] after Order 1048003 in order 2"],
        ),
        ([_sale("Order", 1), _sale("Refund", 1, status=None)], {501}, []),
        (
            [_sale("Refund", 1, status=None)],
            set(),
            ["has course 501 in Thinkific, and no grant is active"],
        ),
    ],
)
def test_who_has_a_course_against_the_ledger_or_against_what_was_paid_is_found(
    acme, sales, granted, wrong
):
    """Dana has course 501 in Thinkific, and no other."""
    found = access.wrong(acme, sales, {(DANA, course) for course in granted})
    assert [line.removeprefix(f"{DANA} ") for line in found] == wrong


def test_the_faults_can_be_started_by_hand():
    """They are a program of their own, which nobody tells about settings."""
    env = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    asked = [sys.executable, "-m", "tests.faults", "--help"]
    told = subprocess.run(asked, env=env, capture_output=True, text=True, check=True)
    assert "--seed" in told.stdout
