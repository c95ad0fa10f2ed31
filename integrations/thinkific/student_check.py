"""Ask Thinkific now about a student, without changing anything there."""

import time
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import pgettext

from integrations.models import Customer, Destination, Integration
from integrations.sentences import format_day, say
from integrations.thinkific import calls, courses, users
from integrations.thinkific.calls import Row
from integrations.thinkific.courses import Access
from integrations.thinkific.session import Session

WAIT_SECONDS = 10.0
Kind = Destination.Kind


@dataclass(frozen=True, slots=True)
class Enrolled:
    """One course of the student: whether they can open it now, and its state in a few words."""

    course_id: int
    name: str
    opens: bool
    state: str


@dataclass(frozen=True, slots=True)
class Checked:
    """The student's user ID on the site, or None if there is no such student, and their courses."""

    user_id: int | None
    enrolled: tuple[Enrolled, ...] = ()


def check(integration: Integration, customer: Customer) -> Checked:
    """Read the student and their enrollments.

    Waits at most ten seconds for the last call to start. Raises what a Session raises. The
    exchanges are kept like all others.
    """
    session = Session(integration, customer, until=time.monotonic() + WAIT_SECONDS)
    user = session.carry_out(users.look_up(session.attempt))
    if user is None:
        return Checked(None)
    found = session.carry_out(calls.rows("/enrollments", {"query[user_id]": user.id}))
    mine = [row for row in found if row.get("user_id") == user.id]
    # The names that people gave to courses which Thinkific does not list.
    courses_by_hand = integration.destinations.filter(kind=Kind.COURSE, by_hand=True)
    names = dict(courses_by_hand.values_list("external_id", "name"))
    return Checked(user.id, tuple(_enrolled(row, names, session.attempt.now) for row in mine))


def _enrolled(row: Row, names: dict[int, str], now: datetime) -> Enrolled:
    given = row.get("course_id")
    number = given if isinstance(given, int) else 0
    end = courses.moment(row.get("expiry_date"))
    day = format_day(end) if end else ""
    match courses.access(row, now):
        case Access.ENDED:
            # Admit ends access by setting the day before as its end, so "ended on" would be wrong.
            ended = say("ended; its end date in Thinkific is {day}", day=day)
            state, opens = ended if day else pgettext("access", "ended"), False
        case Access.FULL:
            state, opens = say("full access"), True
        case Access.PREVIEW:
            state, opens = say("free preview only"), False
        case Access.UNTIL:
            state, opens = say("access until {day}", day=day), True
    unnamed = say("Course {number}", number=str(given))
    return Enrolled(
        number,
        names.get(number) or str(row.get("course_name") or unnamed)[:255],
        opens,
        state,
    )
