"""Bundle enrollments: Thinkific keeps one row per course of the bundle."""

from integrations.errors import Refused, Retry
from integrations.thinkific import courses
from integrations.thinkific.courses import Rows
from integrations.thinkific.session import Session
from integrations.thinkific.users import User


def open_up(session: Session, user: User, bundle_id: int, course_ids: tuple[int, ...]) -> bool:
    """Full access to every course of the bundle; False when the user had it already.

    `course_ids` are the bundle's courses as the catalog knows them; empty when unknown.
    A 202 ("done later") raises Retry until the rows can be read. Raises as Visit does.
    """
    target = _target(bundle_id)
    ours = session.in_doubt(target)  # what is found then is what we have sent before
    rows: Rows = []
    if ours or not session.user_is_new:
        rows = read(session, user, bundle_id)
        if _covers(session, bundle_id, rows, course_ids):
            session.settle(target)
            return _widen(session, user, bundle_id, rows) or ours
        if session.promised(target):
            raise _later()
        session.settle(target)
    body = {"user_id": user.id, "activated_at": courses.now()}
    try:
        path = f"/bundles/{bundle_id}/enrollments"
        answer = session.post(path, body, target=target, settle=False)
    except Refused as error:
        if error.status not in {409, 422} or error.says("could not be found"):
            raise
        rows = rows or read(session, user, bundle_id)
        if not _covers(session, bundle_id, rows):
            raise
        return _widen(session, user, bundle_id, rows)
    if answer.status == 202:
        raise _later()
    # Nothing else was promised for success. It may be empty, but not another thing than a row.
    if answer.status != 201 or (answer.body and not answer.body.get("id")):
        rows = read(session, user, bundle_id)
        if not _covers(session, bundle_id, rows, course_ids):
            raise Retry(courses.UNSEEN, status=answer.status)
    session.settle(target)
    # A course that the user had before may keep its own end unless that is lifted, and may not
    # be listed until the user has the bundle.
    if not rows and not session.user_is_new:
        rows = read(session, user, bundle_id)
    _widen(session, user, bundle_id, rows)
    return True


def close(session: Session, user: User, bundle_id: int) -> courses.Closed:
    """End the access to every course of the bundle now."""
    target = _target(bundle_id)
    rows = read(session, user, bundle_id)
    if session.promised(target) and not _covers(session, bundle_id, rows):
        # What was promised would come after our look: wait, or it would stay for ever.
        raise _later()
    session.settle(target)
    if not rows:
        return courses.Closed.NEVER
    if all(map(courses.has_ended, rows)):
        return courses.Closed.BEFORE
    courses.change(
        session,
        f"/bundles/{bundle_id}/enrollments",
        {"user_id": user.id, "expiry_date": courses.yesterday()},
        took=courses.has_ended,
        reread=lambda: read(session, user, bundle_id),
    )
    return courses.Closed.NOW


def read(session: Session, user: User, bundle_id: int) -> Rows:
    """The user's enrollments in the bundle, one per course."""
    rows = session.pages(f"/bundles/{bundle_id}/enrollments", {"query[user_id]": user.id})
    return [row for row in rows if row.get("user_id") == user.id]


def _covers(session: Session, bundle_id: int, rows: Rows, known: tuple[int, ...] = ()) -> bool:
    """Whether there is a row for every course of the bundle.

    Where the catalog says no, or knows no courses, the site is asked: a course may have
    left the bundle since, and would be waited for in vain.
    """
    if not rows:
        return False
    held = {row.get("course_id") for row in rows}
    if known and held.issuperset(known):
        return True
    body = session.get(f"/bundles/{bundle_id}").body
    ids = body.get("course_ids") if isinstance(body, dict) else None
    return held.issuperset(ids or [])


def _widen(session: Session, user: User, bundle_id: int, rows: Rows) -> bool:
    if all(map(courses.is_open, rows)):
        return False
    path = f"/bundles/{bundle_id}/enrollments"
    courses.widen(session, path, {"user_id": user.id}, rows, lambda: read(session, user, bundle_id))
    return True


def _target(bundle_id: int) -> str:
    return f"bundle:{bundle_id}"


def _later() -> Retry:
    return Retry("Thinkific said that it enrolls in the bundle a little later; Admit looks again.")
