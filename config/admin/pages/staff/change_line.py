"""A line of the list of changes: the entries of one step, and what of it can be undone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.utils.safestring import SafeString

from integrations.models import AuditEntry, Customer
from integrations.sentences import Said


@dataclass(frozen=True, slots=True)
class Undo:
    """What of a line was undone, and what can be.

    `is_done`: all of it was undone. `is_possible`: it is one entry that can be undone, as far as
    the list knows; pressing Undo looks closer. `left`, for a line of several rules: how many rules
    of the step can be undone, including those that a search left out; `is_whole`: all of them can;
    `stay`: what became of the others. `is_allowed`: this person may undo all of that.

    `batch` is the number of the batch to undo, None if the entries are not of one batch, or if this
    person may not undo it. `forms` are links to the forms that turn back what a person did to a
    customer's access.
    """

    is_done: bool
    is_possible: bool
    is_allowed: bool
    left: int
    is_whole: bool
    stay: Said | str
    batch: int | None
    forms: Sequence[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class ChangeLine:
    """What one step did: its entries, the newest first.

    `customers` are those whom the entries are about, by the entry's pk. `results` is a link to what
    came of its batch, "" if the entries are not of one batch, or if this person may not see it.
    `buyers` are sentences with links to the buyers whom changes of rules left behind. The newest
    entry undid the entry `undid`, and was undone by `undone_by`, if any.
    """

    entries: Sequence[AuditEntry]
    customers: Mapping[int, Customer]
    undo: Undo
    results: str
    buyers: Sequence[SafeString] = ()
    undid: AuditEntry | None = None
    undone_by: AuditEntry | None = None

    @property
    def newest(self) -> AuditEntry:
        return self.entries[0]

    @property
    def is_single(self) -> bool:
        return len(self.entries) == 1

    def customer_of(self, entry: AuditEntry) -> Customer | None:
        """Return whom the entry is about, or its event or action."""
        return self.customers.get(entry.pk)


def show_as(line: ChangeLine) -> AuditEntry:
    """Return the line's newest entry, which stands for it in the list: Django's lists show rows."""
    row = line.newest
    row.line = line  # type: ignore[attr-defined]
    return row


def line_of(row: AuditEntry) -> ChangeLine | None:
    """Return the line for which this row of the list stands; None for an entry by itself."""
    line = getattr(row, "line", None)
    assert line is None or isinstance(line, ChangeLine)
    return line
