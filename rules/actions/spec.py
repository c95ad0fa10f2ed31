"""What Admit must know of an action to offer it, decide on it, carry it out and talk about it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from integrations.models import Destination, Integration
from integrations.thinkific.attempt import Attempt
from integrations.thinkific.calls import Steps


class Effect(StrEnum):
    """What an action does to the customer's access."""

    GIVES = "gives"
    ENDS = "ends"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done: the course or bundle, its courses, and the signup fields to fill.

    `said_gone`: the site has said before that there is no such course or bundle.
    """

    destination_id: int
    destination: str
    course_ids: tuple[int, ...] = ()
    fields: dict[int, str] = field(default_factory=dict)
    said_gone: bool = False
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an action has come to: a code that stays the same, and one sentence."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A call that an action will make: in plain words, and as a technician writes it."""

    words: str
    technical: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionSpec:
    """One action. `key` is stored with rules and runs, and written in the configuration file.

    `target` is what its destination must be. `run` are its steps, which end in
    an outcome. `in_words` follows "When ..., " in the rule
    as a person would say it; {place} is the destination with its site. `planned_calls` gets
    `known` and `fills_fields`, see `enrollments`. `opposite` is the key of the action that undoes
    this one.
    """

    key: str
    label: str
    app: Integration.App
    effect: Effect
    target: Destination.Kind
    run: Callable[[Attempt, Order], Steps[Outcome]]
    in_words: str
    planned_calls: Callable[..., list[PlannedCall]]
    opposite: str = ""

    @property
    def gives_access(self) -> bool:
        return self.effect is Effect.GIVES

    @property
    def ends_access(self) -> bool:
        return self.effect is Effect.ENDS

    def concerns(self, number: int) -> str:
        """The course or bundle whose access a run changes, "course:501"; "" when it changes none.

        Runs that concern the same one are carried out in order, and a later one overtakes.
        """
        return "" if self.effect is Effect.NONE else f"{self.target.value}:{number}"
