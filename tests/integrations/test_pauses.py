"""Pauses: a rejected key, a limit that is used up, a site that asks for time.

What stops a whole site, and what opens it, is the answer to a neutral question of ours. Answers
that concern one customer alone are in test_one_customer.py.
"""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial

import pytest
from cryptography.fernet import Fernet
from django.db.models import F

from events.execution import due_work, retry_by_hand, wait_reasons
from events.models import RuleRun
from events.worker import scheduler
from integrations import credentials
from integrations.calls import rate_limit
from integrations.models import CallBudget, Integration
from integrations.thinkific.sandbox.faults import Fault
from tests.support import factories, queued
from tests.support.queued import claim
from tests.support.world import World

NEW_KEY = "f" * 32


@pytest.fixture(autouse=True)
def _quiet_logs() -> Iterator[None]:
    with queued.nothing_personal():
        yield


def _at(when: Callable[[], object]) -> None:
    """Wait until it is so, at most five seconds."""
    give_up = time.monotonic() + 5
    while not when():
        assert time.monotonic() < give_up
        time.sleep(0.005)


def _connection(world: World) -> str:
    return Integration.objects.get(pk=world.integration.pk).connection


def _assert_paused(world: World, why: str, seconds: float, *, within: float) -> None:
    found, left = rate_limit.blocked_for(world.integration.pk)
    assert found == why
    assert left == pytest.approx(seconds, abs=within)


# A rejected key


def _reject(world: World, status: int) -> None:
    """Let Thinkific turn every call down, by the key itself or by the plan."""
    if status == 401:
        world.school.change_key(NEW_KEY)
    else:
        world.sandbox.faults.add(Fault("status", status=403, times=None))


def _questions(status: int) -> list[str]:
    """What is asked before a refusal of this kind is taken for one of the whole site."""
    return ["GET /courses"] if status == 401 else ["GET /courses", "GET /users"]


def _accept(world: World) -> None:
    world.school.change_key(factories.KEY)
    world.sandbox.faults.clear()


@pytest.mark.parametrize("status", [401, 403])
def test_a_rejected_key_pauses_the_site_and_counts_no_attempt(world, status):
    course = world.course()
    made = [queued.run(course) for _ in range(3)]
    _reject(world, status)
    queued.drain()
    assert world.calls() == ["POST /users", *_questions(status)]
    stored = [queued.again(run) for run in made]
    assert [(run.status, run.attempts) for run in stored] == [("waiting", 0)] * 3
    says = {401: "does not accept the key", 403: "denies access"}[status]
    waits = {
        401: "Waits because the API key of Art Academy does not work. It continues as soon as this "
        "API key works again or another one is entered.",
        403: "Waits because Art Academy denies access: its Thinkific plan has no API access (Grow "
        "or higher is required), or the key lacks a permission. It continues as soon as that "
        "is fixed in Thinkific.",
    }[status]
    assert says in stored[0].message
    assert "enter the key" not in stored[0].message
    for run in stored:
        assert wait_reasons.reason(run) == waits
    assert stored[0].event.status == "waiting"
    assert _connection(world) == "refused"
    _assert_paused(world, "key", 600, within=5)


@pytest.mark.parametrize("status", [401, 403])
def test_nobody_calls_during_a_pause(world, status):
    course = world.course()
    for _ in range(3):
        queued.run(course)
    _reject(world, status)
    queued.drain()
    assert not due_work.exists()
    assert queued.work() == 0
    world.sandbox.clear_calls()
    queued.run(course)
    assert queued.work() == 0
    assert world.calls() == []


@pytest.mark.parametrize("status", [401, 403])
def test_after_a_pause_one_question_goes_out_and_finds_the_site_closed(world, status):
    course = world.course()
    made = [queued.run(course) for _ in range(6)]
    _reject(world, status)
    queued.drain()
    world.sandbox.clear_calls()
    queued.end_pause(world.integration)
    assert due_work.exists()
    world.sandbox.switches.latency = 0.15
    queued.at_once(*[queued.work] * 4)
    assert world.calls() == _questions(status)
    _assert_paused(world, "key", 600, within=5)
    assert {(queued.again(run).status, queued.again(run).attempts) for run in made} == {
        ("waiting", 0)
    }


@pytest.mark.parametrize("status", [401, 403])
def test_a_question_that_is_answered_opens_the_site(world, status):
    course = world.course()
    made = [queued.run(course) for _ in range(4)]
    _reject(world, status)
    queued.drain()
    _accept(world)
    queued.end_pause(world.integration)
    queued.drain()
    assert {queued.again(run).status for run in made} == {"done"}
    assert {queued.again(run).attempts for run in made} == {1}
    assert _connection(world) == "connected"
    assert rate_limit.open_sites() == {world.integration.pk}


def test_while_the_question_is_out_nobody_calls(world):
    course = world.course()
    for _ in range(4):
        queued.run(course)
    world.school.change_key(NEW_KEY)
    queued.drain()
    _accept(world)
    world.sandbox.clear_calls()
    queued.end_pause(world.integration)
    world.sandbox.faults.add(Fault("delay", delay=0.3))

    def watch() -> int:
        _at(lambda: world.sandbox.calls)
        assert not due_work.exists()
        return len(claim(8))

    _, meanwhile = queued.at_once(queued.work, watch)
    assert meanwhile == 0


def test_a_question_that_nobody_answers_leaves_the_pause_and_is_asked_again(world):
    made = queued.run(world.course())
    rate_limit.block(world.integration.pk, CallBudget.Blocked.KEY, 600)
    queued.end_pause(world.integration)
    world.sandbox.faults.add(Fault("reset"))
    queued.drain()
    assert queued.again(made).attempts == 0
    assert not due_work.exists()
    assert world.calls() == ["GET /courses"]
    CallBudget.objects.update(asked_at=F("asked_at") - 31)
    assert due_work.exists()
    world.later()
    assert queued.again(made).status == "done"


@pytest.mark.first_database
@pytest.mark.parametrize("status", [500, 503])
def test_a_site_that_is_down_does_not_prove_that_its_key_works(world, status):
    queued.run(world.course())
    rate_limit.block(world.integration.pk, CallBudget.Blocked.KEY, 600)
    queued.end_pause(world.integration)
    world.sandbox.faults.add(Fault("status", status=status, times=None))
    queued.drain()
    assert world.calls() == ["GET /courses", "GET /users"]
    assert rate_limit.blocked_for(world.integration.pk)[0] == "key"


@pytest.mark.first_database
@pytest.mark.parametrize("path", ["/courses", "/users"])
@pytest.mark.parametrize("status", [403, 500])
def test_a_key_that_may_read_one_of_two_lists_is_not_refused(world, path, status):
    made = queued.run(world.course())
    rate_limit.block(world.integration.pk, CallBudget.Blocked.KEY, 600)
    queued.end_pause(world.integration)
    world.sandbox.faults.add(
        Fault("status", status=status, method="GET", path=f"^{path}$", times=None)
    )
    queued.drain()
    assert queued.again(made).status == "done"
    assert _connection(world) == "connected"


def test_a_new_key_opens_the_site_at_once_and_what_waits_goes_on(world):
    course = world.course()
    made = [queued.run(course) for _ in range(3)]
    world.school.change_key(NEW_KEY)
    queued.drain()
    assert not scheduler.anything_due()
    credentials.save(Integration.objects.get(), NEW_KEY)
    assert scheduler.anything_due()
    assert rate_limit.open_sites() == {world.integration.pk}
    queued.drain()
    assert {queued.again(run).status for run in made} == {"done"}


def test_an_answer_got_with_an_old_key_pauses_nothing(world):
    made = queued.run(world.course())
    world.school.change_key(NEW_KEY)
    world.sandbox.switches.latency = 0.3

    def enter_new_key() -> int:
        _at(lambda: world.sandbox.calls)
        credentials.save(Integration.objects.get(), NEW_KEY)
        return 0

    queued.at_once(queued.work, enter_new_key)
    stored = queued.again(made)
    assert (stored.status, stored.attempts) == ("waiting", 0)
    assert _connection(world) == "unknown"
    assert rate_limit.open_sites() == {world.integration.pk}
    queued.drain()
    assert queued.again(made).status == "done"


def test_saving_an_integration_without_a_new_key_leaves_its_pause(world):
    queued.run(world.course())
    world.school.change_key(NEW_KEY)
    queued.drain()
    credentials.save(Integration.objects.get())
    assert rate_limit.open_sites() == set()


def test_a_neighboring_site_goes_on(world):
    course = world.course()
    world.sandbox.add_school("beta", key=factories.KEY).add_course("Far away", course_id=77)
    beta = factories.connected("beta", name="Beta")
    far = factories.DestinationFactory.create(integration=beta, external_id=77)
    here, there = queued.run(course), queued.run(far)
    world.school.change_key(NEW_KEY)
    queued.drain()
    assert queued.again(here).status == "waiting"
    assert queued.again(there).status == "done"


def test_a_key_that_this_server_cannot_open_pauses_the_site(world, settings):
    course = world.course()
    made = [queued.run(course) for _ in range(3)]
    ours = settings.FIELD_ENCRYPTION_KEYS
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    queued.drain()
    stored = queued.again(made[0])
    assert (stored.status, stored.attempts) == ("waiting", 0)
    assert stored.message == (
        "The stored secret cannot be opened with FIELD_ENCRYPTION_KEYS of this server. "
        "Put the key that sealed it back into .env, or give the integration a new one."
    )
    assert world.calls() == []
    assert _connection(world) == "refused"
    assert not due_work.exists()
    settings.FIELD_ENCRYPTION_KEYS = ours
    queued.end_pause(world.integration)
    queued.drain()
    assert {queued.again(run).status for run in made} == {"done"}


def test_entering_the_key_again_ends_the_pause_of_one_that_could_not_be_opened(world, settings):
    made = queued.run(world.course())
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    queued.drain()
    credentials.save(Integration.objects.get(), factories.KEY)
    queued.drain()
    assert queued.again(made).status == "done"


# A limit that is used up


@pytest.mark.first_database
@pytest.mark.parametrize(
    "header", ["epoch_ms", "epoch_s", "small_ms", "retry_after", "retry_after_date", "none"]
)
def test_a_429_stops_the_whole_site_for_the_time_told(world, header):
    course = world.course()
    made = [queued.run(course) for _ in range(4)]
    world.sandbox.switches.reset_header = header
    # A window of 40 s, so that each header tells about as much, and "none" tells nothing.
    world.sandbox.switches.calls_window = 40.0
    world.sandbox.switches.calls_per_minute = 1
    queued.drain()
    assert world.calls() == ["POST /users", "POST /enrollments", "GET /courses"]
    _assert_paused(world, "limit", 60 if header == "none" else 40, within=2.5)
    assert {queued.again(run).status for run in made} == {"waiting"}
    assert {queued.again(run).attempts for run in made} == {0}
    assert not due_work.exists()
    assert "limit of calls is used up" in queued.again(made[0]).message
    reason = "Waits because Thinkific asked for a pause. It continues by itself."
    assert {wait_reasons.reason(queued.again(run)) for run in made} == {reason}


def _limited(seconds: float, *, times: int | None = 2) -> Fault:
    """A limit of the site: it answers the customer's call and the question alike."""
    return Fault("status", status=429, headers={"Retry-After": str(seconds)}, times=times)


def test_after_a_429_one_question_goes_out_and_then_everything_goes_on(world):
    course = world.course()
    made = [queued.run(course) for _ in range(4)]
    world.sandbox.faults.add(_limited(40))
    queued.drain()
    queued.end_pause(world.integration)
    world.sandbox.clear_calls()
    world.sandbox.faults.add(_limited(50, times=1))
    world.sandbox.switches.latency = 0.15
    queued.at_once(*[queued.work] * 4)
    assert world.calls() == ["GET /courses"]
    _assert_paused(world, "limit", 50, within=2)
    world.sandbox.switches.latency = 0
    queued.end_pause(world.integration)
    queued.drain()
    assert {(queued.again(run).status, queued.again(run).attempts) for run in made} == {("done", 1)}


def test_a_worker_that_looked_before_a_new_pause_began_does_not_ask_during_it(world):
    course = world.course()
    queued.run(course)
    world.sandbox.faults.add(_limited(40))
    queued.drain()
    queued.end_pause(world.integration)
    (late,) = due_work.sites_to_ask()
    world.sandbox.faults.add(_limited(50, times=1))
    queued.drain()
    world.sandbox.clear_calls()
    queued.ask(late)
    assert world.calls() == []
    _assert_paused(world, "limit", 50, within=5)


def _in(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.first_database
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (lambda: "0", 1),
        (lambda: "-5", 1),
        (lambda: "42", 42),
        (lambda: "1000000000", 900),
        (lambda: _in(42), 42),
        (lambda: _in(-3600), 1),
        (lambda: _in(86400), 900),
    ],
)
def test_the_time_told_is_kept_between_a_second_and_a_quarter_of_an_hour(
    world, status, told, expected
):
    made = queued.run(world.course())
    fault = Fault("status", status=status, headers={"Retry-After": told()}, times=None)
    world.sandbox.faults.add(fault)
    (run,) = claim(1)
    queued.carry_out(run)
    _assert_paused(world, "limit", expected, within=1.6)
    assert queued.again(made).attempts == 0


def test_a_503_that_says_when_to_come_back_stops_the_site_and_counts_no_attempt(world):
    course = world.course()
    made = [queued.run(course) for _ in range(3)]
    world.sandbox.faults.add(Fault("status", status=503, headers={"Retry-After": "40"}, times=2))
    queued.drain()
    assert world.calls() == ["POST /users", "GET /courses"]
    assert {(queued.again(run).status, queued.again(run).attempts) for run in made} == {
        ("waiting", 0)
    }
    assert not due_work.exists()
    queued.end_pause(world.integration)
    queued.drain()
    assert {queued.again(run).status for run in made} == {"done"}
    assert len(world.school.users) == 3


def test_a_503_without_a_time_stops_only_its_own_run(world):
    course = world.course()
    made = [queued.run(course) for _ in range(3)]
    world.sandbox.faults.add(Fault("status", status=503))
    queued.drain()
    assert sorted(queued.again(run).status for run in made) == ["done", "done", "waiting"]
    assert rate_limit.open_sites() == {world.integration.pk}


@pytest.mark.first_database
@pytest.mark.parametrize("answer", [400, 404, 422, 500])
def test_any_other_answer_ends_a_pause_for_the_limit(world, answer):
    course = world.course()
    made = [queued.run(course) for _ in range(2)]
    rate_limit.block(world.integration.pk, CallBudget.Blocked.LIMIT, 60)
    queued.end_pause(world.integration)
    world.sandbox.faults.add(Fault("status", status=answer, path="^/(courses|users)$", times=2))
    queued.drain()
    assert queued.again(made[1]).status == "done"
    assert rate_limit.open_sites() == {world.integration.pk}


def test_the_order_of_a_customer_is_kept_across_a_pause(world):
    course, customer = world.course(), factories.CustomerFactory.create()
    first = queued.run(course, customer, at=1)
    second = queued.run(course, customer, at=2, action="expire_course_enrollment")
    world.sandbox.faults.add(_limited(40))
    queued.drain()
    queued.end_pause(world.integration)
    queued.drain()
    ended = RuleRun.objects.order_by("finished_at").values_list("pk", flat=True)
    assert list(ended) == [first.pk, second.pk]
    assert queued.again(second).message == "Access to Course Two ended."
    assert not world.access(customer.email, course)


def test_a_retry_by_a_person_waits_for_the_end_of_the_pause_too(world):
    made = queued.run(world.course(), status="failed")
    rate_limit.block(world.integration.pk, CallBudget.Blocked.LIMIT, 60)
    retry_by_hand.retry([made])
    assert queued.work() == 0
    assert world.calls() == []


def test_who_waits_for_a_slot_does_not_call_a_site_that_was_stopped_meanwhile(world, settings):
    made = queued.run(world.course())
    settings.THINKIFIC_CALLS_PER_MINUTE = 62  # slots a second apart, after the first two
    (run,) = claim(1)
    for _ in range(2):
        rate_limit.take_slot(world.integration.pk, max_wait=0)

    def stop_the_site() -> None:
        time.sleep(0.2)  # by then it waits, unless the machine is slow
        rate_limit.block(world.integration.pk, CallBudget.Blocked.LIMIT, 40)

    queued.at_once(partial(queued.carry_out, run), stop_the_site)
    assert world.calls() == []
    assert (queued.again(made).status, queued.again(made).attempts) == ("waiting", 0)
