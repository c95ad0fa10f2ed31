"""What Admit must know of an action to offer it, decide on it, carry it out and talk about it."""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from integrations.models import Destination, Integration
from integrations.sentences import Text
from integrations.thinkific.attempt import Attempt


class Effect(StrEnum):
    """What an action does to the customer's access."""

    GIVES = "gives"
    ENDS = "ends"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Message:
    """What SamCart sent, to be passed on: the bytes of its body, and what it said of them.

    `number` is under which the receiver knows the message: it stays when Admit sends it again.
    """

    number: str
    body: bytes
    content_type: str
    content_encoding: str
    trigger: str
    event: int


@dataclass(frozen=True, slots=True)
class ActionInput:
    """The input of an action: the course or bundle, its courses, and the signup fields to fill.

    `said_gone`: the site has said before that there is no such course or bundle. `missing` says
    so of one that was entered by hand, "" for any other. `kept` are the courses and bundles that
    stay open whatever is ended, by what gives them: {"course:501": "order 1183"}. `only`, where it
    is not None, are the courses of the bundle that are given one by one, because others of them
    have ended. `gave` are courses of the bundle that are ended one by one where the bundle does not
    show them. `until` are the ends that courses had before they were bought ("course:501").
    `message` is for an action that passes it on; None where
    the body is not kept.
    """

    destination_id: int
    destination: str
    course_ids: tuple[int, ...] = ()
    fields: dict[int, str] = field(default_factory=dict)
    said_gone: bool = False
    missing: str = ""
    kept: Mapping[str, str] = field(default_factory=dict)
    only: tuple[int, ...] | None = None
    gave: tuple[int, ...] = ()
    until: Mapping[str, datetime] = field(default_factory=dict)
    attempt: int = 1
    message: Message | None = None


@dataclass(frozen=True, slots=True)
class ActionOutcome:
    """What came of an action: a code that stays the same, and one sentence."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A call that an action will make: in plain words, and as a technician writes it."""

    words: Text
    technical: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionSpec:
    """One action. `key` is stored with rules and runs, and written in the configuration file.

    `target` is what its destination must be; None: it has none. `run` are its steps, which yield
    the calls of its app and end in an outcome. `in_words` follows "When ..., " in the rule
    as a person would say it; {place} is the destination with its site. `in_short` is the same for a
    line of a list, where {name} is the destination alone. `planned_calls` gets
    `known` and `fills_fields`, see `enrollments`, and the `site`. `opposite` is the key of the
    action that undoes this one. `passes_on`: it hands on what SamCart sent and does nothing for
    the customer. So it runs once for a delivery, however many lines that has, also for one
    without a usable e-mail address.
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

    @property
    def gives_access(self) -> bool:
        return self.effect is Effect.GIVES

    @property
    def ends_access(self) -> bool:
        return self.effect is Effect.ENDS

    def concerns(self, number: int | None) -> str:
        """The course or bundle whose access a run changes, "course:501"; "" when it changes none.

        The ledger of access keeps grants of it.
        """
        if self.effect is Effect.NONE or self.target is None:
            return ""
        return f"{self.target.value}:{number}"


def read_target(target: str) -> tuple[Destination.Kind, int]:
    """The kind and number of the course or bundle that `ActionSpec.concerns` wrote."""
    kind, _, number = target.partition(":")
    return Destination.Kind(kind), int(number)
