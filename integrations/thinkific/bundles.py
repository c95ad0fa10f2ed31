"""Bundle enrolments: Thinkific keeps one row per course of the bundle."""

from integrations.errors import Refused, Retry
from integrations.thinkific import courses
from integrations.thinkific.courses import Rows
from integrations.thinkific.users import User
from integrations.thinkific.visit import Visit


def open_up(visit: Visit, user: User, bundle_id: int, course_ids: tuple[int, ...]) -> bool:
    """Full access to every course of the bundle; False when the user had it already.

    `course_ids` are the bundle's courses as the catalogue knows them; empty when unknown.
    A 202 ("done later") raises Retry until the rows can be read. Raises as Visit does.
    """
    target = _target(bundle_id)
    ours = visit.in_doubt(target)  # what is found then is what we have sent before
    rows: Rows = []
    if ours or not visit.user_is_new:
        rows = read(visit, user, bundle_id)
        if _covers(visit, bundle_id, rows, course_ids):
            visit.settle(target)
            return _widen(visit, user, bundle_id, rows) or ours
        if visit.promised(target):
            raise _later()
        visit.settle(target)
    body = {"user_id": user.id, "activated_at": courses.now()}
    try:
        path = f"/bundles/{bundle_id}/enrollments"
        answer = visit.post(path, body, target=target, settle=False)
    except Refused as error:
        if error.status not in {409, 422} or error.says("could not be found"):
            raise
        rows = rows or read(visit, user, bundle_id)
        if not _covers(visit, bundle_id, rows):
            raise
        return _widen(visit, user, bundle_id, rows)
    if answer.status == 202:
        raise _later()
    # Nothing else was promised for success. It may be empty, but not another thing than a row.
    if answer.status != 201 or (answer.body and not answer.body.get("id")):
        rows = read(visit, user, bundle_id)
        if not _covers(visit, bundle_id, rows, course_ids):
            raise Retry(courses.UNSEEN, status=answer.status)
    visit.settle(target)
    # A course that the user had before may keep its own end unless that is lifted, and may not
    # be listed until the user has the bundle.
    if not rows and not visit.user_is_new:
        rows = read(visit, user, bundle_id)
    _widen(visit, user, bundle_id, rows)
    return True


def close(visit: Visit, user: User, bundle_id: int) -> courses.Closed:
    """End the access to every course of the bundle now."""
    target = _target(bundle_id)
    rows = read(visit, user, bundle_id)
    if visit.promised(target) and not _covers(visit, bundle_id, rows):
        # What was promised would come after our look: wait, or it would stay for ever.
        raise _later()
    visit.settle(target)
    if not rows:
        return courses.Closed.NEVER
    if all(map(courses.has_ended, rows)):
        return courses.Closed.BEFORE
    courses.change(
        visit,
        f"/bundles/{bundle_id}/enrollments",
        {"user_id": user.id, "expiry_date": courses.yesterday()},
        took=courses.has_ended,
        reread=lambda: read(visit, user, bundle_id),
    )
    return courses.Closed.NOW


def read(visit: Visit, user: User, bundle_id: int) -> Rows:
    """The user's enrolments in the bundle, one per course."""
    rows = visit.pages(f"/bundles/{bundle_id}/enrollments", {"query[user_id]": user.id})
    return [row for row in rows if row.get("user_id") == user.id]


def _covers(visit: Visit, bundle_id: int, rows: Rows, known: tuple[int, ...] = ()) -> bool:
    """Whether there is a row for every course of the bundle.

    Where the catalogue says no, or knows no courses, the site is asked: a course may have
    left the bundle since, and would be waited for in vain.
    """
    if not rows:
        return False
    held = {row.get("course_id") for row in rows}
    if known and held.issuperset(known):
        return True
    body = visit.get(f"/bundles/{bundle_id}").body
    ids = body.get("course_ids") if isinstance(body, dict) else None
    return held.issuperset(ids or [])


def _widen(visit: Visit, user: User, bundle_id: int, rows: Rows) -> bool:
    if all(map(courses.is_open, rows)):
        return False
    path = f"/bundles/{bundle_id}/enrollments"
    courses.widen(visit, path, {"user_id": user.id}, rows, lambda: read(visit, user, bundle_id))
    return True


def _target(bundle_id: int) -> str:
    return f"bundle:{bundle_id}"


def _later() -> Retry:
    return Retry("Thinkific said that it enrolls in the bundle a little later; Admit looks again.")
