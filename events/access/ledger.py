"""Decide what an event changes in the ledger. Pure: grants in, changed grants and a judgment out.

For each purchase and course, the decision received last counts, in whatever order events are read.
One exception: Product Purchased does not reopen what its purchase has already ended. It is another
purchase each time if it names neither an order nor a subscription.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from events.access.sale import Sale
from events.models import EventLog, Grant
from rules.triggers import Trigger

BY_HAND = "by_hand"
# A person ended what a refund or cancellation had left open; its trigger follows. As after an
# ending by a rule, a later payment opens it again.
BY_HAND_AFTER = "by_hand_after_"
State = Grant.State


class Judgment(StrEnum):
    """What an event means for one course or bundle; also the code of a run that ends with it."""

    OPEN = "open"
    ENDS = "ends"
    # Admit did not see the purchase begin. Access ends in Thinkific, except what another grant
    # gives.
    BEFORE_ADMIT = "before_admit"
    # The remaining judgments leave nothing to do in Thinkific.
    BARRED = "barred"
    LATE = "late"
    # A person let the buyer keep it after the event was received.
    LET_KEEP = "let_keep"
    ENDED_BY_HAND = "ended_by_hand"
    ENDED_BEFORE = "ended_before"
    # A cancellation, but the last payment of the limited subscription was made.
    PAID_IN_FULL = "paid_in_full"
    GAVE_NOTHING = "gave_nothing"
    UNKNOWN_PURCHASE = "unknown_purchase"

    @property
    def is_carried_out(self) -> bool:
        """Whether Thinkific must be changed to match."""
        return self in {Judgment.OPEN, Judgment.ENDS, Judgment.BEFORE_ADMIT}


@dataclass(frozen=True, slots=True)
class Change:
    """What a rule or a person changes about one course or bundle, as of the time `at`.

    `parts` holds the `target` and, for a bundle, its known courses. `of_purchase` is False if the
    grants to change belong to another purchase or source than the event's.
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
        """Return a person's decision on this grant, taking effect at `at`."""
        return cls(grant.integration_id, grant.target, grant.parts, BY_HAND, at, event)

    @classmethod
    def by_hand_after(cls, grant: Grant, ending: EventLog) -> "Change":
        """Return a person's decision to end the grant because of this refund or cancellation."""
        because = f"{BY_HAND_AFTER}{ending.trigger}"
        at = ending.received_at
        return cls(grant.integration_id, grant.target, grant.parts, because, at, ending)

    def is_of(self, grant: Grant) -> bool:
        """Whether the grant is for exactly this course or bundle."""
        return grant.integration_id == self.integration and grant.target == self.target

    def touches(self, grant: Grant) -> bool:
        """Whether the grant is for any part of this course or bundle."""
        return grant.integration_id == self.integration and bool(self.parts & grant.parts)

    def includes(self, grant: Grant) -> bool:
        """Whether the grant is for nothing beyond the parts of this course or bundle."""
        return grant.integration_id == self.integration and grant.parts <= self.parts


def give(change: Change, rows: Sequence[Grant], new: Grant) -> tuple[Judgment, Grant]:
    """Open the purchase's grant unless an ending forbids it. Return the judgment and its grant.

    `rows` are the purchase's grants. `new` is used if none of them is for this course or bundle.
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
    """Make the grant active because of this change."""
    if not row.is_active:
        make_active(row)
        row.opened_at, row.ended_at = change.at, None
    elif change.trigger == Trigger.PRODUCT_PURCHASED:
        return  # it is open already, so a purchase changes nothing
    elif row.because != Trigger.PRODUCT_PURCHASED and change.at < row.decided_at:
        return
    row.decided_at, row.because, row.event = change.at, change.trigger, change.event


def make_active(row: Grant) -> None:
    """Make the grant active: not seen in Thinkific yet, and no longer kept by a person."""
    row.state = State.ACTIVE
    row.seen_at, row.kept_at = None, None
    row.kept_by, row.kept_note = "", ""


def end(change: Change, rows: Sequence[Grant], mark: Grant) -> tuple[Judgment, list[Grant]]:
    """End what the purchase gives of this course or bundle. Return the judgment and its grants.

    `rows` are the purchase's grants. If none is for exactly this course or bundle, `mark` becomes
    an ended grant, so that a Product Purchased that arrives later finds the ending. What a person
    let the buyer keep after the event stays as it is.
    """
    gave = _given(rows, change)
    touched = [row for row in rows if change.touches(row)]
    had_ended = any(row.state == State.ENDED for row in touched)
    for row in touched:
        # The bundle's own grant ends even if the bundle had other courses when it was given.
        if change.is_of(row) or change.includes(row):
            _end_row(row, change)
    kept = [row for row in touched if row.is_active and row.is_kept_after(change.at)]
    if not kept and not any(map(change.is_of, touched)):
        end_it(mark, change)
        touched.append(mark)
    gives = _given([*rows, mark] if mark in touched else rows, change)
    if gave - gives:
        return Judgment.ENDS, touched
    if kept:
        return Judgment.LET_KEEP, touched
    if gives:
        return Judgment.LATE, touched
    if had_ended:
        return Judgment.ENDED_BEFORE, touched
    # A grant that was never opened is only a mark, and says nothing about what the purchase gave.
    gave_any = any(row.opened_at for row in rows)
    return (Judgment.GAVE_NOTHING if gave_any else Judgment.UNKNOWN_PURCHASE), touched


def _end_row(row: Grant, change: Change) -> None:
    if row.state == State.ENDED:
        # The first ending stays the reason; the latest one sets the time that counts.
        row.decided_at = max(row.decided_at, change.at)
    elif not row.is_kept_after(change.at) and (row.decided_at <= change.at or _bars(change, row)):
        end_it(row, change)


def _bars(change: Change, row: Grant) -> bool:
    """Whether an ending received first still counts: only a late purchase opened the grant."""
    return change.of_purchase and row.because == Trigger.PRODUCT_PURCHASED


def end_it(row: Grant, change: Change) -> None:
    """Mark the grant as ended by this change."""
    row.state, row.ended_at = State.ENDED, change.at
    row.decided_at, row.because, row.event = change.at, change.trigger, change.event


def holder(grants: Iterable[Grant], integration: int, part: str) -> Grant | None:
    """Return the grant that gives this course or bundle now, or None."""
    sources = by_source(grants).values()
    last = (_last(rows, integration, part) for rows in sources)
    return next((row for row in last if row is not None and row.is_active), None)


def holders(grants: Iterable[Grant]) -> dict[tuple[int, str], Grant]:
    """Return the grant that gives each course and bundle now, by its site and target.

    Looks at each part of each grant once, because a student may have a thousand grants.
    """
    found: dict[tuple[int, str], Grant] = {}
    for rows in by_source(grants).values():
        about: dict[tuple[int, str], list[Grant]] = defaultdict(list)
        for row in rows:
            for part in row.parts:
                about[row.integration_id, part].append(row)
        for place, each in about.items():
            last = _deciding(each)
            if last is not None and last.is_active:
                found.setdefault(place, last)
    return found


def by_source(grants: Iterable[Grant]) -> dict[Hashable, list[Grant]]:
    """Group the grants by purchase. A grant that no purchase gave is a group of its own."""
    found: dict[Hashable, list[Grant]] = {}
    for grant in grants:
        sale = Sale.of(grant)
        # A named purchase may have a different student on each site, but is one source.
        # After its account was deleted, only the name of the product tells two products apart.
        product = "" if sale.marketplace else grant.product_name
        purchase = (sale, product, None if sale.is_named else grant.customer_id)
        key: Hashable = purchase if grant.source == Grant.Source.PURCHASE else grant.pk
        found.setdefault(key, []).append(grant)
    return found


def _last(rows: Iterable[Grant], integration: int, part: str) -> Grant | None:
    """Return the grant of one source that decides on this course or bundle, or None."""
    about = [row for row in rows if row.integration_id == integration and part in row.parts]
    return _deciding(about)


def _deciding(about: Sequence[Grant]) -> Grant | None:
    """Return the one that decides among grants of one source for one course or bundle, or None.

    That is the one decided last. But a grant from Product Purchased yields to any other decision,
    and an ending by hand outranks them all. If the sale names no order and no subscription, each
    Product Purchased is another purchase, so what was decided before the last one does not count.
    """
    bought = [row.decided_at for row in about if _is_bought_without_name(row)]
    if bought:
        about = [row for row in about if row.decided_at >= max(bought)]
    return max(about, key=lambda row: (_weight(row), row.decided_at), default=None)


def _is_bought_without_name(row: Grant) -> bool:
    is_bought = row.is_active and row.because == Trigger.PRODUCT_PURCHASED
    return is_bought and not Sale.of(row).is_named


def _weight(row: Grant) -> int:
    if row.state == State.WAIVED:
        return -1  # counts only if the purchase has no other grant for this part
    if row.because == BY_HAND and row.state == State.ENDED:
        return 2
    return 0 if row.because == Trigger.PRODUCT_PURCHASED else 1


def _given(rows: Sequence[Grant], change: Change) -> frozenset[str]:
    """Return the parts of the change that these grants of one purchase give."""
    given = holders(rows)
    return frozenset(part for part in change.parts if (change.integration, part) in given)
