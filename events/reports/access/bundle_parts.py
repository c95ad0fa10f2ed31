"""Bundles of which some courses have ended: which courses are told of alone, and which together."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

from events.access import ledger
from events.comparison import scope
from events.models import Grant
from integrations.sentences import say
from integrations.targets import course_target
from rules.listing import listed

# With at most this many a bundle is named that is open without some of its courses.
COURSES_NAMED = 2


def told_of(
    bundle: Grant, grants: Sequence[Grant], apart: Collection[tuple[int | None, str]]
) -> list[Grant]:
    """Return, as unsaved grants, what pages list in place of the bundle.

    That is each of its courses. Courses that only this grant of the bundle opens are listed as one,
    named as the bundle without the others. `apart` are the places, by integration and target, that
    have a grant or an action of their own.
    """
    courses = _courses(bundle)
    rest = [each for each in courses if _is_as_the_bundle(each, bundle, grants, apart)]
    if len(rest) < 2:
        return courses
    alone = [each for each in courses if each not in rest]
    return [_without(bundle, alone), *alone]


def in_part(grants: Sequence[Grant]) -> list[Grant]:
    """Return the active bundles of which a course has ended: their courses are listed alone."""
    bundles = [row for row in grants if row.is_active and row.course_ids]
    return [
        row
        for row in bundles
        if not all(given(grants, row.integration_id, part) for part in row.parts - {row.target})
    ]


def bundles_in_part(grants: Iterable[Grant]) -> set[int]:
    """Return the IDs of those of these grants that give a bundle of which a course has ended.

    Takes one query, or none if there is no bundle.
    """
    whose = {row.customer_id for row in grants if row.is_active and row.course_ids}
    if not whose:
        return set()
    of_customer: dict[int, list[Grant]] = defaultdict(list)
    for row in Grant.objects.filter(customer__in=whose).order_by("pk"):
        of_customer[row.customer_id].append(row)
    return {row.pk for mine in of_customer.values() for row in in_part(mine)}


def named_in_part(grant: Grant, in_part: Collection[int]) -> str:
    """Return the name of what a grant gives; `in_part` is what `bundles_in_part` returned."""
    return say("{bundle}, in part", bundle=grant.name) if grant.pk in in_part else grant.name


def given(grants: Iterable[Grant], integration: int | None, part: str) -> list[Grant]:
    """Return the grants that give this course or bundle now, one for each source."""
    found = (
        ledger.holder(rows, integration or 0, part) for rows in ledger.by_source(grants).values()
    )
    return [row for row in found if row is not None]


def _is_as_the_bundle(
    course: Grant, bundle: Grant, grants: Iterable[Grant], apart: Collection[tuple[int | None, str]]
) -> bool:
    """Whether the course is open by this grant of its bundle alone, and nothing else is about it.

    `apart` are the places that have a grant or an action of their own.
    """
    place = (course.integration_id, course.target)
    return place not in apart and given(grants, *place) == [bundle]


def _without(bundle: Grant, courses: Sequence[Grant]) -> Grant:
    name = say("{bundle}, in part", bundle=bundle.name)
    if len(courses) <= COURSES_NAMED:
        names = listed([course.name for course in courses])
        name = say("{bundle} without {courses}", bundle=bundle.name, courses=names)
    facts = {"integration": bundle.integration, "decided_at": bundle.decided_at}
    return Grant(target=bundle.target, name=name, **facts)


def _courses(bundle: Grant) -> list[Grant]:
    """Return an unsaved grant for each of the bundle's courses."""
    names = scope.named(bundle.integration, bundle.course_ids)
    facts = {"integration": bundle.integration, "decided_at": bundle.decided_at}
    return [
        Grant(target=course_target(number), name=name, **facts) for number, name in names.items()
    ]
