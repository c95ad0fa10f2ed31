"""The timeline: actions are in the order of time, and agree with the event above them."""

from typing import Any

import pytest
from django.db import connection
from django.urls import reverse

from config.staff import roles
from events.models import EventLog, RuleRun
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


@pytest.mark.parametrize("where", ["customer", "event"])
def test_an_action_that_ends_while_a_page_reads_it_ends_its_event_there_too(world: World, where):
    world.rule("product_purchased", GIVES, world.course("Gouache Basics"))
    event = world.sell()
    page = reverse("admin:events_eventlog_change", args=[event.pk])
    if where == "customer":
        page = reverse("admin:integrations_customer_change", args=[event.customer_id])
    manager = signed_in(roles.MANAGER)
    read: list[str] = []

    def end_between(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        """End the action after the page has read its event, and before it reads the action."""
        if 'FROM "events_eventlog"' in sql and '"events_eventlog"."raw_type"' in sql:
            read.append(sql)
        elif read and 'FROM "events_rulerun" ' in sql and len(read) < 99:
            read.extend([sql] * 99)
            RuleRun.objects.update(status="done", code="enrolled", message="Enrolled.")
            EventLog.objects.update(status="done")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(end_between):
        shown = manager.get(page)
    assert len(read) > 99
    assert "Succeeded" in words(shown)
    assert "Waiting" not in words(shown)
    assert shown.context["under_way"] is False
