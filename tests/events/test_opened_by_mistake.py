"""The letter tells a course that a wrong rule gave from one that was taken out on purpose."""

from datetime import timedelta

import pytest
from django.utils import timezone

from events.access import by_hand
from events.access.by_hand import Author
from events.execution import moving
from events.models import Batch, RuleRun
from events.reports.changed_rules.left_behind import left_behind
from events.reports.customers import customer_access
from events.reports.sentences import short_lived
from integrations.models import Customer, Destination
from integrations.sentences import LONG, format_day
from rules import changing
from rules.models import Rule
from tests.support.world import World

pytestmark = pytest.mark.first_database

EMAIL, OTHER = "rita@gmial.example", "rita@gmail.example"
GIVES, ENDS = "create_course_enrollment", "expire_course_enrollment"
CLOSED = "Your access to Drawing Faces was closed on "
RIGHT = "Example Course One does not include it. What Example Course One includes is open: Ink and"
LEFT_OUT = "Drawing Faces ended on "


@pytest.fixture
def rule(world: World) -> Rule:
    """77 gives Ink and Wash, and then, by a change, Drawing Faces."""
    rule = world.rule("product_purchased", GIVES, world.course("Ink and Wash"), product="77")
    point(rule, world.course("Drawing Faces"))
    return rule


def point(rule: Rule, course: Destination) -> None:
    changing.point_to(Rule.objects.filter(pk=rule.pk), course, on=True)


def buy(world: World) -> Customer:
    world.sell(product__id=77, customer__email=EMAIL, order__id=5411)
    world.settle()
    return Customer.objects.get(email=EMAIL)


def put_right(world: World, rule: Rule) -> None:
    """Point the rule to Ink and Wash again, and move its buyers there."""
    point(rule, Destination.objects.get(name="Ink and Wash"))
    rows = left_behind(rule.pk).rows
    moving.move(
        [(row.event, [each.pk for each in row.grants], row.gives) for row in rows],
        Batch.objects.create(title="Move"),
    )
    world.settle()


def letter(customer: Customer) -> str:
    return customer_access.describe(customer).reply


def test_a_course_that_a_rule_gave_for_some_days_is_not_said_to_have_been_included(world, rule):
    rita = buy(world)
    put_right(world, rule)
    told, today = letter(rita), format_day(timezone.now(), LONG)
    assert f"{CLOSED}{today}: {RIGHT} Wash." in told
    assert "no longer includes" not in told


def test_a_course_that_a_rule_gave_for_long_was_taken_out_on_purpose(world, rule, monkeypatch):
    rita = buy(world)
    monkeypatch.setattr(short_lived, "MOST", timedelta(0))
    put_right(world, rule)
    told = letter(rita)
    assert f"{LEFT_OUT}{format_day(timezone.now(), LONG)}: Example Course One no longer " in told
    assert "does not include" not in told


def test_nor_is_what_a_rule_gave_that_was_deleted_after_some_days(world, rule):
    rita = buy(world)
    changing.delete(Rule.objects.filter(pk=rule.pk))
    rows = left_behind(rule.pk).rows
    moving.move(
        [(row.event, [each.pk for each in row.grants], ()) for row in rows],
        Batch.objects.create(title="End"),
        why=moving.DELETED,
    )
    world.settle()
    assert f"{CLOSED}{format_day(timezone.now(), LONG)}: Example Course One does not" in letter(
        rita
    )


def test_a_change_of_another_products_rule_is_not_taken_for_the_mistake(world, rule):
    rita = buy(world)
    put_right(world, rule)
    moment = timezone.now()
    run = RuleRun.objects.get(action=ENDS, customer=rita)
    assert run.event.product_id
    assert short_lived.was_mistake(run, run.event.product_id, moment)
    assert not short_lived.was_mistake(run, run.event.product_id + 1, moment)


@pytest.mark.parametrize("for_long", [False, True])
def test_whoever_was_moved_to_another_address_reads_the_same(world, rule, monkeypatch, for_long):
    rita = buy(world)
    right = by_hand.move(rita, OTHER, Author("mia@example.com", "Mistyped"))
    world.settle()
    if for_long:
        monkeypatch.setattr(short_lived, "MOST", timedelta(0))
    put_right(world, rule)
    told, today = letter(right), format_day(timezone.now(), LONG)
    right_words = (
        f"{LEFT_OUT}{today}: Example Course One no longer includes it."
        if for_long
        else f"{CLOSED}{today}: {RIGHT} Wash."
    )
    assert right_words in told
    assert "took back" not in told
