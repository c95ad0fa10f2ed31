"""Who canceled while no rule ended it is listed once a rule does: a person chooses who loses it."""

import re
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client
from django.urls import reverse

from config.staff import roles
from events.models import EventLog
from events.reports.earlier import backfill
from integrations import audit
from integrations.audit import Actor
from integrations.models import AuditEntry, Destination
from integrations.sentences import format_day
from rules import changing
from rules.models import Rule
from tests.support.pages import markup, said, signed_in, words
from tests.support.world import World

pytestmark = pytest.mark.first_database

GIVES, ENDS = "create_course_enrollment", "expire_course_enrollment"
# The product in the payload files of subscriptions.
SOLD = "1048010"
EARLIER = "admin:earlier"
NAMES = ("zoe", "clara")


@pytest.fixture
def manager(db) -> Client:
    return signed_in(roles.MANAGER)


@pytest.fixture
def ink(world: World) -> Destination:
    course = world.course("Ink")
    world.rule("product_purchased", GIVES, course, product=SOLD)
    return course


def sell(world: World, name: str, what: str = "12_product", **facts: Any) -> EventLog:
    """Let SamCart send this about a subscription that is the buyer's own."""
    number = sum(map(ord, name))
    ids = {"order__id": 5000 + number, "order__subscription_id": 7000 + number}
    event = world.sell(what, customer__email=f"{name}@example.com", **(ids | facts))
    world.settle()
    return event


def cancel(world: World, name: str) -> EventLog:
    return sell(world, name, "30_subscription")


def ending(world: World, course: Destination, **facts: Any) -> Rule:
    return world.rule("subscription_canceled", ENDS, course, product=SOLD, **facts)


def has(world: World, course: Destination) -> list[bool]:
    return [world.access(f"{name}@example.com", course) for name in NAMES]


def turn_on(manager: Client, rule: Rule) -> Any:
    return manager.post(reverse("admin:rules_rule_do_switch_on", args=[rule.pk]), follow=True)


def page(manager: Client, *rules: Rule, **asked: str) -> Any:
    wanted: dict[str, Any] = {"rule": [rule.pk for rule in rules], **asked}
    return manager.get(reverse(EARLIER), wanted)


def test_turning_the_rule_on_offers_those_who_canceled_while_it_was_off(manager, world, ink):
    rule = ending(world, ink, enabled=False)
    for name in NAMES:
        sell(world, name)
    canceled = cancel(world, "zoe")
    turned_on = turn_on(manager, rule)
    assert "1 canceled buyer still has Ink. See and end it" in words(turned_on)
    (link,) = re.findall(r'href="([^"]+)">See and end it<', markup(turned_on))
    assert urlsplit(unescape(link)).path == reverse(EARLIER)
    assert parse_qs(urlsplit(unescape(link)).query)["rule"] == [str(rule.pk)]
    shown = words(manager.get(unescape(link)))
    assert "SamCart does not say whether the time they paid for is over." in shown
    day = format_day(canceled.received_at)
    assert f"Order {canceled.order_id} was canceled on {day}" in shown
    assert "clara@example.com" not in shown


def test_nobody_is_chosen_beforehand_and_only_the_chosen_lose_it(manager, world, ink):
    rule = ending(world, ink, enabled=False)
    for name in NAMES:
        sell(world, name)
    zoe, _ = [cancel(world, name) for name in NAMES]
    turn_on(manager, rule)
    shown = markup(page(manager, rule))
    boxes = re.findall(r'<input type="checkbox" name="chosen"[^>]*>', shown)
    assert len(boxes) == 2
    assert not any(" checked" in box for box in boxes)
    assert markup(page(manager, rule, every="1")).count(" checked") == 2
    sent = {"rule": rule.pk, "choose": "1"}
    nobody = manager.post(reverse(EARLIER), sent, follow=True)
    assert said(nobody) == ["Nobody was chosen, so nothing was changed."]
    world.settle()
    assert has(world, ink) == [True, True]
    manager.post(reverse(EARLIER), sent | {"chosen": zoe.pk})
    world.settle()
    assert has(world, ink) == [False, True]
    assert backfill.preview(rule).customers == 1


def test_undoing_a_change_of_the_rule_offers_those_who_canceled_meanwhile(manager, world, ink):
    rule = ending(world, ink)
    for name in NAMES:
        sell(world, name)
    with audit.acting(lambda: Actor(who="max@example.com")):
        changing.point_to([rule], world.course("Oil"), on=True)
    clara = cancel(world, "clara")
    assert has(world, ink) == [True, True]
    entry = AuditEntry.objects.latest("pk")
    undo = reverse("admin:integrations_auditentry_do_undo", args=[entry.pk])
    undone = manager.post(undo, follow=True)
    assert "1 canceled buyer still has Ink. See and end it" in said(undone)
    manager.post(reverse(EARLIER), {"rule": rule.pk, "choose": "1", "chosen": clara.pk})
    world.settle()
    assert has(world, ink) == [True, False]
    assert backfill.preview(rule).customers == 0


def test_a_refund_rule_that_is_changed_back_offers_the_same(manager, world, ink):
    rule = world.rule("product_refunded", ENDS, ink, product=SOLD)
    sell(world, "zoe")
    changing.point_to([rule], world.course("Oil"), on=True)
    sell(world, "zoe", "20_product", product__id=int(SOLD))
    changing.point_to([rule], ink, on=True)
    assert backfill.preview(rule).customers == 1


def test_a_rule_that_is_deleted_and_brought_back_offers_them(manager, world, ink):
    rule = ending(world, ink)
    sell(world, "zoe")
    manager.post(reverse("admin:rules_rule_delete", args=[rule.pk]), {"post": "yes"})
    assert not Rule.objects.filter(pk=rule.pk).exists()
    cancel(world, "zoe")
    entry = AuditEntry.objects.latest("pk")
    undo = reverse("admin:integrations_auditentry_do_undo", args=[entry.pk])
    assert "1 canceled buyer still has Ink. See and end it" in said(manager.post(undo, follow=True))


def test_who_paid_again_since_is_left_out_and_the_page_says_why(manager, world, ink):
    rule = ending(world, ink, enabled=False)
    sell(world, "zoe")
    cancel(world, "zoe")
    restarted = sell(world, "zoe", "35_subscription")
    assert "still ha" not in words(turn_on(manager, rule))
    found = backfill.preview(rule)
    why = f"paid again on {format_day(restarted.received_at)}"
    assert ([*found.run], [row.why_not for row in found.left_out]) == ([], [why])


def test_who_was_canceled_again_after_that_is_listed_with_the_last_cancellation(
    manager, world, ink
):
    rule = ending(world, ink, enabled=False)
    sell(world, "zoe")
    cancel(world, "zoe")
    sell(world, "zoe", "35_subscription")
    last = sell(world, "zoe", "33_subscription_delinquent")
    turn_on(manager, rule)
    (row,) = backfill.preview(rule).run
    assert row.event == last


def test_a_cancellation_whose_access_another_rule_ended_is_not_listed(manager, world, ink):
    oil = world.course("Oil")
    ending(world, ink)
    sell(world, "zoe")
    cancel(world, "zoe")
    found = backfill.preview(ending(world, oil))
    assert (found.run, found.left_out) == ([], [])


def test_a_cancellation_of_a_purchase_from_before_admit_is_listed_but_not_told_of_unasked(
    manager, world, ink
):
    rule = ending(world, ink, enabled=False)
    cancel(world, "zoe")
    assert "still ha" not in words(turn_on(manager, rule))
    assert "1 earlier customer may still have Ink." in words(page(manager, rule))


def test_no_more_is_asked_for_many_who_canceled_than_for_one(
    world, ink, django_assert_max_num_queries
):
    rule = ending(world, ink)
    oil = world.course("Oil")
    changing.point_to([rule], oil, on=True)
    for number in range(6):
        sell(world, f"b{number}")
        cancel(world, f"b{number}")
    changing.point_to([rule], ink, on=True)
    with django_assert_max_num_queries(20):
        assert backfill.preview(rule).customers == 6
