"""What was done to an event as one of several stands among its actions in the order of time."""

import pytest
from django.urls import reverse

from config.staff import roles
from integrations.models import Customer
from tests.support.pages import press, signed_in, words
from tests.support.world import World

pytestmark = pytest.mark.first_database
GIVES = "create_course_enrollment"


def test_what_a_person_did_later_stands_below_what_was_done_before_it(world: World):
    world.rule("product_purchased", GIVES, world.course("Botanical Sketching"))
    event = world.sell()
    world.settle()
    world.rule("product_purchased", GIVES, world.course("Gouache Basics"))
    manager = signed_in(roles.MANAGER)
    press(manager, event, "rerun")
    inside = ["Enroll in Botanical Sketching", "Run the rules again.", "Enroll in Gouache Basics"]
    customer = reverse("admin:integrations_customer_change", args=[Customer.objects.get().pk])
    of_event = reverse("admin:events_eventlog_change", args=[event.pk])
    for when in ("queued", "done"):
        for page, heading in ((customer, "Everything that happened"), (of_event, "What was done")):
            timeline = words(manager.get(page)).partition(heading)[2]
            places = [timeline.index(each) for each in inside]
            assert places == sorted(places), (when, page)
        world.settle()
