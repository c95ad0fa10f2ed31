"""The stand-in's Admin API: route requests and answer them."""

import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any, TypeVar

from integrations.thinkific.sandbox import enrollment_writes, serializers, user_writes
from integrations.thinkific.sandbox.faults import Switches
from integrations.thinkific.sandbox.params import RefusedError
from integrations.thinkific.sandbox.school import School
from integrations.thinkific.sandbox.wire import Reply, Request, html_reply, json_reply, reason

T = TypeVar("T")
BASE_PATH = "/api/public/v1"
NOT_FOUND = {"error": "Record not found."}
UNAUTHORIZED = {"error": "Authentication Error"}
_ERRORS: dict[int, dict[str, Any]] = {
    400: {"error": "Parameter ID is required."},
    401: UNAUTHORIZED,
    403: {"error": "Access to Apps is not available on your plan. Upgrade to gain access"},
    404: NOT_FOUND,
    422: {"errors": {"base": ["is invalid"]}},
    429: {"error": "Too many requests"},
}


@dataclass(frozen=True, slots=True)
class RouteRequest:
    """What a route needs to know. `id` is the number in the path, or 0 if there is none."""

    school: School
    id: int
    query: Mapping[str, str]
    params: Mapping[str, Any]


class _NotFoundError(Exception):
    pass


def answer(school: School | None, request: Request, path: str, params: Any) -> Reply:
    """Carry out a call and return the answer. `path` is the part below the API's base.

    `school` is None if no key or token fits, `params` None if the body is broken JSON.
    """
    if school is None:
        return json_reply(401, UNAUTHORIZED)
    with school.lock:
        if refusal := _over_limit(school):
            return refusal
        school.settle()
        number = re.search(r"/(\d{1,18})(?=/|$)", path)
        key = re.sub(r"/\d{1,18}(?=/|$)", "/*", path, count=1).rstrip("/")
        route = ROUTES.get(f"{request.method} {key}")
        if route is None:
            return json_reply(404, NOT_FOUND)
        if request.method in ("POST", "PUT") and not isinstance(params, dict):
            return json_reply(400, {"error": "The body is no JSON object."})
        ask = RouteRequest(school, int(number[1]) if number else 0, request.query, params or {})
        try:
            return route(ask)
        except _NotFoundError:
            return json_reply(404, NOT_FOUND)
        except RefusedError as refused:
            return json_reply(refused.status, refused.answer)


def error_reply(status: int, switches: Switches, headers: Mapping[str, str]) -> Reply:
    """Return an error with its usual body. For 429 and 5xx, the switch `error_body` decides."""
    if switches.error_body == "html" and (status == 429 or status >= 500):
        return html_reply(status, headers)
    return json_reply(status, _ERRORS.get(status, {"error": reason(status)}), headers)


def _over_limit(school: School) -> Reply | None:
    limit, window = school.switches.calls_per_minute, school.switches.calls_window
    if limit is None:
        return None
    through, moment = school.let_through, time.time()
    while through and through[0] <= moment - window:
        through.popleft()
    if len(through) < limit:
        through.append(moment)
        return None
    # If the limit was lowered, there may be more calls than it allows: wait for all that are above.
    free_at = through[len(through) - limit] + window
    return error_reply(429, school.switches, reset_headers(school.switches, free_at))


def reset_headers(switches: Switches, free_at: float) -> dict[str, str]:
    """Return the header that says when to call again, by the switch `reset_header`."""
    left = max(free_at - time.time(), 0.0)
    by_name: dict[str, dict[str, str]] = {
        "epoch_ms": {"RateLimit-Reset": str(math.ceil(free_at * 1000))},
        "epoch_s": {"RateLimit-Reset": str(math.ceil(free_at))},
        "small_ms": {"RateLimit-Reset": str(math.ceil(left * 1000))},
        "retry_after": {"Retry-After": str(math.ceil(left))},
        "retry_after_date": {"Retry-After": formatdate(math.ceil(free_at), usegmt=True)},
        "none": {},
    }
    return by_name[switches.reset_header]


def _list_products(ask: RouteRequest) -> Reply:
    found = [each for each in ask.school.products.values() if ask.school.lists(each)]
    return _page(ask, found, serializers.product_row)


def _show_product(ask: RouteRequest) -> Reply:
    product = _found(ask, ask.school.products)
    if not ask.school.lists(product):
        raise _NotFoundError
    return json_reply(200, serializers.product_row(ask.school, product))


def _list_courses(ask: RouteRequest) -> Reply:
    found = [each for each in ask.school.courses.values() if ask.school.lists(each)]
    return _page(ask, found, serializers.course_row)


def _show_course(ask: RouteRequest) -> Reply:
    course = _found(ask, ask.school.courses)
    if not ask.school.lists(course):
        raise _NotFoundError
    return json_reply(200, serializers.course_row(ask.school, course))


def _show_bundle(ask: RouteRequest) -> Reply:
    bundle = _found(ask, ask.school.bundles)
    return json_reply(200, serializers.bundle_row(ask.school, bundle))


def _list_bundle_courses(ask: RouteRequest) -> Reply:
    return _page(ask, _found(ask, ask.school.bundles).courses, serializers.course_row)


def _list_bundle_enrollments(ask: RouteRequest) -> Reply:
    bundle = _found(ask, ask.school.bundles)
    ids = {course.id for course in bundle.courses}
    found = [
        row for row in serializers.find_enrollments(ask.school, ask.query) if row.course.id in ids
    ]
    if ask.school.switches.bundle_rows == "members":
        found = [row for row in found if (bundle.id, row.user.id) in ask.school.members]
    return _page(ask, found, serializers.enrollment_row)


def _create_bundle_enrollments(ask: RouteRequest) -> Reply:
    bundle = _found(ask, ask.school.bundles)
    return Reply(enrollment_writes.enroll_in_bundle(ask.school, bundle, ask.params))


def _update_bundle_enrollments(ask: RouteRequest) -> Reply:
    bundle = _found(ask, ask.school.bundles)
    if ask.school.switches.put_works:
        enrollment_writes.update_bundle_enrollments(ask.school, bundle, ask.params)
    return _changed(ask.school, None)


def _list_fields(ask: RouteRequest) -> Reply:
    return _page(ask, list(ask.school.fields.values()), serializers.field_row)


def _list_users(ask: RouteRequest) -> Reply:
    return _page(ask, serializers.find_users(ask.school, ask.query), serializers.user_row)


def _show_user(ask: RouteRequest) -> Reply:
    user = _found(ask, ask.school.users_by_id)
    return json_reply(200, serializers.user_row(ask.school, user))


def _create_user(ask: RouteRequest) -> Reply:
    user = user_writes.create_user(ask.school, ask.params)
    return json_reply(201, serializers.user_row(ask.school, user))


def _update_user(ask: RouteRequest) -> Reply:
    user = _found(ask, ask.school.users_by_id)
    user_writes.update_user(ask.school, user, ask.params)
    return _changed(ask.school, serializers.user_row(ask.school, user))


def _delete_user(ask: RouteRequest) -> Reply:
    ask.school.remove_user(_found(ask, ask.school.users_by_id))
    return Reply(204)


def _list_enrollments(ask: RouteRequest) -> Reply:
    found = serializers.find_enrollments(ask.school, ask.query)
    return _page(ask, found, serializers.enrollment_row)


def _show_enrollment(ask: RouteRequest) -> Reply:
    row = _found(ask, ask.school.rows_by_id)
    return json_reply(200, serializers.enrollment_row(ask.school, row))


def _create_enrollment(ask: RouteRequest) -> Reply:
    row = enrollment_writes.create_enrollment(ask.school, ask.params)
    return json_reply(201, serializers.enrollment_row(ask.school, row))


def _update_enrollment(ask: RouteRequest) -> Reply:
    row = _found(ask, ask.school.rows_by_id)
    if ask.school.switches.put_works:
        enrollment_writes.update_enrollment(ask.school, row, ask.params)
    return _changed(ask.school, serializers.enrollment_row(ask.school, row))


def _changed(school: School, row: dict[str, Any] | None) -> Reply:
    """Return the answer to a PUT, by the switch `put_answer`."""
    match school.switches.put_answer:
        case "row" if row is not None:
            return json_reply(200, row)
        case "row":
            return Reply(200)
        case status:
            return Reply(status)


def _page(
    ask: RouteRequest, found: Sequence[T], row: Callable[[School, T], serializers.Row]
) -> Reply:
    """Return the page of a list that the query asks for."""
    return json_reply(200, serializers.page(ask.school, found, ask.query, row))


def _found(ask: RouteRequest, rows: Mapping[int, T]) -> T:
    """Return the row whose ID is in the path. Raises _NotFoundError."""
    if (row := rows.get(ask.id)) is None:
        raise _NotFoundError
    return row


ROUTES: dict[str, Callable[[RouteRequest], Reply]] = {
    "GET /products": _list_products,
    "GET /products/*": _show_product,
    "GET /courses": _list_courses,
    "GET /courses/*": _show_course,
    "GET /bundles/*": _show_bundle,
    "GET /bundles/*/courses": _list_bundle_courses,
    "GET /bundles/*/enrollments": _list_bundle_enrollments,
    "POST /bundles/*/enrollments": _create_bundle_enrollments,
    "PUT /bundles/*/enrollments": _update_bundle_enrollments,
    "GET /custom_profile_field_definitions": _list_fields,
    "GET /users": _list_users,
    "POST /users": _create_user,
    "GET /users/*": _show_user,
    "PUT /users/*": _update_user,
    "DELETE /users/*": _delete_user,
    "GET /enrollments": _list_enrollments,
    "POST /enrollments": _create_enrollment,
    "GET /enrollments/*": _show_enrollment,
    "PUT /enrollments/*": _update_enrollment,
}
