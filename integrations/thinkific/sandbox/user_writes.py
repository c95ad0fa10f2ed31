"""Carry out or refuse POST and PUT for the stand-in's users.

A refusal is a map of fields. If only signup fields are refused, the switch `field_answer` decides
on its shape.
"""

import re
from collections.abc import Mapping
from typing import Any

from integrations.thinkific.sandbox.params import BLANK, Params, RefusedError, ident
from integrations.thinkific.sandbox.records import Field, User
from integrations.thinkific.sandbox.school import School

_ROLES = ("affiliate", "course_admin", "group_analyst", "site_admin")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
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
Errors = dict[str, list[str]]
_TAKEN: dict[str, Errors] = {
    "taken": {"email": ["has already been taken"]},
    "exists": {"email": ["already exists"]},
    "in_use": {"user": ["e-mail address is in use"]},
    "sentence": {"base": ["A user with this email is already registered."]},
    "conflict": {"email": []},  # answered 409 without a reason
}


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
    """PUT /users/{id}: what is not sent stays. Raises RefusedError, and then changes nothing."""
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


def _refuse(school: School, errors: Errors, refused: list[Field | None]) -> None:
    """Raise RefusedError if anything is wrong, naming fields as the switch `field_answer` says."""
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
            errors[name] = [BLANK]
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
        return {"email": [BLANK]}
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
        field.label: [BLANK]
        for field in school.fields.values()
        if field.required and not given.get(field.label, "").strip()
    }


def _field_values(school: School, params: Params) -> tuple[dict[str, str], list[Field | None]]:
    """Return the values by label, and the fields whose value is refused.

    None among these stands for a field that does not exist.
    """
    values: dict[str, str] = {}
    refused: list[Field | None] = []
    given = params.get("custom_profile_fields")
    for entry in given if isinstance(given, list) else []:
        if not isinstance(entry, dict):
            continue
        field = school.fields.get(ident(entry.get("custom_profile_field_definition_id")))
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
