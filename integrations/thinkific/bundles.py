"""Open and close bundle enrollments. Thinkific keeps one row per course of the bundle."""

from collections.abc import Collection, Mapping
from datetime import datetime

from integrations.errors import Refused, Retry
from integrations.sentences import say
from integrations.targets import bundle_target, course_target
from integrations.thinkific import calls, courses
from integrations.thinkific.attempt import Attempt, GivenBefore, Opened
from integrations.thinkific.calls import Get, Post, Steps
from integrations.thinkific.courses import Rows
from integrations.thinkific.users import User


def open_up(
    attempt: Attempt, user: User, bundle_id: int, course_ids: tuple[int, ...]
) -> Steps[bool]:
    """Give full access to every course of the bundle. Return False if the user had it already.

    `course_ids` are the bundle's courses according to the catalog, empty if unknown. After a 202
    ("done later"), raises Retry until the rows can be read.
    """
    target = bundle_target(bundle_id)
    ours = attempt.in_doubt(target)  # then rows that are found come from an earlier POST of ours
    rows: Rows = []
    if ours or not attempt.user_is_new:
        rows = yield from read(user, bundle_id)
        if (yield from _covers(bundle_id, rows, course_ids)):
            attempt.settle(target)
            courses.note_open(attempt, rows, ours=ours)
            opened = yield from _widen(attempt, user, bundle_id, rows)
            attempt.notes += [Opened()] if opened else []
            return opened or ours
        courses.note_open(attempt, rows, ours=ours)
        if attempt.promised(target):
            raise _later()
        attempt.settle(target)
        if not (rows or ours):
            yield from _note_alone(attempt, user, course_ids)
    return (yield from _enroll(attempt, user, bundle_id, course_ids, rows))


def close(
    attempt: Attempt,
    user: User,
    bundle_id: int,
    still_given: Mapping[str, str],
    gave: Collection[int] = (),
    until: Mapping[str, datetime] = courses.NO_ENDS,
    given_before: GivenBefore | None = None,
) -> Steps[courses.Closed]:
    """End access to the bundle's courses now, except to those in `still_given` ("course:501").

    Courses of `gave` that the bundle does not show are ended, too: they were given one by one, or
    were removed from the bundle since. For `until` and `given_before`, see `courses.close`.
    """
    target = bundle_target(bundle_id)
    if attempt.may_have_enrolled:
        given_before = None
    rows = yield from read(user, bundle_id)
    had = courses.note_had(attempt, rows, given_before)
    if attempt.just_sent() and not (yield from _covers(bundle_id, rows)):
        # A recent POST could still take effect after this read, and the access would stay forever.
        raise _later()
    attempt.settle(target)
    shown = {row.get("course_id") for row in rows}
    hidden = [n for n in gave if n not in shown and course_target(n) not in still_given]
    found = {courses.Closed.BEFORE if rows else courses.Closed.NEVER}
    for number in hidden:
        found.add((yield from courses.close(attempt, user, number, until, given_before)))
    found |= {courses.Closed.KEPT} if had else set()
    running = [row for row in rows if not courses.has_ended(row, attempt.now)]
    others = [row for row in running if course_target(row["course_id"]) not in still_given]
    ending = [row for row in others if row not in had]
    if ending:
        found.add(courses.Closed.NOW)
        whole = len(ending) == len(running)
        yield from _end(attempt, user, bundle_id, ending, until, whole=whole)
    if found >= {courses.Closed.NOW, courses.Closed.KEPT}:
        return courses.Closed.PARTLY
    return next(each for each in courses.Closed if each in found)


def _end(
    attempt: Attempt,
    user: User,
    bundle_id: int,
    rows: Rows,
    until: Mapping[str, datetime],
    *,
    whole: bool,
) -> Steps[None]:
    """End these enrollments: at once if they are the `whole` bundle and none gets an end back."""
    if whole and not any(course_target(row["course_id"]) in until for row in rows):
        yield from courses.change(
            f"/bundles/{bundle_id}/enrollments",
            {"user_id": user.id, "expiry_date": courses.yesterday(attempt.now)},
            took=lambda row: courses.has_ended(row, attempt.now),
            reread=lambda: read(user, bundle_id),
        )
        return
    for row in rows:
        yield from courses.end(attempt, user, row, until)


def read(user: User, bundle_id: int) -> Steps[Rows]:
    """Return the user's enrollments in the bundle, one per course."""
    rows = yield from calls.rows(f"/bundles/{bundle_id}/enrollments", {"query[user_id]": user.id})
    return [row for row in rows if row.get("user_id") == user.id]


def _enroll(
    attempt: Attempt, user: User, bundle_id: int, course_ids: tuple[int, ...], rows: Rows
) -> Steps[bool]:
    """Enroll a user in the bundle whose `rows` do not cover it yet."""
    target = bundle_target(bundle_id)
    body = {"user_id": user.id, "activated_at": courses.just_now(attempt.now)}
    try:
        answer = yield Post(f"/bundles/{bundle_id}/enrollments", body, target)
    except Refused as error:
        if error.status not in {409, 422} or error.says("could not be found"):
            raise
        rows = rows or (yield from read(user, bundle_id))
        if not (yield from _covers(bundle_id, rows)):
            raise
        return (yield from _widen(attempt, user, bundle_id, rows))
    if answer.status == 202:
        raise _later()
    # The documented success is 201. Its body may be empty, but otherwise it must be a row.
    odd = answer.status != 201 or (answer.body and not answer.body.get("id"))
    # A course that the user had before may keep its own end date unless that is removed, and may
    # not be listed under the bundle until the user has the bundle.
    if odd or not (rows or attempt.user_is_new):
        rows = yield from read(user, bundle_id)
        shown = (yield from _covers(bundle_id, rows, course_ids)) if odd else bool(rows)
        if not shown:
            raise Retry(say(courses.UNSEEN), status=answer.status, code=courses.NOT_SHOWN)
    attempt.settle(target)
    yield from _widen(attempt, user, bundle_id, rows)
    attempt.notes.append(Opened())
    return True


def _note_alone(attempt: Attempt, user: User, course_ids: tuple[int, ...]) -> Steps[None]:
    """Note which of the bundle's courses the user already has, once in an attempt.

    Thinkific may list the rows of a bundle for its members alone. After the POST it is too late,
    because that may make an enrollment look new.
    """
    if not course_ids or attempt.noted_user == user.id:
        return
    attempt.noted_user = user.id
    enrolled = yield from courses.read(user)
    alone = [row for row in enrolled if row.get("course_id") in course_ids]
    courses.note_open(attempt, alone, ours=False)


def _covers(bundle_id: int, rows: Rows, known: tuple[int, ...] = ()) -> Steps[bool]:
    """Return whether there is a row for every course of the bundle.

    If the `known` courses are not all there, or none are known, the site is asked: a course may
    have left the bundle since, and waiting for it would never end.
    """
    if not rows:
        return False
    held = {row.get("course_id") for row in rows}
    if known and held.issuperset(known):
        return True
    body = (yield Get(f"/bundles/{bundle_id}")).body
    ids = body.get("course_ids") if isinstance(body, dict) else None
    return held.issuperset(ids or [])


def _widen(attempt: Attempt, user: User, bundle_id: int, rows: Rows) -> Steps[bool]:
    if all(courses.is_open(row, attempt.now) for row in rows):
        return False
    path = f"/bundles/{bundle_id}/enrollments"
    yield from courses.widen(
        attempt, path, {"user_id": user.id}, rows, lambda: read(user, bundle_id)
    )
    return True


def _later() -> Retry:
    return Retry(say("Thinkific may enroll in the bundle a little later."), code="promised")
