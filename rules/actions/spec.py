"""What Admit knows about an action, to offer it, decide on it, carry it out and describe it."""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any

from integrations.models import Destination, Integration
from integrations.sentences import Text
from integrations.thinkific.attempt import Attempt, GivenBefore


class Effect(StrEnum):
    """What an action does to the customer's access."""

    GIVES = "gives"
    ENDS = "ends"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Message:
    """What SamCart sent, to be passed on: the body's bytes and its content headers.

    `number` identifies the message to the receiver. It stays the same when Admit sends it again.
    `event` is the event's number.
    """

    number: str
    body: bytes
    content_type: str
    content_encoding: str
    trigger: str
    event: int


@dataclass(frozen=True, slots=True)
class ActionInput:
    """The input of an action.

    `destination_id`, `destination`: Thinkific's number and the name of the course or bundle, or
    for a message the receiver's name.
    `course_ids`: the courses of the bundle.
    `fields`: the signup fields to fill, {number: value}.
    `said_gone`: the site said before that it has no such course or bundle.
    `missing`: a sentence that says so about one that was entered by hand, "" for any other.
    `still_given`: the courses and bundles that must stay open, and what else gives them:
    {"course:501": "order 1183"}.
    `only`: if not None, give only these courses of the bundle, one by one, because access to the
    others has ended.
    `gave`: courses of the bundle to end one by one if the bundle does not list them.
    `until`: the ends that courses had before they were bought, by target ("course:501").
    `given_before`: what stays, because the student had it before the purchase that ended; None if
    that cannot be told.
    `attempt`: the number of this attempt, from 1.
    `message`: what an action that passes on sends; None if the body is no longer kept.
    """

    destination_id: int
    destination: str
    course_ids: tuple[int, ...] = ()
    fields: dict[int, str] = field(default_factory=dict)
    said_gone: bool = False
    missing: str = ""
    still_given: Mapping[str, str] = field(default_factory=dict)
    only: tuple[int, ...] | None = None
    gave: tuple[int, ...] = ()
    until: Mapping[str, datetime] = field(default_factory=dict)
    given_before: GivenBefore | None = None
    attempt: int = 1
    message: Message | None = None


@dataclass(frozen=True, slots=True)
class ActionOutcome:
    """The result of an action: a stable code and one sentence."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A call that an action would make, in plain words and in technical form ("GET /users")."""

    words: Text
    technical: str


@dataclass(frozen=True, kw_only=True)
class ActionSpec:
    """One action.

    `key`: stored with rules and runs, and written in the configuration file.
    `target`: the kind of destination it needs, or None if it has no destination.
    `run`: its steps, which yield calls of its app and end in an outcome.
    `in_words`: follows "When ..., " in a rule's sentence; {place} is the destination with its site.
    `in_short`: the same for one line of a list; {name} is the destination alone.
    `planned_calls`: called with `known` and `fills_fields` (see `enrollments`), and `site`.
    `opposite`: the key of the action that undoes this one.
    `passes_on`: it passes on what SamCart sent and does nothing for the customer. So it runs once
    for a delivery, however many lines that has, even if it has no usable e-mail address.
    """

    key: str
    label: Text
    app: Integration.App
    effect: Effect
    target: Destination.Kind | None
    run: Callable[[Attempt, ActionInput], Generator[Any, Any, ActionOutcome]]
    in_words: Text
    in_short: Text
    planned_calls: Callable[..., list[PlannedCall]]
    opposite: str = ""
    passes_on: bool = False

    # Cached, because pages that judge all products ask thousands of times.
    @cached_property
    def gives_access(self) -> bool:
        return self.effect is Effect.GIVES

    @cached_property
    def ends_access(self) -> bool:
        return self.effect is Effect.ENDS

    def concerns(self, destination: Destination | None) -> str:
        """Return the written target whose access a run changes, or "" if it changes none."""
        if self.effect is Effect.NONE or destination is None:
            return ""
        return destination.target
