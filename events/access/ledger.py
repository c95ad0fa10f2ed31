"""What an event changes in the ledger. Pure: grants in, changed grants and a judgment out.

The last decision by receipt time says whether a purchase gives a course, in whatever order events
are read. One event differs: Product Purchased opens nothing that its purchase has ended already.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from events.models import EventLog, Grant
from rules.triggers import Trigger

BY_HAND = "by_hand"
State = Grant.State


class Judgment(StrEnum):
    """What an event comes to for one course or bundle; the code of a run that ends with it."""

    OPEN = "open"
    ENDS = "ends"
    # Admit did not see the purchase begin: the access ends in Thinkific, as far as it is not due.
    BEFORE_ADMIT = "before_admit"
    # With the others nothing is left to be done in Thinkific.
    BARRED = "barred"
    LATE = "late"
    ENDED_BY_HAND = "ended_by_hand"
    ENDED_BEFORE = "ended_before"
    GAVE_NOTHING = "gave_nothing"
    UNKNOWN_PURCHASE = "unknown_purchase"

    @property
    def is_carried_out(self) -> bool:
        """Whether Thinkific must be made to follow."""
        return self in {Judgment.OPEN, Judgment.ENDS, Judgment.BEFORE_ADMIT}


@dataclass(frozen=True, slots=True)
class Sale:
    """How an event names its purchase; "" or None for what it does not name."""

    marketplace: int | None
    product: int | None
    order_id: str
    subscription_id: str

    @classmethod
    def of(cls, source: EventLog | Grant) -> "Sale":
        """The sale that an event or a grant names."""
        return cls(
            source.marketplace_id, source.product_id, source.order_id, source.subscription_id
        )

    @property
    def is_named(self) -> bool:
        """Whether it names an order or a subscription."""
        return bool(self.order_id or self.subscription_id)

    def is_same(self, other: "Sale") -> bool:
        """Whether both are about one purchase."""
        if self.marketplace != other.marketplace:
            return False
        if self.product and other.product and self.product != other.product:
            return False
        if self.subscription_id and other.subscription_id:
            return self.subscription_id == other.subscription_id
        return bool(self.order_id) and self.order_id == other.order_id


@dataclass(frozen=True, slots=True)
class Change:
    """What a rule changes, for an event that was received at `at`.

    `parts` are the course or bundle `target` and the courses of a bundle, as far as known.
    `of_purchase`: the event is about the purchase that it changes, not about another one.
    """

    integration: int
    target: str
    parts: frozenset[str]
    trigger: str
    at: datetime
    event: EventLog | None = None
    of_purchase: bool = True

    @classmethod
    def by_hand(cls, grant: Grant, event: EventLog, at: datetime) -> "Change":
        """A person's decision on this grant, which takes effect at this time."""
        return cls(grant.integration_id, grant.target, grant.parts, BY_HAND, at, event)

    def is_of(self, grant: Grant) -> bool:
        """Whether the grant is for this very course or bundle."""
        return grant.integration_id == self.integration and grant.target == self.target

    def touches(self, grant: Grant) -> bool:
        """Whether the grant gives some of it."""
        return grant.integration_id == self.integration and bool(self.parts & grant.parts)

    def includes(self, grant: Grant) -> bool:
        """Whether the grant gives nothing else."""
        return grant.integration_id == self.integration and grant.parts <= self.parts


def give(change: Change, rows: Sequence[Grant], new: Grant) -> tuple[Judgment, Grant]:
    """Open the purchase's grant, unless something forbids it; the judgment and the row it is about.

    `rows` are those of the purchase; `new` is a row for this course or bundle, in case it has none.
    """
    last = _last(rows, change.integration, change.target)
    if last is not None and last.state == State.ENDED:
        if last.because == BY_HAND:
            return Judgment.ENDED_BY_HAND, last
        if change.trigger == Trigger.PRODUCT_PURCHASED:
            return Judgment.BARRED, last
        if change.at < last.decided_at:
            return Judgment.LATE, last
    row = next(filter(change.is_of, rows), new)
    open_it(row, change)
    return Judgment.OPEN, row


def open_it(row: Grant, change: Change) -> None:
    """Make the grant active, by this change."""
    if not row.is_active:
        row.state, row.opened_at, row.ended_at = State.ACTIVE, change.at, None
        row.seen_at = row.kept_at = None
    elif change.trigger == Trigger.PRODUCT_PURCHASED:
        return  # it gives nothing that an ending had not barred
    elif row.because != Trigger.PRODUCT_PURCHASED and change.at < row.decided_at:
        return
    row.decided_at, row.because, row.event = change.at, change.trigger, change.event


def end(change: Change, rows: Sequence[Grant], mark: Grant) -> tuple[Judgment, list[Grant]]:
    """End what the purchase gives of it; the judgment and the rows that it is about.

    `rows` are those of the purchase. Where it has none for this very course or bundle, `mark`
    becomes one: by it Product Purchased, where that arrives later, finds that it has ended.
    """
    gave = _given(rows, change)
    touched = [row for row in rows if change.touches(row)]
    had_ended = any(row.state == State.ENDED for row in touched)
    for row in touched:
        # A bundle ends whole, though it may have had other courses when it was given.
        if change.is_of(row) or change.includes(row):
            _end_row(row, change)
    if not any(map(change.is_of, touched)):
        end_it(mark, change)
        touched.append(mark)
    gives = _given([*rows, mark] if mark in touched else rows, change)
    if gave - gives:
        return Judgment.ENDS, touched
    if gives:
        return Judgment.LATE, touched
    if had_ended:
        return Judgment.ENDED_BEFORE, touched
    # By marks alone nothing is known of what the purchase gave.
    gave_any = any(row.opened_at for row in rows)
    return (Judgment.GAVE_NOTHING if gave_any else Judgment.UNKNOWN_PURCHASE), touched


def _end_row(row: Grant, change: Change) -> None:
    if row.state == State.ENDED:
        # The first one that ended it is the reason; the last one decides.
        row.decided_at = max(row.decided_at, change.at)
    elif row.decided_at <= change.at or _bars(change, row):
        end_it(row, change)


def _bars(change: Change, row: Grant) -> bool:
    """Whether the ending came first, and the purchase that opened the grant only arrived later."""
    return change.of_purchase and row.because == Trigger.PRODUCT_PURCHASED


def end_it(row: Grant, change: Change) -> None:
    """Make the grant one that has ended, by this change."""
    row.state, row.ended_at = State.ENDED, change.at
    row.decided_at, row.because, row.event = change.at, change.trigger, change.event


def holder(grants: Iterable[Grant], integration: int, part: str) -> Grant | None:
    """The grant that gives this course or bundle now, None where nothing does."""
    sources = by_source(grants).values()
    last = (_last(rows, integration, part) for rows in sources)
    return next((row for row in last if row is not None and row.is_active), None)


def by_source(grants: Iterable[Grant]) -> dict[Hashable, list[Grant]]:
    """The grants of each purchase; one that no purchase gave is a source of its own."""
    found: dict[Hashable, list[Grant]] = {}
    for grant in grants:
        sale = Sale.of(grant)
        # One purchase may have another student on each site.
        purchase = (sale, None if sale.is_named else grant.customer_id)
        key: Hashable = purchase if grant.source == Grant.Source.PURCHASE else grant.pk
        found.setdefault(key, []).append(grant)
    return found


def _last(rows: Iterable[Grant], integration: int, part: str) -> Grant | None:
    """Of these rows of one source, the one that was decided last on this course or bundle.

    Whenever they were decided, Product Purchased decides nothing on what anything else has decided,
    and nothing does on what a person has ended.
    """
    about = [row for row in rows if row.integration_id == integration and part in row.parts]
    return max(about, key=lambda row: (_weight(row), row.decided_at), default=None)


def _weight(row: Grant) -> int:
    if row.state == State.WAIVED:
        return -1  # what else the purchase gives of it counts
    if row.because == BY_HAND and row.state == State.ENDED:
        return 2
    return 0 if row.because == Trigger.PRODUCT_PURCHASED else 1


def _given(rows: Sequence[Grant], change: Change) -> frozenset[str]:
    """What of the change these rows of one purchase give."""
    return frozenset(
        part for part in change.parts if holder(rows, change.integration, part) is not None
    )
