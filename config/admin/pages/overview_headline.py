"""What the overview says first, and beside its figures: from the same facts as its alarms."""

from collections.abc import Sequence
from dataclasses import dataclass

from config.admin.parts.badges import AMBER, GREEN, RED
from events.reports import backlog
from events.reports.dashboard import EventCounts, format_count
from events.reports.promise import MAX_COUNT

CALM = "Nothing needs you."


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything on the overview that may need a person; `Facts()` is that nothing does."""

    silent: bool = False  # no worker was seen lately
    history: str = ""  # how far it is read, while some is left
    rejected: Sequence[str] = ()  # sites that are on and whose key Thinkific rejects
    not_let_in: Sequence[str] = ()  # sites that are on and never connected: address or key is wrong
    unsigned: Sequence[str] = ()  # receivers that are on and whose secret cannot be opened
    unreachable: Sequence[str] = ()  # integrations that are on and do not answer
    problems: Sequence[str] = ()  # titles of what else is wrong with the installation
    stranded: int = 0  # students
    failed: int = 0
    held: int = 0
    not_in: int = 0  # buyers who paid
    not_understood: int = 0  # events
    waiting_for_off: int = 0  # actions of integrations that are turned off
    never_sent: int = 0  # triggers that rules wait for
    expiring: int = 0  # access tokens
    to_set_up: int = 0  # lines of the checklist

    @property
    def needs_attention(self) -> bool:
        """Whether the section of actions and events that need a person has anything in it."""
        return bool(
            self.history or self.stranded or self.failed or self.held or self.not_understood
        )


@dataclass(frozen=True, slots=True)
class Headline:
    """`parts` are (sentence, the address that tells more)."""

    kind: str
    parts: tuple[tuple[str, str], ...]


def headline(
    facts: Facts, *, see: str, buyers: int = 0, on_the_way: int = 0, more_bought: bool = False
) -> Headline:
    """How the promise is kept, then what needs a person, the gravest first.

    `buyers` are those of this week who are in, or with `more_bought` those of the newest
    MAX_COUNT purchases, `see` is the address of the list of those who paid
    and are not in. Calm only where nothing needs anybody.
    """
    grave, others = _grave(facts), _others(facts)
    alarms = [(text, f"#{where}") for true, text, where in [*grave, *others] if true]
    if facts.not_in:
        are = "is" if facts.not_in == 1 else "are"
        promise = [(f"{_count(facts.not_in, 'buyer')} paid and {are} not in.", "")]
        promise.append(("See them.", see))
    else:
        promise = [
            (text, "") for text in [_all_in(buyers, on_the_way, more_bought=more_bought)] if text
        ]
    if not alarms and not facts.not_in:
        return Headline(GREEN, (*promise, (CALM, "")))
    kind = RED if any(true for true, _, _ in grave) else AMBER
    return Headline(kind, (*promise, *alarms))


def _all_in(buyers: int, on_the_way: int, *, more_bought: bool) -> str:
    """ "All 43 buyers of this week are in, 2 are on their way." """
    found = []
    if buyers:
        whose = f"the newest {MAX_COUNT:,} purchases" if more_bought else "this week"
        all_in = f"All {format_count(buyers)} buyers of {whose} are in"
        found.append(all_in if buyers > 1 else "The one buyer of this week is in")
    if on_the_way:
        are = "is on the way" if on_the_way == 1 else "are on their way"
        found.append(f"{_count(on_the_way, 'buyer')} {are}")
    return f"{', '.join(found)}." if found else ""


def _grave(facts: Facts) -> list[tuple[object, str, str]]:
    """What stops sales: (whether it is so, the sentence, the section)."""
    return [
        (facts.silent, "Nothing is being carried out: no worker runs.", "silent"),
        (facts.rejected, f"Thinkific rejects the key of {_names(facts.rejected)}.", "sites"),
        (
            facts.not_let_in,
            f"{_names(facts.not_let_in)} never connected: the address or the key is wrong.",
            "sites",
        ),
        (
            facts.unsigned,
            f"The signing secret of {_names(facts.unsigned)} cannot be opened.",
            "sites",
        ),
        (facts.problems, f"{'. '.join(facts.problems)}.", "problems"),
        (facts.unreachable, f"Cannot connect to {_names(facts.unreachable)}.", "sites"),
        (
            facts.stranded,
            f"{_count(facts.stranded, 'student')} paid and may have lost access.",
            "attention",
        ),
        (facts.failed, f"{_count(facts.failed, 'action')} failed.", "attention"),
    ]


def _others(facts: Facts) -> list[tuple[object, str, str]]:
    """What may wait for a while, in the same form."""
    return [
        (facts.history, facts.history, "attention"),
        (facts.held, _waiting_for_you(facts.held), "attention"),
        (
            facts.waiting_for_off,
            f"{_count(facts.waiting_for_off, 'action')} waiting for an integration that is "
            "turned off.",
            "sites",
        ),
        (
            facts.not_understood,
            f"{_count(facts.not_understood, 'event')} not understood.",
            "attention",
        ),
        (facts.never_sent, f"{_count(facts.never_sent, 'trigger')} never sent.", "missing"),
        (facts.expiring, f"{_count(facts.expiring, 'access token')} about to expire.", "sites"),
        (facts.to_set_up, f"{_count(facts.to_set_up, 'step')} left to set up.", "checklist"),
    ]


def events_note(came: EventCounts) -> str:
    """What became of the events that came."""
    if not came.events:
        return "None came in"
    kinds = (
        (came.no_rule, "matched no rule"),
        (came.not_understood, "not understood"),
        (came.repeats, "sent twice"),
    )
    return ", ".join(f"{format_count(n)} {what}" for n, what in kinds if n) or "Each matched a rule"


def waiting_note(line: backlog.InLine, *, silent: bool) -> str:
    """When what waits will be done, where that can be told."""
    if not line.waiting:
        return "Nothing waits"
    if silent:
        return "Nothing goes on: no worker runs"
    kept = [
        (line.off, "for an integration that is off"),
        (line.paused, "for an integration that is paused"),
        (line.later, "to be tried again later"),
    ]
    others = [f"{format_count(n)} {what}" for n, what in kept if n]
    if not line.now:
        return ", ".join(others)
    soon = f"done in {backlog.time_needed(line.now)}"
    if not others:
        return soon.capitalize()
    return ", ".join([f"{format_count(line.now)} {soon}", *others])


def _names(sites: Sequence[str]) -> str:
    return ", ".join(sites)


def _waiting_for_you(number: int) -> str:
    return f"{_count(number, 'action')} {'waits' if number == 1 else 'wait'} for you."


def _count(number: int, what: str) -> str:
    return f"{format_count(number)} {what}{'' if number == 1 else 's'}"
