"""Who should be in which course at the end: a model of events alone, without the engine.

Of each purchase, the event that was received last decides; but Product Purchased gives nothing
once the purchase was ended. A student has a course as long as any purchase of theirs gives it.
"""

from dataclasses import dataclass, field

GIVES = {"purchased", "charged", "recovered", "restarted"}
ENDS = {"refunded", "canceled", "delinquent"}
Purchase = tuple[int, int, int]  # person, order and product


@dataclass(frozen=True, order=True)
class Event:
    """`at` is in milliseconds and every event's own; the rest says what was sent.

    `other`: under the person's other address. `renewed`: with the number of a later order, and
    the subscription of the first one.
    """

    at: int
    kind: str
    person: int
    product: int
    order: int
    other: bool = False
    renewed: bool = False

    @property
    def purchase(self) -> Purchase:
        return self.person, self.order, self.product

    @property
    def email(self) -> str:
        return f"{'other' if self.other else 'buyer'}{self.person}@example.com"


@dataclass
class Model:
    """`courses` are those that each product gives."""

    courses: tuple[frozenset[int], ...]
    read: dict[Purchase, list[Event]] = field(default_factory=dict)

    def take(self, event: Event) -> None:
        """The event is read: it may be long after later ones were."""
        if event.kind in GIVES | ENDS:
            self.read.setdefault(event.purchase, []).append(event)

    def access(self, email: str, course: int) -> bool:
        """Whether the student with this address is to have the course."""
        return any(
            events[0].email == email and self._gives(events)
            for purchase, events in self.read.items()
            if course in self.courses[purchase[-1]]
        )

    @staticmethod
    def _gives(events: list[Event]) -> bool:
        gives = ended = False
        for event in sorted(events):
            if event.kind in ENDS:
                gives, ended = False, True
            elif event.kind != "purchased" or not ended:
                gives = True
        return gives
