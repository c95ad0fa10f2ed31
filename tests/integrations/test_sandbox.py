"""The sandbox answers as Thinkific documents; each shape is checked with its OpenAPI file."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from openapi_schema_validator import OAS30Validator, oas30_format_checker

from integrations.thinkific.sandbox import Enrollment, Sandbox, School, add_sample_school
from integrations.thinkific.sandbox.api import ROUTES
from tests.support.sandbox_school import KEY, TOKEN, Place, connected, opened, request_bytes

EXCERPT = Path(__file__).parents[1] / "openapi" / "thinkific-admin-api-v1-excerpt.yaml"
NOW = "2026-01-02T03:04:05Z"
# The vendor's file leaves nullability out altogether; these hold null in real answers, for
# instance the expiry date of an enrollment that never ends, or the page after the last.
NULLABLE = {
    "BundleResponse": "description tagline banner_image_url bundle_card_image_url",
    "CourseResponse": "subtitle description",
    "EnrollmentResponse": "started_at activated_at completed_at expiry_date",
    "Pagination": "next_page prev_page",
    "ProductResponse": "days_until_expiry keywords seo_title seo_description description "
    "card_image_url",
    "UserResponse": "company avatar_url bio headline affiliate_code external_source "
    "affiliate_commission affiliate_payout_email",
}


@pytest.fixture
def place() -> Iterator[Place]:
    with opened() as place:
        yield place


@pytest.fixture(scope="module")
def openapi() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(EXCERPT.read_text(encoding="utf-8"))
    for name, schema in document["components"]["schemas"].items():
        if name != "ValidationError" and "properties" in schema:
            # A property of our own making would let the engine rely on what nobody sends.
            schema["additionalProperties"] = False
        for each in NULLABLE.get(name, "").split():
            schema["properties"][each]["nullable"] = True
    return document


def check(openapi: dict[str, Any], schema: dict[str, Any], value: object) -> None:
    OAS30Validator(
        {**schema, "components": openapi["components"]}, format_checker=oas30_format_checker
    ).validate(value)


OPERATIONS: dict[str, tuple[str, dict[str, Any] | None]] = {
    "GET /products": ("/products", None),
    "GET /products/{id}": ("/products/{product}", None),
    "GET /courses": ("/courses", None),
    "GET /courses/{id}": ("/courses/{course}", None),
    "GET /bundles/{id}": ("/bundles/{bundle}", None),
    "GET /bundles/{id}/courses": ("/bundles/{bundle}/courses", None),
    "GET /bundles/{id}/enrollments": ("/bundles/{bundle}/enrollments", None),
    "POST /bundles/{id}/enrollments": (
        "/bundles/{bundle}/enrollments",
        {"user_id": "{user}", "activated_at": NOW},
    ),
    "PUT /bundles/{id}/enrollments": (
        "/bundles/{bundle}/enrollments",
        {"user_id": "{user}", "expiry_date": NOW},
    ),
    "GET /custom_profile_field_definitions": ("/custom_profile_field_definitions", None),
    "GET /users": ("/users", None),
    "POST /users": (
        "/users",
        {"first_name": "Ola", "last_name": "Berg", "email": "ola@example.com"},
    ),
    "GET /users/{id}": ("/users/{user}", None),
    "PUT /users/{id}": ("/users/{user}", {"first_name": "Dana"}),
    "DELETE /users/{id}": ("/users/{user}", None),
    "GET /enrollments": ("/enrollments", None),
    "POST /enrollments": (
        "/enrollments",
        {"course_id": "{second}", "user_id": "{user}", "activated_at": NOW, "expiry_date": NOW},
    ),
    "GET /enrollments/{id}": ("/enrollments/{enrollment}", None),
    "PUT /enrollments/{id}": ("/enrollments/{enrollment}", {"activated_at": NOW}),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_answer_has_the_shape_of_the_openapi_file(
    place: Place, openapi: dict[str, Any], operation: str
):
    place.school.add_field("Company", required=False)
    user = place.school.add_user("Dana@Example.com", custom_fields={"Company": "Reyes Ltd"})
    row = place.school.enroll(user, place.course)
    numbers = {
        "product": place.course.product_id,
        "course": place.course.id,
        "bundle": place.bundle.id,
        "user": user.id,
        "second": place.second.id,
        "enrollment": row.id,
    }
    path, body = OPERATIONS[operation]
    sent = body and {
        name: numbers.get(str(value).strip("{}"), value) for name, value in body.items()
    }
    method, template = operation.split(" ")

    answer = place.call(method, path.format(**numbers), json=sent)

    documented = openapi["paths"][template][method.lower()]["responses"][answer.status_code]
    assert answer.ok
    if "content" not in documented:
        assert answer.content == b""
        return
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    check(openapi, documented["content"]["application/json"]["schema"], answer.json())
    if "items" in answer.json():
        assert answer.json()["items"], "an empty list would have proved nothing"


def test_every_operation_of_the_excerpt_is_there_and_checked(openapi: dict[str, Any]):
    documented = {
        f"{method.upper()} {path}" for path, item in openapi["paths"].items() for method in item
    }
    assert documented == set(OPERATIONS)
    assert {each.replace("{id}", "*") for each in documented} == set(ROUTES)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X-Auth-API-Key": KEY, "X-Auth-Subdomain": "acme"}, 200),
        ({"Authorization": f"Bearer {TOKEN}"}, 200),
        ({}, 401),
        ({"X-Auth-API-Key": KEY}, 401),
        ({"X-Auth-Subdomain": "acme"}, 401),
        ({"X-Auth-API-Key": KEY, "X-Auth-Subdomain": "other"}, 401),
        ({"X-Auth-API-Key": KEY[::-1], "X-Auth-Subdomain": "acme"}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": f"Bearer {KEY}"}, 401),
        ({"X-Auth-API-Key": TOKEN, "X-Auth-Subdomain": "acme"}, 401),
    ],
)
def test_a_call_needs_the_schools_key_or_token(place: Place, headers: dict[str, str], status: int):
    place.sandbox.add_school("other", key="f" * 32)
    answer = requests.get(f"{place.sandbox.url}/products", headers=headers, timeout=5)
    assert answer.status_code == status
    if status == 401:
        assert answer.json() == {"error": "Authentication Error"}


def test_a_changed_key_shuts_the_old_one_out(place: Place):
    headers = {"X-Auth-API-Key": KEY, "X-Auth-Subdomain": "acme"}
    place.school.change_key("e" * 32)
    assert requests.get(f"{place.sandbox.url}/users", headers=headers, timeout=5).status_code == 401
    assert place.call("GET", "/users").status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/nothing"),
        ("GET", "/bundles"),
        ("GET", "/users/abc"),
        ("GET", "/users/999"),
        ("GET", "/users/" + "9" * 5000),
        ("DELETE", "/enrollments/1"),
        ("PUT", "/enrollments/999"),
        ("PUT", "/users/999"),
        ("POST", "/bundles/999/enrollments"),
        ("GET", "/products/999"),
    ],
)
def test_what_is_not_there_is_a_404(place: Place, method: str, path: str):
    answer = place.call(method, path, json={} if method in ("POST", "PUT") else None)
    assert answer.status_code == 404
    assert answer.json() == {"error": "Record not found."}


def test_a_product_has_another_id_than_its_course_or_bundle(place: Place):
    place.school.add_product("Community", productable_type="Community")
    items = place.items("/products", {})
    assert {(item["productable_type"], item["productable_id"]) for item in items[:3]} == {
        ("Course", place.course.id),
        ("Course", place.second.id),
        ("Bundle", place.bundle.id),
    }
    assert items[3]["productable_type"] == "Community"
    assert all(item["id"] != item["productable_id"] for item in items)


def test_a_list_is_walked_page_by_page(place: Place):
    for number in range(58):
        place.school.add_course(f"Course {number}")
    seen: list[int] = []
    page: int | None = 1
    sizes = []
    while page:
        answer = place.call("GET", "/products", query={"page": page}).json()
        sizes.append(len(answer["items"]))
        seen += [item["id"] for item in answer["items"]]
        page = answer["meta"]["pagination"]["next_page"]
    assert sizes == [25, 25, 11]
    assert len(set(seen)) == 61
    beyond = place.call("GET", "/products", query={"page": 9}).json()
    assert beyond["items"] == []
    assert beyond["meta"]["pagination"]["total_items"] == 61


def test_a_page_holds_250_at_most(place: Place):
    for number in range(260):
        place.school.add_course(f"Course {number}")
    assert len(place.items("/products", {"limit": 1000})) == 250
    assert len(place.items("/products", {"limit": 7})) == 7


def test_a_filter_counts_only_as_query_in_brackets(place: Place):
    dana, ola = place.school.add_user("dana@example.com"), place.school.add_user("ola@example.com")
    place.school.enroll(dana, place.course)
    place.school.enroll(dana, place.second, expired=True)
    place.school.enroll(ola, place.course, free_trial=True)

    def found(query: dict[str, Any]) -> set[tuple[int, int]]:
        rows = place.items("/enrollments", query)
        return {(row["user_id"], row["course_id"]) for row in rows}

    course, second = place.course.id, place.second.id
    everything = {(dana.id, course), (dana.id, second), (ola.id, course)}
    assert found({"user_id": dana.id}) == everything
    assert found({"query[user_id]": dana.id}) == {(dana.id, course), (dana.id, second)}
    assert found({"query[course_id]": course}) == {(dana.id, course), (ola.id, course)}
    assert found({"query[user_id]": ola.id, "query[course_id]": second}) == set()
    assert found({"query[email]": "OLA@example.com"}) == {(ola.id, course)}
    assert found({"query[expired]": "true"}) == {(dana.id, second)}
    assert found({"query[free_trial]": "true"}) == {(ola.id, course)}
    assert found({"query[full]": "true"}) == {(dana.id, course), (dana.id, second)}
    today = datetime.now(UTC).date()
    tomorrow = (today + timedelta(days=1)).isoformat()
    assert found({"query[created_before]": tomorrow}) == everything
    assert found({"query[updated_on_or_after]": tomorrow}) == set()
    bundle_rows = place.items(
        f"/bundles/{place.bundle.id}/enrollments", {"query[user_id]": dana.id}
    )
    assert [row["course_id"] for row in bundle_rows] == [course, second]
    assert [user["id"] for user in place.items("/users", {"query[email]": "ola@example.com"})] == [
        ola.id
    ]
    assert len(place.items("/users", {"email": "ola@example.com"})) == 2


# Users


def new_user(**changes: Any) -> dict[str, Any]:
    return {"first_name": "Ola", "last_name": "Berg", "email": "ola@example.com", **changes}


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        (new_user(first_name=" "), {"first_name": ["can't be blank"]}),
        (new_user(last_name=None), {"last_name": ["can't be blank"]}),
        (new_user(email=""), {"email": ["can't be blank"]}),
        (new_user(email="ola"), {"email": ["is invalid"]}),
        (new_user(email="DANA@example.COM"), {"email": ["has already been taken"]}),
        (new_user(roles=["owner"]), {"roles": ["is invalid"]}),
        (new_user(password="12345"), {"password": ["is too short (minimum is 6 characters)"]}),
        (
            {},
            {
                "first_name": ["can't be blank"],
                "last_name": ["can't be blank"],
                "email": ["can't be blank"],
            },
        ),
    ],
)
def test_a_user_is_refused_with_a_map_of_fields(
    place: Place, body: dict[str, Any], errors: dict[str, list[str]]
):
    place.school.add_user("dana@example.com")
    answer = place.post("/users", **body)
    assert (answer.status_code, answer.json()) == (422, {"errors": errors})
    assert len(place.school.users) == 1


def test_a_missing_required_field_is_named_by_its_label_unless_skipped(place: Place):
    company = place.school.add_field("Company", required=True)
    answer = place.post("/users", **new_user())
    assert (answer.status_code, answer.json()) == (422, {"errors": {"Company": ["can't be blank"]}})
    value = {"custom_profile_field_definition_id": company.id, "value": "Berg AS"}
    assert place.post("/users", **new_user(custom_profile_fields=[value])).status_code == 201
    second = new_user(email="li@example.com", skip_custom_fields_validation=True)
    assert place.post("/users", **second).status_code == 201
    ola = place.school.user("OLA@EXAMPLE.COM")
    assert ola is not None
    assert ola.custom_fields == {"Company": "Berg AS"}


def test_a_field_that_does_not_take_a_value_is_refused_with_a_list_of_objects(
    place: Place, openapi: dict[str, Any]
):
    country = place.school.add_field("Country", field_type="dropdown", options=["Norway"])
    given = [
        {"custom_profile_field_definition_id": country.id, "value": "Atlantis"},
        {"custom_profile_field_definition_id": 12345, "value": "x"},
    ]
    answer = place.post("/users", **new_user(custom_profile_fields=given))
    assert answer.status_code == 422
    check(openapi, {"$ref": "#/components/schemas/UnprocessableEntityError"}, answer.json())
    assert answer.json() == {
        "errors": [
            {"Country": "is invalid"},
            {"custom_profile_field_definition_id": "could not be found"},
        ]
    }
    given = [{"custom_profile_field_definition_id": country.id, "value": "Norway"}]
    assert place.post("/users", **new_user(custom_profile_fields=given)).status_code == 201


def test_a_user_update_changes_only_what_is_sent(place: Place):
    company = place.school.add_field("Company")
    place.school.add_user("ola@example.com")
    user = place.school.add_user(
        "Dana@example.com", roles=["site_admin"], custom_fields={"Company": "Old", "Phone": "1"}
    )
    value = {"custom_profile_field_definition_id": company.id, "value": "New"}
    assert place.put(f"/users/{user.id}", custom_profile_fields=[value]).status_code == 204
    assert user.custom_fields == {"Company": "New", "Phone": "1"}
    assert (user.first_name, user.email, user.roles) == ("Dana", "Dana@example.com", ["site_admin"])
    taken = place.put(f"/users/{user.id}", email="OLA@example.com", first_name="Changed")
    assert taken.json() == {"errors": {"email": ["has already been taken"]}}
    assert place.put(f"/users/{user.id}", first_name="").status_code == 422
    assert user.first_name == "Dana"
    assert place.put(f"/users/{user.id}", email="dana.reyes@example.com").status_code == 204
    assert place.school.user("dana.reyes@example.com") is user
    assert place.school.user("dana@example.com") is None


def test_a_welcome_mail_goes_out_only_when_it_is_asked_for(place: Place):
    place.post("/users", **new_user())
    place.post("/users", **new_user(email="li@example.com", send_welcome_email=True))
    assert [user.welcomed for user in place.school.users] == [False, True]


# Enrollments


def test_an_enrollment_without_activated_at_is_a_free_preview(place: Place):
    user = place.school.add_user("dana@example.com")
    row = place.post("/enrollments", course_id=place.course.id, user_id=user.id).json()
    assert row["is_free_trial"] is True
    assert row["activated_at"] is None
    held = place.school.enrollment("DANA@example.com", place.course.id)
    assert held is not None
    assert not held.active
    assert place.put(f"/enrollments/{row['id']}", activated_at=NOW).status_code == 204
    assert held.active
    assert not held.is_free_trial


@pytest.mark.parametrize(
    ("known", "errors"),
    [
        ({"course", "user"}, None),
        ({"course"}, ["User could not be found."]),
        ({"user"}, ["Course could not be found."]),
        (set(), ["Course could not be found.", "User could not be found."]),
    ],
)
def test_an_enrollment_names_what_it_could_not_find(
    place: Place, known: set[str], errors: list[str] | None
):
    user = place.school.add_user("dana@example.com")
    # The product's own id in place of the course's is the classic mistake.
    course_id = place.course.id if "course" in known else place.course.product_id
    answer = place.post(
        "/enrollments", course_id=course_id, user_id=user.id if "user" in known else 1
    )
    if errors is None:
        assert answer.status_code == 201
    else:
        assert (answer.status_code, answer.json()) == (422, {"errors": errors})


def test_an_enrollment_has_expired_once_its_date_has_passed(place: Place):
    user = place.school.add_user("dana@example.com")
    row = place.school.enroll(user, place.course)
    for days, expired in ((-1, True), (1, False), (36500, False)):
        date = (datetime.now(UTC) + timedelta(days=days)).isoformat()
        answer = place.put(f"/enrollments/{row.id}", expiry_date=date)
        assert (answer.status_code, answer.content) == (204, b"")
        assert place.call("GET", f"/enrollments/{row.id}").json()["expired"] is expired
        assert row.active is not expired


@pytest.mark.parametrize("wrong", ["soon", 17, ["2026-01-01"], "2026-13-01T00:00:00Z"])
def test_a_date_that_is_none_is_refused_and_changes_nothing(place: Place, wrong: object):
    row = place.school.enroll(place.school.add_user("dana@example.com"), place.course)
    answer = place.put(f"/enrollments/{row.id}", activated_at=NOW, expiry_date=wrong)
    assert (answer.status_code, answer.json()) == (422, {"errors": ["Expiry date is invalid."]})
    assert row.expiry_date is None


def test_a_bundle_shares_its_enrollments_with_its_courses(place: Place):
    user = place.school.add_user("dana@example.com")
    alone = place.school.enroll(user, place.course)
    path = f"/bundles/{place.bundle.id}/enrollments"
    answer = place.post(path, user_id=user.id, activated_at=NOW)
    assert (answer.status_code, answer.content) == (201, b"")
    rows = place.items(path, {"query[user_id]": user.id})
    assert [row["course_id"] for row in rows] == [place.course.id, place.second.id]
    assert rows[0]["id"] == alone.id
    assert len(place.school.enrollments) == 2

    assert place.put(path, user_id=user.id, expiry_date=NOW).status_code == 204
    assert alone.expired, "a course bought alone goes with the bundle"
    assert [row.active for row in place.school.enrollments] == [False, False]


def test_a_bundle_update_passes_over_courses_without_an_enrollment(place: Place):
    user = place.school.add_user("dana@example.com")
    place.school.enroll(user, place.second)
    path = f"/bundles/{place.bundle.id}/enrollments"
    assert place.put(path, user_id=user.id, expiry_date=NOW).status_code == 204
    assert [row.course_id for row in place.school.enrollments] == [place.second.id]


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_bundle_wants_a_user(place: Place, method: str):
    path = f"/bundles/{place.bundle.id}/enrollments"
    blank = place.call(method, path, json={})
    assert (blank.status_code, blank.json()) == (422, {"errors": {"user_id": ["can't be blank"]}})
    unknown = place.call(method, path, json={"user_id": 1})
    assert (unknown.status_code, unknown.json()) == (422, {"errors": ["User could not be found."]})


def test_a_removed_course_takes_its_enrollments_along(place: Place):
    user = place.school.add_user("dana@example.com")
    place.school.enroll(user, place.course)
    place.school.enroll(user, place.second)
    place.school.remove_course(place.course)
    assert [row.course_id for row in place.school.enrollments] == [place.second.id]
    bundle = place.call("GET", f"/bundles/{place.bundle.id}").json()
    assert bundle["course_ids"] == [place.second.id]
    assert place.call("GET", f"/products/{place.course.product_id}").status_code == 404
    answer = place.post("/enrollments", course_id=place.course.id, user_id=user.id)
    assert answer.json() == {"errors": ["Course could not be found."]}
    place.school.remove_bundle(place.bundle)
    assert place.call("GET", f"/bundles/{place.bundle.id}").status_code == 404


def test_a_removed_user_is_gone_with_all_enrollments(place: Place):
    user = place.school.add_user("Dana@example.com")
    row = place.school.enroll(user, place.course)
    place.school.remove_user(user)
    assert place.school.enrollments == []
    assert place.call("GET", f"/enrollments/{row.id}").status_code == 404
    assert place.call("GET", f"/users/{user.id}").status_code == 404
    assert place.school.add_user("dana@example.com").id != user.id


def test_two_schools_know_nothing_of_each_other(place: Place):
    other = place.sandbox.add_school("other", key="f" * 32)
    other.add_user("dana@example.com")
    assert place.items("/users", {}) == []
    with pytest.raises(ValueError, match="already"):
        place.sandbox.add_school("other")
    with pytest.raises(ValueError, match="already"):
        other.add_user("DANA@example.com")
    with pytest.raises(ValueError, match="already"):
        place.school.add_course("Copy", course_id=place.course.id)


def test_many_at_once_still_make_one_enrollment_each(place: Place):
    users = [place.school.add_user(f"u{number}@example.com") for number in range(10)]
    body = {"course_id": place.course.id, "activated_at": NOW}

    def enroll_all() -> None:
        for user in users:
            place.post("/enrollments", user_id=user.id, **body)

    threads = [threading.Thread(target=enroll_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows: list[Enrollment] = place.school.enrollments
    assert len(rows) == len({row.id for row in rows}) == 10
    assert len(place.sandbox.calls) == 40


# Calls and the server


def test_every_call_is_kept_in_order_of_arrival(place: Place):
    place.call("GET", "/users", query={"query[email]": "a b@example.com"})
    place.post("/users", first_name="Ola")
    requests.get(f"{place.sandbox.url}/users", headers={"User-Agent": "me/1"}, timeout=5)
    first, second, third = place.sandbox.calls
    assert (first.method, first.path, first.status) == ("GET", "/users", 200)
    assert first.query == {"query[email]": "a b@example.com"}
    assert (first.body, first.school) == (None, "acme")
    assert (second.body, second.status) == ({"first_name": "Ola"}, 422)
    assert (third.school, third.status, third.user_agent) == (None, 401, "me/1")
    assert first.at <= second.at <= third.at
    assert third.until is not None
    assert third.until >= third.at
    place.sandbox.clear_calls()
    assert place.sandbox.calls == []


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b'{"first_name": ', 400),
        ("application/json", b'["a"]', 400),
        ("application/json", b"[" * 100_000, 400),
        ("application/json", b"\xff\xfe", 400),
        ("text/plain", b'{"first_name": "Ola"}', 422),
    ],
)
def test_a_body_counts_only_as_a_json_object(
    place: Place, content_type: str, body: bytes, status: int
):
    answer = requests.post(
        f"{place.sandbox.url}/users",
        data=body,
        headers={
            "X-Auth-API-Key": KEY,
            "X-Auth-Subdomain": "acme",
            "Content-Type": content_type,
        },
        timeout=5,
    )
    assert answer.status_code == status


def test_one_connection_carries_many_calls_also_sent_ahead(place: Place):
    wanted = request_bytes(place, "GET", "/custom_profile_field_definitions")
    with connected(place.sandbox) as sock:
        sock.sendall(wanted * 3)
        answers = b""
        while answers.count(b"HTTP/1.1 200 OK") < 3 or not answers.endswith(b"}}"):
            answers += sock.recv(65536)
        for piece in (wanted[:20], wanted[20:-1], wanted[-1:]):
            sock.sendall(piece)
        assert sock.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/2\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nno header\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 2000000\r\n\r\n", b"413"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"411"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000, b"431"),
    ],
)
def test_what_is_no_request_ends_its_connection(place: Place, sent: bytes, status: bytes):
    with connected(place.sandbox) as sock:
        sock.sendall(sent)
        assert sock.recv(65536).split(b" ")[1] == status
        assert sock.recv(65536) == b""


def test_a_large_body_is_asked_for_when_the_caller_waits_for_it(place: Place):
    body = json.dumps(new_user()).encode()
    head = request_bytes(place, "POST", "/users", body)[: -len(body) - 2]
    with connected(place.sandbox) as sock:
        sock.sendall(head + b"Expect: 100-continue\r\n\r\n")
        assert sock.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        assert sock.recv(65536).startswith(b"HTTP/1.1 201 ")


def test_a_connection_ends_when_the_caller_wants_it_so(place: Place):
    wanted = request_bytes(place, "GET", "/users").replace(
        b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"
    )
    with connected(place.sandbox) as sock:
        sock.sendall(wanted)
        answer = b""
        while piece := sock.recv(65536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_a_stopped_sandbox_refuses_and_comes_back_with_its_state(place: Place):
    place.school.add_user("dana@example.com")
    session = requests.Session()
    headers = {"X-Auth-API-Key": KEY, "X-Auth-Subdomain": "acme"}
    with session:
        assert session.get(f"{place.sandbox.url}/users", headers=headers, timeout=5).ok
        place.sandbox.stop()
        with pytest.raises(requests.ConnectionError):
            session.get(f"{place.sandbox.url}/users", headers=headers, timeout=5)
    url = place.sandbox.url
    place.sandbox.start()
    assert place.sandbox.url == url
    assert len(place.items("/users", {})) == 1


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.com"])  # noqa: S104
def test_the_sandbox_serves_on_loopback_only(host: str):
    with pytest.raises(ValueError):  # noqa: PT011 - whatever is wrong with the address
        Sandbox(host=host)


def test_the_sample_school_has_what_the_demo_needs():
    with Sandbox() as sandbox:
        school: School = add_sample_school(sandbox)
    assert len(school.key) == 32
    assert [course.id for course in school.courses.values()] == [501, 502, 503, 504, 505, 506]
    assert "Watercolor for Beginners" in {course.name for course in school.courses.values()}
    assert list(school.bundles) == [801, 802]
    labels = {field.label: field.field_type for field in school.fields.values()}
    assert labels == {"Company": "text", "Phone": "text", "Country": "dropdown"}
