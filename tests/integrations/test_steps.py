"""Steps without a server: which calls they make, and what they learn from each answer."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from integrations.errors import Refused, Retry
from integrations.steps import drive
from integrations.thinkific import calls, courses, site_check, users
from integrations.thinkific.answers import Answer
from integrations.thinkific.attempt import (
    Accepted,
    Account,
    Attempt,
    Doubt,
    Gone,
    Opened,
    Person,
    Remembered,
    Settled,
)
from integrations.thinkific.calls import Call, Get, Post, Put, Steps
from rules.actions import ACTIONS, ActionInput

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
DANA = Person("dana@example.com", "Dana@Example.com", "Dana", "Buyer")
KNOWN = Account(7)
COURSE = ActionInput(destination_id=501, destination="Course One")
NO_ROWS = Answer(200, {"items": [], "meta": {"pagination": {"next_page": None}}})


def listed(*rows: Any, next_page: int | None = None) -> Answer:
    return Answer(200, {"items": [*rows], "meta": {"pagination": {"next_page": next_page}}})


def attempt(**facts: Any) -> Attempt:
    return Attempt(DANA, NOW, **facts)


def enrollment(**facts: Any) -> dict[str, Any]:
    full = {"id": 9, "user_id": 7, "course_id": 501, "activated_at": "2026-01-01T00:00:00Z"}
    return full | facts


def user(company: str = "Acme") -> dict[str, Any]:
    field = {"custom_profile_field_definition_id": 3, "value": company}
    return {"id": 7, "email": "dana@example.com", "custom_profile_fields": [field]}


class Played:
    """Thinkific as a list of answers, in order; an error is raised. Keeps the calls."""

    def __init__(self, *answers: Answer | Exception) -> None:
        self.calls: list[Call] = []
        self._answers: Iterator[Answer | Exception] = iter(answers)

    def send(self, call: Call) -> Answer:
        self.calls.append(call)
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def made(self) -> list[str]:
        return [f"{type(call).__name__.upper()} {call.path}" for call in self.calls]


def run(key: str, state: Attempt, site: Played, action_input: ActionInput = COURSE) -> str:
    return drive(ACTIONS[key].run(state, action_input), site.send).message


def test_steps_end_with_their_result_and_get_each_answer():
    def two() -> Steps[int]:
        first = yield Get("/a")
        second = yield Put("/b", {"seen": first.body})
        return int(second.body)

    site = Played(Answer(200, "x"), Answer(200, "42"))
    assert drive(two(), site.send) == 42
    assert site.calls == [Get("/a"), Put("/b", {"seen": "x"})]


def test_an_error_is_raised_at_the_call_and_may_be_mended_there():
    def mended() -> Steps[str]:
        try:
            yield Get("/a")
        except Refused:
            yield Get("/b")
        return "mended"

    assert drive(mended(), Played(Refused("no"), Answer(200, None)).send) == "mended"
    with pytest.raises(Retry):
        drive(mended(), Played(Retry("later")).send)


def test_a_list_is_read_no_further_than_what_is_looked_for():
    site = Played(listed({"id": 1}, {"id": 2}, {"id": 3}, next_page=2))
    found = drive(calls.rows("/users", until=lambda row: row["id"] == 2), site.send)
    assert [row["id"] for row in found] == [1, 2]
    assert len(site.calls) == 1


def test_a_new_buyer_takes_two_calls():
    state = attempt()
    site = Played(Answer(201, {"id": 7}), Answer(201, enrollment()))
    said = run("create_course_enrollment", state, site)
    assert said == "Enrolled in Course One."
    assert site.made == ["POST /users", "POST /enrollments"]
    first = site.calls[0]
    assert isinstance(first, Post)
    assert (first.target, first.body["email"]) == ("user", "dana@example.com")
    assert state.notes == [Remembered(Account(7), replaces=False), Opened()]


def test_who_has_the_course_takes_one_call():
    site = Played(listed(enrollment()))
    said = run("create_course_enrollment", attempt(account=KNOWN), site)
    assert said == "Was already enrolled in Course One."
    assert site.made == ["GET /enrollments"]


def test_what_is_in_doubt_is_looked_at_before_anything_is_sent():
    doubts = {"user": Doubt(NOW - timedelta(minutes=1)), "course:501": Doubt(NOW)}
    state = attempt(doubts=doubts)
    site = Played(listed({"id": 7, "email": "DANA@example.com"}), listed(enrollment()))
    assert run("create_course_enrollment", state, site) == "Enrolled in Course One."
    assert site.made == ["GET /users", "GET /enrollments"]
    assert Settled("user") in state.notes
    assert Settled("course:501") in state.notes
    assert not state.doubts


def test_a_refund_ends_the_access_a_day_ago_by_the_time_of_the_attempt():
    site = Played(listed(enrollment()), Answer(204, None))
    said = run("expire_course_enrollment", attempt(account=KNOWN), site)
    assert said == "Access to Course One ended."
    assert site.calls[-1] == Put("/enrollments/9", {"expiry_date": "2026-04-30T12:00:00Z"})


def test_another_account_than_the_remembered_one_is_noted_as_its_replacement():
    state = attempt(account=KNOWN)
    state.set_aside()
    site = Played(listed({"id": 8, "email": "dana@example.com"}))
    user = drive(users.ensure(state, {}), site.send)
    assert (user.id, state.replaced) == (8, True)
    assert state.notes == [Remembered(Account(8), replaces=True)]


def test_a_course_that_thinkific_says_is_gone_is_noted_and_said():
    state = attempt(account=KNOWN)
    gone = Refused("no", status=404, details=("Course could not be found",))
    with pytest.raises(Refused, match="Course One is gone from Thinkific"):
        run("create_course_enrollment", state, Played(NO_ROWS, gone))
    assert state.notes == [Gone("course", 501, gone=True)]


def test_a_course_that_was_said_to_be_gone_and_is_there_is_noted_as_back():
    state = attempt(account=KNOWN)
    action_input = ActionInput(destination_id=501, destination="Course One", said_gone=True)
    site = Played(NO_ROWS, Answer(201, enrollment()))
    assert run("create_course_enrollment", state, site, action_input) == "Enrolled in Course One."
    assert state.notes[-1] == Gone("course", 501, gone=False)


def test_a_promise_is_believed_for_an_hour():
    for age, promised in ((timedelta(minutes=59), True), (timedelta(minutes=61), False)):
        doubt = Doubt(NOW - age, accepted=True)
        assert attempt(doubts={"bundle:3": doubt}).promised("bundle:3") is promised


def test_a_202_keeps_the_doubt_and_notes_the_promise():
    state = attempt(doubts={"bundle:3": Doubt(NOW)})
    state.accept("bundle:3")
    assert state.promised("bundle:3")
    assert state.notes == [Accepted("bundle:3")]


@pytest.mark.parametrize(
    ("facts", "is_open", "has_ended"),
    [
        ({}, True, False),
        ({"expiry_date": "2026-05-01T11:59:00Z"}, False, True),
        ({"expiry_date": "2026-05-02T00:00:00Z"}, False, False),
        ({"expiry_date": courses.NEVER}, True, False),
        ({"is_free_trial": True}, False, False),
        ({"activated_at": None}, False, False),
        ({"expired": True}, False, True),
    ],
)
def test_an_enrollment_is_judged_by_the_time_of_the_attempt(facts, is_open, has_ended):
    row = enrollment(**facts)
    assert courses.is_open(row, NOW) is is_open
    assert courses.has_ended(row, NOW) is has_ended


def test_one_answered_call_proves_that_the_site_lets_us_in():
    site = Played(Answer(200, []))
    assert drive(site_check.ask(), site.send).state == "open"
    assert site.made == ["GET /courses"]


@pytest.mark.parametrize(
    ("answers", "calls_made", "taken"),
    [
        ([Answer(204, None)], ["PUT /users/7"], True),
        ([Answer(200, user("Another"))], ["PUT /users/7"], False),
        ([Answer(200, user())], ["PUT /users/7"], True),
        ([Answer(201, None), Answer(200, user())], ["PUT /users/7", "GET /users/7"], True),
        ([Answer(201, None), Answer(200, {"id": 7})], ["PUT /users/7", "GET /users/7"], False),
    ],
)
def test_signup_fields_are_believed_only_when_they_show(answers, calls_made, taken):
    state = attempt(account=KNOWN, labels={3: "Company"})
    site = Played(*answers)
    notes = drive(users.fill(state, {3: "Acme"}), site.send)
    assert site.made == calls_made
    assert (notes == []) is taken
    assert all("(Company), but does not show them" in note for note in notes)
    assert bool(state.notes) is taken
