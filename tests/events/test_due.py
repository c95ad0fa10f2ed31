"""What is due when a run begins, by all that its student has at the site."""

import pytest
from django.utils import timezone

from events.access import due
from events.models import Grant, RuleRun
from events.retention import delete_account
from integrations import credentials
from integrations.models import Destination, Marketplace
from integrations.thinkific import catalog
from tests.support.world import World

BUYER = "dana@example.com"
GIVE, END = "product_purchased", "product_refunded"


@pytest.fixture
def read_parts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The target of a grant for each time that what is in it was looked at."""
    found: list[str] = []
    parts = Grant.parts.fget
    assert parts is not None

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
        Grant.objects.exclude(pk=ending.grant_id).delete()
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
        named = {"order__id": order, "order__subscription_id": ""}
        product_named = {"product__id": product, "product__name": f"Product {product}"}
        world.sell(name, customer__email=BUYER, **named, **product_named)
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
