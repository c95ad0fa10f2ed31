"""Bundle enrolments: Thinkific keeps one row per course of the bundle."""

from typing import Any

from integrations.errors import Refused, Retry
from integrations.thinkific import courses
from integrations.thinkific.users import User
from integrations.thinkific.visit import Visit


def open_up(visit: Visit, user: User, bundle_id: int, course_ids: tuple[int, ...]) -> bool:
    """Full access to every course of the bundle; False when the user had it already.

    `course_ids` are the bundle's courses as the catalogue knows them; empty when unknown.
    A 202 ("done later") raises Retry until the rows can be read. Raises as Visit does.
    """
    target = f"bundle:{bundle_id}"
    rows: list[dict[str, Any]] = []
    if not visit.user_is_new or visit.in_doubt(target):
        rows = read(visit, user, bundle_id)
        if _covers(rows, course_ids):
            visit.settle(target)
            return _widen(visit, user, bundle_id, rows)
        if visit.promised(target):
            raise _later()
        visit.settle(target)
    body = {"user_id": user.id, "activated_at": courses.now()}
    try:
        answer = visit.post(f"/bundles/{bundle_id}/enrollments", body, target=target)
    except Refused as error:
        if error.status not in {409, 422} or error.says("could not be found"):
            raise
        rows = read(visit, user, bundle_id)
        if not rows:
            raise
    else:
        if answer.status == 202:
            raise _later()
    # Courses that the user had before the bundle keep their own end unless it is lifted.
    if rows:
        _widen(visit, user, bundle_id, read(visit, user, bundle_id) or rows)
    return True


def close(visit: Visit, user: User, bundle_id: int) -> courses.Closed:
    """End the access to every course of the bundle now."""
    target = f"bundle:{bundle_id}"
    rows = read(visit, user, bundle_id)
    if not rows and visit.promised(target):
        # What was promised would come after our look: wait, or it would stay for ever.
        raise _later()
    visit.settle(target)
    if not rows:
        return courses.Closed.NEVER
    if all(map(courses.has_ended, rows)):
        return courses.Closed.BEFORE
    body = {"user_id": user.id, "expiry_date": courses.yesterday()}
    visit.put(f"/bundles/{bundle_id}/enrollments", body)
    return courses.Closed.NOW


def read(visit: Visit, user: User, bundle_id: int) -> list[dict[str, Any]]:
    """The user's enrolments in the bundle, one per course."""
    rows = visit.pages(f"/bundles/{bundle_id}/enrollments", {"query[user_id]": user.id})
    return [row for row in rows if row.get("user_id") == user.id]


def _covers(rows: list[dict[str, Any]], course_ids: tuple[int, ...]) -> bool:
    if not rows:
        return False
    return {row.get("course_id") for row in rows} >= set(course_ids)


def _widen(visit: Visit, user: User, bundle_id: int, rows: list[dict[str, Any]]) -> bool:
    if all(map(courses.is_open, rows)):
        return False
    path = f"/bundles/{bundle_id}/enrollments"
    body = {"user_id": user.id}
    courses.widen(visit, path, body, lambda: read(visit, user, bundle_id))
    return True


def _later() -> Retry:
    return Retry("Thinkific said that it enrolls in the bundle a little later; Admit looks again.")
