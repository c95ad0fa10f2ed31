"""Each run explains its state by a code, for scripts, whatever the words are."""

from collections.abc import Callable

import pytest
from django.db.models.functions import Now

from events.execution import gone_destinations, retry_by_hand
from events.models import RuleRun
from integrations.thinkific.sandbox import Fault
from tests.support.place import Place, place_for
from tests.support.situations import enrolled, expired, known, nobody
from tests.support.world import World

# Each code is decided by an answer of Thinkific or by a person.
pytestmark = pytest.mark.first_database

Arrange = Callable[[Place], object]


def faults(**values: object) -> Arrange:
    def arrange(place: Place) -> None:
        place.world.sandbox.faults.add(Fault("status", times=None, **values))  # type: ignore[arg-type]

    return arrange


COURSE_GONE = {"errors": ["Course could not be found"]}
DONE: list[tuple[Arrange, bool, str]] = [
    (nobody, False, "enrolled"),
    (enrolled, False, "already_enrolled"),
    (enrolled, True, "ended"),
    (expired, True, "had_ended"),
    (known, True, "was_not_enrolled"),
    (nobody, True, "no_student"),
]
NOT_DONE: list[tuple[Arrange, str, str]] = [
    (faults(status=503), "waiting", "server_error"),
    (faults(status=422), "failed", "refused"),
    (faults(status=404, body=COURSE_GONE, path="^/enrollments$"), "failed", "gone"),
    (faults(status=401), "waiting", "key_rejected"),
    (faults(status=429), "waiting", "limit_reached"),
    (faults(status=401, path="^/users$", about="dana@example.com"), "failed", "request_denied"),
    (faults(status=200, body=[], path="^/enrollments$"), "waiting", "not_understood"),
]


@pytest.mark.parametrize(("arrange", "refund", "code"), DONE)
def test_what_was_done_has_a_code_of_its_own(world: World, arrange, refund, code):
    place = place_for(world, "course")
    arrange(place)
    run = place.refund() if refund else place.buy()
    assert (run.status, run.code) == ("done", code)


@pytest.mark.parametrize(("arrange", "status", "code"), NOT_DONE)
def test_what_was_not_done_has_a_code_of_its_own(world: World, arrange, status, code):
    place = place_for(world, "course")
    arrange(place)
    run = place.buy()
    assert (run.status, run.code) == (status, code)


def test_what_people_and_the_worker_decide_has_a_code_too(world: World):
    course = world.course()
    world.rule("product_purchased", "create_course_enrollment", course)
    world.sell("10_product")
    run = RuleRun.objects.get()
    codes = [run.code]

    def note() -> None:
        run.refresh_from_db()
        codes.append(run.code)

    gone_destinations.mark(course, by="Dana")
    note()
    retry_by_hand.retry([run])
    note()
    RuleRun.objects.update(status="failed")
    retry_by_hand.dismiss(RuleRun.objects.all(), by="Dana")
    note()
    assert codes == ["not_started", "gone", "queued", "dismissed"]


def test_a_sale_without_a_usable_address_says_so_by_its_code(world: World):
    world.rule("product_purchased", "create_course_enrollment", world.course())
    world.sell("10_product", customer__email="nobody")
    assert RuleRun.objects.get().code == "no_email"


def test_an_action_that_is_not_due_any_more_says_so_by_its_code(world: World):
    place = place_for(world, "course")
    first = place.buy()
    place.refund()
    RuleRun.objects.filter(pk=first.pk).update(status="waiting", next_attempt_at=Now())
    world.settle()
    first.refresh_from_db()
    assert (first.status, first.code) == ("skipped", "not_due")
