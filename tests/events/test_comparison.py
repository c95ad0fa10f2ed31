"""Compares an enrollment with the ledger, without a database."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from events.comparison import differences
from events.comparison.differences import Kind, Shows
from events.models import Grant
from integrations.thinkific.courses import Access
from integrations.thinkific.enrollment_list import Enrollment, Student

SITE, COURSE, BUNDLE = 1, 501, "bundle:7"
TAKE_OVER = datetime(2026, 5, 1, tzinfo=UTC)
numbers = iter(range(1, 10_000))


def day(number: float) -> datetime:
    return TAKE_OVER + timedelta(days=number)


def grant(state: str = "active", target: str = f"course:{COURSE}", **facts: Any) -> Grant:
    given: dict[str, Any] = {"order_id": "1183", "customer_id": 1, "integration_id": SITE}
    given |= {"marketplace_id": 1, "product_id": 1, "decided_at": day(1), "pk": next(numbers)}
    given |= {"because": "product_purchased" if state == "active" else "product_refunded"}
    return Grant(state=state, target=target, **(given | facts))


def enrollment(access: Access = Access.FULL, **facts: Any) -> Enrollment:
    given: dict[str, Any] = {"user_id": 9, "email": "dana@example.com", "course_id": COURSE}
    return Enrollment(access=access, **(given | {"since": day(1)} | facts))


def kind(shown: Enrollment, *grants: Grant) -> Kind | None:  # type: ignore[valid-type]
    return differences.compare(shown, grants, SITE, take_over=TAKE_OVER).kind


HOLDS = [grant()]
ENDED = [grant("ended", ended_at=day(2), opened_at=day(1))]
BUNDLED = [grant(target=BUNDLE, course_ids=[COURSE, 502])]


@pytest.mark.parametrize(
    ("grants", "access", "expected"),
    [
        (HOLDS, Access.FULL, None),
        (HOLDS, Access.UNTIL, Kind.ENDS),
        (HOLDS, Access.PREVIEW, Kind.MISSING),
        (HOLDS, Access.ENDED, Kind.MISSING),
        (BUNDLED, Access.FULL, None),
        (BUNDLED, Access.ENDED, Kind.MISSING),
        (ENDED, Access.FULL, Kind.UNEXPLAINED),
        (ENDED, Access.UNTIL, Kind.UNEXPLAINED),
        (ENDED, Access.ENDED, None),
        (ENDED, Access.PREVIEW, None),
        ([], Access.FULL, Kind.UNEXPLAINED),
        ([], Access.PREVIEW, None),
        ([grant("waived")], Access.FULL, None),
        ([grant(integration_id=2)], Access.FULL, Kind.UNEXPLAINED),
        ([grant(target="course:502")], Access.FULL, Kind.UNEXPLAINED),
        ([grant(source="before", until=day(9))], Access.UNTIL, None),
        ([grant(source="before", until=day(9))], Access.ENDED, None),
        ([grant(source="before", until=day(9))], Access.FULL, None),
        ([grant(source="before", until=day(9)), *HOLDS], Access.UNTIL, Kind.ENDS),
        ([*ENDED, grant(order_id="1184")], Access.FULL, None),
        ([*ENDED, grant(order_id="1184")], Access.ENDED, Kind.MISSING),
    ],
)
def test_each_enrollment_beside_each_grant(grants, access, expected):
    assert kind(enrollment(access), *grants) == expected


def test_a_course_of_a_bundle_that_was_refunded_alone_is_not_held():
    bundle = grant(target=BUNDLE, course_ids=[COURSE, 502])
    course = grant("ended", decided_at=day(2))
    result = differences.compare(enrollment(), [bundle, course], SITE, take_over=TAKE_OVER)
    assert (result.kind, result.grant) == (Kind.UNEXPLAINED, course)


def test_what_began_before_admit_is_said_to_be_from_before():
    assert kind(enrollment(since=day(-1))) == Kind.BEFORE
    assert kind(enrollment(since=day(1))) == Kind.UNEXPLAINED
    assert kind(enrollment(since=None)) == Kind.UNEXPLAINED


def test_what_a_purchase_gave_and_a_refund_ended_is_not_from_before_whenever_it_began():
    assert kind(enrollment(since=day(-1)), *ENDED) == Kind.UNEXPLAINED


def test_the_last_one_that_ended_is_named():
    later = grant("ended", order_id="1184", decided_at=day(5))
    result = differences.compare(enrollment(), [later, *ENDED], SITE, take_over=TAKE_OVER)
    assert result.grant is later


@pytest.mark.parametrize(
    ("student", "expected"),
    [
        (Student(None), (Kind.MISSING, Shows.NO_ACCOUNT)),
        (Student(9), (Kind.MISSING, Shows.NOT_ENROLLED)),
        (Student(9, enrollment=enrollment(Access.ENDED)), (Kind.MISSING, Shows.ENDED)),
        (Student(9, enrollment=enrollment(Access.PREVIEW)), (Kind.MISSING, Shows.PREVIEW)),
        (Student(9, enrollment=enrollment(Access.UNTIL)), (Kind.ENDS, Shows.UNTIL)),
        (Student(9, enrollment=enrollment(Access.FULL)), (None, Shows.FULL)),
    ],
)
def test_each_answer_of_thinkific_about_one_student(student, expected):
    assert differences.compare_asked(student) == expected


def test_a_course_that_two_purchases_give_is_asked_for_once():
    first, second = grant(), grant(order_id="1184")
    found = [differences.given_by(each, [first, second]) for each in (first, second)]
    assert sorted(found) == [[], [COURSE]]


def test_a_bundle_gives_its_courses_but_for_one_that_has_ended():
    bundle = grant(target=BUNDLE, course_ids=[COURSE, 502, 503])
    ended = grant("ended", target="course:502", decided_at=day(2))
    assert differences.given_by(bundle, [bundle, ended]) == [COURSE, 503]
    assert differences.given_by(ended, [bundle, ended]) == []
