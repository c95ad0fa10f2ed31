"""Carry out or refuse POST and PUT for the stand-in's enrollments.

Refusals are mostly lists of sentences.
"""

import time
from datetime import UTC, datetime
from typing import Any

from integrations.thinkific.sandbox.params import BLANK, Params, RefusedError, ident
from integrations.thinkific.sandbox.records import Bundle, Enrollment, Postponed, User, now, renew
from integrations.thinkific.sandbox.school import School

Dates = dict[str, datetime | None]


def create_enrollment(school: School, params: Params) -> Enrollment:
    """POST /enrollments. The switch `repeat_post` decides on repeats. Raises RefusedError."""
    course = school.courses.get(ident(params.get("course_id")))
    user = school.users_by_id.get(ident(params.get("user_id")))
    if course is None or user is None:
        lost = {"Course could not be found.": course, "User could not be found.": user}
        raise RefusedError(422, [sentence for sentence, found in lost.items() if found is None])
    _known_already(school, user)
    dates = _dates(params)
    row = school.row(user.id, course.id)
    if row is None:
        row = school.new_row(user, course)
    elif not _repeat_goes_on(school):
        return row
    renew(row, dates)
    return row


def update_enrollment(school: School, row: Enrollment, params: Params) -> None:
    """PUT /enrollments/{id}. Raises RefusedError, and then changes nothing."""
    _change(row, _changes(school, params))


def enroll_in_bundle(school: School, bundle: Bundle, params: Params) -> int:
    """POST /bundles/{id}/enrollments. Return 201, or 202 if done later. Raises RefusedError."""
    user = _bundle_user(school, params)
    dates = _dates(params)
    if bundle.courses and all(school.row(user.id, course.id) for course in bundle.courses):
        _repeat_goes_on(school)
    if school.switches.bundle_post == "later":
        due = time.monotonic() + school.switches.bundle_delay
        school.postponed.append(Postponed(due, bundle, user, dates))
        return 202
    school.enroll_in_bundle(user, bundle, dates)
    return 201


def update_bundle_enrollments(school: School, bundle: Bundle, params: Params) -> None:
    """PUT /bundles/{id}/enrollments: change the user's enrollments in the bundle's courses.

    Raises RefusedError.
    """
    user = _bundle_user(school, params)
    changes = _changes(school, params)
    for course in bundle.courses:
        if row := school.row(user.id, course.id):
            _change(row, changes)


def _bundle_user(school: School, params: Params) -> User:
    if params.get("user_id") in (None, ""):
        raise RefusedError(422, {"user_id": [BLANK]})
    if user := school.users_by_id.get(ident(params["user_id"])):
        _known_already(school, user)
        return user
    raise RefusedError(422, ["User could not be found."])


def _known_already(school: School, user: User) -> None:
    """Raise RefusedError as long as enrollments do not know a new user."""
    if not user.unknown:
        return
    user.unknown -= 1
    if school.switches.new_user_answer == "not_found":
        raise RefusedError(404, None)
    both = ["Course could not be found."] if school.switches.new_user_answer == "both" else []
    raise RefusedError(422, [*both, "User could not be found."])


def _repeat_goes_on(school: School) -> bool:
    """Return whether a POST for an existing enrollment renews it. Raises RefusedError."""
    sentence = "User is already enrolled in this course."
    if school.switches.repeat_post == "refused":
        raise RefusedError(422, [sentence])
    if school.switches.repeat_post == "conflict":
        raise RefusedError(409, [sentence])
    return school.switches.repeat_post == "created"


def _change(row: Enrollment, changes: Dates) -> None:
    row.activated_at = changes.get("activated_at", row.activated_at)
    row.expiry_date = changes.get("expiry_date", row.expiry_date)
    row.updated_at = now()


def _changes(school: School, params: Params) -> Dates:
    """Return the dates that a PUT sets. The switch `null_clears` decides what null means."""
    changes = _dates(params)
    if changes.get("activated_at", True) is None:
        del changes["activated_at"]
    if changes.get("expiry_date", True) is None:
        if school.switches.null_clears == "refused":
            raise RefusedError(422, ["Expiry date is invalid."])
        if school.switches.null_clears is False:
            del changes["expiry_date"]
    return changes


def _dates(params: Params) -> Dates:
    dates: Dates = {}
    for name, shown in (("activated_at", "Activated at"), ("expiry_date", "Expiry date")):
        if name not in params:
            continue
        try:
            dates[name] = _moment(params[name])
        except (TypeError, ValueError) as error:
            raise RefusedError(422, [f"{shown} is invalid."]) from error
    return dates


def _moment(value: Any) -> datetime | None:
    if value is None:
        return None
    read = datetime.fromisoformat(value)
    return read if read.tzinfo else read.replace(tzinfo=UTC)
