"""Write the stand-in's rows and pages as JSON, and filter its lists.

The shapes are those of Thinkific's OpenAPI file; `tests/integrations/test_sandbox.py` compares
them.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from integrations.thinkific.sandbox.records import Bundle, Course, Enrollment, Field, Product, User
from integrations.thinkific.sandbox.school import School

Row = dict[str, Any]
Query = Mapping[str, str]
T = TypeVar("T")
_IDENT: dict[str, Callable[[int], int | float | str]] = {"int": int, "float": float, "string": str}
_DATE_FILTER = re.compile(r"query\[(created|updated)_(on|before|after|on_or_before|on_or_after)\]")


def moment(value: datetime | None) -> str | None:
    """Write a time as Thinkific does: UTC, milliseconds, Z."""
    if value is None:
        return None
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03}Z"


def product_row(school: School, product: Product) -> Row:
    ident = _IDENT[school.switches.id_type]
    return {
        "id": ident(product.product_id),
        "created_at": moment(product.created_at),
        "productable_id": ident(product.id),
        "productable_type": product.productable_type,
        "price": 99.0,
        "position": 1,
        "status": product.status,
        "name": product.name,
        "private": product.private,
        "hidden": product.hidden,
        "subscription": False,
        "days_until_expiry": None,
        "has_certificate": False,
        "keywords": None,
        "seo_title": None,
        "seo_description": None,
        "collection_ids": [],
        "related_product_ids": [],
        "description": None,
        "card_image_url": None,
        "slug": _slug(product.name),
        "product_prices": [],
    }


def course_row(school: School, course: Course) -> Row:
    ident = _IDENT[school.switches.id_type]
    return {
        "id": ident(course.id),
        "name": course.name,
        "slug": _slug(course.name),
        "subtitle": None,
        "product_id": ident(course.product_id),
        "description": None,
        "chapter_ids": [],
        "reviews_enabled": False,
        "user_id": ident(1),
        "instructor_id": ident(1),
        "administrator_user_ids": [],
    }


def bundle_row(school: School, bundle: Bundle) -> Row:
    ident = _IDENT[school.switches.id_type]
    return {
        "id": ident(bundle.id),
        "name": bundle.name,
        "description": None,
        "tagline": None,
        "banner_image_url": None,
        "course_ids": [ident(course.id) for course in bundle.courses],
        "bundle_card_image_url": None,
    }


def field_row(school: School, field: Field) -> Row:
    ident = _IDENT[school.switches.id_type]
    return {
        "id": ident(field.id),
        "label": field.label,
        "field_type": field.field_type,
        "required": field.required,
    }


def user_row(school: School, user: User) -> Row:
    ident = _IDENT[school.switches.id_type]
    profile = user.profile
    values = [
        {
            "id": ident(user.id * 100 + number),
            "value": user.custom_fields[field.label],
            "label": field.label,
            "custom_profile_field_definition_id": ident(field.id),
        }
        for number, field in enumerate(school.fields.values())
        if field.label in user.custom_fields
    ]
    return {
        "id": ident(user.id),
        "created_at": moment(user.created_at),
        "first_name": user.first_name,
        "last_name": user.last_name,
        "full_name": f"{user.first_name} {user.last_name}",
        "company": profile.get("company"),
        "email": user.email,
        "roles": user.roles,
        "avatar_url": profile.get("avatar_url"),
        "bio": profile.get("bio"),
        "headline": profile.get("headline"),
        "affiliate_code": profile.get("affiliate_code"),
        "external_source": profile.get("external_source"),
        "affiliate_commission": profile.get("affiliate_commission"),
        "affiliate_commission_type": profile.get("affiliate_commission_type", "%"),
        "affiliate_payout_email": profile.get("affiliate_payout_email"),
        "administered_course_ids": [],
        "custom_profile_fields": values,
    }


def enrollment_row(school: School, row: Enrollment) -> Row:
    ident = _IDENT[school.switches.id_type]
    user, course = row.user, row.course
    completed = row.percentage_completed >= 1
    return {
        "id": ident(row.id),
        "user_email": user.email,
        "user_name": f"{user.first_name} {user.last_name}",
        "user_id": ident(user.id),
        "course_name": course.name,
        "course_id": ident(course.id),
        "percentage_completed": row.percentage_completed,
        "expired": row.expired,
        "is_free_trial": row.is_free_trial,
        "completed": completed,
        "started_at": None,
        "activated_at": moment(row.activated_at),
        "completed_at": moment(row.updated_at) if completed else None,
        "updated_at": moment(row.updated_at),
        "expiry_date": moment(row.expiry_date),
    }


def page(school: School, found: Sequence[T], query: Query, row: Callable[[School, T], Row]) -> Row:
    """Return one page of a list. The query's `page` counts from 1.

    Its `limit` is 25 by default; more than 250 counts as 250.
    """
    number = _whole(query.get("page"), 1)
    limit = min(_whole(query.get("limit"), 25), 250)
    total = len(found)
    pages = -(-total // limit)
    first = (number - 1) * limit
    shown = found[first : first + limit]
    pagination = {
        "current_page": number,
        "next_page": number + 1 if number < pages else None,
        "prev_page": number - 1 if number > 1 else None,
        "total_pages": pages,
        "total_items": total,
        "entries_info": f"{first + 1 if shown else 0}-{first + len(shown)} of {total}",
    }
    return {"items": [row(school, each) for each in shown], "meta": {"pagination": pagination}}


def find_users(school: School, query: Query) -> Sequence[User]:
    """Return the users that match the `query[...]` filters. Other parameters are ignored."""
    found: Sequence[User]
    email = query.get("query[email]")
    found = _users_by_email(school, email) if email else list(school.users_by_id.values())
    if role := query.get("query[role]"):
        found = [user for user in found if role in user.roles]
    if source := query.get("query[external_source]"):
        found = [user for user in found if user.profile.get("external_source") == source]
    if query.get("query[group_id]"):
        found = []
    label = query.get("query[custom_profile_field_label]")
    value = query.get("query[custom_profile_field_value]")
    if label and value:
        found = [user for user in found if user.custom_fields.get(label) == value]
    return found


def find_enrollments(school: School, query: Query) -> Sequence[Enrollment]:
    """Return the enrollments that match the `query[...]` filters."""
    found = _narrowed(school, query)
    if email := query.get("query[email]"):
        ids = {user.id for user in _users_by_email(school, email)}
        found = [row for row in found if row.user.id in ids]
    return filter_enrollments(found, query)


def filter_enrollments(found: Iterable[Enrollment], query: Query) -> list[Enrollment]:
    """Return the enrollments that match the filters by state and by date."""
    rows = list(found)
    for name, test in _FLAGS.items():
        if wanted := query.get(f"query[{name}]"):
            rows = [row for row in rows if test(row) == (wanted == "true")]
    for name, value in query.items():
        if (match := _DATE_FILTER.fullmatch(name)) and value:
            rows = [row for row in rows if _dated(row, match[1], match[2], value)]
    return rows


_FLAGS: dict[str, Callable[[Enrollment], bool]] = {
    "free_trial": lambda row: row.is_free_trial,
    "full": lambda row: not row.is_free_trial,
    "completed": lambda row: row.percentage_completed >= 1,
    "expired": lambda row: row.expired,
}


def _users_by_email(school: School, email: str) -> list[User]:
    if school.switches.email_query == "partial":
        part = email.lower()
        return [user for user in school.users_by_id.values() if part in user.email.lower()]
    user = school.user(email)
    if user is None or (school.switches.email_query == "case_sensitive" and user.email != email):
        return []
    return [user]


def _narrowed(school: School, query: Query) -> Iterable[Enrollment]:
    """Return the enrollments of the query's user and course, by index where possible."""
    user_id, course_id = query.get("query[user_id]"), query.get("query[course_id]")
    if user_id:
        rows = school.rows_by_user.get(_whole(user_id, 0), {})
        if not course_id:
            return rows.values()
        row = rows.get(_whole(course_id, 0))
        return [row] if row else []
    everyone = school.rows_by_id.values()
    if not course_id:
        return everyone
    wanted = _whole(course_id, 0)
    return [row for row in everyone if row.course.id == wanted]


def _dated(row: Enrollment, which: str, how: str, value: str) -> bool:
    held = (row.created_at if which == "created" else row.updated_at).strftime("%Y-%m-%d")
    day = value[:10]
    if how == "on":
        return held == day
    if how.startswith("on_or_") and held == day:
        return True
    return held < day if how.endswith("before") else held > day


def _whole(text: str | None, otherwise: int) -> int:
    return int(text) if text and re.fullmatch(r"0*[1-9]\d{0,17}", text) else otherwise


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
