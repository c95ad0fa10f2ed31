"""After lost answers and crashes, Admit reads what may have been done before it sends again."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from events.models import RuleRun
from integrations.calls import rate_limit
from integrations.models import ApiCall, Intent, ThinkificUser
from integrations.thinkific import memory
from integrations.thinkific.attempt import Note
from integrations.thinkific.memory import Memory
from integrations.thinkific.sandbox import Fault
from tests.support.database_url import database_url
from tests.support.place import EMAIL, Place, place_for, shortened
from tests.support.situations import known, nobody
from tests.support.world import World

pytestmark = pytest.mark.first_database

# Only where a fault lets us wait: a busy machine's plain answers may come later than this.
DEADLINE = 1.0
# How a known buyer is added to a bundle of which no course shows yet.
ADD = "GET bundle enrollments, GET enrollments, POST bundle enrollments"


@dataclass(frozen=True)
class Lost:
    """A way to lose the answer of a POST. `done`: it was carried out anyway.

    With `waits`, only the deadline ends the call.
    """

    name: str
    fault: dict[str, Any]
    done: bool
    waits: bool = False


def _both(name: str, *, waits: bool = False, **fault: Any) -> list[Lost]:
    """The same fault after the work was done, and before."""
    return [
        Lost(f"{name}, done", fault | {"applied": True}, True, waits),
        Lost(f"{name}, not done", fault | {"applied": False}, False, waits),
    ]


LOST = [
    *_both("reset", kind="reset"),
    *_both("no answer in time", waits=True, kind="black_hole"),
    *_both("garbage", kind="garbage"),
    *_both("a web page", kind="html"),
    *_both("500", kind="status", status=500),
    *_both("520 of Cloudflare", kind="status", status=520, body="<html>520</html>"),
    *_both("408", kind="status", status=408),
    *_both("too large", kind="bomb", size=3_000_000),
    Lost("hung up", {"kind": "drop"}, True),
    Lost("cut off", {"kind": "truncated"}, True),
    Lost("byte by byte", {"kind": "drip_headers", "delay": 0.05}, True, waits=True),
]
# What the second attempt asks when the POST was done, and when it was not.
AFTER = {
    "users": ("GET users, GET {}, POST {}", "GET users, POST users, POST {}"),
    "enrollments": ("GET {}", "GET {}, POST {}"),
}


def each_loss() -> list[Any]:
    """Every fault for accounts and courses; for bundles those of one kind are enough."""
    posts = [("course", "users", LOST), ("course", "enrollments", LOST)]
    posts.append(("bundle", "enrollments", LOST[:2]))
    return [
        pytest.param(kind, what, lost, id=f"{kind} {what}, {lost.name}")
        for kind, what, losses in posts
        for lost in losses
    ]


def lose(place: Place, what: str, fault: dict[str, Any]) -> RuleRun:
    """A purchase whose POST /users or POST .../enrollments meets the fault."""
    place.world.sandbox.faults.add(Fault(**fault, method="POST", path=f"/{what}$"))
    run = place.buy()
    assert place.world.sandbox.faults.fired
    return run


def assert_right(place: Place, run: RuleRun) -> None:
    """Done, one account, one enrollment per course, and no doubt left."""
    run.refresh_from_db()
    assert (run.status, run.message) == ("done", f"Enrolled in {place.sold.name}.")
    school = place.world.school
    assert [user.email for user in school.users] == [EMAIL]
    assert len(school.enrollments) == len(place.inside())
    assert all(row.active and row.expiry_date is None for row in school.enrollments)
    assert not Intent.objects.exists()
    assert ThinkificUser.objects.get().user_id == school.users[0].id


@pytest.mark.parametrize(("kind", "what", "lost"), each_loss())
def test_after_a_lost_answer_the_next_attempt_reads_first(
    world: World, settings, kind, what, lost: Lost
):
    place = place_for(world, kind)
    if lost.waits:
        settings.CALL_DEADLINE_SECONDS = DEADLINE
    run = lose(place, what, lost.fault)
    settings.CALL_DEADLINE_SECONDS = 20
    path = "enrollments" if kind == "course" else "bundle enrollments"
    first = "POST users" if what == "users" else f"POST users, POST {path}"
    assert shortened(place.calls()) == first
    assert (run.status, run.attempts) == ("waiting", 1)
    assert Intent.objects.get().target == ("user" if what == "users" else run.target)

    world.later()
    after = AFTER[what][not lost.done].format(path, path)
    assert shortened(place.calls()) == looked_at_once_more(after)
    assert_right(place, run)


def looked_at_once_more(calls: str) -> str:
    """After a bundle that was not there: one of its courses may have been had before."""
    again = "GET bundle enrollments"
    added = (f"{again}, POST bundle enrollments", ADD)
    return f"{calls}, {again}" if calls.endswith(added) else calls


@pytest.mark.parametrize("kind", ["course", "bundle"])
def test_a_known_buyers_lost_enrollment_is_read_first(world: World, kind):
    place = place_for(world, kind)
    known(place)
    run = lose(place, "enrollments", {"kind": "drop"})
    place.calls()
    world.later()
    assert_right(place, run)
    assert [call.split()[0] for call in place.calls()] == ["GET"]


def test_a_lost_enrollment_that_comes_late_is_found_by_the_look_after_next(world: World, settings):
    """The site goes on with a request whose caller has given up."""
    place = place_for(world, "course")
    settings.CALL_DEADLINE_SECONDS = DEADLINE
    run = lose(place, "enrollments", {"kind": "delay", "delay": 1.5 * DEADLINE})
    settings.CALL_DEADLINE_SECONDS = 20
    assert not world.school.enrollments
    until(lambda: bool(world.school.enrollments))
    place.calls()
    world.later()
    assert place.calls() == ["GET /enrollments"]
    assert_right(place, run)


def test_a_doubt_lasts_through_attempts_that_cannot_end_it(world: World):
    place = place_for(world, "course")
    run = lose(place, "enrollments", {"kind": "drop"})
    place.calls()
    for _ in range(3):
        world.sandbox.faults.add(Fault("status", method="GET", status=503))
        world.later()
        assert Intent.objects.count() == 1
    world.later()
    assert place.calls() == ["GET /enrollments"] * 4
    assert_right(place, run)


def test_a_look_up_that_fails_leaves_the_doubt_about_the_account(world: World):
    place = place_for(world, "course")
    run = lose(place, "users", {"kind": "drop"})
    place.calls()
    world.sandbox.faults.add(Fault("garbage", method="GET", path="/users"))
    world.later()
    assert Intent.objects.get().target == "user"
    world.later()
    assert place.calls() == ["GET /users", "GET /users", "GET /enrollments", "POST /enrollments"]
    assert_right(place, run)


def test_two_lost_answers_in_a_row_make_one_account_and_one_enrollment(world: World):
    place = place_for(world, "course")
    world.sandbox.faults.add(Fault("drop", method="POST", path="/enrollments$"))
    run = lose(place, "users", {"kind": "drop"})
    world.later()
    assert Intent.objects.get().target == run.target
    world.later()
    assert_right(place, run)
    assert [call for call in place.calls() if call.startswith("POST")] == [
        "POST /users",
        "POST /enrollments",
    ]


@pytest.mark.parametrize("email_query", ["exact", "partial", "case_sensitive"])
def test_a_lost_account_is_found_however_the_site_looks_up(world: World, email_query):
    place = place_for(world, "course")
    for email in ("dana@example.com.au", "xdana@example.com"):
        place.on_site(email)
    world.sandbox.switches.email_query = email_query
    world.sandbox.faults.add(Fault("drop", method="POST", path="/users$"))
    run = place.buy(customer__email="Dana@Example.com")
    world.later()
    run.refresh_from_db()
    assert run.status == "done"
    assert len(world.school.users) == 3
    assert world.access(EMAIL, place.sold)


def test_an_account_that_was_made_with_an_empty_answer_is_looked_up(world: World):
    place = place_for(world, "course")
    world.sandbox.faults.add(Fault("empty", method="POST", path="/users$"))
    run = place.buy()
    assert_right(place, run)
    assert shortened(place.calls()) == "POST users, GET users, GET enrollments, POST enrollments"


def test_an_account_made_with_an_empty_answer_stays_in_doubt_until_it_was_seen(world: World):
    place = place_for(world, "course")
    world.sandbox.faults.add(Fault("empty", method="POST", path="/users$"))
    world.sandbox.faults.add(Fault("empty", method="GET", path="/users$"))
    run = place.buy()
    assert shortened(place.calls()) == "POST users, GET users"
    world.later()
    assert_right(place, run)
    assert shortened(place.calls()) == "GET users, GET enrollments, POST enrollments"


@pytest.mark.parametrize("kind", ["course", "bundle"])
def test_an_empty_answer_to_an_enrollment_is_read_back_where_a_row_was_promised(world: World, kind):
    place = place_for(world, kind)
    world.sandbox.faults.add(Fault("empty", method="POST", path="/enrollments$"))
    assert_right(place, place.buy())
    read = {"course": ["GET /enrollments"], "bundle": []}[kind]
    assert place.calls()[2:] == read


def test_a_lost_202_is_asked_for_again_only_after_a_look(world: World):
    place = place_for(world, "bundle")
    world.sandbox.switches.update({"bundle_post": "later", "bundle_delay": 0})
    run = lose(place, "enrollments", {"kind": "drop"})
    place.calls()
    world.later()
    assert place.calls() == ["GET /bundles/*/enrollments"]
    assert_right(place, run)


def test_a_refund_after_a_lost_enrollment_ends_what_was_done(world: World):
    place = place_for(world, "course")
    lose(place, "enrollments", {"kind": "drop"})
    place.refund()
    assert [run.status for run in world.later()] == ["skipped", "done"]
    assert not world.access(EMAIL, place.sold)
    assert len(world.school.enrollments) == 1
    assert not Intent.objects.exists()


# Answers that leave no doubt


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 409, 422, 429])
@pytest.mark.parametrize("what", ["users", "enrollments"])
def test_a_refusal_leaves_no_doubt(world: World, status, what):
    place = place_for(world, "course")
    kind = "redirect" if status < 400 else "status"
    run = lose(place, what, {"kind": kind, "status": status, "times": None})
    assert not Intent.objects.exists()
    not_known_yet = (what, status) == ("enrollments", 404)
    expected = "waiting" if status == 429 or not_known_yet else "failed"
    assert run.status == expected, run.message


def test_a_connection_that_was_never_made_leaves_no_doubt(world: World):
    place = place_for(world, "course")
    world.sandbox.stop()
    run = place.buy()
    assert (run.status, Intent.objects.count()) == ("waiting", 0)
    world.sandbox.start()
    world.later()
    assert_right(place, run)
    assert place.calls() == ["POST /users", "POST /enrollments"]


def test_a_limit_that_is_met_in_between_leaves_what_was_learned(world: World):
    place = place_for(world, "course")
    limited: dict[str, Any] = {"status": 429, "headers": {"Retry-After": "1"}}
    world.sandbox.faults.add(Fault("status", path="^/courses$", **limited))
    lose(place, "enrollments", {"kind": "status", **limited})
    place.calls()
    assert ThinkificUser.objects.get().user_id == world.school.users[0].id
    until(lambda: not rate_limit.blocked_for(world.integration.pk)[1])
    (run,) = world.later()
    assert place.calls() == ["GET /courses", "GET /enrollments", "POST /enrollments"]
    assert_right(place, run)
    assert run.attempts == 1


# Crashes


class CrashError(BaseException):
    """Nothing of ours may catch it, as nothing catches a kill."""


def crash_at(monkeypatch, number: int) -> list[int]:
    """Fail in the `number`th transaction of an attempt; returns the numbers that were reached."""
    reached: list[int] = []
    write = memory.write

    def failing(learned: Iterable[tuple[Memory, Iterable[Note]]]) -> None:
        write(learned)
        reached.append(len(reached) + 1)
        if len(reached) == number:
            raise CrashError

    monkeypatch.setattr(memory, "write", failing)
    return reached


def revived(world: World) -> RuleRun:
    """The run after the worker's lease was found to be over."""
    RuleRun.objects.filter(status="running").update(lease_until=Now() - timedelta(seconds=1))
    return world.later()[-1]


CRASHES: list[tuple[str, str, Callable[[Place], object], int, str, str]] = [
    ("before the account", "course", nobody, 1, "", "POST users, POST enrollments"),
    (
        "after the account",
        "course",
        nobody,
        2,
        "POST users",
        "GET users, GET enrollments, POST enrollments",
    ),
    (
        "after the enrollment",
        "course",
        nobody,
        3,
        "POST users, POST enrollments",
        "GET enrollments",
    ),
    ("before the look", "course", known, 1, "", "GET enrollments, POST enrollments"),
    (
        "after the look",
        "course",
        known,
        2,
        "GET enrollments",
        "GET enrollments, POST enrollments",
    ),
    (
        "after the enrollment of a known buyer",
        "course",
        known,
        3,
        "GET enrollments, POST enrollments",
        "GET enrollments",
    ),
    ("before the account", "bundle", nobody, 1, "", "POST users, POST bundle enrollments"),
    ("after the account", "bundle", nobody, 2, "POST users", f"GET users, {ADD}"),
    (
        "after the enrollment",
        "bundle",
        nobody,
        3,
        "POST users, POST bundle enrollments",
        "GET bundle enrollments",
    ),
    ("before the look", "bundle", known, 1, "", ADD),
    ("after the look", "bundle", known, 2, "GET bundle enrollments", ADD),
    (
        "after the second look",
        "bundle",
        known,
        3,
        "GET bundle enrollments, GET enrollments",
        ADD,
    ),
    (
        "after the enrollment of a known buyer",
        "bundle",
        known,
        4,
        "GET bundle enrollments, GET enrollments, POST bundle enrollments",
        "GET bundle enrollments",
    ),
]


@pytest.mark.parametrize(
    ("kind", "arrange", "number", "before", "after"),
    [row[1:] for row in CRASHES],
    ids=[f"{row[0]}-{row[1]}" for row in CRASHES],
)
def test_after_a_crash_at_any_commit_the_next_attempt_reads_first(
    world: World, monkeypatch, kind, arrange, number, before, after
):
    place = place_for(world, kind)
    arrange(place)
    with monkeypatch.context() as patch:
        reached = crash_at(patch, number)
        with pytest.raises(CrashError):
            place.buy()
        assert reached[-1] == number
    assert shortened(place.calls()) == before
    posted = "POST" in before
    assert Intent.objects.count() == posted

    run = revived(world)
    assert shortened(place.calls()) == looked_at_once_more(after)
    assert_right(place, run)
    assert run.crashes == 0


WORKER = """
import django
django.setup()
from events.execution.loop import Loop
from events.execution.senders import Senders
worker = Loop(Senders(1))
while worker.turn():
    pass
"""


def test_after_a_worker_was_killed_amid_a_call_the_next_one_reads_first(world: World):
    place = place_for(world, "course")
    place.world.sell("10_product")
    world.sandbox.faults.add(Fault("black_hole", method="POST", path="/enrollments$", applied=True))
    with worker(world) as process:
        until(lambda: bool(world.school.enrollments))
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert shortened(place.calls()) == "POST users, POST enrollments"
    assert Intent.objects.count() == 1
    run = revived(world)
    assert shortened(place.calls()) == "GET enrollments"
    assert_right(place, run)
    # The call whose answer nobody got is in no list, and those before and after are.
    kept = ApiCall.objects.filter(run_id=run.pk).order_by("pk").values_list("method", flat=True)
    assert list(kept) == ["POST", "GET"]


def worker(world: World) -> "subprocess.Popen[bytes]":
    """A process of its own that carries out one run in the tests' database."""
    environment = os.environ | {
        "DATABASE_URL": database_url(),
        "THINKIFIC_API_URL": world.sandbox.url,
    }
    return subprocess.Popen([sys.executable, "-c", WORKER], env=environment)


def until(done: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for what another thread or process does."""
    give_up = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < give_up, "it never came"
        time.sleep(0.01)
