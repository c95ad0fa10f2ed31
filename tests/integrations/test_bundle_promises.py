"""Bundle enrollments that Thinkific promises for later (202)."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from events.models import RuleRun
from integrations.models import Intent
from tests.support.place import Place, place_for
from tests.support.situations import nobody, one_course_alone, one_course_expired
from tests.support.world import World

pytestmark = pytest.mark.first_database


def promised(world: World, arrange: Callable[[Place], object] = nobody) -> tuple[Place, RuleRun]:
    """A bundle was bought, and Thinkific has said that it enrolls an hour from now."""
    place = place_for(world, "bundle")
    world.sandbox.switches.update({"bundle_post": "later", "bundle_delay": 3600})
    arrange(place)
    run = place.buy()
    assert place.calls()[-1] == "POST /bundles/*/enrollments"
    assert run.status == "waiting"
    assert "a little later" in run.message
    return place, run


def keep_promise(world: World) -> None:
    world.school.postponed[:] = [replace(each, due=0) for each in world.school.postponed]


def test_a_promised_bundle_is_waited_for_and_never_posted_again(world: World):
    place, run = promised(world)
    for _ in range(3):
        world.later()
    run.refresh_from_db()
    assert run.status == "waiting"
    assert place.calls() == ["GET /bundles/*/enrollments"] * 3
    keep_promise(world)
    run = place.attempts(run)
    assert (run.status, run.message) == ("done", "Enrolled in All of it.")
    assert place.calls() == ["GET /bundles/*/enrollments"]
    assert not Intent.objects.exists()


def test_a_promise_that_was_not_kept_for_an_hour_is_asked_for_again(world: World):
    place, run = promised(world)
    world.school.postponed.clear()
    Intent.objects.update(sent_at=datetime.now(UTC) - timedelta(minutes=61))
    world.sandbox.switches.bundle_post = "created"
    assert place.attempts(run).status == "done"
    assert place.calls() == [
        "GET /bundles/*/enrollments",
        "POST /bundles/*/enrollments",
        "GET /bundles/*/enrollments",
    ]
    assert all(place.has_access(course) for course in place.courses)
    assert not Intent.objects.exists()


@pytest.mark.parametrize("arrange", [nobody, one_course_alone])
def test_a_refund_waits_for_what_was_promised_before_it_ends_it(world: World, arrange):
    place, run = promised(world, arrange)
    # The purchase waits no more, so that its refund has its turn.
    RuleRun.objects.filter(pk=run.pk).update(status="failed")
    refund = place.refund()
    assert refund.status == "waiting"
    assert "a little later" in refund.message
    assert not [call for call in place.calls() if call.startswith("P")]
    keep_promise(world)
    refund = place.attempts(refund)
    assert (refund.status, refund.message) == ("done", "Access to All of it ended.")
    assert not any(place.has_access(course) for course in place.courses)
    assert not Intent.objects.exists()


def test_a_refund_behind_a_promised_bundle_ends_it_once_it_is_there(world: World):
    place, _ = promised(world)
    place.refund()
    keep_promise(world)
    world.later()
    purchase, refund = world.later()
    assert (purchase.status, purchase.code) == ("skipped", "not_due")
    assert (refund.status, refund.message) == ("done", "Access to All of it ended.")
    assert not any(place.has_access(course) for course in place.courses)


@pytest.mark.parametrize("null_clears", [True, False, "refused"])
def test_an_ended_course_that_shows_only_with_the_bundle_is_opened_too(world: World, null_clears):
    place = place_for(world, "bundle")
    one_course_expired(place)
    world.sandbox.switches.update(
        {"bundle_rows": "members", "repeat_post": "same", "null_clears": null_clears}
    )
    run = place.attempts(place.buy())
    assert (run.status, run.message) == ("done", "Enrolled in All of it.")
    assert all(place.has_access(course) for course in place.courses)
    assert len(place.calls()) == 5
