"""How far Admit believes an answer: what is not found, and what succeeded."""

from typing import Any

import pytest

from events.execution import retry_by_hand
from events.execution.rerun import rerun
from events.models import EventLog, RuleRun
from events.reports.customers import customer_access
from events.reports.sentences.sentence import Code, Sentence
from integrations.models import Customer, Intent, ThinkificUser
from integrations.thinkific.sandbox import Fault
from rules.models import Rule
from tests.support.place import EMAIL, KINDS, MADE_AGAIN, Place, place_for, shortened
from tests.support.situations import enrolled, known, nobody, on_site
from tests.support.world import World

pytestmark = pytest.mark.first_database

# A student who is not known everywhere yet


@pytest.mark.parametrize("answer", ["user", "both", "not_found"])
@pytest.mark.parametrize("unknown", [1, 2, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_a_student_made_a_moment_ago_is_waited_for(world: World, kind, unknown, answer):
    place = place_for(world, kind)
    world.sandbox.switches.update({"new_user_unknown": unknown, "new_user_answer": answer})
    run = place.buy()
    assert (run.status, run.attempts) == ("waiting", 1)
    assert "is gone" not in run.message
    assert "Admit tries again by itself." in run.message
    assert not Intent.objects.exists()
    run = place.attempts(run, most=5)
    assert (run.status, run.message) == ("done", f"Enrolled in {place.sold.name}.")
    assert [user.email for user in world.school.users] == [EMAIL]
    assert all(place.has_access(course) for course in place.inside())
    assert customer_access.describe(Customer.objects.get()).lines[0].kind == "good"


@pytest.mark.parametrize("kind", KINDS)
def test_a_student_who_is_never_known_ends_failed_and_nothing_is_called_gone(
    world: World, settings, kind
):
    settings.RETRY_DELAYS = [0, 30]
    place = place_for(world, kind)
    world.sandbox.switches.update({"new_user_unknown": 99, "new_user_answer": "not_found"})
    run = place.attempts(place.buy())
    assert (run.status, run.attempts) == ("failed", 2)
    assert "it may not know a new student everywhere yet" in run.message
    assert "is gone" not in run.message
    assert len(world.school.users) == 1


def test_a_student_whom_the_look_up_does_not_show_yet_is_waited_for(world: World):
    place = place_for(world, "course")
    world.sandbox.switches.new_user_unknown = 2
    run = place.buy()
    nobody_shown = {"items": [], "meta": {"pagination": {"next_page": None}}}
    world.sandbox.faults.add(
        Fault("status", method="GET", path="/users", status=200, body=nobody_shown, times=2)
    )
    world.later()
    run.refresh_from_db()
    assert (run.status, "does not show the student yet" in run.message) == ("waiting", True)
    assert place.attempts(run).status == "done"
    assert len(world.school.users) == 1


@pytest.mark.parametrize("arrange", [nobody, known, on_site])
def test_a_bundle_is_called_gone_only_when_asking_for_it_says_so(world: World, arrange):
    place = place_for(world, "bundle")
    arrange(place)
    world.sandbox.faults.add(Fault("status", method="POST", path="/bundles/", status=404))
    run = place.buy()
    assert run.status in {"waiting", "done"}
    assert "GET /bundles/*" in place.calls()
    assert place.attempts(run).message == "Enrolled in All of it."


def test_a_course_that_is_not_shown_by_its_number_is_still_sold(world: World):
    """As with courses of a new builder, which no list and no question by number tells of."""
    place = place_for(world, "course")
    world.sandbox.faults.add(
        Fault("status", times=None, method="GET", path="/courses/", status=404)
    )
    assert place.buy().message == "Enrolled in Course One."


@pytest.mark.parametrize("new_builder", [False, True])
def test_a_course_and_a_student_not_found_in_one_breath_prove_nothing_of_the_course(
    world: World, new_builder: bool
):
    place = place_for(world, "course")
    world.sandbox.switches.update({"new_user_unknown": 1, "new_user_answer": "both"})
    world.sandbox.switches.new_builder = new_builder
    run = place.buy()
    assert run.status == "waiting"
    assert shortened(place.calls()) == "POST users, POST enrollments"
    assert place.attempts(run).message == "Enrolled in Course One."


def test_an_enrollment_that_is_not_found_when_it_is_changed_is_looked_at_again(world: World):
    place = place_for(world, "course")
    enrolled(place)
    world.sandbox.faults.add(Fault("status", method="PUT", path="/enrollments/", status=404))
    run = place.refund()
    assert run.status in {"waiting", "done"}
    assert place.attempts(run).message == "Access to Course One ended."


# A success that does not say what it promises

WRONG = "Something went wrong"
EMPTY_PROMISES: list[Any] = [
    {"error": WRONG},
    {"errors": [WRONG]},
    {},
    {"user_id": 1},
    {"id": None},
    [],
    "<html>Be right back</html>",
]


@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("body", EMPTY_PROMISES, ids=str)
@pytest.mark.parametrize("status", [200, 201])
@pytest.mark.parametrize("path", ["/users$", "/enrollments$"])
def test_a_success_without_what_it_promises_is_read_back(world: World, path, status, body, applied):
    place = place_for(world, "course")
    fault = {"method": "POST", "path": path, "status": status, "body": body, "applied": applied}
    world.sandbox.faults.add(Fault("status", **fault))
    run = place.buy()
    assert place.has_access(place.courses[0]) or run.status == "waiting"
    assert bool(Intent.objects.exists()) is (run.status == "waiting")
    run = place.attempts(run)
    assert (run.status, run.message) == ("done", "Enrolled in Course One.")
    assert place.has_access(place.courses[0])
    assert len(world.school.users) == len(world.school.enrollments) == 1
    done = [call for call in world.sandbox.calls if call.method == "POST" and call.done == 201]
    assert [call.path for call in done] == ["/users", "/enrollments"]
    assert not Intent.objects.exists()


@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize(
    ("status", "body"), [(201, {"error": WRONG}), (200, None), (201, []), (204, None)], ids=str
)
def test_a_success_of_a_bundle_is_believed_when_it_is_the_one_that_is_documented(
    world: World, status, body, applied
):
    place = place_for(world, "bundle")
    world.sandbox.faults.add(
        Fault(
            "status",
            method="POST",
            path="/bundles/",
            status=status,
            body="" if body is None else body,
            applied=applied,
        )
    )
    run = place.attempts(place.buy())
    assert (run.status, run.message) == ("done", "Enrolled in All of it.")
    assert all(place.has_access(course) for course in place.inside())
    done = [call for call in world.sandbox.calls if "bundles" in call.path and call.done == 201]
    assert len(done) == 1


def test_a_bundle_that_a_look_shows_nothing_of_is_not_called_given(world: World, settings):
    settings.RETRY_DELAYS = [0, 30]
    place = place_for(world, "bundle")
    known(place)
    world.sandbox.faults.add(
        Fault("status", method="POST", path="/bundles/", status=201, body="", times=None)
    )
    run = place.buy()
    assert (run.status, run.code) == ("waiting", "not_shown")
    assert Intent.objects.exists()
    run = place.attempts(run)
    assert run.status == "failed"
    assert run.message.startswith("Thinkific said that it enrolled the student, but does not show")
    world.sandbox.faults.clear()
    retry_by_hand.retry([run])
    assert place.attempts(run).message == "Enrolled in All of it."
    assert all(place.has_access(course) for course in place.inside())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("body", [{"error": WRONG}, []], ids=str)
def test_an_end_that_is_answered_with_an_error_is_not_believed(world: World, kind, body):
    place = place_for(world, kind)
    enrolled(place)
    world.sandbox.faults.add(Fault("status", method="PUT", status=200, body=body))
    run = place.refund()
    assert run.status == "waiting"
    assert place.attempts(run).message == f"Access to {place.sold.name} ended."
    assert not any(place.has_access(course) for course in place.inside())


NOTHING_TOLD = [(200, ""), (201, ""), (201, {}), (200, {"user_id": 1}), (202, "")]


@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize(("status", "body"), NOTHING_TOLD, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_an_end_that_is_answered_with_nothing_is_read_back(
    world: World, kind, status, body, applied
):
    place = place_for(world, kind)
    enrolled(place)
    world.sandbox.faults.add(
        Fault("status", method="PUT", status=status, body=body, applied=applied)
    )
    run = place.refund()
    assert [call.split()[0] for call in place.calls()] == ["GET", "PUT", "GET"]
    if not applied:
        assert run.status == "waiting"
        assert "said that it changed the enrollment, but shows it as before" in run.message
        run = place.attempts(run)
    assert (run.status, run.message) == ("done", f"Access to {place.sold.name} ended.")
    assert not any(place.has_access(course) for course in place.inside())


def test_an_end_that_is_answered_with_the_enrollment_as_it_was_is_read_back(world: World):
    place = place_for(world, "course")
    row = place.enroll(place.known())
    as_it_was = {"id": row.id, "expired": False, "expiry_date": None}
    world.sandbox.faults.add(Fault("status", method="PUT", status=200, body=as_it_was))
    assert place.refund().status == "waiting"


@pytest.mark.parametrize("put_answer", [200, 201])
@pytest.mark.parametrize("kind", KINDS)
def test_an_end_that_thinkific_never_carries_out_ends_failed_and_says_so(
    world: World, settings, kind, put_answer
):
    settings.RETRY_DELAYS = [0, 30]
    place = place_for(world, kind)
    enrolled(place)
    world.sandbox.switches.update({"put_answer": put_answer, "put_works": False})
    run = place.attempts(place.refund())
    assert (run.status, run.attempts) == ("failed", 2)
    assert run.message.startswith(
        "Thinkific said that it changed the enrollment, but shows it as before"
    )
    assert all(place.has_access(course) for course in place.inside())


@pytest.mark.parametrize("put_answer", [200, 201])
@pytest.mark.parametrize("kind", KINDS)
def test_access_that_is_not_opened_though_thinkific_says_so_is_not_called_given(
    world: World, kind, put_answer
):
    place = place_for(world, kind)
    place.enroll(place.known(), expired=True)
    world.sandbox.switches.update({"put_answer": put_answer, "put_works": False})
    run = place.buy()
    assert (run.status, "but shows it as before" in run.message) == ("waiting", True)
    world.sandbox.switches.put_works = True
    assert place.attempts(run).message == f"Enrolled in {place.sold.name}."
    assert all(place.has_access(course) for course in place.inside())


def test_a_bundle_whose_courses_are_told_with_an_error_is_not_taken_for_complete(world: World):
    place = place_for(world, "bundle")
    place.enroll(place.known(), 0)
    world.sandbox.faults.add(
        Fault("status", method="GET", path=r"/bundles/\d+$", status=200, body={"error": WRONG})
    )
    run = place.buy()
    assert run.status == "waiting"
    assert place.attempts(run).message == "Enrolled in All of it."
    assert all(place.has_access(course) for course in place.inside())


# A student who was deleted and made again


@pytest.fixture
def two_courses(world: World) -> Place:
    """Dana has Course One, her account is deleted, and she buys Course Two."""
    place = place_for(world, "course")
    world.rule("product_purchased", "create_course_enrollment", place.courses[1], product="77")
    place.world.sell("10_product", order__id=1183)
    world.settle()
    return place


def buy_second(place: Place) -> list[RuleRun]:
    Rule.objects.filter(product=None).update(enabled=False)
    place.world.sell("10_product", order__id=1190, product__id=77)
    runs = place.world.settle()
    Rule.objects.update(enabled=True)
    return runs


def said() -> list[Sentence]:
    """What is said of her courses; what global rules gave or did not is told besides."""
    lines = customer_access.describe(Customer.objects.get(email=EMAIL)).lines
    return [line for line in lines if line.code not in {Code.ONLY_GLOBAL, Code.GETS_MORE_NOW}]


@pytest.mark.parametrize("by_hand", [False, True])
def test_what_a_deleted_account_held_is_not_said_to_be_there(two_courses: Place, by_hand):
    place = two_courses
    assert said()[0].text.startswith("Dana has had Course One since")
    assert ThinkificUser.objects.get().since is None
    place.world.school.remove_user(place.world.school.users[0])
    if by_hand:
        place.on_site()
    assert buy_second(place)[-1].message == f"Enrolled in Course Two. {MADE_AGAIN}"

    lost, has = said()
    assert has.text.startswith("Dana has had Course Two since")
    assert (lost.kind, lost.event) == ("wait", RuleRun.objects.earliest("pk").event_id)
    assert lost.text.startswith("Dana has no access to Course One: it was given on")
    assert "to an account that was deleted in Thinkific" in lost.text
    reply = customer_access.describe(Customer.objects.get(email=EMAIL)).reply
    assert "You have access to Course Two" in reply
    assert "We are sorting out your access to Course One" in reply
    assert place.world.access(EMAIL, place.courses[0]) is False


def test_what_went_with_a_deleted_account_is_given_again_by_running_the_rules(two_courses: Place):
    place = two_courses
    first = RuleRun.objects.get()
    assert retry_by_hand.retry([first]) == (0, {"it had succeeded": 1})
    place.world.school.remove_user(place.world.school.users[0])
    buy_second(place)
    assert rerun([first.event]).queued == 1
    place.world.settle()
    assert {line.kind for line in said()} == {"good"}
    assert place.world.access(EMAIL, place.courses[0])
    assert rerun([first.event]).queued == 0


def test_what_was_refunded_since_is_not_owed_to_the_new_account(two_courses: Place):
    place = two_courses
    place.world.school.remove_user(place.world.school.users[0])
    buy_second(place)
    Rule.objects.filter(trigger="product_refunded").delete()
    place.world.sell("20_product", order__id=1183)
    place.world.settle()
    lost = next(line for line in said() if "Course One" in line.text)
    assert lost.kind == "quiet"
    assert "order 1183 was refunded on" in lost.text


@pytest.mark.parametrize("refunded", ["1183", "1200"])
def test_of_two_orders_the_one_that_is_paid_for_is_owed_to_the_new_account(
    two_courses: Place, refunded
):
    place = two_courses
    place.world.sell("10_product", order__id=1200)
    place.world.settle()
    place.world.school.remove_user(place.world.school.users[0])
    buy_second(place)
    Rule.objects.filter(trigger="product_refunded").delete()
    place.world.sell("20_product", order__id=int(refunded))
    lost = next(line for line in said() if "Course One" in line.text)
    event = EventLog.objects.get(pk=str(lost.event))
    assert (lost.kind, event.order_id) == ("wait", "1200" if refunded == "1183" else "1183")
    assert rerun([event]).queued == 1


def test_a_student_whom_the_site_did_not_know_for_a_moment_keeps_what_she_has(two_courses: Place):
    place = two_courses
    place.world.school.users[0].unknown = 1
    runs = buy_second(place)
    assert runs[-1].message == "Enrolled in Course Two."
    assert ThinkificUser.objects.get().since is None
    assert {line.kind for line in said()} == {"good"}


def test_an_account_that_we_made_is_looked_for_before_another_is_made(world: World):
    """A 404 may be about anything; only a look tells whether the account is still there."""
    place = place_for(world, "course")
    world.sandbox.faults.add(Fault("status", method="POST", path="/enrollments", status=404))
    run = place.buy()
    world.sandbox.faults.add(Fault("status", method="GET", path="/enrollments", status=404))
    assert place.attempts(run).message == "Enrolled in Course One."
    assert place.calls().count("POST /users") == 1
