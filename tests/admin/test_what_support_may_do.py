"""Support is not told to do what only others may; the pages name whom to ask."""

import re
from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from config.admin.parts import checklist
from config.staff import roles
from events.models import RuleRun
from integrations.models import Integration
from rules import facts
from tests.support.pages import LOG, person, signed_in, words
from tests.support.world import World

pytestmark = pytest.mark.first_database

SOLD = "1048001"


@pytest.fixture
def support(db: None) -> Client:
    client = signed_in(roles.SUPPORT, first_name="Sam")
    person(roles.MANAGER, first_name="Max")
    return client


@pytest.fixture
def manager(db: None) -> Client:
    return signed_in(roles.MANAGER)


def missed_order() -> str:
    return reverse("admin:enter-order")


def test_a_product_that_is_not_in_the_list_of_a_missed_order(support, manager):
    assert "Not there? Ask Max to add the product." in words(support.get(missed_order()))
    assert "Not there? Add it by its SamCart ID." in words(manager.get(missed_order()))


def test_help_names_whom_to_ask_for_rules_and_integrations(support, manager):
    page = words(support.get(reverse("admin:help")))
    assert "Ask Max to add a rule. Then those who bought before can be enrolled." in page
    assert page.count("Your role does not include this. Ask Max to do it.") == 4
    for told in ("Open the product", "You do all of this"):
        assert told not in page
        assert told in words(manager.get(reverse("admin:help")))
    assert "Your role does not include this" not in words(manager.get(reverse("admin:help")))


def test_a_purchase_without_a_rule(support, manager, world):
    event = world.sell("10_product", customer__email="eva@example.com")
    page = reverse("admin:events_eventlog_change", args=[event.pk])
    log = f"{reverse(LOG)}?result=paid_nothing"
    for address in (page, log):
        assert "Ask Max to add the rule." in words(support.get(address)), address
        assert "Ask Max" not in words(manager.get(address))


def test_a_rule_that_would_end_what_a_refund_left_open(support, manager, world):
    world.rule("product_purchased", "create_course_enrollment", world.course("Ink"), product=SOLD)
    event = world.sell("10_product", customer__email="eva@example.com", order__id=1181)
    world.settle()
    world.sell("20_product", customer__email="eva@example.com", order__id=1181)
    page = reverse("admin:integrations_customer_change", args=[event.customer_id])
    shown = words(support.get(page))
    says = "A rule for that event ends it for the next buyers."
    assert f"{says} See the event Ask Max to add the rule." in shown
    assert "Until then you can" not in shown
    answer = manager.get(page)
    assert f"{says} See the event New rule" in words(answer)
    assert f"product={event.product_id}&amp;trigger=product_refunded" in answer.content.decode()


def test_an_action_that_waits_for_a_key(support, manager, world):
    world.rule("product_purchased", "create_course_enrollment", world.course("Ink"))
    world.school.change_key("another")
    run = world.sell("10_product").runs.get()
    world.settle()
    page = reverse("admin:events_rulerun_change", args=[run.pk])
    assert "Ask Max to enter the key." in words(support.get(page))
    assert "Ask Max" not in words(manager.get(page))


def test_an_action_that_waits_to_be_released(manager, world):
    viewer = signed_in(roles.VIEWER)
    person(roles.SUPPORT, first_name="Sam")
    world.rule("product_purchased", "create_course_enrollment", world.course("Ink"))
    run = world.sell("10_product").runs.get()
    RuleRun.objects.update(status="held", code="braked", message="Release it if it is right.")
    action = reverse("admin:events_rulerun_change", args=[run.pk])
    event = reverse("admin:events_eventlog_change", args=[run.event_id])
    for page in (action, event, reverse("admin:index")):
        assert "Ask Sam to release it." in words(viewer.get(page)), page
        assert "Ask Sam" not in words(manager.get(page)), page


def test_a_course_that_is_gone(support, manager, world):
    viewer = signed_in(roles.VIEWER)
    course = world.course("Ink")
    world.rule("product_purchased", "create_course_enrollment", course)
    run = world.sell("10_product").runs.get()
    world.settle()
    course.gone_at = timezone.now()
    course.save()
    customer = reverse("admin:integrations_customer_change", args=[run.customer_id])
    assert "Ask Max to choose another course for its rules." in words(support.get(customer))
    assert "Ask Sam or Max to do that." in words(viewer.get(customer))
    assert "Ask Max" not in words(manager.get(customer))
    RuleRun.objects.update(status="failed", code="gone")
    action = reverse("admin:events_rulerun_change", args=[run.pk])
    for page in (action, reverse("admin:index")):
        assert "Ask Max to choose another course." in words(support.get(page)), page
        assert "Ask Max" not in words(manager.get(page)), page


def welcome_emails(world: World) -> None:
    Integration.objects.update(welcome_emails_on=False)


def nothing_sent(world: World) -> None:
    Integration.objects.update(welcome_emails_on=True)


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        (welcome_emails, "Turn on the Welcome Emails in Thinkific"),
        (nothing_sent, "Give SamCart the address of Admit, and let it send something"),
    ],
)
def test_the_next_step_of_setting_up(
    support, manager, world, prepare: Callable[[World], None], says: str
):
    world.course("Ink")
    prepare(world)
    overview = reverse("admin:index")
    page = words(support.get(overview))
    assert f"{says}. This is for Max to do." in page
    for shown in ("Step ", "See where", "See the address and where", "In Thinkific open"):
        assert shown not in page
    assert re.search(rf"Step \d of 8 {re.escape(says)}", words(manager.get(overview)))


def test_every_step_of_setting_up_that_changes_something_has_a_permission(world):
    world.course("Ink")
    accounts, sites = [world.marketplace], [world.integration]
    every = checklist.tasks(sites, accounts, facts.Places({}, {}))
    without = [task.text for task in every if not task.permission and not task.done]
    assert "Turn on the Welcome Emails in Thinkific" not in without
    assert without[1:] == ["Place a test order, and check that it reaches Thinkific"]


@pytest.mark.parametrize("page", ["integrations_customer", "events_eventlog"])
def test_a_rule_that_is_off_and_would_have_given_it_is_asked_for_once(
    support, manager, world, page
):
    course = world.course("Ink")
    world.rule("product_purchased", "create_course_enrollment", course, enabled=False)
    event = world.sell("10_product", customer__email="eva@example.com")
    number = event.pk if page == "events_eventlog" else event.customer_id
    shown = words(support.get(reverse(f"admin:{page}_change", args=[number])))
    assert shown.count("Ask Max to turn it on.") == 1
    assert "Turn it on, then" not in shown
