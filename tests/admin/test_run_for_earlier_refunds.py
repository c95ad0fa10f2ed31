"""What a rule ended that a person ran for earlier refunds can be given back."""

import re
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client
from django.urls import reverse

from config.staff import roles
from events.execution import undo_preview
from events.models import Batch, EventLog, Grant
from events.reports.changed_rules import refunded
from events.reports.earlier import backfill
from integrations.models import Customer, Destination
from integrations.sentences import format_day
from rules.models import Rule
from tests.support.pages import markup, signed_in, words
from tests.support.world import World

pytestmark = pytest.mark.first_database

GIVES, ENDS = "create_course_enrollment", "expire_course_enrollment"
SOLD = "1048001"
NAMES = ("gus", "flo")


@pytest.fixture
def manager(db) -> Client:
    return signed_in(roles.MANAGER)


@pytest.fixture
def ink(world: World) -> Destination:
    """Gus and Flo bought Ink and were refunded before there was a rule for that."""
    course = world.course("Ink")
    world.rule("product_purchased", GIVES, course, product=SOLD)
    for number, name in enumerate(NAMES):
        sell(world, name, number)
        sell(world, name, number, "20_product")
    return course


def sell(world: World, name: str, order: int, what: str = "10_product", **facts: Any) -> None:
    world.sell(what, customer__email=f"{name}@example.com", order__id=1180 + order, **facts)
    world.settle()


def has(world: World, course: Destination) -> list[bool]:
    return [world.access(f"{name}@example.com", course) for name in NAMES]


def run(manager: Client, world: World, course: Destination, **facts: object) -> Rule:
    """Somebody adds the rule and runs it for them."""
    rule = world.rule("product_refunded", ENDS, course, product=SOLD, **facts)
    manager.post(reverse("admin:earlier"), {"rule": rule.pk})
    world.settle()
    return rule


def undo(manager: Client, world: World, batch: Batch) -> str:
    page = f"{reverse('admin:undo-batch')}?number={batch.pk}"
    shown = markup(manager.get(page))
    manager.post(page, {"chosen": re.findall(r'name="chosen" value="([^"]+)"', shown)})
    world.settle()
    return shown


def test_undoing_the_run_gives_back_what_it_ended(manager, world, ink):
    rule = run(manager, world, ink)
    assert has(world, ink) == [False, False]
    assert "Undo it for 2 purchases" in undo(manager, world, Batch.objects.get())
    assert has(world, ink) == [True, True]
    assert {grant.because for grant in Grant.objects.all()} == {"product_purchased"}
    # They keep it on purpose, until somebody wants them to be mentioned again. Then the rule is
    # offered apart from the others.
    assert refunded.refunded_with_access() == []
    assert len(refunded.refunded_with_access(kept=True)) == 2
    assert backfill.preview(rule).customers_undone == 0
    manager.post(reverse("admin:refunded"), {"all_again": "1"})
    assert len(refunded.refunded_with_access()) == 2
    preview = backfill.preview(rule)
    assert (preview.customers, preview.customers_undone) == (0, 2)
    page = words(manager.get(reverse("admin:earlier"), {"rule": rule.pk}))
    assert "Somebody gave back what it had ended for these." in page
    assert "What it ended was given back on" in page
    assert "End it for these 2 customers after all" in page
    manager.post(reverse("admin:earlier"), {"rule": rule.pk, "undone": "1"})
    world.settle()
    assert has(world, ink) == [False, False]
    assert refunded.refunded_with_access() == []


def test_a_later_refund_ends_what_an_undo_gave_back(manager, world, ink):
    run(manager, world, ink)
    undo(manager, world, Batch.objects.get())
    sell(world, "flo", 1, "20_product", refund_transaction_id="re_2")
    assert has(world, ink) == [True, False]


def test_what_a_rule_ended_by_itself_is_no_batch_and_is_given_back_alone(manager, world, ink):
    world.rule("product_refunded", ENDS, ink, product=SOLD)
    sell(world, "zoe", 5)
    sell(world, "zoe", 5, "20_product")
    zoe = Customer.objects.get(email="zoe@example.com")
    page = manager.get(reverse("admin:integrations_customer_change", args=[zoe.pk]))
    assert not Batch.objects.exists()
    assert len(re.findall("Give it back</a>", markup(page))) == 1


def test_what_a_rule_ended_beside_its_own_purchase_is_left_to_a_person(manager, world, ink):
    world.rule("product_purchased", GIVES, ink, product="77")
    sell(world, "zoe", 5)
    sell(world, "zoe", 7, product__id=77)
    sell(world, "zoe", 5, "20_product")
    run(manager, world, ink, ends_all=True)
    reasons = {
        one.event.customer.email: one.why_not
        for one in undo_preview.preview(Batch.objects.latest("pk"))
        if one.event.customer
    }
    assert reasons == {
        "zoe@example.com": "it ended something else too: give both back by hand",
        "gus@example.com": "",
        "flo@example.com": "",
    }


def test_the_customers_page_gives_back_what_a_person_had_a_rule_end(manager, world, ink):
    run(manager, world, ink)
    flo = Customer.objects.get(email="flo@example.com")
    page = reverse("admin:integrations_customer_change", args=[flo.pk])
    (link,) = re.findall(r'href="([^"]+)">Give it back<', markup(manager.get(page)))
    asked = {key: value for key, (value,) in parse_qs(urlsplit(unescape(link)).query).items()}
    manager.post(unescape(link), asked | {"reason": "She may stay"})
    world.settle()
    assert has(world, ink) == [False, True]
    assert "Give it back</a>" not in markup(manager.get(page))
    # It is a decision after the refund, so nothing is left to do.
    assert refunded.refunded_with_access() == []
    (kept,) = refunded.refunded_with_access(kept=True)
    assert kept.grants[0].kept_note == "She may stay"
    assert [one.why_not for one in undo_preview.preview(Batch.objects.get()) if one.why_not] == [
        "the access was given again since"
    ]


def test_the_page_of_the_refund_says_that_it_was_given_back(manager, world, ink):
    run(manager, world, ink)
    undo(manager, world, Batch.objects.get())
    event = EventLog.objects.filter(trigger="product_refunded").latest("pk")
    page = words(manager.get(reverse("admin:events_eventlog_change", args=[event.pk])))
    today = format_day(event.received_at)
    assert f"person 1 ended it on {today}. person 1 gave the buyer Ink back on {today}." in page
    assert "Kept on purpose" in page


def test_who_keeps_it_by_another_purchase_is_not_said_to_lose_it(manager, world, ink):
    sell(world, "flo", 9)
    rule = world.rule("product_refunded", ENDS, ink, product=SOLD, enabled=False)
    turned_on = manager.post(reverse("admin:rules_rule_do_switch_on", args=[rule.pk]), follow=True)
    assert "1 refunded buyer still has Ink. See and end it" in words(turned_on)
    page = words(manager.get(reverse("admin:earlier"), {"rule": rule.pk}))
    assert "1 refunded buyer still has Ink." in page
    assert "End it for this customer now" in page
    loses, keeps = page.split("Who keeps it")
    assert "gus@example.com" in loses
    assert "flo@example.com" not in loses
    assert "flo@example.com" in keeps
    assert "Stays open by something else: Ink." in keeps
    assert "End access" not in keeps
    # The rule runs for her as well, so that she loses it when the other purchase is refunded.
    manager.post(reverse("admin:earlier"), {"rule": rule.pk})
    world.settle()
    assert has(world, ink) == [False, True]
    sell(world, "flo", 9, "20_product")
    assert has(world, ink) == [False, False]


def test_where_nobody_loses_it_no_message_says_so_and_the_page_runs_it_for_who_keeps_it(
    manager, world, ink
):
    for number, name in enumerate(NAMES):
        sell(world, name, 8 + number)
    rule = world.rule("product_refunded", ENDS, ink, product=SOLD, enabled=False)
    turned_on = manager.post(reverse("admin:rules_rule_do_switch_on", args=[rule.pk]), follow=True)
    assert "still ha" not in words(turned_on)
    page = words(manager.get(reverse("admin:earlier"), {"rule": rule.pk}))
    assert "Run it for these 2 customers now" in page
    assert "Who loses it" not in page
    manager.post(reverse("admin:earlier"), {"rule": rule.pk})
    world.settle()
    assert has(world, ink) == [True, True]
    assert Grant.objects.filter(state=Grant.State.ENDED).count() == 2


def test_whose_purchases_were_all_refunded_loses_it_by_all_of_them(manager, world, ink):
    sell(world, "flo", 9)
    sell(world, "flo", 9, "20_product")
    rule = world.rule("product_refunded", ENDS, ink, product=SOLD)
    found = backfill.preview(rule)
    assert (found.customers, len(found.run), found.unchanged) == (2, 3, [])


def test_of_two_courses_only_the_one_that_nothing_else_gives_is_said_to_be_lost(world, manager):
    one, two = world.course("One"), world.course("Two")
    for course in (one, two):
        world.rule("product_purchased", GIVES, course, product=SOLD)
    world.rule("product_purchased", GIVES, one, product="77")
    sell(world, "zoe", 5)
    sell(world, "zoe", 7, product__id=77)
    sell(world, "zoe", 5, "20_product")
    rules = [world.rule("product_refunded", ENDS, each, product=SOLD) for each in (one, two)]
    found = backfill.preview(*rules)
    assert (found.customers, found.courses) == (1, ["Two"])
    parts = found.by_rule(rules)
    assert [parts[rule.pk].customers for rule in rules] == [0, 1]
    page = words(manager.get(reverse("admin:earlier"), {"rule": [rule.pk for rule in rules]}))
    assert "1 refunded buyer still has Two." in page
    assert "Stays open by something else: One." in page


def test_a_rule_that_passes_on_the_refund_does_not_make_anybody_lose_it(manager, world, ink):
    rule = world.rule("product_refunded", ENDS, ink, product=SOLD)
    world.notify_rule(
        "product_refunded", world.receiver("https://crm.example.com/in", "secret"), SOLD
    )
    sell(world, "flo", 9)
    found = backfill.preview(rule)
    assert [row.event.customer.email for row in found.run if row.event.customer] == [
        "gus@example.com"
    ]
    page = words(manager.get(reverse("admin:earlier"), {"rule": rule.pk}))
    assert "Send HTTP POST" in page.split("Who keeps it")[1]


@pytest.mark.parametrize("others", [1, 2])
def test_a_bundle_stays_if_other_purchases_give_all_its_courses(world, others):
    courses = [world.course("One"), world.course("Two")]
    both = world.bundle(*courses)
    world.rule("product_purchased", "create_bundle_enrollment", both, product=SOLD)
    sell(world, "zoe", 5)
    for number in range(others):
        world.rule("product_purchased", GIVES, courses[number], product=f"{70 + number}")
        sell(world, "zoe", 7 + number, product__id=70 + number)
    sell(world, "zoe", 5, "20_product")
    rule = world.rule("product_refunded", "expire_bundle_enrollment", both, product=SOLD)
    found = backfill.preview(rule)
    assert (found.customers, found.customers_unchanged) == ((1, 0) if others == 1 else (0, 1))


def test_no_more_is_asked_for_many_who_keep_it_than_for_one(
    manager, world, ink, django_assert_max_num_queries
):
    for number in range(6):
        sell(world, f"b{number}", 20 + number)
        sell(world, f"b{number}", 20 + number, "20_product")
        sell(world, f"b{number}", 40 + number)
    rule = world.rule("product_refunded", ENDS, ink, product=SOLD)
    with django_assert_max_num_queries(20):
        assert len(backfill.preview(rule).unchanged) == 6
