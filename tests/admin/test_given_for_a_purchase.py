"""What a person gives for a purchase that gave something else ends with it, as if by a rule."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from config.staff import roles
from events.models import EventLog, Grant, RuleRun
from events.reports.changed_rules import left_behind_summary
from events.reports.customers import customer_access
from integrations.models import Customer, Destination
from tests.support.pages import errors, markup, said, signed_in, words
from tests.support.world import World

pytestmark = pytest.mark.first_database

DANA = "dana@example.com"
GIVES, ENDS = "create_course_enrollment", "expire_course_enrollment"
ONLY = "which gave only what global rules give"
CHECKING = "We are checking whether you have everything that belongs to your purchase of"
GIFTS = "What a person gave as a gift is not in this list"


@pytest.fixture
def support(world: World) -> Client:
    return signed_in(roles.SUPPORT)


@pytest.fixture
def faces(world: World) -> Destination:
    """A refund ends this course, but no purchase gives it yet."""
    course = world.course("Drawing Faces")
    world.rule("product_refunded", ENDS, course)
    return course


@pytest.fixture
def sold(world: World, faces: Destination) -> EventLog:
    """Dana buys a product without a rule of its own, and a global rule gives her a bonus."""
    bonus = world.course("Bonus")
    world.rule("product_purchased", GIVES, bonus)
    world.rule("product_refunded", ENDS, bonus)
    world.rule("product_purchased", GIVES, world.course("First"), product="77")
    return buy(world, 1183)


def buy(world: World, order: int) -> EventLog:
    event = world.sell("10_product", customer__email=DANA, order__id=order)
    world.settle()
    return event


def refund(world: World, order: int) -> EventLog:
    event = world.sell("20_product", customer__email=DANA, order__id=order)
    world.settle()
    return event


def dana() -> Customer:
    return Customer.objects.get(email=DANA)


def form(client: Client, **asked: Any) -> str:
    text: str = markup(client.get(reverse("admin:give-access"), {"customer": dana().pk} | asked))
    return text


def give(client: Client, course: Destination, purchase: EventLog | None, **more: Any) -> Any:
    data = {"customer": dana().pk, "destination": course.pk, "reason": "Wrong course"}
    chosen = {"purchase": purchase.pk if purchase else "gift"}
    return client.post(reverse("admin:give-access"), data | chosen | more, follow=True)


def her_page(client: Client) -> str:
    page = reverse("admin:integrations_customer_change", args=[dana().pk])
    return words(client.get(page))


def is_checked(shown: str, value: object) -> bool:
    return bool(re.search(rf'name="purchase" value="{value}"[^>]* checked', shown))


def test_a_refund_ends_what_was_given_for_an_order_that_gave_a_bonus(world, support, faces, sold):
    give(support, faces, sold)
    world.settle()
    grant = Grant.objects.get(customer=dana(), name=faces.name)
    assert (grant.source, grant.order_id) == ("purchase", "1183")
    assert world.access(DANA, faces)
    refund(world, 1183)
    assert not world.access(DANA, faces)


def test_a_gift_outlasts_the_refund_and_the_page_of_the_refunded_says_so(
    world, support, faces, sold
):
    assert GIFTS not in her_page(support)
    give(support, faces, None)
    world.settle()
    refund(world, 1183)
    assert world.access(DANA, faces)
    assert GIFTS in words(signed_in(roles.MANAGER).get(reverse("admin:refunded")))


def test_without_a_rule_that_ends_it_a_refund_is_shown_to_decide_about(world, support, sold):
    other = world.course("Ink")
    give(support, other, sold)
    world.settle()
    refund(world, 1183)
    assert world.access(DANA, other)
    assert "Ink" in words(signed_in(roles.MANAGER).get(reverse("admin:refunded")))


def test_the_only_purchase_is_chosen_at_first_and_a_refunded_one_is_not_offered(
    world, support, sold
):
    shown = form(support)
    assert "(order 1183) of" in shown
    assert is_checked(shown, sold.pk)
    refund(world, 1183)
    assert "For which purchase" not in form(support)


def test_of_several_the_one_that_the_person_came_from_is_chosen(world, support, sold):
    later = buy(world, 1184)
    shown = form(support)
    assert shown.index("order 1184") < shown.index("order 1183")
    assert not re.search(r'name="purchase"[^>]* checked', shown)
    assert re.search(r'name="purchase"[^>]* required', shown)
    page = markup(support.get(reverse("admin:integrations_customer_change", args=[dana().pk])))
    for event in (sold, later):
        assert f"?customer={dana().pk}&amp;purchase={event.pk}" in page
        assert is_checked(form(support, purchase=event.pk), event.pk)
    refund(world, 1183)
    assert is_checked(form(support, purchase=sold.pk), "gift")


def test_once_a_person_gave_it_her_page_and_letter_say_nothing_is_missing(
    world, support, faces, sold
):
    assert ONLY in her_page(support)
    assert CHECKING in customer_access.describe(dana()).reply
    give(support, faces, sold)
    world.settle()
    shown = her_page(support)
    assert ONLY not in shown
    assert "Until then you can" not in shown
    assert "no rule gives" not in shown
    assert CHECKING not in customer_access.describe(dana()).reply
    assert left_behind_summary.summarize().customers == 0


def test_a_gift_does_not_answer_what_the_purchase_lacks(world, support, faces, sold):
    give(support, faces, None)
    assert ONLY in her_page(support)


def test_what_the_purchase_gives_by_a_rule_is_not_given_twice(world, support, sold):
    answer = give(support, Destination.objects.get(name="Bonus"), sold)
    assert "This purchase gives Bonus already." in errors(answer)


def test_another_last_day_stays_with_the_purchase(world, support, faces, sold):
    day = (timezone.now() + timedelta(days=30)).date()
    give(support, faces, sold, until=str(day))
    world.settle()
    run = RuleRun.objects.delayed().get()
    later = str(day + timedelta(days=3))
    data = {"customer": dana().pk, "run": run.pk, "until": later, "reason": "More time"}
    answer = support.post(reverse("admin:change-last-day"), data, follow=True)
    assert "Drawing Faces" in said(answer)[0]
    assert Grant.objects.get(customer=dana(), name=faces.name).source == "purchase"
    assert RuleRun.objects.delayed().count() == 1
