"""What Coverage shows of one trigger that ends access or gives it back."""

from dataclasses import dataclass

from django.utils.safestring import SafeString

from config.admin.parts import badges
from events.reports.products.coverage import State
from integrations.sentences import Said, say
from rules.fired import included_in
from rules.triggers import Trigger


@dataclass(frozen=True, slots=True)
class TriggerCell:
    """What a row shows of one trigger.

    `covered` is its badge if rules cover it, "" if not, and `by_all` says that it takes global
    rules to do so. `off` is the color of a badge that its rules are off, "" for none, and `note`
    names those of them that are for all products.
    """

    trigger: Trigger
    state: State
    covered: SafeString | str
    by_all: bool
    can_tick: bool
    ticked: bool
    off: str
    note: Said | str


def in_words(trigger: Trigger, state: State) -> str:
    """Return the trigger's name and, if it is only included, the trigger whose rules it is in."""
    if state is State.INCLUDED and (other := included_in(trigger)):
        return say("{trigger} (by {other})", trigger=trigger.label, other=other.label)
    return str(trigger.label)


def badge(trigger: Trigger, state: State) -> SafeString | str:
    """Return the badge of a trigger on which all is covered, "" for others."""
    if state not in {State.COVERED, State.INCLUDED}:
        return ""
    return badges.badge(in_words(trigger, state), badges.GREEN)
