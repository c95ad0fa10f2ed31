"""Access from before Admit: what a school gave is kept beside later purchases."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from events.models import Grant, RuleRun
from rules.actions import Action
from tests.support.world import World

pytestmark = pytest.mark.first_database

EMAIL = "dana@example.com"
NOW = datetime.now(UTC).replace(microsecond=0)
LONG_AGO = NOW - timedelta(days=200)
NEXT_YEAR = NOW + timedelta(days=365)


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
