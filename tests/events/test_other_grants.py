"""What a student keeps when one of her grants ends."""

from datetime import timedelta

import pytest
from django.utils import timezone

from events.access.other_grants import OtherGrants
from events.models import Grant
from tests.support import factories


@pytest.fixture
def dana(db):
    return factories.CustomerFactory.create()


@pytest.fixture
def school(db):
    return factories.IntegrationFactory.create()


@pytest.fixture
def grant(dana, school):
    """Return a function that adds an active grant of hers, each by an order of its own."""

    def add(target: str, courses: tuple[int, ...] = (), **facts: object) -> Grant:
        given = {
            "customer": dana,
            "integration": school,
            "target": target,
            "name": target,
            "course_ids": list(courses),
            "source": Grant.Source.PURCHASE,
            "state": Grant.State.ACTIVE,
            "decided_at": timezone.now(),
            "because": "product_purchased",
            "order_id": str(Grant.objects.count() + 1),
        }
        return Grant.objects.create(**given | facts)

    return add


def _keeps(*ending: Grant) -> list[bool]:
    others = OtherGrants(ending)
    return [others.give(each) for each in ending]


def test_another_purchase_of_the_course_keeps_it(grant):
    first, second = grant("course:1"), grant("course:1")
    assert _keeps(first) == [True]
    assert _keeps(first, second) == [False, False]


def test_another_course_or_student_or_school_keeps_nothing(grant):
    grant("course:2")
    grant("course:1", customer=factories.CustomerFactory.create())
    grant("course:1", integration=factories.IntegrationFactory.create())
    assert _keeps(grant("course:1")) == [False]


@pytest.mark.parametrize("state", [Grant.State.ENDED, Grant.State.WAIVED])
def test_what_is_over_keeps_nothing(grant, state):
    grant("course:1", state=state)
    assert _keeps(grant("course:1")) == [False]


def test_a_gift_keeps_it_until_its_last_day(grant):
    gift = grant("course:1", source=Grant.Source.HAND, until=timezone.now() + timedelta(days=1))
    bought = grant("course:1")
    assert _keeps(bought) == [True]
    gift.until = timezone.now() - timedelta(days=1)
    gift.save()
    assert _keeps(bought) == [False]


def test_a_bundle_keeps_the_courses_in_it(grant):
    grant("bundle:7", (1, 2))
    assert _keeps(grant("course:1")) == [True]
    assert _keeps(grant("course:3")) == [False]


def test_who_has_all_courses_of_a_bundle_keeps_the_bundle(grant):
    bundle = grant("bundle:7", (1, 2))
    grant("course:1")
    assert _keeps(bundle) == [False]
    grant("course:2")
    assert _keeps(bundle) == [True]


def test_only_the_parts_that_end_count(grant):
    bundle = grant("bundle:7", (1, 2))
    grant("course:1")
    others = OtherGrants([bundle])
    assert others.give(bundle, {"course:1"})
    assert not others.give(bundle, {"course:1", "course:2"})


def test_nothing_that_ends_takes_no_query(django_assert_num_queries, db):
    with django_assert_num_queries(0):
        OtherGrants([])
