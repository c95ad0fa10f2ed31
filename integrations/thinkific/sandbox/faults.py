"""Switches for behavior that Thinkific does not document, and faults that strike on demand."""

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args, get_origin

KINDS = (
    "status",
    "delay",
    "reset",
    "drop",
    "black_hole",
    "drip_headers",
    "drip_status_line",
    "drip_body",
    "truncated",
    "html",
    "garbage",
    "endless",
    "bomb",
    "redirect",
    "empty",
)

_SECONDS = ("latency", "bundle_delay", "calls_window")


@dataclass(slots=True)
class Switches:
    """Behavior that only a live site could reveal; every possibility can be chosen.

    Switches may be changed at any time. A wrong name or value raises AttributeError or ValueError
    at once, so that no test passes because of a misspelled switch.
    """

    email_query: Literal["exact", "partial", "case_sensitive"] = "exact"
    """How `query[email]` matches: the whole address in any case, a part, or whole with its case."""
    repeat_post: Literal["created", "same", "refused", "conflict"] = "created"
    """POST for a course the user has: 201 and active again, 201 and unchanged, 422, or 409.

    For a bundle, `refused` and `conflict` apply only if the user has all its courses. Otherwise the
    missing courses are added and the others stay as they are.
    """
    null_clears: Literal[True, False, "refused"] = True
    """PUT with `expiry_date` null: clears the date, is ignored with success, or is answered 422."""
    bundle_post: Literal["created", "later"] = "created"
    """POST for a bundle: 201 and done, or 202 and done after `bundle_delay`."""
    bundle_delay: float = 0.2
    """Seconds from a 202 until its enrollments exist."""
    new_builder: Literal[True, False] = False
    """Every course and bundle is of the new course builder: it is left out of the lists of
    products and courses, and a course is not found by number, but users, enrollments and
    `/bundles/ID` work. A course or bundle has its own `new_builder`, too."""
    bundle_rows: Literal["courses", "members"] = "courses"
    """A bundle's list of enrollments: of everybody who has one of its courses, or only of users who
    were enrolled in the bundle."""
    put_answer: Literal[204, 200, 201, "row"] = 204
    """A successful PUT: this status without a body, or 200 with the changed enrollment or user.
    For a bundle, `row` is 200 without a body."""
    put_works: Literal[True, False] = True
    """PUT for enrollments: carried out, or answered with success but not carried out."""
    calls_per_minute: int | None = None
    """Calls let through in any `calls_window`, per school; None = no limit. Calls answered 429 do
    not count."""
    calls_window: float = 60.0
    """Seconds of that sliding window. Shorter only to speed up tests."""
    reset_header: Literal[
        "epoch_ms", "epoch_s", "small_ms", "retry_after", "retry_after_date", "none"
    ] = "epoch_ms"
    """How a 429 says when to call again: RateLimit-Reset in three forms, Retry-After in two, or
    not at all."""
    refused_fields: frozenset[str] = frozenset()
    """Labels of signup fields whose values are answered 422, on create and update."""
    field_answer: Literal["list", "map", "number", "sentence", "unnamed"] = "list"
    """How refused fields are named: a list or map by label, by number, in a sentence, or not at
    all."""
    refused_names: str | None = None
    """Regular expression of first and last names that are answered 422, on create and update."""
    taken_answer: Literal["taken", "exists", "in_use", "sentence", "conflict"] = "taken"
    """The words for an e-mail that another user has. `conflict` is a 409 without words."""
    new_user_unknown: int = 0
    """How many enrollment calls for a user made by POST are refused as if the user did not exist
    yet."""
    new_user_answer: Literal["user", "both", "not_found"] = "user"
    """How they are refused: 422 that the user, or user and course, could not be found, or a 404
    without a reason."""
    error_body: Literal["json", "html"] = "json"
    """Body of 429 and 5xx, unless a fault has its own."""
    id_type: Literal["int", "float", "string"] = "int"
    """How IDs are written in answers. Thinkific's OpenAPI file only says "number"."""
    latency: float = 0.0
    """Seconds from the end of the work to the answer, for every call."""

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, _checked(self, name, value))

    @classmethod
    def choices(cls) -> dict[str, tuple[object, ...]]:
        """Return the possible values of each switch that is a `Literal`."""
        kinds = {each.name: each.type for each in fields(cls)}
        return {name: get_args(kind) for name, kind in kinds.items() if get_origin(kind) is Literal}

    def update(self, values: Mapping[str, Any]) -> None:
        """Set several switches at once. Raises ValueError and changes nothing if one is wrong."""
        known = {each.name for each in fields(self)}
        for name, value in values.items():
            if name not in known:
                raise ValueError(f"There is no switch {name!r}; there are {sorted(known)}.")
            _checked(self, name, value)
        for name, value in values.items():
            setattr(self, name, value)


def _checked(switches: Switches, name: str, value: Any) -> Any:
    choices = switches.choices().get(name)
    if choices and not any(type(value) is type(each) and value == each for each in choices):
        raise ValueError(f"{name} must be one of {choices}, not {value!r}.")
    if name in _SECONDS and not _is_number(value):
        raise ValueError(f"{name} is a number of seconds from 0, not {value!r}.")
    if name == "calls_per_minute" and not (value is None or (type(value) is int and value > 0)):
        raise ValueError(f"calls_per_minute is a whole number from 1, or None, not {value!r}.")
    if name == "refused_fields":
        if isinstance(value, str) or not all(isinstance(label, str) for label in value):
            raise ValueError(f"refused_fields is a set of labels, not {value!r}.")
        return frozenset(value)
    if name == "refused_names":
        _compiled(name, value)
    if name == "new_user_unknown" and not _whole(value, 0):
        raise ValueError(f"new_user_unknown is a whole number from 0, not {value!r}.")
    return value


def _compiled(name: str, value: str | None) -> re.Pattern[str]:
    """Compile a regular expression; None matches everything. Raises ValueError."""
    try:
        return re.compile(value or "")
    except (re.error, TypeError) as error:
        raise ValueError(f"{name} is no regular expression: {error}.") from error


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


@dataclass(frozen=True, slots=True, eq=False)
class Fault:
    """One way to fail, for the next `times` calls that match `method`, `path`, `about`, `school`.

    `delay`, `drop`, `truncated`, `empty` and the drips always carry out the call and spoil its
    answer; the other kinds carry it out only with `applied`. Raises ValueError for a wrong kind or
    value.
    """

    kind: str
    """One of KINDS."""
    times: int | None = 1
    """How often it strikes; None = always."""
    method: str | None = None
    path: str | None = None
    """Regular expression searched for in the path below the API's base, as in RecordedCall.path."""
    about: str | None = None
    """Regular expression searched for in the body and in each value of the query, to fail only for
    calls that concern one student."""
    after: int = 0
    """Matching calls that are let through first."""
    status: int | None = None
    """Status of the answer. None = 503 for `status`, 302 for `redirect`, else a 2xx."""
    delay: float = 0.0
    """Seconds before the answer (`delay`), between bytes (drips) or between pieces (`endless`)."""
    applied: bool = False
    """Carry out the call before failing. For `delay`: before the wait instead of after it."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers that are added to the answer or replace the usual ones."""
    body: str | dict[str, Any] | list[Any] | None = None
    """The body for `status`, `html` and `garbage`. For `status`, a text is HTML, the rest JSON."""
    size: int = 200 * 1024 * 1024
    """Bytes of a `bomb` once unpacked."""
    school: str | None = None
    """Subdomain, to fail for only one school."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"There is no fault {self.kind!r}; there are {', '.join(KINDS)}.")
        if not _whole(self.times, 1, none=True):
            raise ValueError(f"times is a whole number from 1, or None, not {self.times!r}.")
        if not _whole(self.after, 0) or not _whole(self.size, 0):
            raise ValueError("after and size are whole numbers from 0.")
        if not _whole(self.status, 200, none=True) or (self.status or 200) > 599:
            raise ValueError(f"status is a number from 200 to 599, not {self.status!r}.")
        if not _is_number(self.delay):
            raise ValueError(f"delay is a number of seconds from 0, not {self.delay!r}.")
        if not isinstance(self.headers, Mapping):
            raise ValueError("headers are names with their values.")
        for name in ("method", "path", "about", "school"):
            if not isinstance(getattr(self, name), str | None):
                raise ValueError(f"{name} is a text or None.")
        _compiled("path", self.path)
        _compiled("about", self.about)

    def matches(self, call: "FaultableCall") -> bool:
        """Return whether this fault is for this call."""
        if self.method is not None and self.method.upper() != call.method:
            return False
        if self.school is not None and self.school != call.school:
            return False
        if self.path is not None and not re.search(self.path, call.path):
            return False
        return self.about is None or any(re.search(self.about, text) for text in call.texts())


@dataclass(frozen=True, slots=True)
class FaultableCall:
    """What a fault looks at in a call. `school` is the subdomain that the call claims."""

    method: str
    path: str
    school: str | None
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def texts(self) -> list[str]:
        """Return the values of the query, and the body."""
        return [*self.query.values(), self.body.decode(errors="replace")]


def _whole(value: object, least: int, *, none: bool = False) -> bool:
    if value is None:
        return none
    return type(value) is int and value >= least


@dataclass(slots=True)
class _Armed:
    fault: Fault
    to_skip: int
    left: int | None


class Faults:
    """The faults that wait for their calls, in the order in which they were added. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed: list[_Armed] = []
        self._fired: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """Add a fault and return it."""
        with self._lock:
            self._armed.append(_Armed(fault, fault.after, fault.times))
        return fault

    def clear(self) -> None:
        """Remove all faults. Answers already under way still fail."""
        with self._lock:
            self._armed.clear()

    @property
    def waiting(self) -> list[Fault]:
        """The faults that may still strike."""
        with self._lock:
            return [each.fault for each in self._armed]

    @property
    def fired(self) -> list[Fault]:
        """The faults that struck, once for each time, so that a test can check them."""
        with self._lock:
            return list(self._fired)

    def take(self, call: FaultableCall) -> Fault | None:
        """Return the first fault that strikes this call, counting it as used, or None."""
        if not self._armed:
            return None
        with self._lock:
            for armed in self._armed:
                if not armed.fault.matches(call):
                    continue
                if armed.to_skip:
                    armed.to_skip -= 1
                    continue
                self._strike(armed)
                return armed.fault
        return None

    def _strike(self, armed: _Armed) -> None:
        self._fired.append(armed.fault)
        if armed.left is None:
            return
        armed.left -= 1
        if not armed.left:
            self._armed.remove(armed)
