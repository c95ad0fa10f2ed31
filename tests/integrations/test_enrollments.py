"""What the actions send, how they read odd answers, and what is gone from the site."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from integrations.models import ApiCall, Destination, Intent, ThinkificUser
from integrations.thinkific import courses
from integrations.thinkific.calls import Steps
from integrations.thinkific.sandbox import Fault, User
from tests.support import factories
from tests.support.place import ALREADY, EMAIL, KINDS, MADE_AGAIN, NO_STUDENT, place_for, shortened
from tests.support.situations import enrolled, expired, known, nobody, on_site, removed
from tests.support.world import World

pytestmark = pytest.mark.first_database

# What has gone


@pytest.mark.parametrize("arrange", [nobody, known, on_site])
@pytest.mark.parametrize("kind", KINDS)
def test_a_destination_that_has_gone_fails_in_plain_words(world: World, kind, arrange):
    place = place_for(world, kind)
    arrange(place)
    _take_away(world, kind)
    run = place.buy()
    assert (run.status, run.message) == (
        "failed",
        f"{place.sold.name} is gone from Thinkific, so nobody can be enrolled in it. "
        "Choose another course for its rules, and retry what failed.",
    )
    assert len(place.calls()) <= 4
    assert [user.email for user in world.school.users] == [EMAIL]
    assert ThinkificUser.objects.count() == 1
    assert not Intent.objects.exists()


def test_a_refund_of_a_bundle_that_has_gone_says_that_access_may_be_left(world: World):
    place = place_for(world, "bundle")
    enrolled(place)
    _take_away(world, "bundle")
    run = place.refund()
    assert (run.status, run.message) == (
        "failed",
        "All of it is gone from Thinkific, so Admit cannot end the access to it. "
        "Look at the student in Thinkific, and end there what is left of it.",
    )
    assert place.calls() == ["GET /bundles/*/enrollments", "GET /bundles/*"]


def test_a_refund_of_a_course_that_has_gone_finds_nothing_to_end(world: World):
    place = place_for(world, "course")
    enrolled(place)
    _take_away(world, "course")
    assert place.refund().message == "Was not enrolled in Course One; nothing to end."


def _take_away(world: World, kind: str) -> None:
    if kind == "course":
        world.school.remove_course(min(world.school.courses.values(), key=lambda each: each.id))
    else:
        world.school.remove_bundle(*world.school.bundles.values())


@pytest.mark.parametrize("kind", KINDS)
def test_a_student_whom_the_site_never_finds_ends_the_run_after_the_usual_attempts(
    world: World, settings, kind
):
    settings.RETRY_DELAYS = [0, 30]
    place = place_for(world, kind)
    known(place)
    lost = {"errors": ["User could not be found."]}
    path = "/enrollments$"
    world.sandbox.faults.add(
        Fault("status", times=None, method="POST", path=path, status=422, body=lost)
    )
    run = place.buy()
    assert (run.status, run.attempts) == ("waiting", 1)
    assert len(place.calls()) <= 6
    run = place.attempts(run)
    assert (run.status, run.attempts) == ("failed", 2)
    assert "User could not be found" in run.message
    assert "is gone" not in run.message
    assert len(place.calls()) <= 6
    assert len(world.school.users) == 1


def test_a_removed_student_is_remembered_anew(world: World):
    place = place_for(world, "course")
    gone = place.known()
    world.school.remove_user(gone)
    place.buy()
    thinkific_user = ThinkificUser.objects.get()
    assert thinkific_user.user_id == world.school.users[0].id != gone.id


def test_a_not_found_of_the_remembered_student_is_believed_only_when_no_account_is_there(
    world: World,
):
    """Whether the site answers 404 or an empty list for a student who is gone is open."""
    place = place_for(world, "course")
    removed(place)
    world.sandbox.faults.add(Fault("status", method="GET", path="/enrollments", status=404))
    assert place.buy().message == f"Enrolled in Course One. {MADE_AGAIN}"
    assert [shortened([call]) for call in place.calls()] == [
        "GET enrollments",
        "GET users",
        "POST users",
        "POST enrollments",
    ]


def test_a_taken_e_mail_that_the_site_does_not_show_needs_a_person(world: World):
    place = place_for(world, "course")
    place.on_site("Dana@Example.com")
    world.sandbox.switches.email_query = "case_sensitive"
    run = place.buy()
    assert run.status == "failed"
    assert "email: has already been taken" in run.message
    assert "but shows no student with it" in run.message
    assert place.calls() == ["POST /users", "GET /users"]
    assert not Intent.objects.exists()


# What is sent


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("Dana", "Example", ("Dana", "Example")),
        ("", "", ("dana", "-")),
        (None, None, ("dana", "-")),
        ("  ", "Example", ("dana", "Example")),
        ("Dana", "  ", ("Dana", "-")),
        ("D" * 300, "É" * 300, ("D" * 100, "É" * 100)),
        ("<b>", "O'Brien 😀", ("<b>", "O'Brien 😀")),
    ],
)
def test_a_buyer_with_any_names_gets_an_account(world: World, first, last, expected):
    place = place_for(world, "course")
    run = place.buy(customer__first_name=first, customer__last_name=last)
    assert run.status == "done", run.message
    (user,) = world.school.users
    assert (user.first_name, user.last_name) == expected


def test_a_students_names_are_never_overwritten(world: World):
    place = place_for(world, "course")
    place.known(first_name="Danielle", last_name="Own")
    place.buy(customer__first_name="Dana", customer__last_name="Other")
    (user,) = world.school.users
    assert (user.first_name, user.last_name) == ("Danielle", "Own")


@pytest.mark.parametrize("wanted", [True, False])
def test_the_welcome_e_mail_is_always_said_explicitly(world: World, wanted):
    place = place_for(world, "course")
    world.integration.send_welcome_email = wanted
    world.integration.save()
    place.buy()
    (body,) = place.sent("POST /users")
    assert body["send_welcome_email"] is wanted
    assert world.school.users[0].welcomed is wanted


@pytest.mark.parametrize("kind", KINDS)
def test_an_enrollment_is_sent_with_a_beginning_in_the_past_and_no_end(world: World, kind):
    place = place_for(world, kind)
    place.buy()
    (body,) = place.sent("POST /bundles/*/enrollments" if kind == "bundle" else "POST /enrollments")
    begins = datetime.fromisoformat(body.pop("activated_at"))
    assert timedelta() < datetime.now(UTC) - begins < timedelta(minutes=5)
    assert set(body) == ({"user_id"} if kind == "bundle" else {"user_id", "course_id"})


def test_a_new_student_is_made_in_lower_case(world: World):
    place = place_for(world, "course")
    place.buy(customer__email=" Dana@EXAMPLE.com ")
    assert place.sent("POST /users")[0]["email"] == EMAIL


def test_an_end_is_a_day_in_the_past(world: World):
    place = place_for(world, "course")
    enrolled(place)
    place.refund()
    (body,) = place.sent("PUT /enrollments/*")
    ends = datetime.fromisoformat(body["expiry_date"])
    assert timedelta(hours=23) < datetime.now(UTC) - ends < timedelta(hours=25)
    assert set(body) == {"expiry_date"}


def test_progress_outlives_a_refund_and_a_purchase(world: World):
    place = place_for(world, "course")
    row = place.enroll(place.known())
    row.percentage_completed = 0.4
    place.refund()
    place.buy()
    again = place.row(place.courses[0])
    assert again is row
    assert (again.percentage_completed, again.active) == (0.4, True)


def test_the_end_of_a_bundle_spares_the_courses_outside_of_it(world: World):
    place = place_for(world, "bundle")
    other = world.course("Course Other")
    user = place.known()
    place.enroll(user)
    world.school.enroll(user, world.school.courses[other.external_id])
    place.refund()
    assert world.access(EMAIL, other)


# Administrators


@pytest.mark.parametrize("remembered", [True, False])
def test_the_log_says_that_an_administrators_enrollments_do_not_show(world: World, remembered):
    place = place_for(world, "course")
    place.on_site(roles=["site_admin"])
    if remembered:
        place.buy()
    run = place.buy()
    assert run.status == "done"
    assert run.message.endswith(
        "This e-mail is a Thinkific administrator; its enrollments do not show. "
        "Test with another address."
    )


# Lists that are not as one would wish


def rows(*found: dict[str, Any]) -> dict[str, Any]:
    return {"items": list(found), "meta": {"pagination": {"next_page": None}}}


def row(user: User, course: Destination, **facts: Any) -> dict[str, Any]:
    full = {"activated_at": "2024-01-01T00:00:00Z", "is_free_trial": False, "expired": False}
    about = {"id": 7, "user_id": user.id, "course_id": course.external_id, "expiry_date": None}
    return full | about | facts


def test_rows_of_others_are_passed_over_where_a_filter_is_ignored(world: World):
    place = place_for(world, "course")
    user, other = place.known(), place.on_site("other@example.com")
    found = rows(row(other, place.courses[0]), row(user, place.courses[1]))
    world.sandbox.faults.add(
        Fault("status", method="GET", path="/enrollments", status=200, body=found)
    )
    assert place.buy().message == "Enrolled in Course One."
    assert place.calls() == ["GET /enrollments", "POST /enrollments"]


def test_users_of_other_e_mails_are_passed_over_where_a_filter_is_ignored(world: World):
    place = place_for(world, "course")
    place.enroll(place.on_site("other@example.com"))
    found = rows({"id": world.school.users[0].id, "email": "other@example.com", "roles": []})
    world.sandbox.faults.add(Fault("status", method="GET", path="/users", status=200, body=found))
    assert place.refund().message == NO_STUDENT


def test_of_two_rows_for_one_course_only_the_running_one_is_ended(world: World):
    place = place_for(world, "course")
    user = place.known()
    real = place.enroll(user)
    past = row(user, place.courses[0], expired=True, expiry_date="2024-02-01T00:00:00Z")
    found = rows(past, row(user, place.courses[0], id=real.id))
    world.sandbox.faults.add(
        Fault("status", method="GET", path="/enrollments", status=200, body=found)
    )
    assert place.refund().message == "Access to Course One ended."
    assert world.calls() == ["GET /enrollments", f"PUT /enrollments/{real.id}"]


def test_of_two_rows_for_one_course_an_open_one_is_enough(world: World):
    place = place_for(world, "course")
    user = place.known()
    past = row(user, place.courses[0], expired=True, expiry_date="2024-02-01T00:00:00Z")
    found = rows(past, row(user, place.courses[0], id=8))
    world.sandbox.faults.add(
        Fault("status", method="GET", path="/enrollments", status=200, body=found)
    )
    assert place.buy().message == "Was already enrolled in Course One."


def test_a_free_preview_with_a_beginning_is_no_full_access(world: World):
    place = place_for(world, "course")
    user = place.known()
    real = place.enroll(user, free_trial=True)
    found = rows(row(user, place.courses[0], id=real.id, is_free_trial=True))
    world.sandbox.faults.add(
        Fault("status", method="GET", path="/enrollments", status=200, body=found)
    )
    assert place.buy().message == "Enrolled in Course One."
    assert world.access(EMAIL, place.sold)


@pytest.mark.parametrize("status", [409, 422])
@pytest.mark.parametrize("kind", KINDS)
def test_a_student_whom_somebody_enrolls_at_the_same_moment_was_already_so(
    world: World, kind, status
):
    place = place_for(world, kind)
    known(place)
    refusal = {"errors": ["User is already enrolled in this course."]}
    # It is carried out, and yet refused, as if another had come first by a hair.
    world.sandbox.faults.add(
        Fault("status", method="POST", path="enrol", status=status, body=refusal, applied=True)
    )
    run = place.buy()
    assert (run.status, run.message) == ("done", ALREADY.format(place.sold.name))
    assert not Intent.objects.exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_refused_enrollment_that_left_nothing_fails_and_says_why(world: World, kind):
    place = place_for(world, kind)
    place.enroll(place.known(), 1) if kind == "bundle" else known(place)
    refusal = {"errors": ["Enrollment limit of your plan reached."]}
    world.sandbox.faults.add(
        Fault("status", times=None, method="POST", path="enrol", status=422, body=refusal)
    )
    run = place.buy()
    assert run.status == "failed"
    assert "Enrollment limit of your plan reached." in run.message
    assert not Intent.objects.exists()


def test_an_enrollment_that_goes_while_it_is_looked_at_is_looked_at_again(world: World):
    place = place_for(world, "course")
    expired(place)
    empty = rows()
    world.sandbox.faults.add(
        Fault("status", method="GET", path="/enrollments", status=200, body=empty, after=1)
    )
    run = place.buy()
    assert run.status == "waiting"
    assert place.attempts(run).status == "done"
    assert world.access(EMAIL, place.sold)


# The calls are kept


def test_each_call_is_kept_with_its_run_and_without_the_key(world: World):
    place = place_for(world, "course")
    echo = {"errors": {"base": [f"bad key {factories.KEY}"]}}
    world.sandbox.faults.add(
        Fault("status", method="POST", path="/enrollments", status=503, body=echo)
    )
    run = place.attempts(place.buy())
    kept = ApiCall.objects.filter(run_id=run.pk).order_by("pk")
    assert [(call.method, call.status) for call in kept] == [
        ("POST", 201),
        ("POST", 503),
        ("GET", 200),
        ("POST", 201),
    ]
    assert [call.url.removeprefix(world.sandbox.url).partition("?")[0] for call in kept] == [
        "/users",
        "/enrollments",
        "/enrollments",
        "/enrollments",
    ]
    text = " ".join(f"{c.url} {c.request_text} {c.response_text} {c.error}" for c in kept)
    assert EMAIL in text
    assert factories.KEY not in text


def test_an_answer_that_shows_an_ended_enrollment_is_not_taken_for_access(
    world: World, monkeypatch
):
    # Between our look and our POST somebody else enrolls the buyer, and lets it end.
    world.sandbox.switches.repeat_post = "same"
    place = place_for(world, "course")
    user = place.known()
    looked = courses.read

    def then_it_changes(*asked: Any) -> Steps[courses.Rows]:
        found = yield from looked(*asked)
        if not found:
            place.enroll(user, expired=True)
        return found

    monkeypatch.setattr(courses, "read", then_it_changes)
    run = place.attempts(place.buy())
    assert run.status == "done"
    assert place.has_access(place.courses[0])
