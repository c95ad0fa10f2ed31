"""Before a rule is saved, its page shows what it would have done lately."""

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
