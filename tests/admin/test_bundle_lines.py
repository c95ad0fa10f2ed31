"""A bundle is one line of the customer's page, also while it waits for its end without a course."""

import re

import pytest
from django.urls import reverse

from config.staff import roles
from events.reports.customers import customer_access
from events.reports.sentences.sentence import Code
from integrations.models import Customer
from tests.support.pages import markup, signed_in, words
from tests.support.world import World

pytestmark = pytest.mark.first_database

# The product in the payload files of subscriptions.
SOLD = "1048010"
NAMES = ("Ink", "Oil", "Wash", "Clay", "Faces", "Hands")


@pytest.fixture
def jon(world: World) -> Customer:
    """Jon's six courses end 30 days after his cancellation, and a rule for all ends Ink at once."""
    courses = [world.course(name) for name in NAMES]
    pass_ = world.bundle(*courses, name="Everything Pass")
    world.rule("product_purchased", "create_bundle_enrollment", pass_, product=SOLD)
    ends = ("subscription_canceled", "expire_bundle_enrollment", pass_)
    world.rule(*ends, product=SOLD, delay_days=30)
    world.rule("subscription_canceled", "expire_course_enrollment", courses[0])
    for each in ("12_product", "30_subscription"):
        world.sell(each, customer__email="jon@example.com", customer__first_name="Jon")
        world.settle()
    return Customer.objects.get()


def test_what_is_left_of_a_bundle_has_one_line_and_one_end(jon):
    told = customer_access.describe(jon).lines
    lines = [str(line.text) for line in told if line.code != Code.NO_WORKER]
    assert len(lines) == 3, lines
    has, ends, over = lines
    assert has.startswith("Jon has had Everything Pass without Ink since ")
    assert ends.startswith("Access to Everything Pass without Ink ends on ")
    assert over.startswith("Jon has no access to Ink: ")


def test_it_has_one_button_to_end_it_now(jon):
    page = signed_in(roles.SUPPORT).get(
        reverse("admin:integrations_customer_change", args=[jon.pk])
    )
    above = markup(page).partition("Letter to the customer")[0]
    assert len(set(re.findall(r'action="([^"]+end_now[^"]*)"', above))) == 1
    assert words(page).count("Access to Everything Pass without Ink ends on") == 1


def test_the_letter_names_it_once(jon):
    reply = customer_access.describe(jon).reply
    assert "Everything Pass without Ink until " in reply
    assert "Oil" not in reply
