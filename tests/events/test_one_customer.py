"""Odd answers about one customer end only that customer's action, never anybody else's."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from events.models import RuleRun
from integrations.calls import rate_limit
from integrations.models import ApiCall, Customer, Integration
from integrations.thinkific.sandbox.faults import Fault
from rules.actions import Action
from tests.support import factories, queued
from tests.support.queued import claim
from tests.support.world import World

POISONED = "poisoned@example.com"
EXPIRE = Action.EXPIRE_COURSE_ENROLLMENT
FIREWALL = "<html><head><title>403 Forbidden</title></head><body>Blocked</body></html>"

REFUSALS = {
    "401": Fault("status", status=401, body={"error": "Unauthorized"}),
    "403": Fault("status", status=403, body={"error": "Forbidden"}),
    "403 of a firewall": Fault("status", status=403, body=FIREWALL),
    "409": Fault("status", status=409, body={"errors": {"base": ["Conflict"]}}),
    "422": Fault("status", status=422, body={"errors": {"base": ["is invalid"]}}),
}
HINDRANCES = {
    "429": Fault("status", status=429, headers={"Retry-After": "30"}),
    "429 that says nothing": Fault("status", status=429),
    "500": Fault("status", status=500),
    "503 that says when": Fault("status", status=503, headers={"Retry-After": "30"}),
    "a web page": Fault("html"),
    "a reset": Fault("reset"),
    "garbage": Fault("garbage"),
    "no answer": Fault("black_hole"),
}
ANSWERS = REFUSALS | HINDRANCES


@pytest.fixture(autouse=True)
def _quiet_logs(settings) -> Iterator[None]:
    settings.RETRY_DELAYS = [0.0, 0.0]
    settings.CALL_DEADLINE_SECONDS = 1.0
    with queued.nothing_personal():
        yield


def _poison(world: World, fault: Fault, **where: Any) -> Fault:
    return world.sandbox.faults.add(replace(fault, times=None, **where))


def _known(world: World, course, email: str) -> Customer:
    """A customer who has the course already, by an earlier purchase."""
    customer: Customer = factories.CustomerFactory.create(email=email)
    queued.run(course, customer, at=-10)
    queued.drain()
    world.sandbox.clear_calls()
    return customer


def _carry_out_until_over(made: RuleRun) -> RuleRun:
    for _ in range(6):
        RuleRun.objects.filter(pk=made.pk, status="waiting").update(next_attempt_at=queued.START)
        queued.drain()
    return queued.again(made)


def _assert_only_one_failed(world: World, poisoned: RuleRun, others: list[RuleRun]) -> RuleRun:
    """The others are done at the first go; the poisoned one ends, and the site stays open."""
    queued.drain()
    assert {queued.again(other).status for other in others} == {"done"}
    ended = _carry_out_until_over(poisoned)
    assert ended.status == "failed"
    assert ended.message
    assert rate_limit.open_sites() == {world.integration.pk}
    assert Integration.objects.get(pk=world.integration.pk).connection == "connected"
    late = queued.run(world.course("Course Three"), at=99)
    queued.drain()
    assert queued.again(late).status == "done"
    return ended


@pytest.mark.first_database
@pytest.mark.parametrize("kind", ANSWERS)
def test_a_new_buyer_whose_calls_fail_for_good_fails_alone(world, kind):
    course = world.course()
    customer = factories.CustomerFactory.create(email=POISONED)
    poisoned = queued.run(course, customer, at=1)
    others = [queued.run(course, at=at) for at in range(2, 6)]
    _poison(world, ANSWERS[kind], path="^/users$", about=POISONED)
    _assert_only_one_failed(world, poisoned, others)


@pytest.mark.first_database
@pytest.mark.parametrize("kind", ANSWERS)
@pytest.mark.parametrize("call", ["GET", "POST"])
def test_a_known_buyer_whose_enrollment_fails_for_good_fails_alone(world, kind, call):
    customer = _known(world, world.course("Course One"), POISONED)
    course = world.course()
    poisoned = queued.run(course, customer, at=1)
    others = [queued.run(course, at=at) for at in range(2, 6)]
    (user,) = world.school.users
    about = f"^{user.id}$" if call == "GET" else rf'"user_id": {user.id}\b'
    _poison(world, ANSWERS[kind], method=call, path="^/enrollments$", about=about)
    _assert_only_one_failed(world, poisoned, others)


@pytest.mark.first_database
@pytest.mark.parametrize("kind", ANSWERS)
@pytest.mark.parametrize("call", ["GET /enrollments", "PUT /enrollments/"])
def test_a_known_buyer_whose_refund_fails_for_good_fails_alone(world, kind, call):
    course = world.course()
    customer, neighbor = _known(world, course, POISONED), _known(world, course, "b@example.com")
    row = world.school.enrollment(POISONED, course.external_id)
    assert row is not None
    poisoned = queued.run(course, customer, at=1, action=EXPIRE)
    others = [queued.run(course, at=at) for at in range(2, 6)]
    others.append(queued.run(course, neighbor, at=7, action=EXPIRE))
    method, path = call.split()
    if method == "GET":
        _poison(world, ANSWERS[kind], method=method, path=path, about=f"^{row.user_id}$")
    else:
        _poison(world, ANSWERS[kind], method=method, path=f"^{path}{row.id}$")
    _assert_only_one_failed(world, poisoned, others)


# What is said, and asked


def _refused_sale(world: World, fault: Fault) -> RuleRun:
    customer = factories.CustomerFactory.create(email=POISONED)
    made = queued.run(world.course(), customer, at=1)
    _poison(world, fault, about=POISONED)
    queued.drain()
    return queued.again(made)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("401", "Thinkific refused this one request, although the key works."),
        ("403", "Thinkific refused this one request, although the key works."),
        ("403 of a firewall", "Something in front of Thinkific, such as a firewall, refused what"),
    ],
)
def test_a_refusal_that_is_no_statement_about_the_site_fails_at_once_in_true_words(
    world, kind, said
):
    ended = _refused_sale(world, REFUSALS[kind])
    assert (ended.status, ended.attempts) == ("failed", 1)
    assert ended.message.startswith(said)
    assert "retry" in ended.message
    assert world.calls() == ["POST /users", "GET /courses"]


def test_the_question_stands_among_the_exchanges_of_the_run_that_raised_it(world):
    ended = _refused_sale(world, REFUSALS["403"])
    exchanges = ApiCall.objects.filter(run_id=ended.pk).order_by("pk")
    assert [call.url.rpartition("/v1")[2] for call in exchanges] == ["/users", "/courses?limit=1"]


def test_many_refusals_with_403_ask_once_in_a_minute(world):
    course = world.course()
    made = [queued.run(course, at=at) for at in range(5)]
    _poison(world, REFUSALS["403"], method="POST", path="^/users$")
    queued.drain()
    assert {queued.again(run).status for run in made} == {"failed"}
    assert world.calls().count("GET /courses") == 1


def test_many_refusals_at_once_ask_once(world):
    course = world.course()
    made = [queued.run(course, at=at) for at in range(4)]
    _poison(world, REFUSALS["401"], method="POST", path="^/users$")
    world.sandbox.switches.latency = 0.1
    claimed = claim(8)
    assert len(claimed) == len(made)
    queued.carry_out(*claimed)  # all in one loop
    assert {queued.again(run).status for run in made} == {"failed"}
    assert world.calls().count("GET /courses") == 1


def test_a_401_after_the_key_was_found_to_work_asks_again(world):
    course = world.course()
    _refused_sale(world, REFUSALS["403"])
    world.sandbox.faults.clear()
    world.school.change_key("f" * 32)
    late = queued.run(course, at=5)
    queued.drain()
    assert queued.again(late).status == "waiting"
    assert Integration.objects.get(pk=world.integration.pk).connection == "refused"


def test_a_refusal_after_a_pause_that_ended_meanwhile_asks_again_and_counts(world, settings):
    settings.CALL_DEADLINE_SECONDS = 5.0
    course = world.course()
    Integration.objects.update(connection=Integration.Connection.UNKNOWN)  # its key is new
    slow = queued.run(course, factories.CustomerFactory.create(email="slow@example.com"), at=1)
    customer = factories.CustomerFactory.create(email=POISONED)
    made = queued.run(course, customer, at=2)
    world.sandbox.faults.add(Fault("delay", delay=1.6, about="slow@example.com"))
    limit = Fault("status", status=429, headers={"Retry-After": "1"})
    world.sandbox.faults.add(replace(limit, about=POISONED))
    world.sandbox.faults.add(replace(limit, path="^/courses$"))
    queued.carry_out(*claim(2))  # a task whose time to claim, and to ask paused sites, is over
    assert queued.again(slow).status == "done"  # its answer came after the pause
    assert rate_limit.open_sites() == {world.integration.pk}
    _poison(world, REFUSALS["403"], about=POISONED)
    world.sandbox.clear_calls()
    attempts = sum(queued.work() for _ in range(4))
    ended = queued.again(made)
    assert (attempts, ended.status, ended.code, ended.attempts) == (
        1,
        "failed",
        "request_denied",
        1,
    )
    assert world.calls() == ["POST /users", "GET /courses"]


def test_a_limit_of_one_request_waits_alone_for_as_long_as_it_was_told(world, settings):
    settings.RETRY_DELAYS = [0.0, 1.0]
    customer = factories.CustomerFactory.create(email=POISONED)
    made = queued.run(world.course(), customer)
    _poison(world, ANSWERS["429"], about=POISONED)
    queued.drain()
    waiting = queued.again(made)
    assert (waiting.status, waiting.attempts) == ("waiting", 1)
    assert waiting.message == "Thinkific limits this one request. Admit tries again by itself."
    assert waiting.next_attempt_at
    assert waiting.started_at
    assert (waiting.next_attempt_at - waiting.started_at).total_seconds() > 25
    assert rate_limit.open_sites() == {world.integration.pk}


def test_a_refusal_beside_a_question_without_an_answer_is_tried_again(world):
    customer = factories.CustomerFactory.create(email=POISONED)
    made = queued.run(world.course(), customer)
    _poison(world, REFUSALS["403"], about=POISONED)
    _poison(world, ANSWERS["a reset"], method="GET", path="^/courses$")
    queued.drain()
    assert queued.again(made).status in {"waiting", "failed"}
    assert "did not answer whether it does so in general" in queued.again(made).message
    assert rate_limit.open_sites() == {world.integration.pk}


def test_a_firewall_that_refuses_a_body_stops_nobody_else(world):
    course = world.course()
    mallory = factories.CustomerFactory.create(first_name="<script>x</script>")
    poisoned = queued.run(course, mallory, at=1)
    others = [queued.run(course, at=at) for at in range(2, 6)]
    _poison(world, REFUSALS["403 of a firewall"], about="<script")
    ended = _assert_only_one_failed(world, poisoned, others)
    assert "Something in front of Thinkific" in ended.message
