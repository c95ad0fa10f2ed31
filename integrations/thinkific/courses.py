"""Open and close course enrollments. There is one per user and course."""

import enum
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from django.utils.translation import gettext_lazy as _

from integrations.errors import Refused, Retry
from integrations.sentences import say
from integrations.targets import course_target
from integrations.thinkific import calls
from integrations.thinkific.attempt import Attempt, FoundEnded, FoundOpen, GivenBefore, Opened
from integrations.thinkific.calls import Post, Put, Row, Steps
from integrations.thinkific.users import User

Rows = list[Row]
Reread = Callable[[], Steps[Rows]]
# If null does not clear an expiry date, this date stands for "never". Any date from FOREVER on is
# read as "never".
NEVER = "2099-01-01T00:00:00Z"
FOREVER = datetime(2090, 1, 1, tzinfo=UTC)
NO_ENDS: Mapping[str, datetime] = MappingProxyType({})


NOT_SHOWN = "not_shown"
UNSEEN = _("Thinkific said that it enrolled the student, but does not show it.")
UNCHANGED = _("Thinkific said that it changed the enrollment, but shows it as before.")


class Closed(enum.Enum):
    """The result of ending access: ended now, or nothing was to be ended, and why."""

    NOW = "now"
    PARTLY = "partly"  # ended now, except to what the student had before
    KEPT = "kept"  # the student had it before
    BEFORE = "before"
    NEVER = "never"


class Access(enum.StrEnum):
    """What an enrollment gives now."""

    FULL = "full"
    UNTIL = "until"  # full, with an end in the future
    PREVIEW = "preview"
    ENDED = "ended"


def open_up(attempt: Attempt, user: User, course_id: int) -> Steps[bool]:
    """Give full access without an end date. Return False if the user had it already."""
    target = course_target(course_id)
    ours = attempt.in_doubt(target)  # then rows that are found come from an earlier POST of ours
    if ours or not attempt.user_is_new:
        rows = yield from read(user, course_id)
        attempt.settle(target)
        if rows:
            note_open(attempt, rows, ours=ours)
            opened = yield from _widen(attempt, user, course_id, rows)
            attempt.notes += [Opened()] if opened else []
            return opened or ours
    body = {"course_id": course_id, "user_id": user.id, "activated_at": just_now(attempt.now)}
    try:
        answer = yield Post("/enrollments", body, target)
    except Refused as error:
        # If somebody else enrolled the user in the meantime, there is a row to widen.
        if error.status not in {409, 422} or error.says("could not be found"):
            raise
        rows = yield from read(user, course_id)
        if not rows:
            raise
        return (yield from _widen(attempt, user, course_id, rows))
    row = answer.body
    found = [row] if _is_enrollment_of(row, user, course_id) else (yield from read(user, course_id))
    if not found:
        raise Retry(say(UNSEEN), status=answer.status, code=NOT_SHOWN)  # the doubt stays
    attempt.settle(target)
    if found != [row] or "activated_at" in row:
        # An enrollment may have existed already, and Thinkific may have returned it unchanged.
        yield from _widen(attempt, user, course_id, found)
    attempt.notes.append(Opened())
    return True


def note_open(attempt: Attempt, rows: Rows, *, ours: bool) -> None:
    """Note what the student already has or had, unless we may have given it (`ours`)."""
    if ours:
        return
    running = [row for row in rows if is_running(row, attempt.now)]
    for row in running:
        since, end = moment(row.get("activated_at")), moment(row.get("expiry_date"))
        if since is not None:
            until = end if end is not None and end < FOREVER else None
            attempt.notes.append(FoundOpen(row["course_id"], since, until))
    ended = {row["course_id"] for row in rows if has_ended(row, attempt.now)}
    for course in sorted(ended - {row["course_id"] for row in running}):
        attempt.notes.append(FoundEnded(course))


def note_had(attempt: Attempt, rows: Rows, given_before: GivenBefore | None) -> Rows:
    """Note and return the open enrollments that were given before; none if in doubt."""
    if given_before is None or attempt.may_have_enrolled:
        return []
    others = [row for row in rows if course_target(row["course_id"]) not in given_before.but]
    begun = [(row, moment(row.get("activated_at"))) for row in others]
    had = [row for row, since in begun if since is not None and since < given_before.moment]
    had = [row for row in had if is_running(row, attempt.now)]
    note_open(attempt, had, ours=False)
    return had


def close(
    attempt: Attempt,
    user: User,
    course_id: int,
    until: Mapping[str, datetime] = NO_ENDS,
    given_before: GivenBefore | None = None,
) -> Steps[Closed]:
    """End access now by an expiry date in the past, the only way that Thinkific documents.

    `until` has the ends that access had before Admit gave it, by target ("course:501"). Such a
    course gets that end back instead. What was `given_before` stays and is noted, unless a POST of
    ours is in doubt.
    """
    rows = yield from read(user, course_id)
    had = note_had(attempt, rows, given_before)
    target = course_target(course_id)
    if not rows and attempt.just_sent():
        # A recent POST may still take effect, and the access would stay forever.
        may_still = say("Thinkific may still enroll the student in the course.")
        raise Retry(may_still, code="promised")
    attempt.settle(target)
    if not rows:
        return Closed.NEVER
    running = [row for row in rows if not has_ended(row, attempt.now) and row not in had]
    for row in running:
        yield from end(attempt, user, row, until)
    return Closed.NOW if running else Closed.KEPT if had else Closed.BEFORE


def end(
    attempt: Attempt, user: User, row: Row, until: Mapping[str, datetime] = NO_ENDS
) -> Steps[None]:
    """End this enrollment now, or put back the end that it had before Admit gave access."""
    at = until.get(course_target(row["course_id"]))
    yield from change(
        f"/enrollments/{row['id']}",
        {"expiry_date": _iso(at) if at else yesterday(attempt.now)},
        took=lambda row: has_ended(row, at or attempt.now),
        reread=_again(user, row["course_id"], row),
    )


def change(path: str, body: Row, *, took: Callable[[Row], bool], reread: Reread) -> Steps[None]:
    """Send a PUT and check that it took effect. Raises Retry if the site does not show the effect.

    204 is the documented answer and is believed. Any other success must show the enrollment of
    `path` with the change; if it does not, the rows are read again.
    """
    answer = yield Put(path, body)
    if answer.status == 204:
        return
    shown = answer.body
    if shown and path == f"/enrollments/{shown.get('id')}" and took(shown):
        return
    rows = yield from reread()
    if not rows or not all(map(took, rows)):
        raise Retry(say(UNCHANGED), status=answer.status, code=NOT_SHOWN)


def read(user: User, course_id: int | None = None) -> Steps[Rows]:
    """Return the user's enrollments in the course, or in all courses if none is named.

    Rows are compared here, because Thinkific ignores filters that it does not understand.
    """
    asked = {"query[user_id]": user.id} | ({"query[course_id]": course_id} if course_id else {})
    rows = yield from calls.rows("/enrollments", asked)
    of_user = [row for row in rows if row.get("user_id") == user.id]
    return [row for row in of_user if course_id in (None, row.get("course_id"))]


def is_open(row: Row, now: datetime) -> bool:
    """Return whether the row gives full access forever: activated, no free preview, no end."""
    end = moment(row.get("expiry_date"))
    return is_running(row, now) and (end is None or end >= FOREVER)


def is_running(row: Row, now: datetime) -> bool:
    """Return whether the row gives full access now, whether it will end or not."""
    activated = moment(row.get("activated_at"))
    return (
        activated is not None
        and activated <= now + timedelta(hours=1)
        and not row.get("is_free_trial")
        and not has_ended(row, now)
    )


def access(row: Row, now: datetime) -> Access:
    """Return what the enrollment gives now."""
    if has_ended(row, now):
        return Access.ENDED
    if is_open(row, now):
        return Access.FULL
    if row.get("is_free_trial") or not row.get("activated_at"):
        return Access.PREVIEW
    return Access.UNTIL


def has_ended(row: Row, now: datetime) -> bool:
    """Return whether the access has ended."""
    end = moment(row.get("expiry_date"))
    return bool(row.get("expired")) or (end is not None and end <= now)


def moment(text: object) -> datetime | None:
    """Return an ISO 8601 time of the API as an aware datetime, or None if it is not a time."""
    if not isinstance(text, str) or not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def just_now(now: datetime) -> str:
    """Return the present for the API: a minute ago, because clocks differ."""
    return _iso(now - timedelta(minutes=1))


def yesterday(now: datetime) -> str:
    """Return a time a day ago, which is past for every clock that is less than a day off."""
    return _iso(now - timedelta(days=1))


def widen(attempt: Attempt, path: str, body: Row, rows: Rows, reread: Reread) -> Steps[None]:
    """Send a PUT so that every row is open. `rows` are as `reread` last read them.

    It is not documented whether null clears an expiry date. A distant date always works, but null
    is what "never" looks like elsewhere. Trying null takes up to three calls, so it is only tried
    early in an attempt: then no action takes more than four calls if a PUT is answered as
    documented.
    """
    body = body | {"activated_at": just_now(attempt.now)}
    if any(row.get("expired") or row.get("expiry_date") for row in rows):
        if attempt.calls <= 1 and (yield from _null_clears(attempt, path, body, reread)):
            return
        body |= {"expiry_date": NEVER}
    yield from change(path, body, took=lambda row: is_open(row, attempt.now), reread=reread)


def _null_clears(attempt: Attempt, path: str, body: Row, reread: Reread) -> Steps[bool]:
    try:
        yield Put(path, body | {"expiry_date": None})
    except Refused as error:
        if error.status not in {400, 422}:
            raise
        return False
    rows = yield from reread()
    return all(is_open(row, attempt.now) for row in rows)


def _is_enrollment_of(row: object, user: User, course_id: int) -> bool:
    """Return whether the answer to a POST is the enrollment that was asked for."""
    if not isinstance(row, dict) or not isinstance(row.get("id"), int):
        return False
    told = (row.get("user_id", user.id), row.get("course_id", course_id))
    return told == (user.id, course_id)


def _widen(attempt: Attempt, user: User, course_id: int, rows: Rows) -> Steps[bool]:
    if any(is_open(row, attempt.now) for row in rows):
        return False
    row = rows[0]
    reread = _again(user, course_id, row)
    yield from widen(attempt, f"/enrollments/{row['id']}", {}, [row], reread)
    return True


def _again(user: User, course_id: int, row: Row) -> Reread:
    """Return a function that reads this row again."""

    def reread() -> Steps[Rows]:
        rows = yield from read(user, course_id)
        found = [again for again in rows if again["id"] == row["id"]]
        if not found:
            changed = say("The enrollment changed while Admit looked at it.")
            raise Retry(changed, code=NOT_SHOWN)
        return found

    return reread


def _iso(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
