"""Access from before Admit: what a school gave is kept beside later purchases."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from events.access import by_hand, holdings
from events.access.by_hand import Author
from events.models import Grant, RuleRun
from integrations.models import Customer, Destination, Intent
from integrations.thinkific import catalog
from rules.actions import Action
from rules.models import Rule
from tests.support.world import World

pytestmark = pytest.mark.first_database

EMAIL = "dana@example.com"
NOW = datetime.now(UTC).replace(microsecond=0)
LONG_AGO = NOW - timedelta(days=200)
NEXT_YEAR = NOW + timedelta(days=365)
MIA = Author("mia@example.com", "Mistyped")


@pytest.fixture
def shop(world: World) -> World:
    """A shop whose product gives a course until it is refunded."""
    course = world.course()
    world.rule("product_purchased", Action.CREATE_COURSE_ENROLLMENT, course)
    world.rule("subscription_charged", Action.CREATE_COURSE_ENROLLMENT, course)
    world.rule("product_refunded", Action.EXPIRE_COURSE_ENROLLMENT, course)
    return world


def _given_by_the_school(shop: World, since: datetime = LONG_AGO, **facts: Any) -> None:
    user = shop.school.add_user(EMAIL)
    (course,) = shop.school.courses.values()
    row = shop.school.enroll(user, course, **facts)
    if row.activated_at is not None:
        row.activated_at = since


def _sell(shop: World, name: str) -> RuleRun:
    run = shop.sell(name, order__id=7).runs.get()
    shop.settle()
    run.refresh_from_db()
    return run


def _before() -> list[Grant]:
    return list(Grant.objects.filter(source=Grant.Source.BEFORE))


def test_a_refund_leaves_what_the_school_had_given(shop):
    _given_by_the_school(shop)
    assert _sell(shop, "10_product").code == "already_enrolled"
    (grant,) = _before()
    assert (grant.is_active, grant.until) == (True, None)
    refund = _sell(shop, "20_product")
    assert (refund.code, refund.message) == (
        "kept",
        "Kept Course Two: access from before Admit still gives it.",
    )
    assert shop.school.enrollments[0].active


def test_a_refund_puts_the_end_back_that_the_school_had_set(shop):
    _given_by_the_school(shop, expiry_date=NEXT_YEAR)
    _sell(shop, "10_product")
    assert shop.school.enrollments[0].expiry_date != NEXT_YEAR
    refund = _sell(shop, "20_product")
    assert refund.code == "put_back"
    assert refund.message.startswith("Access to Course Two ends on ")
    assert shop.school.enrollments[0].expiry_date == NEXT_YEAR


def test_an_end_that_has_passed_meanwhile_keeps_nothing(shop):
    _given_by_the_school(shop, expiry_date=NEXT_YEAR)
    _sell(shop, "10_product")
    Grant.objects.filter(source=Grant.Source.BEFORE).update(until=NOW - timedelta(days=1))
    assert _sell(shop, "20_product").code == "ended"
    assert not shop.school.enrollments[0].active


def test_access_from_before_admit_that_the_school_has_ended_since_keeps_nothing(shop):
    _given_by_the_school(shop)
    _sell(shop, "10_product")
    assert _sell(shop, "20_product").code == "kept"
    shop.school.enrollments[0].expiry_date = NOW - timedelta(days=1)
    shop.sell("10_product", order__id=8)
    shop.settle()
    assert shop.school.enrollments[0].active
    assert _before() == []
    shop.sell("20_product", order__id=8)
    assert shop.settle()[-1].code == "ended"
    assert not shop.school.enrollments[0].active


def test_a_refund_puts_the_end_back_that_the_school_has_set_last(shop):
    _given_by_the_school(shop, expiry_date=NEXT_YEAR)
    _sell(shop, "10_product")
    _sell(shop, "20_product")
    (row,) = shop.school.enrollments
    later = NEXT_YEAR + timedelta(days=180)
    row.expiry_date, row.activated_at = later, LONG_AGO
    shop.sell("10_product", order__id=8)
    shop.settle()
    assert row.expiry_date != later
    shop.sell("20_product", order__id=8)
    assert shop.settle()[-1].code == "put_back"
    assert row.expiry_date == later


def test_a_payment_notes_the_end_that_the_school_has_set_since(shop):
    _given_by_the_school(shop, expiry_date=NEXT_YEAR)
    _sell(shop, "12_product")
    shop.sell("20_product", order__id=7, product__id=1048010)
    assert shop.settle()[-1].code == "put_back"
    (row,) = shop.school.enrollments
    later = NEXT_YEAR + timedelta(days=180)
    row.expiry_date, row.activated_at = later, LONG_AGO
    shop.sell("31_subscription")
    shop.settle()
    assert row.expiry_date != later
    assert [grant.until for grant in _before()] == [later]


def test_an_end_set_while_a_purchase_gives_the_course_is_not_put_back(shop):
    _given_by_the_school(shop, expiry_date=NEXT_YEAR)
    _sell(shop, "10_product")
    (row,) = shop.school.enrollments
    row.expiry_date, row.activated_at = NOW + timedelta(days=9), LONG_AGO
    shop.sell("10_product", order__id=8)
    shop.settle()
    assert [grant.until for grant in _before()] == [NEXT_YEAR]


def test_access_that_has_an_end_stays_with_its_student_when_purchases_move(shop):
    _given_by_the_school(shop, expiry_date=NEXT_YEAR)
    _sell(shop, "10_product")
    dana = Customer.objects.get(email=EMAIL)
    other = by_hand.move(dana, "dana@new.example.com", MIA)
    shop.settle()
    (grant,) = _before()
    assert (grant.customer, grant.until) == (dana, NEXT_YEAR)
    assert shop.school.enrollments[0].expiry_date == NEXT_YEAR
    assert [each.order_id for each in Grant.objects.filter(customer=other)] == ["7"]
    assert not Grant.objects.owed().exists()
    with pytest.raises(ValueError, match="ends on the day that the school had set"):
        by_hand.move(dana, "dana@new.example.com", MIA)


def test_access_whose_end_has_passed_is_neither_moved_nor_offered_to_be_ended(shop):
    _given_by_the_school(shop, expiry_date=NEXT_YEAR)
    _sell(shop, "10_product")
    _sell(shop, "20_product")
    dana = Customer.objects.get(email=EMAIL)
    assert len(holdings.of_customer(dana)) == 1
    Grant.objects.filter(source=Grant.Source.BEFORE).update(until=NOW - timedelta(days=1))
    assert holdings.of_customer(dana) == []
    with pytest.raises(ValueError, match="knows of no access"):
        by_hand.move(dana, "dana@new.example.com", MIA)


@pytest.mark.parametrize("stopped", ["not begun", "failed"])
@pytest.mark.parametrize("until", [None, NEXT_YEAR])
def test_a_refund_before_the_purchase_was_carried_out_leaves_what_the_school_gave(
    shop, stopped, until
):
    _given_by_the_school(shop, expiry_date=until)
    shop.sell("10_product", order__id=7)
    if stopped == "failed":
        RuleRun.objects.update(status="failed", next_attempt_at=None)
    refund = _sell(shop, "20_product")
    assert (refund.code, refund.message) == (
        "kept",
        "Kept Course Two: the student had it before this purchase.",
    )
    (row,) = shop.school.enrollments
    assert (row.active, row.expiry_date) == (True, until)
    (grant,) = _before()
    assert (grant.is_active, grant.until) == (True, until)
    # What is bought later ends as usual, and the school's access stays.
    shop.sell("10_product", order__id=8)
    shop.settle()
    shop.sell("20_product", order__id=8)
    assert shop.settle()[-1].code == ("put_back" if until else "kept")
    assert (row.active, row.expiry_date) == (True, until)


@pytest.mark.parametrize(
    "facts", [{"ago": timedelta(minutes=2)}, {"doubt": True}, {"seen": True}, {"ends_all": True}]
)
def test_a_refund_ends_what_its_purchase_may_have_given(shop, facts):
    shop.sell("10_product", order__id=7)
    _given_by_the_school(shop, datetime.now(UTC) - facts.get("ago", timedelta(days=200)))
    if "doubt" in facts:
        grant = Grant.objects.get()
        Intent.objects.create(
            integration=shop.integration,
            customer=grant.customer,
            target=grant.target,
            sent_at=NOW - timedelta(hours=2),
        )
    if "seen" in facts:  # Admit has opened it
        Grant.objects.update(seen_at=NOW)
    if "ends_all" in facts:
        Rule.objects.filter(trigger="product_refunded").update(ends_all=True)
    assert _sell(shop, "20_product").code == "ended"
    assert not shop.school.enrollments[0].active
    assert _before() == []


def test_what_continues_a_purchase_from_before_admit_is_ended(shop):
    _given_by_the_school(shop)
    shop.sell("31_subscription", order__id=7, product__id=1048001, order__subscription_id=None)
    assert _sell(shop, "20_product").code == "ended"
    assert not shop.school.enrollments[0].active


@pytest.mark.parametrize("alone", [True, False])
def test_a_bundle_that_was_refunded_at_once_leaves_what_the_school_gave_of_it(world, alone):
    one, two = world.course("One"), world.course("Two")
    whole = world.bundle(one, two)
    world.rule("product_purchased", "create_bundle_enrollment", whole)
    world.rule("product_refunded", "expire_bundle_enrollment", whole)
    user = world.school.add_user(EMAIL)
    world.school.enroll(user, world.school.courses[one.external_id]).activated_at = LONG_AGO
    world.sell("10_product", order__id=7)
    if not alone:  # SamCart's own rules enroll at the same time
        world.school.enroll(user, world.school.courses[two.external_id])
    refund = _sell(world, "20_product")
    assert (refund.code, refund.message) == (
        ("kept", "Kept All of it: the student had it before this purchase.")
        if alone
        else (
            "ended",
            "Access to All of it ended, except to what the student had before this purchase.",
        )
    )
    assert (world.access(EMAIL, one), world.access(EMAIL, two)) == (True, False)
    assert [grant.target for grant in _before()] == [one.target]


@pytest.mark.parametrize("rows", ["courses", "members"])
@pytest.mark.parametrize("met", [True, False])
def test_a_refunded_bundle_leaves_what_the_school_had_given_of_it(world, rows, met):
    world.sandbox.switches.bundle_rows = rows
    one, two, other = (world.course(name) for name in ("One", "Two", "Other"))
    whole = world.bundle(one, two)
    world.rule("product_purchased", "create_bundle_enrollment", whole, product="1048001")
    world.rule("product_refunded", "expire_bundle_enrollment", whole, product="1048001")
    world.rule("product_purchased", "create_course_enrollment", other, product="1048002")
    user = world.school.add_user(EMAIL)
    world.school.enroll(user, world.school.courses[one.external_id]).activated_at = LONG_AGO
    if met:
        world.sell("10_product", order__id=5, product__id=1048002)
        world.settle()
    _sell(world, "10_product")
    assert [(grant.target, grant.customer.email) for grant in _before()] == [(one.target, EMAIL)]
    assert world.access(EMAIL, two)
    assert _sell(world, "20_product").status == "done"
    assert (world.access(EMAIL, one), world.access(EMAIL, two)) == (True, False)
    assert world.access(EMAIL, other) is met


@pytest.fixture
def bundle(world: World) -> list[Destination]:
    """A bundle of One and Two that is sold, and Other, which is not in it yet."""
    one, two, other = (world.course(name) for name in ("One", "Two", "Other"))
    whole = world.bundle(one, two)
    for trigger in ("product_purchased", "subscription_charged"):
        world.rule(trigger, "create_bundle_enrollment", whole, product="1048001")
    world.rule("product_refunded", "expire_bundle_enrollment", whole, product="1048001")
    return [one, two, other, whole]


def _add_to(world: World, whole: Destination, course: Destination) -> None:
    inside = world.school.bundles[whole.external_id].courses
    inside.append(world.school.courses[course.external_id])


@pytest.mark.parametrize(
    ("sale", "ago", "stays"),
    [
        ("10_product", timedelta(days=200), True),
        # SamCart's own rules enroll while Admit does.
        ("10_product", timedelta(minutes=2), False),
        # The bundle may have been sold before Admit.
        ("31_subscription", timedelta(days=200), False),
    ],
)
def test_a_course_that_was_added_to_a_sold_bundle_stays_if_the_school_gave_it_before_the_sale(
    world, bundle, sale, ago, stays
):
    one, two, other, whole = bundle
    row = world.school.enroll(world.school.add_user(EMAIL), world.school.courses[other.external_id])
    row.activated_at = datetime.now(UTC) - ago
    world.sell(sale, order__id=7, product__id=1048001, order__subscription_id=None)
    world.settle()
    _add_to(world, whole, other)
    refund = _sell(world, "20_product")
    assert refund.code == "ended"
    assert refund.message.endswith("had before this purchase.") is stays
    assert [world.access(EMAIL, each) for each in (one, two, other)] == [False, False, stays]
    assert [(grant.target, grant.name) for grant in _before()] == [(other.target, "Other")] * stays


def test_a_course_that_admit_gave_long_before_a_bundle_ends_with_the_last_that_gives_it(
    world, bundle
):
    other, whole = bundle[2:]
    world.rule("product_purchased", "create_course_enrollment", other, product="1048002")
    world.rule("product_refunded", "expire_course_enrollment", other, product="1048002")
    world.sell("10_product", order__id=5, product__id=1048002)
    world.settle()
    world.school.enrollments[0].activated_at = LONG_AGO
    _sell(world, "10_product")
    _add_to(world, whole, other)
    catalog.refresh(world.integration)
    world.sell("20_product", order__id=5, product__id=1048002)
    world.settle()
    assert world.access(EMAIL, other)
    assert _sell(world, "20_product").message == "Access to All of it ended."
    assert not any(row.active for row in world.school.enrollments)


@pytest.mark.parametrize(
    ("ago", "facts"),
    [
        # SamCart's own rules enroll while Admit does.
        (timedelta(minutes=2), {}),
        (timedelta(days=200), {"free_trial": True}),
        (timedelta(days=200), {"expiry_date": NOW - timedelta(days=3)}),
    ],
)
def test_what_was_no_access_of_its_own_is_not_kept(shop, ago, facts):
    # Not from NOW: other tests may have run for long since this file was read.
    _given_by_the_school(shop, datetime.now(UTC).replace(microsecond=0) - ago, **facts)
    _sell(shop, "10_product")
    assert _before() == []
    assert _sell(shop, "20_product").code == "ended"


def test_a_renewal_takes_over_what_was_there(shop):
    _given_by_the_school(shop)
    assert _sell(shop, "31_subscription").code == "already_enrolled"
    assert _before() == []


def test_an_attempt_that_was_broken_off_is_not_taken_for_the_school(shop):
    """The course is given, and the attempt ends with an error after that."""
    shop.sell("10_product", order__id=7)
    shop.settle()
    RuleRun.objects.update(status="waiting", next_attempt_at=NOW)
    for row in shop.school.enrollments:
        row.activated_at = LONG_AGO
    shop.settle()
    assert _before() == []


def test_a_refund_from_before_admit_ends_what_a_later_purchase_found(shop):
    _given_by_the_school(shop)
    _sell(shop, "10_product")
    shop.sell("20_product", order__id=8, order__created_at="2020-01-01T00:00:00Z")
    shop.settle()
    (grant,) = _before()
    assert not grant.is_active
    assert shop.school.enrollments[0].active  # order 7 is paid for
    assert _sell(shop, "20_product").code == "ended"


def test_a_refund_from_before_admit_ends_every_course_of_its_rules(shop):
    another = shop.course("Another")
    shop.rule("product_refunded", Action.EXPIRE_COURSE_ENROLLMENT, another)
    user = shop.school.add_user(EMAIL)
    for course in shop.school.courses.values():
        shop.school.enroll(user, course)
    refund = shop.sell("20_product")
    shop.settle()
    assert {run.code for run in refund.runs.all()} == {"ended"}
    assert not any(row.active for row in shop.school.enrollments)
