"""What POST, PUT and DELETE do in the stand-in school, and what they refuse.

Refusals come in the three shapes of Thinkific's 422: a map of fields (users), a list of
sentences (enrollments), a list of objects (a value that a signup field does not take).
"""

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from integrations.thinkific.sandbox.school import (
    Bundle,
    Enrollment,
    Field,
    Postponed,
    School,
    User,
    now,
    renew,
)
from integrations.thinkific.sandbox.wire import reason

Params = Mapping[str, Any]
Dates = dict[str, datetime | None]
_ROLES = ("affiliate", "course_admin", "group_analyst", "site_admin")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
_BLANK = "can't be blank"
_PROFILE = (
    "company",
    "bio",
    "headline",
    "avatar_url",
    "external_source",
    "affiliate_code",
    "affiliate_commission",
    "affiliate_commission_type",
    "affiliate_payout_email",
)


class RefusedError(Exception):
    """A write that is not done; `status` and `answer` go back to the caller."""

    def __init__(self, status: int, errors: Any) -> None:
        super().__init__(status, errors)
        self.status = status
        self.answer = {"errors": errors} if errors else {"error": reason(status)}


def create_user(school: School, params: Params) -> User:
    """POST /users. Raises RefusedError."""
    errors = _wrong_names(school, params, needed=True) | _wrong_email(school, params, needed=True)
    errors |= _wrong_profile(params)
    fields, refused = _field_values(school, params)
    if params.get("skip_custom_fields_validation") is not True:
        errors |= _missing_fields(school, fields)
    _refuse(school, errors, refused)
    user = school.add_user(
        str(params["email"]).strip(),
        first_name=str(params["first_name"]),
        last_name=str(params["last_name"]),
        roles=params.get("roles") or (),
        custom_fields=fields,
    )
    user.profile = {name: params[name] for name in _PROFILE if name in params}
    user.welcomed = params.get("send_welcome_email") is True
    user.unknown = school.switches.new_user_unknown
    return user


def update_user(school: School, user: User, params: Params) -> None:
    """PUT /users/{id}: what is not sent stays. Raises RefusedError, with nothing changed."""
    errors = _wrong_names(school, params, needed=False) | _wrong_email(school, params, user=user)
    errors |= _wrong_profile(params)
    fields, refused = _field_values(school, params)
    _refuse(school, errors, refused)
    if "email" in params:
        school.change_email(user, str(params["email"]).strip())
    user.first_name = str(params.get("first_name", user.first_name))
    user.last_name = str(params.get("last_name", user.last_name))
    user.roles = list(params.get("roles") or user.roles)
    user.profile |= {name: params[name] for name in _PROFILE if name in params}
    user.custom_fields |= fields


def create_enrollment(school: School, params: Params) -> Enrollment:
    """POST /enrollments. Raises RefusedError; what a repeat gives is the switch `repeat_post`."""
    course = school.courses.get(_ident(params.get("course_id")))
    user = school.users_by_id.get(_ident(params.get("user_id")))
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
    """PUT /enrollments/{id}. Raises RefusedError, with nothing changed."""
    _change(row, _changes(school, params))


def enroll_in_bundle(school: School, bundle: Bundle, params: Params) -> int:
    """POST /bundles/{id}/enrollments; returns 201, or 202 for later. Raises RefusedError."""
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
    """PUT /bundles/{id}/enrollments: each course of the bundle that the user is enrolled in."""
    user = _bundle_user(school, params)
    changes = _changes(school, params)
    for course in bundle.courses:
        if row := school.row(user.id, course.id):
            _change(row, changes)


def _bundle_user(school: School, params: Params) -> User:
    if params.get("user_id") in (None, ""):
        raise RefusedError(422, {"user_id": [_BLANK]})
    if user := school.users_by_id.get(_ident(params["user_id"])):
        _known_already(school, user)
        return user
    raise RefusedError(422, ["User could not be found."])


def _known_already(school: School, user: User) -> None:
    """Raises RefusedError while enrollments do not know a new user."""
    if not user.unknown:
        return
    user.unknown -= 1
    if school.switches.new_user_answer == "not_found":
        raise RefusedError(404, None)
    both = ["Course could not be found."] if school.switches.new_user_answer == "both" else []
    raise RefusedError(422, [*both, "User could not be found."])


def _repeat_goes_on(school: School) -> bool:
    """Whether a POST for what is there already renews it. Raises RefusedError."""
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
    """The dates a PUT sets; a null counts as the switch `null_clears` has it."""
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


def _ident(value: Any) -> int:
    """An id as JSON may carry it; 0, which nothing has, for what is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return int(value) if isinstance(value, str) and re.fullmatch(r"\d{1,18}", value) else 0


Errors = dict[str, list[str]]
_TAKEN: dict[str, Errors] = {
    "taken": {"email": ["has already been taken"]},
    "exists": {"email": ["already exists"]},
    "in_use": {"user": ["e-mail address is in use"]},
    "sentence": {"base": ["A user with this email is already registered."]},
    "conflict": {"email": []},  # answered 409, with no word about it
}


def _refuse(school: School, errors: Errors, refused: list[Field | None]) -> None:
    """Raises RefusedError if anything is wrong; fields are blamed as `field_answer` has it."""
    if errors.get("email") == []:
        raise RefusedError(409, None)
    if not (errors or refused):
        return
    blamed = {field.label: "is invalid" for field in refused if field}
    if None in refused:
        blamed["custom_profile_field_definition_id"] = "could not be found"
    shape = school.switches.field_answer
    if shape == "list" and not errors:
        raise RefusedError(422, [{label: fault} for label, fault in blamed.items()])
    if shape == "sentence" and not errors:
        raise RefusedError(422, [f"{label} {fault}." for label, fault in blamed.items()])
    as_map: dict[str, Any] = {label: [fault] for label, fault in blamed.items()}
    if refused and shape == "number":
        numbers = [str(field.id) for field in refused if field]
        as_map = {"custom_profile_fields": {number: ["is invalid"] for number in numbers}}
    if refused and shape == "unnamed":
        as_map = {"custom_profile_fields": ["is invalid"]}
    raise RefusedError(422, errors | as_map)


def _wrong_names(school: School, params: Params, *, needed: bool) -> Errors:
    given = [name for name in ("first_name", "last_name") if needed or name in params]
    rule = school.switches.refused_names
    errors: Errors = {}
    for name in given:
        value = str(params.get(name) or "").strip()
        if not value:
            errors[name] = [_BLANK]
        elif rule is not None and re.fullmatch(rule, value):
            errors[name] = ["is invalid"]
    return errors


def _wrong_email(
    school: School, params: Params, *, needed: bool = False, user: User | None = None
) -> Errors:
    if not needed and "email" not in params:
        return {}
    email = str(params.get("email") or "").strip()
    if not email:
        return {"email": [_BLANK]}
    if not _EMAIL.fullmatch(email):
        return {"email": ["is invalid"]}
    holder = school.user(email)
    return _TAKEN[school.switches.taken_answer] if holder and holder is not user else {}


def _wrong_profile(params: Params) -> Errors:
    errors: Errors = {}
    roles = params.get("roles")
    if roles is not None and not (isinstance(roles, list) and all(r in _ROLES for r in roles)):
        errors["roles"] = ["is invalid"]
    password = params.get("password")
    if password is not None and len(str(password)) < 6:
        errors["password"] = ["is too short (minimum is 6 characters)"]
    return errors


def _missing_fields(school: School, given: Mapping[str, str]) -> Errors:
    return {
        field.label: [_BLANK]
        for field in school.fields.values()
        if field.required and not given.get(field.label, "").strip()
    }


def _field_values(school: School, params: Params) -> tuple[dict[str, str], list[Field | None]]:
    """Values by label, and the fields whose value is refused; None: there is no such field."""
    values: dict[str, str] = {}
    refused: list[Field | None] = []
    given = params.get("custom_profile_fields")
    for entry in given if isinstance(given, list) else []:
        if not isinstance(entry, dict):
            continue
        field = school.fields.get(_ident(entry.get("custom_profile_field_definition_id")))
        value = entry.get("value")
        if field is None or not _takes(school, field, value):
            refused.append(field)
            continue
        values[field.label] = value or ""
    return values, refused


def _takes(school: School, field: Field, value: object) -> bool:
    if field.label in school.switches.refused_fields or not isinstance(value, str | None):
        return False
    return not value or not field.options or value in field.options
