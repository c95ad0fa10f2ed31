"""What one cancellation or refund left open is decided at once, on the customer's page."""

import re
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client
from django.urls import reverse

from config.staff import roles
from events.execution import retry_by_hand
from events.models import EventLog, Grant, RuleRun
from events.reports.changed_rules import refunded
from integrations.models import AuditEntry, Customer, Destination
from tests.support.pages import markup, said, signed_in, words
from tests.support.world import World

pytestmark = pytest.mark.first_database

# The product in the payload files of subscriptions.
SOLD = "1048010"
NAMES = ("Ink", "Oil", "Wash")


@pytest.fixture
def manager(db) -> Client:
    return signed_in(roles.MANAGER, first_name="Max")


@pytest.fixture
def courses(world: World) -> list[Destination]:
    return [world.course(name) for name in NAMES]


def buy_and_cancel(world: World, what: str = "30_subscription", **facts: Any) -> EventLog:
    for each, more in (("12_product", {}), (what, facts)):
        event = world.sell(each, customer__email="clara@example.com", **more)
        world.settle()
    return event


def give_each(world: World, courses: list[Destination]) -> None:
    for course in courses:
        world.rule("product_purchased", "create_course_enrollment", course, product=SOLD)


def page_of_clara() -> str:
    clara = Customer.objects.get(email="clara@example.com")
    return reverse("admin:integrations_customer_change", args=[clara.pk])


def link(manager: Client, label: str) -> str:
    (found,) = re.findall(rf'href="([^"]+)">{label}</a>', markup(manager.get(page_of_clara())))
    return unescape(found)


def alone(page: str) -> list[str]:
    """The links of a page to end the access to one course or bundle."""
    return re.findall(r'href="[^"]+holding=[^"]+">End access<', page)


def press(manager: Client, address: str, **entered: str) -> Any:
    asked = parse_qs(urlsplit(address).query)
    return manager.post(urlsplit(address).path, asked | entered, follow=True)


def has(world: World, courses: list[Destination]) -> list[bool]:
    return [world.access("clara@example.com", course) for course in courses]


def test_all_that_a_canceled_purchase_gave_is_ended_at_once(manager, world, courses):
    give_each(world, courses)
    buy_and_cancel(world)
    address = link(manager, "End all 3")
    shown = markup(manager.get(address))
    assert len(re.findall(r'name="holding"[^>]* checked', shown)) == 3
    ended = press(manager, address, reason="Her time is over")
    assert said(ended) == [
        "The access to Ink is being ended. The access to Oil is being ended. The access to Wash is "
        "being ended."
    ]
    world.settle()
    assert has(world, courses) == [False] * 3


def test_all_that_a_canceled_purchase_gave_is_kept_at_once(manager, world, courses):
    give_each(world, courses)
    canceled = buy_and_cancel(world)
    address = link(manager, "Let the buyer keep all 3")
    assert "A later refund or cancellation does." in words(manager.get(address))
    kept = press(manager, address, reason="Her year is not over")
    assert said(kept) == ["The buyer keeps Ink, Oil and Wash."]
    text = words(kept)
    assert text.count("Max let the buyer keep") == 3
    assert "Let the buyer keep all" not in text
    assert "End all" not in text
    entry = AuditEntry.objects.get(act="canceled_kept")
    assert (entry.number, entry.note) == (str(canceled.pk), "Her year is not over")
    changes = words(manager.get(reverse("admin:integrations_auditentry_changelist")))
    assert "Let a canceled buyer keep the access" in changes
    world.rule("subscription_canceled", "expire_course_enrollment", courses[0], product=SOLD)
    world.sell("30_subscription", customer__email="clara@example.com")
    world.settle()
    assert has(world, courses) == [False, True, True]


def test_what_was_kept_after_a_cancellation_is_listed_and_can_be_asked_about_again(
    manager, world, courses
):
    give_each(world, courses)
    canceled = buy_and_cancel(world)
    page = reverse("admin:refunded")
    assert "Clara" not in words(manager.get(page))
    press(manager, link(manager, "Let the buyer keep all 3"), reason="Her year is not over")
    shown = manager.get(page)
    text = words(shown)
    assert text.count("was canceled on") == 3
    assert text.count("Max let the buyer keep") == 3
    assert "Her year is not over" in text
    assert reverse("admin:events_eventlog_change", args=[canceled.pk]) in markup(shown)
    changes = manager.get(reverse("admin:integrations_auditentry_changelist"))
    assert "See what is kept" in words(changes)
    (bought,) = {each.event for each in refunded.canceled_and_kept()}
    again = manager.post(page, {"again": bought.pk}, follow=True)
    (told,) = said(again)
    assert told.startswith("Admit asks about it again. After a cancellation, it asks on the page")
    assert refunded.canceled_and_kept() == []
    assert link(manager, "Let the buyer keep all 3")
    press(manager, link(manager, "Let the buyer keep all 3"))
    ends = re.findall(r'href="([^"]+)">End access<', markup(manager.get(page_of_clara())))
    press(manager, unescape(ends[0]), reason="Over")
    world.settle()
    assert len(refunded.canceled_and_kept()[0].grants) == 2


def test_who_was_refunded_after_a_cancellation_is_asked_about_and_not_listed_as_kept(
    manager, world, courses
):
    give_each(world, courses[:1])
    canceled = buy_and_cancel(world)
    press(manager, link(manager, "Let the buyer keep it"))
    assert len(refunded.canceled_and_kept()) == 1
    world.sell(
        "20_product",
        customer__email="clara@example.com",
        product__id=int(SOLD),
        order__id=canceled.order_id,
    )
    world.settle()
    assert refunded.canceled_and_kept() == []
    assert len(refunded.refunded_with_access()) == 1


def test_some_of_it_is_ended_and_the_rest_stays(manager, world, courses):
    give_each(world, courses)
    buy_and_cancel(world)
    address = link(manager, "End all 3")
    asked = parse_qs(urlsplit(address).query)
    del asked["holding"][1]
    manager.post(urlsplit(address).path, asked | {"reason": "Over"})
    world.settle()
    assert has(world, courses) == [False, True, False]


def test_a_bundle_of_which_a_part_has_ended_is_one_decision(manager, world, courses):
    everything = world.bundle(*courses, name="Everything Pass")
    world.rule("product_purchased", "create_bundle_enrollment", everything, product=SOLD)
    world.rule("subscription_canceled", "expire_course_enrollment", courses[0], product=SOLD)
    buy_and_cancel(world)
    page = manager.get(page_of_clara())
    assert words(page).count("Dana has had Everything Pass without Ink since") == 1
    for course in ("Oil", "Wash"):
        assert f"Dana has {course}" not in words(page)
    assert len(alone(markup(page))) == 1
    press(manager, link(manager, "End access"), reason="Over")
    world.settle()
    assert has(world, courses) == [False] * 3
    assert not Grant.objects.active().exists()


def test_courses_of_a_bundle_that_are_told_apart_are_one_decision(manager, world, courses):
    everything = world.bundle(*courses, name="Everything Pass")
    world.rule("product_purchased", "create_bundle_enrollment", everything, product=SOLD)
    ends = ("subscription_canceled", "expire_course_enrollment")
    world.rule(*ends, courses[0], product=SOLD)
    world.rule(*ends, courses[1], product=SOLD, delay_days=3)
    buy_and_cancel(world)
    assert retry_by_hand.dismiss(RuleRun.objects.delayed(), by="Max") == 1
    page = markup(manager.get(page_of_clara()))
    # Each of these would have ended the whole bundle.
    assert alone(page) == []
    press(manager, link(manager, "End all 2"), reason="Over")
    world.settle()
    assert has(world, courses) == [False] * 3
    assert not Grant.objects.active().exists()


def test_a_refund_offers_the_same(manager, world, courses):
    give_each(world, courses)
    buy_and_cancel(world, "20_product", product__id=int(SOLD), order__id=23300011)
    address = link(manager, "Let the buyer keep all 3")
    assert "A later refund does." in words(manager.get(address))
    press(manager, address)
    assert AuditEntry.objects.filter(act="refunded_kept").count() == 1


def test_a_single_course_has_no_link_for_all(manager, world, courses):
    give_each(world, courses[:1])
    buy_and_cancel(world)
    page = markup(manager.get(page_of_clara()))
    assert len(alone(page)) == 1
    assert "End all" not in page


def test_two_purchases_are_decided_apart(manager, world, courses):
    give_each(world, courses)
    buy_and_cancel(world)
    world.rule("product_purchased", "create_course_enrollment", world.course("Clay"), product="77")
    for trigger in ("", "subscription_canceled"):
        world.sell(
            "10_product", trigger, customer__email="clara@example.com", product__id=77, order__id=8
        )
        world.settle()
    assert "holding" in parse_qs(urlsplit(link(manager, "End all 3")).query)


def test_who_may_not_end_access_sees_no_such_link(world, courses):
    give_each(world, courses)
    buy_and_cancel(world)
    assert "End all" not in words(signed_in(roles.VIEWER).get(page_of_clara()))
