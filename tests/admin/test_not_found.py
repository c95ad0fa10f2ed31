"""What a page says of a student whom Thinkific does not find."""

import pytest
from django.urls import reverse

from config.staff import roles
from events.models import RuleRun
from integrations.models import Customer
from tests.support.pages import signed_in, words
from tests.support.world import World

pytestmark = pytest.mark.first_database
BOTH = (
    "Thinkific answers that something was not found: it may not know a new student everywhere yet, "
    "or what was asked for may have been deleted. It says: Not Found."
)


def test_the_answer_and_the_timeline_name_both_causes_in_the_same_words(world: World):
    world.rule("product_purchased", "create_course_enrollment", world.course())
    world.sandbox.switches.update({"new_user_unknown": 99, "new_user_answer": "not_found"})
    world.sell()
    world.settle()
    assert RuleRun.objects.get().code == "student_not_known_yet"
    page = reverse("admin:integrations_customer_change", args=[Customer.objects.get().pk])
    answer, timeline = words(signed_in(roles.SUPPORT).get(page)).split("Everything that happened")
    assert BOTH in answer
    assert "Failed attempt " in timeline
    assert BOTH in timeline.partition("Failed attempt ")[2]
    assert "Thinkific does not have" not in answer + timeline
