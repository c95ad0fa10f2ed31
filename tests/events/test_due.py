"""What is due when a run begins, by all that its student has at the site."""

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from events.access import by_hand, due
from events.execution import retry_by_hand
from events.models import EventLog, Grant, RuleRun
from events.retention import delete_account
from integrations import credentials
from integrations.models import Customer, Destination, Marketplace
from integrations.thinkific import catalog
from tests.support.world import World

BUYER = "dana@example.com"
GIVE, END = "product_purchased", "product_refunded"


@pytest.fixture
def read_parts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The target of a grant for each time that what is in it was looked at."""
    found: list[str] = []
    parts: Callable[[Grant], frozenset[str]] = vars(Grant)["parts"].fget

    def noted(grant: Grant) -> frozenset[str]:
        found.append(grant.target)
        return parts(grant)

    monkeypatch.setattr(Grant, "parts", property(noted))
    return found


@pytest.mark.parametrize("same_order", [False, True])
def test_the_work_of_an_ending_grows_with_what_the_student_has_and_no_faster(
    world: World, read_parts: list[str], same_order: bool
):
    course = world.course()
    world.rule(GIVE, "create_course_enrollment", course)
    world.rule(END, "expire_course_enrollment", course)
    world.sell("12_product", order__id=1)
    world.sell("20_product", order__id=1)
    ending = RuleRun.objects.get(action="expire_course_enrollment")
    looked = []
    for number in (50, 100):
        Grant.objects.filter(target__startswith="bundle:").delete()
        _buy_bundles(ending, number, same_order=same_order)
        read_parts.clear()
        is_due = due.due([ending])[ending.pk]
        assert len([part for part in is_due.still_given if part.startswith("bundle:")]) == number
        looked.append(len(read_parts))
    few, many = looked
    assert many < 2.5 * few


def _buy_bundles(ending: RuleRun, number: int, *, same_order: bool) -> None:
    """Give the student of this run bundles of ten courses."""
    known = ending.grant
    assert known is not None
    for each in range(number):
        Grant.objects.create(
            marketplace=known.marketplace,
            product=known.product,
            order_id="2000" if same_order else str(2000 + each),
            customer=known.customer,
            integration=known.integration,
            target=f"bundle:{700 + each}",
            course_ids=list(range(9001, 9011)),
            state="active",
            decided_at=timezone.now(),
            because=GIVE,
            opened_at=timezone.now(),
        )


def sell_course_alone_too(world: World, whole: Destination, course: Destination) -> None:
    """One product gives the bundle, and another one a course that its refund ends."""
    world.sell("12_product", product__id="1048010", customer__email=BUYER, order__id=1)
    world.sell("12_product", product__id="1048011", customer__email=BUYER, order__id=2)
    world.rule(GIVE, "create_bundle_enrollment", whole, "1048010")
    world.rule(GIVE, "create_course_enrollment", course, "1048011")
    world.rule(END, "expire_course_enrollment", course, "1048011")


@pytest.mark.parametrize("how", ["listed", "entered by number"])
def test_a_course_added_to_a_paid_bundle_outlives_the_refund_of_its_own_order(
    world: World, how: str
):
    one, two, three = world.course("One"), world.course("Two"), world.course("Three")
    whole = world.bundle(one, two)
    sell_course_alone_too(world, whole, three)
    if how == "entered by number":
        world.school.bundles[whole.external_id].new_builder = True  # not listed by Thinkific
        Destination.objects.filter(pk=whole.pk).update(course_ids=[], by_hand=True)
    world.sell("12_product", product__id="1048010", customer__email=BUYER, order__id=3)
    world.settle()
    assert world.access(BUYER, one)
    # The school adds the course. Thinkific gives it to members within a day.
    inside = world.school.bundles[whole.external_id].courses
    inside.append(world.school.courses[three.external_id])
    catalog.refresh(world.integration)
    for name in ("12_product", "20_product"):
        world.sell(name, product__id="1048011", customer__email=BUYER, order__id=4)
        world.settle()
    assert world.access(BUYER, three)
    ending = RuleRun.objects.get(action="expire_course_enrollment")
    assert ending.message == "Kept Three: order 3 still gives it."


def test_after_an_account_was_deleted_two_products_of_an_order_are_still_two_purchases(
    world: World,
):
    course = world.course()

    def sell(name: str, product: int, order: int) -> None:
        named: dict[str, Any] = {"order__id": order, "order__subscription_id": ""}
        named |= {"product__id": product, "product__name": f"Product {product}"}
        world.sell(name, customer__email=BUYER, **named)
        world.settle()

    def make_rules() -> None:
        world.rule(GIVE, "create_course_enrollment", course)
        world.rule(END, "expire_course_enrollment", course)

    make_rules()
    sell("12_product", 1048010, order=1)
    sell("12_product", 1048011, order=1)
    sell("20_product", 1048010, order=1)
    former, world.marketplace = world.marketplace, Marketplace.objects.create(name="Second shop")
    world.secret = credentials.add_webhook_secret(world.marketplace)
    assert delete_account.delete(former)
    make_rules()
    sell("12_product", 1048020, order=2)
    sell("20_product", 1048020, order=2)
    assert world.access(BUYER, course)


# A rule that ends access whatever gave it


def sell(world: World, name: str, *, order: int) -> EventLog:
    named: dict[str, Any] = {"order__id": order, "order__subscription_id": 900 + order}
    return world.sell(name, customer__email=BUYER, product__id="1048010", **named)


def test_what_else_gave_it_ends_even_within_a_bundle_that_a_person_gave(world: World):
    one, two = world.course("One"), world.course("Two")
    whole = world.bundle(one, two)
    world.rule(GIVE, "create_course_enrollment", one)
    world.rule(END, "expire_course_enrollment", one, ends_all=True)
    sell(world, "12_product", order=1)
    dana = Customer.objects.get(email=BUYER)
    by_hand.give(dana, whole, by_hand.Author("ann", "a friend"))
    world.settle()
    refund = sell(world, "20_product", order=1)
    world.settle()
    assert [world.access(BUYER, course) for course in (one, two)] == [False, True]
    assert refund.runs.get().code == "ended"
    assert sorted(Grant.objects.values_list("source", "target")) == [
        ("hand", whole.target),
        ("purchase", one.target),
    ]


def test_what_a_person_gave_after_the_refund_keeps_what_the_refund_ends(world: World):
    one = world.course("One")
    whole = world.bundle(one, world.course("Two"))
    world.rule(GIVE, "create_course_enrollment", one)
    world.rule(END, "expire_course_enrollment", one, ends_all=True)
    sell(world, "12_product", order=1)
    world.settle()
    refund = sell(world, "20_product", order=1)
    by_hand.give(Customer.objects.get(email=BUYER), whole, by_hand.Author("ann", "a friend"))
    world.settle()
    assert world.access(BUYER, one)
    assert refund.runs.get().code == "kept"


@pytest.mark.parametrize("bought_later", [False, True])
def test_to_do_it_anyway_ends_what_else_gave_it_when_the_event_came_and_nothing_later(
    world: World, bought_later: bool
):
    one = world.course("One")
    canceled = "subscription_canceled"
    world.rule(GIVE, "create_course_enrollment", one)
    world.rule(canceled, "expire_course_enrollment", one, ends_all=True, delay_days=30)
    for order in (1, 2):
        sell(world, "12_product", order=order)
    ending = sell(world, "30_subscription", order=1).runs.get()
    retry_by_hand.dismiss([ending], by="ann")
    if bought_later:
        sell(world, "12_product", order=3)
    world.settle()
    assert world.access(BUYER, one)
    assert retry_by_hand.retry([RuleRun.objects.get(pk=ending.pk)], anyway=True) == (1, {})
    world.settle()
    assert world.access(BUYER, one) is bought_later
