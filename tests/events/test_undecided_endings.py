"""What a person moved or undid is still open in Thinkific until the action that ends it is done."""

import pytest

from events.access import by_hand
from events.execution import moving
from events.models import Batch, RuleRun
from events.reports.changed_rules.left_behind import left_behind
from events.reports.customers import customer_access
from integrations.models import Customer, Destination, Integration
from rules import changing
from rules.models import Rule
from tests.support.world import World

pytestmark = pytest.mark.first_database

EMAIL, OTHER = "uma@gmial.example", "uma@gmail.example"
GIVES = "create_course_enrollment"


@pytest.fixture
def rule(world: World) -> Rule:
    return world.rule("product_purchased", GIVES, world.course("Ink"), product="77")


def buy(world: World) -> Customer:
    world.sell(product__id=77, customer__email=EMAIL, order__id=5411)
    world.settle()
    return Customer.objects.get(email=EMAIL)


def told(customer: Customer) -> str:
    return " ".join(line.text for line in customer_access.describe(customer).lines)


def letter(customer: Customer) -> str:
    return customer_access.describe(customer).reply


def turn_the_school(*, on: bool) -> None:
    Integration.objects.update(enabled=on)


def test_until_moved_access_is_closed_the_old_address_still_has_it(world, rule):
    uma = buy(world)
    by_hand.move(uma, OTHER, by_hand.Author("Sam", "Mistyped"))
    assert "access to Ink ends in a moment" in told(uma)
    turn_the_school(on=False)
    assert f"still has Ink: ending it is waiting. Moved to {OTHER}." in told(uma)
    assert "We found no course" not in letter(uma)
    turn_the_school(on=True)
    world.settle()
    assert "has no access to Ink: Sam moved it on" in told(uma)


def test_what_was_never_open_is_not_said_to_be_open_after_a_move(world, rule):
    turn_the_school(on=False)
    world.sell(product__id=77, customer__email=EMAIL, order__id=5411)
    uma = Customer.objects.get(email=EMAIL)
    by_hand.move(uma, OTHER, by_hand.Author("Sam", "Mistyped"))
    assert "still has Ink" not in told(uma)


def test_until_what_a_changed_rule_gave_is_closed_the_buyer_still_has_it(world, rule):
    uma = buy(world)
    faces = world.course("Faces")
    changing.point_to(Rule.objects.filter(pk=rule.pk), faces, on=True)
    turn_the_school(on=False)
    rows = left_behind(rule.pk).rows
    moving.move(
        [(row.event, [each.pk for each in row.grants], row.gives) for row in rows],
        Batch.objects.create(title="Move"),
    )
    assert RuleRun.objects.filter(action="expire_course_enrollment", status="waiting").exists()
    assert "still has Ink: ending it is waiting" in told(uma)
    turn_the_school(on=True)
    world.settle()
    assert world.access(EMAIL, faces)
    assert not world.access(EMAIL, Destination.objects.get(name="Ink"))
    assert "still has Ink" not in told(uma)
