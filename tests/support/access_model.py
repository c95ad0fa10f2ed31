"""Who should be in which course at the end: a model of events alone, without the engine.

What was received last decides. What is the same as an event of the ten minutes before, with
nothing of that person in between, is a repeat and decides nothing.
"""

from dataclasses import dataclass, field

GIVES = {"purchased", "recovered", "restarted"}
ENDS = {"refunded", "canceled", "delinquent"}
TEN_MINUTES = 600_000


@dataclass(frozen=True, order=True)
class Event:
    """`at` is in milliseconds and every event's own; the rest tells what was sent."""

    at: int
    kind: str
    person: int
    product: int
    order: int

    @property
    def sent(self) -> tuple[str, int, int, int]:
        return self.kind, self.person, self.product, self.order


@dataclass
class Model:
    """`courses` are those that each product gives."""

    courses: tuple[frozenset[int], ...]
    read: dict[Event, bool] = field(default_factory=dict)  # and whether it decides something

    def take(self, event: Event) -> None:
        """The event is read: it may be long after later ones were."""
        self.read[event] = self._decides(event)

    def access(self, person: int, course: int) -> bool:
        """Whether the person is to have the course."""
        decided = [each for each, decides in self.read.items() if decides]
        last = max((each for each in decided if self._is_of(each, person, course)), default=None)
        return last is not None and last.kind in GIVES

    def _is_of(self, event: Event, person: int, course: int) -> bool:
        return event.person == person and course in self.courses[event.product]

    def _decides(self, event: Event) -> bool:
        return event.kind in GIVES | ENDS and not self._repeats(event) and not self._same_end(event)

    def _repeats(self, event: Event) -> bool:
        window = range(event.at - TEN_MINUTES, event.at)
        firsts = [
            each
            for each, decides in self.read.items()
            if decides and each.sent == event.sent and each.at in window
        ]
        if not firsts:
            return False
        between = range(max(firsts).at + 1, event.at)
        others = [each for each in self.read if each.person == event.person and each.at in between]
        return all(each.sent == event.sent for each in others)

    def _same_end(self, event: Event) -> bool:
        """SamCart tells of one failed subscription twice, by Cancel and by Delinquent."""
        if event.kind != "delinquent":
            return False
        before = [
            each
            for each in self.read
            if each.sent[1:] == event.sent[1:]
            and each.kind in GIVES | {"canceled"}
            and each.at < event.at
        ]
        last = max(before, default=None)
        return last is not None and last.kind == "canceled" and event.at - last.at <= TEN_MINUTES
