"""A rule at a refund starts with ending access, and what is unusual is said before it is saved."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from playwright.sync_api import expect

from config.staff import roles
from events.alerts import finding
from events.alerts.problems import ProblemCode
from events.models import Grant
from events.reports.changed_rules import refunded
from integrations.models import Destination, Product
from rules.models import Rule
from tests.support import browsing
from tests.support.flo import ENDS, GIVES, SOLD, flo, page_of, refund, sell, today
from tests.support.pages import press, said, signed_in, words
from tests.support.world import World

pytestmark = pytest.mark.first_database

PAGE = "admin:new-rule"
GIVES_IT = "A rule for Product Refunded usually ends access, but this one gives it."
ENDS_IT = "A rule for Product Purchased usually gives access, but this one ends it."
TAKING_BACK = ["product_refunded", "subscription_canceled", "subscription_delinquent"]


@pytest.fixture
def manager(db) -> Client:
    return signed_in(roles.MANAGER)


@pytest.fixture
def ink(world: World) -> Destination:
    course: Destination = world.course("Ink")
    world.rule("product_purchased", GIVES, course, product=SOLD)
    return course


def chosen(manager: Client, **answers: Any) -> str:
    return words(manager.get(reverse(PAGE), answers | {"product": Product.objects.get().pk}))


@pytest.mark.parametrize("trigger", TAKING_BACK)
def test_a_rule_for_what_takes_a_purchase_back_starts_with_ending_access(manager, ink, trigger):
    assert "end the customer's access to …" in chosen(manager, trigger=trigger)
    # The page with these choices sends them all, with the trigger for which it was shown.
    shown = {"action": GIVES, "shown_for": "product_purchased"}
    page = chosen(manager, trigger=trigger, **shown)
    assert "end the customer's access to …" in page
    assert "usually" not in page


@pytest.mark.parametrize(
    ("before", "after", "was", "becomes"),
    [
        ("product_refunded", "product_purchased", ENDS, "enroll the customer"),
        ("product_refunded", "subscription_recovered", ENDS, "enroll the customer"),
        ("product_purchased", "subscription_charged", GIVES, "enroll the customer"),
        ("product_purchased", "product_partially_refunded", GIVES, "enroll the customer"),
        (
            "product_purchased",
            "product_refunded",
            "create_bundle_enrollment",
            "end the customer's access",
        ),
    ],
)
def test_the_action_follows_a_trigger_that_is_changed(manager, ink, before, after, was, becomes):
    page = manager.get(reverse(PAGE), {"trigger": after, "action": was, "shown_for": before})
    assert page.context["draft"].trigger == after
    assert becomes in words(page)


def test_a_person_may_choose_the_reverse_and_reads_that_it_is_unusual(manager, ink):
    for trigger, action, told in (
        ("product_refunded", GIVES, GIVES_IT),
        ("product_purchased", ENDS, ENDS_IT),
    ):
        for shown in ({"shown_for": trigger}, {}):  # chosen on the page, or in an address
            page = chosen(manager, trigger=trigger, action=action, **shown)
            assert told in page
            assert "usually" not in chosen(manager, trigger="subscription_charged", action=action)
    rule = world_rule(ink)
    assert GIVES_IT in words(manager.get(reverse("admin:rules_rule_change", args=[rule.pk])))


def world_rule(course: Destination) -> Rule:
    rule = Rule.objects.get()
    rule.pk, rule.trigger = None, "product_refunded"
    rule.save()
    return rule


@pytest.mark.browser
def test_with_script_the_action_follows_the_trigger_until_a_person_chooses(place, address, browser):
    with browsing.window(browser, browsing.LOOKS[0]) as context:
        page = context.new_page()
        browsing.let_in(page, address, place.people["Owner"])
        page.goto(address + reverse(PAGE))
        sentence = page.locator("#sentence")
        page.locator("#part-when summary").click()
        page.get_by_label("Product Refunded", exact=False).first.check()
        expect(sentence).to_contain_text("end the customer's access")
        expect(sentence).not_to_contain_text("usually")
        page.locator("#part-what summary").click()
        page.get_by_label("Create Course Enrollment").check()
        expect(sentence).to_contain_text(GIVES_IT)
        expect(sentence).to_contain_text("enroll the customer")
        page.get_by_label("Product Purchased").check()
        expect(sentence).not_to_contain_text("usually")
        expect(sentence).to_contain_text("is purchased, enroll the customer")


@pytest.mark.parametrize("shown_for", ["product_purchased", "product_refunded"])
def test_what_the_page_had_no_chance_to_say_is_said_after_adding(manager, ink, shown_for):
    sent = {"product": Product.objects.get().pk, "trigger": "product_refunded", "action": GIVES}
    sent |= {"destination": ink.pk, "shown_for": shown_for}
    answer = manager.post(reverse(PAGE), sent, follow=True)
    assert Rule.objects.filter(trigger="product_refunded", action=GIVES).exists()
    assert (said(answer) == [GIVES_IT]) == (shown_for == "product_purchased")


def test_who_has_a_course_by_a_rule_for_the_refund_is_said_to_be_refunded(manager, world, ink):
    rule = world.rule("product_refunded", GIVES, ink, product=SOLD)
    for what in ("10_product", "20_product"):
        sell(world, what)
    told = f"Order 1180 was refunded on {today()}, and a rule gave Ink because of that."
    for page in (page_of(flo()), page_of(refund())):
        assert f"through order 1180. {told}" in words(manager.get(page))
    assert "See the event End access" in words(manager.get(page_of(flo())))
    manager.post(reverse("admin:rules_rule_delete", args=[rule.pk]), {"post": "yes"})
    page = words(manager.get(page_of(flo())))
    assert told in page
    deleted = f"The rule that gave Ink after the refund of order 1180 on {today()} was deleted."
    assert f"{deleted} It stays open until it is ended." in page
    assert "no rule gives it for this purchase" not in page


def test_who_has_a_course_by_a_rule_for_the_refund_is_listed_as_still_in(manager, world, ink):
    rule = world.rule("product_refunded", GIVES, ink, product=SOLD)
    for what in ("10_product", "20_product"):
        sell(world, what)
    told = "1 buyer was refunded and still has Ink: a rule gave it again."
    assert f"{told} See who" in words(manager.get(reverse("admin:index")))
    listed = manager.get(reverse("admin:refunded"))
    text = words(listed)
    assert told in text
    gave = "Product Refunded, Example Course One → enroll in Ink · Art Academy"
    assert f"Ink Given again by the rule “{gave}” at the refund See the rule" in text
    assert reverse("admin:rules_rule_change", args=[rule.pk]) in listed.content.decode()
    assert "For the next refund" not in text
    assert not list(finding.lasting(codes={ProblemCode.REFUNDED_STILL_IN}))
    assert "Still has access" in words(manager.get(page_of(refund())))
    assert "No rule ended it" not in words(manager.get(page_of(refund())))
    (row,) = refunded.refunded_with_access()
    assert (row.event.trigger, row.refund) == ("product_purchased", refund())
    manager.post(reverse("admin:refunded"), {"chosen": row.event.pk})
    world.settle()
    assert not world.access("flo@example.com", ink)
    assert not refunded.refunded_with_access()


@pytest.mark.parametrize("later", [False, True])
def test_who_gets_a_course_back_at_the_refund_that_ended_it_is_listed_as_still_in(
    manager, world, ink, later
):
    world.rule("product_refunded", ENDS, ink, product=SOLD)
    sell(world, "10_product")
    if later:
        sell(world, "20_product")
        assert not world.access("flo@example.com", ink)
    world.rule("product_refunded", GIVES, ink, product=SOLD)
    if later:
        press(manager, refund(), "rerun")
        world.settle()
    else:
        sell(world, "20_product")
    assert world.access("flo@example.com", ink)
    assert "Given again by the rule" in words(manager.get(reverse("admin:refunded")))


def test_what_a_rule_gives_at_a_refund_in_place_of_what_was_bought_is_not_still_in(world, ink):
    world.rule("product_refunded", ENDS, ink, product=SOLD)
    world.rule("product_refunded", GIVES, world.course("Oil"), product=SOLD)
    for what in ("10_product", "20_product"):
        sell(world, what)
    assert Grant.objects.active().exists()
    assert not refunded.refunded_with_access()


def test_what_a_deleted_rule_gave_at_refunds_can_be_ended_for_all(manager, world, ink):
    rule = world.rule("product_refunded", GIVES, ink, product=SOLD)
    for what in ("10_product", "20_product"):
        sell(world, what)
    page = f"{reverse('admin:given-by-rule')}?rule={rule.pk}"
    rule.delete()
    answer = manager.get(page)
    assert "End Ink for 1 buyer" in words(answer)
    chosen = ",".join(map(str, answer.context["chosen"]))
    manager.post(page, {"chosen": chosen, "only_end": "1"})
    world.settle()
    assert not Grant.objects.active().exists()


def test_who_keeps_what_a_rule_gave_at_refunds_is_told_when_it_ends_access_now(manager, world, ink):
    rule = world.rule("product_refunded", GIVES, ink, product=SOLD)
    for what in ("10_product", "20_product"):
        sell(world, what)
    names = ("scope", "product_id", "trigger", "integration_id", "action", "destination_id")
    sent = {name.removesuffix("_id"): getattr(rule, name) for name in names} | {"enabled": "1"}
    page = reverse("admin:rules_rule_change", args=[rule.pk])
    answer = manager.post(page, sent | {"action": ENDS}, follow=True)
    assert "1 buyer got Ink through this rule, and keeps it." in " ".join(said(answer))


def test_no_rule_is_proposed_that_ends_at_once_what_a_rule_gives_at_a_refund(manager, ink):
    asked = {"product": Product.objects.get().pk, "trigger": "product_refunded", "action": GIVES}
    page = words(manager.get(reverse(PAGE), asked | {"destination": ink.pk}))
    assert GIVES_IT in page
    proposed = page[page.index("Rules that end access and give it back") :]
    assert "Subscription Canceled When a subscription" in proposed
    assert "Product Refunded When" not in proposed


def test_who_paid_again_after_that_is_not_said_to_be_refunded(manager, world, ink):
    world.rule("product_refunded", GIVES, ink, product=SOLD)
    for what in ("10_product", "20_product"):
        sell(world, what)
    sell(world, "10_product", order=1199)
    page = words(manager.get(page_of(flo())))
    assert "Flo has had Ink since " in page
    assert "because of that" not in page
