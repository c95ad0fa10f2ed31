"""Each switch of the sandbox, both ways, and the control calls that other processes make."""

import time
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import requests

from integrations.thinkific.sandbox import Switches
from tests.support.sandbox_school import KEY, Place, opened

NOW = "2026-01-02T03:04:05Z"
LATER = "2036-01-02T03:04:05Z"


@pytest.fixture
def place() -> Iterator[Place]:
    with opened() as place:
        yield place


@pytest.mark.parametrize(
    ("email_query", "wanted", "found"),
    [
        ("exact", "dana@example.com", ["Dana@example.com"]),
        ("exact", "dana@example", []),
        ("partial", "dana@EXAMPLE.com", ["Dana@example.com", "jordana@example.com"]),
        ("partial", "example", ["Dana@example.com", "jordana@example.com"]),
        ("case_sensitive", "dana@example.com", []),
        ("case_sensitive", "Dana@example.com", ["Dana@example.com"]),
    ],
)
def test_email_query(place: Place, email_query: Any, wanted: str, found: list[str]):
    dana = place.school.add_user("Dana@example.com")
    jordana = place.school.add_user("jordana@example.com")
    place.school.enroll(dana, place.course)
    place.school.enroll(jordana, place.course)
    place.sandbox.switches.email_query = email_query
    query = {"query[email]": wanted}
    assert [user["email"] for user in place.items("/users", query)] == found
    assert [row["user_email"] for row in place.items("/enrollments", query)] == found


@pytest.mark.parametrize(
    ("repeat_post", "status", "active"),
    [
        ("created", 201, True),
        ("same", 201, False),
        ("refused", 422, False),
        ("conflict", 409, False),
    ],
)
@pytest.mark.parametrize("target", ["course", "bundle"])
def test_repeat_post(place: Place, target: str, repeat_post: Any, status: int, active: bool):
    user = place.school.add_user("dana@example.com")
    rows = [place.school.enroll(user, each, expired=True) for each in place.bundle.courses]
    place.sandbox.switches.repeat_post = repeat_post
    path = "/enrollments" if target == "course" else f"/bundles/{place.bundle.id}/enrollments"
    body = {"course_id": place.course.id} if target == "course" else {}
    answer = place.post(path, user_id=user.id, activated_at=NOW, **body)
    assert answer.status_code == status
    assert rows[0].active is active
    assert len(place.school.enrollments) == 2
    if status != 201:
        assert answer.json() == {"errors": ["User is already enrolled in this course."]}
    elif target == "course":
        assert answer.json()["id"] == rows[0].id
        assert answer.json()["expired"] is not active


@pytest.mark.parametrize("repeat_post", ["same", "refused", "conflict"])
def test_a_bundle_adds_what_is_missing_and_leaves_what_is_there(place: Place, repeat_post: Any):
    user = place.school.add_user("dana@example.com")
    place.school.enroll(user, place.course, expired=True)
    place.sandbox.switches.repeat_post = repeat_post
    path = f"/bundles/{place.bundle.id}/enrollments"
    assert place.post(path, user_id=user.id, activated_at=NOW).status_code == 201
    assert [row.active for row in place.school.enrollments] == [False, True]


@pytest.mark.parametrize("target", ["course", "bundle"])
@pytest.mark.parametrize(
    ("null_clears", "status", "expired"),
    [(True, 204, False), (False, 204, True), ("refused", 422, True)],
)
def test_null_clears(place: Place, target: str, null_clears: Any, status: int, expired: bool):
    user = place.school.add_user("dana@example.com")
    row = place.school.enroll(user, place.course, expired=True)
    place.sandbox.switches.null_clears = null_clears
    bundle = f"/bundles/{place.bundle.id}/enrollments"
    path = f"/enrollments/{row.id}" if target == "course" else bundle
    assert place.put(path, user_id=user.id, expiry_date=None).status_code == status
    assert row.expired is expired
    assert place.put(path, user_id=user.id, expiry_date=LATER).status_code == 204
    assert row.active, "a date far ahead is a way out with every setting"


def test_bundle_post_later(place: Place):
    user = place.school.add_user("dana@example.com")
    path = f"/bundles/{place.bundle.id}/enrollments"
    place.sandbox.switches.bundle_post = "later"
    place.sandbox.switches.bundle_delay = 60
    answer = place.post(path, user_id=user.id, activated_at=NOW)
    assert (answer.status_code, answer.content) == (202, b"")
    assert place.items(path, {"query[user_id]": user.id}) == []
    assert place.school.enrollments == []
    place.sandbox.switches.bundle_delay = 0.05
    assert place.post(path, user_id=user.id, activated_at=NOW).status_code == 202
    time.sleep(0.06)
    assert len(place.items(path, {"query[user_id]": user.id})) == 2
    assert all(row.active for row in place.school.enrollments)


def test_bundle_post_later_is_seen_by_the_test_without_another_call(place: Place):
    user = place.school.add_user("dana@example.com")
    place.sandbox.switches.update({"bundle_post": "later", "bundle_delay": 0})
    path = f"/bundles/{place.bundle.id}/enrollments"
    place.post(path, user_id=user.id, activated_at=NOW)
    row = place.school.enrollment("dana@example.com", place.course.id)
    assert row is not None
    assert row.active


@pytest.mark.parametrize("status", [204, 200, 201])
def test_put_answer(place: Place, status: Any):
    user = place.school.add_user("dana@example.com")
    row = place.school.enroll(user, place.course)
    place.sandbox.switches.put_answer = status
    for path in (
        f"/enrollments/{row.id}",
        f"/users/{user.id}",
        f"/bundles/{place.bundle.id}/enrollments",
    ):
        answer = place.put(path, user_id=user.id)
        assert (answer.status_code, answer.content) == (status, b"")


def test_put_answer_with_a_row(place: Place):
    user = place.school.add_user("dana@example.com")
    row = place.school.enroll(user, place.course)
    place.sandbox.switches.put_answer = "row"
    past = "2024-01-01T00:00:00Z"
    answer = place.put(f"/enrollments/{row.id}", expiry_date=past)
    assert (answer.status_code, answer.json()["id"], answer.json()["expired"]) == (
        200,
        row.id,
        True,
    )
    assert place.put(f"/users/{user.id}", first_name="Dee").json()["first_name"] == "Dee"
    answer = place.put(f"/bundles/{place.bundle.id}/enrollments", user_id=user.id)
    assert (answer.status_code, answer.content) == (200, b"")


def test_put_works(place: Place):
    user = place.school.add_user("dana@example.com")
    row = place.school.enroll(user, place.course)
    place.sandbox.switches.put_works = False
    past = "2024-01-01T00:00:00Z"
    assert place.put(f"/enrollments/{row.id}", expiry_date=past).status_code == 204
    bundle = f"/bundles/{place.bundle.id}/enrollments"
    assert place.put(bundle, user_id=user.id, expiry_date=past).status_code == 204
    assert row.active


def test_calls_per_minute_is_a_sliding_window(place: Place):
    place.sandbox.add_school("other", key="f" * 32)
    place.sandbox.switches.calls_per_minute = 3
    assert [place.call("GET", "/users").status_code for _ in range(5)] == [200] * 3 + [429] * 2
    other = {"X-Auth-API-Key": "f" * 32, "X-Auth-Subdomain": "other"}
    assert requests.get(f"{place.sandbox.url}/users", headers=other, timeout=5).ok
    assert place.post("/users", first_name="Ola").status_code == 429
    assert place.school.users == []
    place.sandbox.switches.calls_window = 0.2
    time.sleep(0.25)
    assert place.call("GET", "/users").status_code == 200
    place.sandbox.switches.calls_per_minute = None
    assert all(place.call("GET", "/users").ok for _ in range(6))


@pytest.mark.parametrize(
    "reset_header",
    ["epoch_ms", "epoch_s", "small_ms", "retry_after", "retry_after_date", "none"],
)
def test_reset_header(place: Place, reset_header: Any):
    place.sandbox.switches.update({"calls_per_minute": 1, "reset_header": reset_header})
    before = time.time()
    assert place.call("GET", "/users").ok
    answer = place.call("GET", "/users")
    assert answer.status_code == 429
    reset, after = answer.headers.get("RateLimit-Reset"), answer.headers.get("Retry-After")
    if reset_header == "none":
        assert (reset, after) == (None, None)
        return
    free_at = {
        "epoch_ms": lambda: float(reset or 0) / 1000,
        "epoch_s": lambda: float(reset or 0),
        "small_ms": lambda: time.time() + float(reset or 0) / 1000,
        "retry_after": lambda: time.time() + float(after or 0),
        "retry_after_date": lambda: parsedate_to_datetime(after or "").timestamp(),
    }[reset_header]()
    assert before + 59 < free_at < time.time() + 62


def test_refused_fields(place: Place):
    company, phone = place.school.add_field("Company"), place.school.add_field("Phone")
    given = [
        {"custom_profile_field_definition_id": each.id, "value": "x"} for each in (company, phone)
    ]
    body = {"first_name": "Ola", "last_name": "Berg", "email": "ola@example.com"}
    place.sandbox.switches.refused_fields = frozenset({"Phone"})
    refused = place.post("/users", **body, custom_profile_fields=given)
    assert (refused.status_code, refused.json()) == (422, {"errors": [{"Phone": "is invalid"}]})
    assert place.school.users == []
    user = place.school.add_user("dana@example.com")
    assert place.put(f"/users/{user.id}", custom_profile_fields=given).status_code == 422
    assert user.custom_fields == {}
    assert place.put(f"/users/{user.id}", custom_profile_fields=given[:1]).status_code == 204
    place.sandbox.switches.refused_fields = frozenset()
    assert place.put(f"/users/{user.id}", custom_profile_fields=given).status_code == 204
    assert user.custom_fields == {"Company": "x", "Phone": "x"}


@pytest.mark.parametrize(
    ("whole_school", "one_course", "listed"),
    [
        (False, False, {"Watercolor", "Drawing", "All of it"}),
        (False, True, {"Drawing", "All of it"}),
        (True, False, set()),
        (True, True, set()),
    ],
)
def test_new_builder(place: Place, whole_school: bool, one_course: bool, listed: set[str]):
    place.sandbox.switches.new_builder = whole_school
    place.course.new_builder = one_course
    assert {row["name"] for row in place.items("/products", {})} == listed
    assert {row["name"] for row in place.items("/courses", {})} == listed - {"All of it"}
    found = {name: name in listed for name in ("Watercolor", "All of it")}
    for path, name in (
        (f"/courses/{place.course.id}", "Watercolor"),
        (f"/products/{place.course.product_id}", "Watercolor"),
        (f"/products/{place.bundle.product_id}", "All of it"),
    ):
        assert place.call("GET", path).status_code == (200 if found[name] else 404)
    assert place.call("GET", f"/bundles/{place.bundle.id}").status_code == 200
    user = place.school.add_user("dana@example.com")
    sold = {"course_id": place.course.id, "user_id": user.id, "activated_at": NOW}
    assert place.post("/enrollments", **sold).status_code == 201
    assert [row["course_id"] for row in place.items("/enrollments", {})] == [place.course.id]


@pytest.mark.parametrize(
    ("field_answer", "errors"),
    [
        ("list", [{"Phone": "is invalid"}]),
        ("map", {"Phone": ["is invalid"]}),
        ("number", {"custom_profile_fields": {"301": ["is invalid"]}}),
        ("sentence", ["Phone is invalid."]),
        ("unnamed", {"custom_profile_fields": ["is invalid"]}),
    ],
)
def test_field_answer(place: Place, field_answer: Any, errors: Any):
    phone = place.school.add_field("Phone")
    given = [{"custom_profile_field_definition_id": phone.id, "value": "x"}]
    place.sandbox.switches.update({"refused_fields": ["Phone"], "field_answer": field_answer})
    body = {"first_name": "Ola", "last_name": "Berg", "email": "ola@example.com"}
    refused = place.post("/users", **body, custom_profile_fields=given)
    assert (refused.status_code, refused.json()) == (422, {"errors": errors})
    assert phone.id == 301


@pytest.mark.parametrize(
    ("refused_names", "errors"),
    [(None, None), ("-", ["last_name"]), ("..?", ["first_name", "last_name"]), ("Ola", None)],
)
def test_refused_names(place: Place, refused_names: str | None, errors: list[str] | None):
    place.sandbox.switches.refused_names = refused_names
    answer = place.post("/users", first_name="Li", last_name="-", email="li@example.com")
    assert answer.status_code == (422 if errors else 201)
    if errors:
        assert answer.json() == {"errors": {name: ["is invalid"] for name in errors}}


@pytest.mark.parametrize(
    ("taken_answer", "status", "answer"),
    [
        ("taken", 422, {"errors": {"email": ["has already been taken"]}}),
        ("exists", 422, {"errors": {"email": ["already exists"]}}),
        ("in_use", 422, {"errors": {"user": ["e-mail address is in use"]}}),
        ("sentence", 422, {"errors": {"base": ["A user with this email is already registered."]}}),
        ("conflict", 409, {"error": "Conflict"}),
    ],
)
def test_taken_answer(place: Place, taken_answer: Any, status: int, answer: Any):
    place.school.add_user("li@example.com")
    place.sandbox.switches.taken_answer = taken_answer
    given = place.post("/users", first_name="Li", last_name="Berg", email="li@example.com")
    assert (given.status_code, given.json()) == (status, answer)


@pytest.mark.parametrize(
    ("new_user_answer", "status", "answer"),
    [
        ("user", 422, {"errors": ["User could not be found."]}),
        ("both", 422, {"errors": ["Course could not be found.", "User could not be found."]}),
        ("not_found", 404, {"error": "Not Found"}),
    ],
)
@pytest.mark.parametrize("target", ["course", "bundle"])
def test_new_user_unknown(
    place: Place, target: str, new_user_answer: Any, status: int, answer: Any
):
    place.sandbox.switches.update({"new_user_unknown": 1, "new_user_answer": new_user_answer})
    made = place.post("/users", first_name="Li", last_name="Berg", email="li@example.com").json()
    path = "/enrollments" if target == "course" else f"/bundles/{place.bundle.id}/enrollments"
    body = {"user_id": made["id"], "course_id": place.course.id, "activated_at": NOW}
    refused = place.post(path, **body)
    assert (refused.status_code, refused.json()) == (status, answer)
    assert place.items("/users", {"query[email]": "li@example.com"})
    assert place.post(path, **body).status_code == 201


@pytest.mark.parametrize("error_body", ["json", "html"])
def test_error_body(place: Place, error_body: Any):
    place.sandbox.switches.update({"calls_per_minute": 1, "error_body": error_body})
    place.call("GET", "/users")
    answer = place.call("GET", "/users")
    assert answer.status_code == 429
    if error_body == "json":
        assert answer.json() == {"error": "Too many requests"}
    else:
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.text.startswith("<!DOCTYPE html>")
    assert "RateLimit-Reset" in answer.headers


@pytest.mark.parametrize(("id_type", "kind"), [("int", int), ("float", float), ("string", str)])
def test_id_type(place: Place, id_type: Any, kind: type):
    user = place.school.add_user("dana@example.com")
    place.sandbox.switches.id_type = id_type
    product = place.items("/products", {})[0]
    assert type(product["productable_id"]) is kind
    listed = place.items("/users", {})[0]
    assert type(listed["id"]) is kind
    answer = place.post(
        "/enrollments",
        course_id=product["productable_id"],
        user_id=listed["id"],
        activated_at=NOW,
    )
    assert answer.status_code == 201
    row = answer.json()
    assert all(type(row[name]) is kind for name in ("id", "user_id", "course_id"))
    assert int(row["user_id"]) == user.id


def test_latency_holds_back_the_answer_and_not_the_neighbors(place: Place):
    place.sandbox.switches.latency = 0.3
    start = time.monotonic()
    place.call("GET", "/users")
    assert time.monotonic() - start >= 0.3
    call = place.sandbox.calls[-1]
    assert call.until is not None
    assert call.until - call.at >= 0.3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, "something else") for name in Switches.choices()),
        ("put_answer", True),
        ("null_clears", 1),
        ("calls_per_minute", 0),
        ("calls_per_minute", "10"),
        ("calls_per_minute", True),
        ("latency", -1),
        ("bundle_delay", "0.2"),
        ("calls_window", None),
        ("refused_fields", "Company"),
        ("refused_fields", [1]),
    ],
)
def test_a_value_that_a_switch_does_not_have_is_refused(name: str, value: Any):
    switches = Switches()
    before = getattr(switches, name)
    with pytest.raises(ValueError, match=name):
        setattr(switches, name, value)
    with pytest.raises(ValueError, match=name):
        Switches(**{name: value})
    with pytest.raises(ValueError, match=name):
        switches.update({"latency": 0.5, name: value})
    assert getattr(switches, name) == before
    assert switches.latency == 0.0


def test_a_misspelt_switch_is_an_error():
    switches = Switches()
    with pytest.raises(AttributeError):
        switches.repeat_posts = "same"
    with pytest.raises(ValueError, match="repeat_posts"):
        switches.update({"repeat_posts": "same"})


def test_a_school_may_have_switches_of_its_own(place: Place):
    other = place.sandbox.add_school("other", key="f" * 32)
    place.school.switches = Switches(put_answer=200)
    users = [school.add_user("dana@example.com") for school in (place.school, other)]
    assert place.put(f"/users/{users[0].id}").status_code == 200
    headers = {"X-Auth-API-Key": "f" * 32, "X-Auth-Subdomain": "other"}
    answer = requests.put(
        f"{place.sandbox.url}/users/{users[1].id}", json={}, headers=headers, timeout=5
    )
    assert answer.status_code == 204


# Control calls


def control(place: Place, method: str, path: str, json: Any = None) -> requests.Response:
    return requests.request(method, f"{place.sandbox.origin}/_sandbox/{path}", json=json, timeout=5)


def test_control_tells_the_state(place: Place):
    place.school.add_field("Company")
    user = place.school.add_user("dana@example.com", custom_fields={"Company": "Reyes Ltd"})
    place.school.enroll(user, place.course)
    place.school.enroll(user, place.second, expired=True)
    state = control(place, "GET", "state?school=acme").json()
    assert (state["school"], state["key"]) == ("acme", KEY)
    assert [course["id"] for course in state["courses"]] == [place.course.id, place.second.id]
    assert state["bundles"][0]["course_ids"] == [place.course.id, place.second.id]
    assert state["users"][0]["custom_profile_fields"][0]["value"] == "Reyes Ltd"
    assert [row["active"] for row in state["enrollments"]] == [True, False]
    assert control(place, "GET", "state").json() == {"schools": [state]}
    assert control(place, "GET", "state?school=none").status_code == 400
    assert place.sandbox.calls == [], "control calls are not Thinkific's"


def test_control_tells_and_clears_the_calls(place: Place):
    place.call("GET", "/users")
    place.post("/users", first_name="Ola")
    calls = control(place, "GET", "calls").json()["calls"]
    assert [(call["method"], call["status"]) for call in calls] == [("GET", 200), ("POST", 422)]
    assert control(place, "GET", "calls?last=1").json()["calls"] == calls[1:]
    assert control(place, "DELETE", "calls").json() == {"calls": []}
    assert place.sandbox.calls == []


def test_control_flips_switches_for_all_or_for_one_school(place: Place):
    answer = control(place, "POST", "switches", {"put_answer": 200, "refused_fields": ["Phone"]})
    assert answer.ok
    assert place.sandbox.switches.put_answer == 200
    assert control(place, "GET", "switches").json()["refused_fields"] == ["Phone"]
    assert set(answer.json()) == {each.name for each in fields(Switches)}
    assert control(place, "POST", "switches?school=acme", {"put_answer": 204}).ok
    assert place.school.switches.put_answer == 204
    assert place.school.switches.refused_fields == {"Phone"}
    assert place.sandbox.switches.put_answer == 200


def test_control_arms_and_disarms_faults(place: Place):
    fault = {"kind": "status", "status": 502, "method": "GET", "times": None}
    assert control(place, "POST", "faults", fault).ok
    assert place.call("GET", "/users").status_code == 502
    told = control(place, "GET", "faults").json()
    assert (len(told["waiting"]), len(told["fired"])) == (1, 1)
    assert control(place, "DELETE", "faults").json()["waiting"] == []
    assert place.call("GET", "/users").status_code == 200


def test_control_adds_a_school(place: Place):
    wanted = {
        "subdomain": "new",
        "key": "e" * 32,
        "courses": ["One", {"name": "Two", "course_id": 77}],
        "bundles": [{"name": "Both", "courses": ["One", "Two"], "bundle_id": 88}],
        "fields": ["Company", {"label": "Country", "field_type": "dropdown"}],
    }
    assert control(place, "POST", "school", wanted).ok
    school = place.sandbox.schools["new"]
    assert [course.name for course in school.courses.values()] == ["One", "Two"]
    assert [course.name for course in school.bundles[88].courses] == ["One", "Two"]
    assert [each.field_type for each in school.fields.values()] == ["text", "dropdown"]
    headers = {"X-Auth-API-Key": "e" * 32, "X-Auth-Subdomain": "new"}
    assert requests.get(f"{place.sandbox.url}/products", headers=headers, timeout=5).ok


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "switches", {"put_answer": 500}, 400),
        ("POST", "switches", {"nothing": 1}, 400),
        ("POST", "switches", ["put_answer"], 400),
        ("POST", "faults", {"kind": "fire"}, 400),
        ("POST", "faults", {"kind": "status", "stauts": 500}, 400),
        ("POST", "faults", {}, 400),
        ("POST", "school", {"key": "x"}, 400),
        ("POST", "school", {"subdomain": "acme"}, 400),
        ("POST", "school", {"subdomain": "b", "bundles": [{"name": "x", "courses": ["y"]}]}, 400),
        ("GET", "nothing", None, 404),
        ("GET", "calls?last=x", None, 400),
    ],
)
def test_control_refuses_what_it_cannot_do_and_says_why(
    place: Place, method: str, path: str, body: Any, status: int
):
    answer = control(place, method, path, body)
    assert answer.status_code == status
    assert len(answer.json()["error"]) > 5
    assert set(place.sandbox.schools) == {"acme"}
    assert place.sandbox.faults.waiting == []


def test_the_date_filters_know_the_day_itself(place: Place):
    user = place.school.add_user("dana@example.com")
    row = place.school.enroll(user, place.course)
    row.created_at = datetime(2026, 3, 10, 12, tzinfo=UTC)
    row.updated_at = row.created_at + timedelta(days=5)
    found = {
        name: bool(place.items("/enrollments", {f"query[{name}]": "2026-03-10"}))
        for name in (
            "created_on",
            "created_before",
            "created_after",
            "created_on_or_before",
            "created_on_or_after",
            "updated_on",
            "updated_after",
            "updated_before",
        )
    }
    assert [name for name, there in found.items() if there] == [
        "created_on",
        "created_on_or_before",
        "created_on_or_after",
        "updated_after",
    ]
