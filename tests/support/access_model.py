"""A model that knows only events, without the engine: who should have which course at the end.

For each purchase, the event received last decides. The exception: Product Purchased gives nothing
once the purchase has ended. A student has a course while any of their purchases gives it.
"""

from dataclasses import dataclass, field

GIVES = {"purchased", "charged", "recovered", "restarted"}
ENDS = {"refunded", "canceled", "delinquent"}
Purchase = tuple[int, int, int]  # person, order and product


@dataclass(frozen=True, order=True)
class Event:
    """`at` is in milliseconds and unique; the other fields say what was sent.

    `other`: sent with the person's other address. `renewed`: sent with the number of a later order
    and the subscription of the first one.
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
    """`courses` maps each product to the courses that it gives."""

    courses: tuple[frozenset[int], ...]
    read: dict[Purchase, list[Event]] = field(default_factory=dict)

    def take(self, event: Event) -> None:
        """Read the event, possibly long after events that were received later."""
        if event.kind in GIVES | ENDS:
            self.read.setdefault(event.purchase, []).append(event)

    def access(self, email: str, course: int) -> bool:
        """Return whether the student with this address should have the course."""
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
