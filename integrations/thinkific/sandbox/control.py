"""`/_sandbox/...`: show and change the stand-in's state, for other processes and for curl.

These calls are not recorded, meet no fault and need no key.
"""

from collections.abc import Callable
from dataclasses import asdict, fields, replace
from typing import Any

from integrations.thinkific.sandbox import serializers
from integrations.thinkific.sandbox.faults import Fault, Switches
from integrations.thinkific.sandbox.school import School
from integrations.thinkific.sandbox.state import State
from integrations.thinkific.sandbox.wire import Reply, Request, json_reply

PATH = "/_sandbox/"


def answer(state: State, request: Request) -> Reply:
    """Answer one control call. The answer is 400 with a sentence if it cannot be done."""
    act = _ACTS.get(f"{request.method} {request.path.rstrip('/')}")
    if act is None:
        return json_reply(404, {"error": f"There are: {', '.join(_ACTS)}."})
    try:
        return json_reply(200, act(state, request))
    except KeyError as error:
        return json_reply(400, {"error": f"{error} is missing or unknown."})
    except (ValueError, TypeError) as error:
        return json_reply(400, {"error": str(error)})


def state_of(school: School) -> dict[str, Any]:
    """Return a school as JSON: rows as the API writes them, enrollments also with `active`."""
    with school.lock:
        enrollments = [
            {**serializers.enrollment_row(school, row), "active": row.active}
            for row in school.enrollments
        ]
        return {
            "school": school.subdomain,
            "key": school.key,
            "token": school.token,
            "courses": [serializers.course_row(school, each) for each in school.courses.values()],
            "bundles": [serializers.bundle_row(school, each) for each in school.bundles.values()],
            "fields": [serializers.field_row(school, each) for each in school.fields.values()],
            "users": [serializers.user_row(school, each) for each in school.users],
            "enrollments": enrollments,
        }


def _state(state: State, request: Request) -> Any:
    if "school" in request.query:
        return state_of(_school(state, request.query["school"]))
    return {"schools": [state_of(each) for each in list(state.schools.values())]}


def _calls(state: State, request: Request) -> Any:
    calls = state.calls
    if "last" in request.query:
        calls = calls[-int(request.query["last"]) :]
    return {"calls": [asdict(call) for call in calls]}


def _clear_calls(state: State, _: Request) -> Any:
    state.clear_calls()
    return {"calls": []}


def _switches(state: State, request: Request) -> Any:
    return _shown(_switches_for(state, request, own=False))


def _set_switches(state: State, request: Request) -> Any:
    values = _object(request)
    switches = _switches_for(state, request, own=True)
    switches.update(values)
    return _shown(switches)


def _faults(state: State, _: Request) -> Any:
    return {
        "waiting": [asdict(each) for each in state.faults.waiting],
        "fired": [asdict(each) for each in state.faults.fired],
    }


def _add_fault(state: State, request: Request) -> Any:
    values = _object(request)
    known = [each.name for each in fields(Fault)]
    if unknown := sorted(set(values) - set(known)):
        raise ValueError(f"A fault has no {', '.join(unknown)}; it has {', '.join(known)}.")
    return asdict(state.faults.add(Fault(**{"kind": "", **values})))


def _clear_faults(state: State, request: Request) -> Any:
    state.faults.clear()
    return _faults(state, request)


def _add_school(state: State, request: Request) -> Any:
    """Add the school in the body: `{"subdomain", "key", "token", "courses", "bundles", "fields"}`.

    A course is a name or `{"name", "course_id", ...}`, a bundle `{"name", "courses": [names]}`, a
    field a label or `{"label", "field_type", "required"}`. Adds nothing if any of it is wrong.
    """
    wanted = _object(request)
    subdomain, key, token = (
        wanted.pop("subdomain"),
        wanted.pop("key", None),
        wanted.pop("token", None),
    )
    trial = School(subdomain, key=key, token=token)
    _fill(trial, **wanted)
    school = state.add_school(subdomain, key=key, token=token)
    _fill(school, **wanted)
    return state_of(school)


def _fill(
    school: School,
    *,
    courses: list[str | dict[str, Any]] | None = None,
    bundles: list[dict[str, Any]] | None = None,
    fields: list[str | dict[str, Any]] | None = None,
) -> None:
    by_name = {}
    for each in courses or []:
        course = school.add_course(**({"name": each} if isinstance(each, str) else each))
        by_name[course.name] = course
    for bundle in bundles or []:
        names = bundle.get("courses", [])
        school.add_bundle(**{**bundle, "courses": [by_name[name] for name in names]})
    for one in fields or []:
        school.add_field(**({"label": one} if isinstance(one, str) else one))


def _switches_for(state: State, request: Request, *, own: bool) -> Switches:
    """Return the switches of the school in the query, or without one the common switches.

    With `own`, a school that still has the common switches gets a copy of its own.
    """
    if "school" not in request.query:
        return state.switches
    school = _school(state, request.query["school"])
    if own and school.switches is state.switches:
        school.switches = replace(state.switches)
    return school.switches


def _school(state: State, subdomain: str) -> School:
    if subdomain not in state.schools:
        raise ValueError(f"There is no school {subdomain!r}; there are {list(state.schools)}.")
    return state.schools[subdomain]


def _object(request: Request) -> dict[str, Any]:
    value = request.json()
    if not isinstance(value, dict):
        raise ValueError("The body must be a JSON object.")
    return value


def _shown(switches: Switches) -> dict[str, Any]:
    return {**asdict(switches), "refused_fields": sorted(switches.refused_fields)}


_ACTS: dict[str, Callable[[State, Request], Any]] = {
    f"GET {PATH}state": _state,
    f"GET {PATH}calls": _calls,
    f"DELETE {PATH}calls": _clear_calls,
    f"GET {PATH}switches": _switches,
    f"POST {PATH}switches": _set_switches,
    f"GET {PATH}faults": _faults,
    f"POST {PATH}faults": _add_fault,
    f"DELETE {PATH}faults": _clear_faults,
    f"POST {PATH}school": _add_school,
}
