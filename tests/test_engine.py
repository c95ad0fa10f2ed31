"""From webhook to enrolment, over real sockets."""

from events.models import EventLog, RuleRun


def test_a_purchase_becomes_an_enrolment_with_two_calls(world):
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
