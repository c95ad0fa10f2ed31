"""Read a course's enrollments, page by page or for one student, to compare with the ledger."""

from dataclasses import dataclass
from datetime import datetime

from integrations.samcart.parser import normalize_email
from integrations.thinkific import calls, courses, users
from integrations.thinkific.attempt import Attempt
from integrations.thinkific.calls import Row, Steps
from integrations.thinkific.courses import Access


@dataclass(frozen=True, slots=True)
class Enrollment:
    """One student in one course: what access it gives, since when and until when.

    `email` is normalized, "" if Thinkific names none. `until` is None if there is no end.
    """

    user_id: int
    email: str
    course_id: int
    access: Access
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class ListPage:
    """A page of a course's enrollments. `following` is the next page's number, None after the last.

    `ids` are the IDs of all rows, by which a repeated page is recognized.
    """

    enrollments: tuple[Enrollment, ...]
    ids: tuple[int, ...]
    following: int | None


@dataclass(frozen=True, slots=True)
class Student:
    """A student as Thinkific has them now, with their enrollment in the course, if any.

    `user_id` is None if Thinkific has no such student.
    """

    user_id: int | None
    administrator: bool = False
    enrollment: Enrollment | None = None


def page(course_id: int, number: int, now: datetime) -> Steps[ListPage]:
    """Return one page of the course's enrollments.

    Rows are compared here, because Thinkific ignores filters that it does not understand.
    """
    rows, following = yield from calls.one_page(
        "/enrollments", {"query[course_id]": course_id}, number
    )
    found = (_read(row, now) for row in rows)
    return ListPage(
        tuple(each for each in found if each is not None and each.course_id == course_id),
        tuple(row["id"] for row in rows if isinstance(row.get("id"), int)),
        following,
    )


def of_student(attempt: Attempt, course_id: int) -> Steps[Student]:
    """Return the student with their best enrollment in the course, as it is now.

    If a remembered account has no access, it may have been deleted, so the student is looked up by
    e-mail.
    """
    user = yield from users.find(attempt)
    remembered = user is not None and users.from_memory(attempt)
    found = yield from _enrollment(attempt, user, course_id)
    if remembered and not _opens(found):
        by_email = yield from users.look_up(attempt)
        if by_email is not None and (user is None or by_email.id != user.id):
            user, found = by_email, (yield from _enrollment(attempt, by_email, course_id))
        elif by_email is None and found is None:
            user = None
    if user is None:
        return Student(None)
    return Student(user.id, user.administrator, found)


def _enrollment(
    attempt: Attempt, user: users.User | None, course_id: int
) -> Steps[Enrollment | None]:
    rows = (yield from courses.read(user, course_id)) if user else []
    found = [each for row in rows if (each := _read(row, attempt.now)) is not None]
    return max(found, key=lambda each: (_opens(each), each.access == Access.FULL), default=None)


def _opens(found: Enrollment | None) -> bool:
    return found is not None and found.access in {Access.FULL, Access.UNTIL}


def _read(row: Row, now: datetime) -> Enrollment | None:
    """Return the row as an enrollment, or None if it names no student or no course."""
    user_id, course_id = row.get("user_id"), row.get("course_id")
    if not isinstance(user_id, int) or not isinstance(course_id, int):
        return None
    access = courses.access(row, now)
    return Enrollment(
        user_id,
        normalize_email(str(row.get("user_email") or "")),
        course_id,
        access,
        courses.moment(row.get("activated_at")),
        courses.moment(row.get("expiry_date")) if access != Access.FULL else None,
    )
