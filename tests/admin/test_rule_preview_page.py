"""Before a rule is saved, its page shows what it would have done lately."""

from typing import Any

import pytest
from django.urls import reverse

from config.staff import roles
from integrations.models import Destination, Integration, Product
from tests.support.pages import signed_in, words

pytestmark = pytest.mark.first_database


@pytest.mark.parametrize(
    ("trigger", "action", "said"),
    [
        ("product_purchased", "create_course_enrollment", "These had it already: "),
        ("product_refunded", "expire_course_enrollment", "No event matches it."),
    ],
)
def test_the_last_step_says_what_the_rule_would_have_done(place, trigger, action, said):
    answers = {
        "product": Product.objects.get(external_id="1048004").pk,
        "integration": Integration.objects.get(name="Art Academy").pk,
        "action": action,
        "trigger": trigger,
        "destination": Destination.objects.get(name="Watercolor for Beginners").pk,
    }
    page = signed_in(roles.MANAGER).get(reverse("admin:new-rule"), answers)
    assert f"In the last 90 days: {said}" in words(page)


def test_of_many_rules_the_page_says_how_many_it_did_not_look_at(place):
    courses = Destination.objects.filter(kind="course", integration__name="Art Academy")
    answers: dict[str, Any] = {
        "product": [each.pk for each in Product.objects.filter(kind="product")[:2]],
        "integration": Integration.objects.get(name="Art Academy").pk,
        "action": "create_course_enrollment",
        "trigger": "subscription_charged",
        "destination": [each.pk for each in courses[:2]],
    }
    page = words(signed_in(roles.MANAGER).get(reverse("admin:new-rule"), answers))
    assert page.count("In the last 90 days: ") == 3
    assert "What 1 more rule would have done in that time is not shown here." in page
