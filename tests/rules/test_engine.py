"""From webhook to enrollment, over real sockets."""

from events.models import EventLog, RuleRun
from integrations.models import Integration
from tests.support.samcart import payload


def test_a_purchase_becomes_an_enrollment_with_two_calls(world):
    course = world.course()
    world.rule("product_purchased", "create_course_enrollment", course)
    event = world.sell("10_product")
    (run,) = world.settle()
    assert (run.status, run.message) == ("done", "Enrolled in Course Two.")
    assert world.access("dana@example.com", course)
    assert world.calls() == ["POST /users", "POST /enrollments"]
    event.refresh_from_db()
    assert event.status == EventLog.Status.DONE


def test_a_refund_ends_the_access(world):
    course = world.course()
    world.rule("product_purchased", "create_course_enrollment", course)
    world.rule("product_refunded", "expire_course_enrollment", course)
    world.sell("10_product")
    world.settle()
    world.sell("20_product")
    *_, run = world.settle()
    assert (run.status, run.message) == ("done", "Access to Course Two ended.")
    assert not world.access("dana@example.com", course)
    assert RuleRun.objects.filter(status="done").count() == 2


def test_the_same_body_posted_again_is_linked_and_costs_no_call(world):
    # Through the webhook, with the database's own time of receipt.
    course = world.course()
    world.rule("product_purchased", "create_course_enrollment", course)
    for _ in range(10):
        world.post(payload("10_product"))
    world.settle()
    statuses = list(EventLog.objects.order_by("pk").values_list("status", flat=True))
    assert statuses == ["done"] + ["repeat"] * 9
    assert world.calls() == ["POST /users", "POST /enrollments"]


def test_the_first_answer_shows_that_the_site_is_connected(world):
    world.rule("product_purchased", "create_course_enrollment", world.course())
    Integration.objects.update(connection="unknown")
    world.sell("10_product")
    world.settle()
    world.integration.refresh_from_db()
    assert world.integration.connection == "connected"
