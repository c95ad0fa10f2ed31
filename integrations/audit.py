"""The audit: who changed what, when and from where, with the values before and after.

Everything that changes something for a person calls `record` in the transaction of the change.
`acting` says once for each request who the person is; without it, the user of the operating system
acts.

django-simple-history would not do: it copies model rows by signals, which bulk updates bypass, and
has no entries for acts without a row, such as a retry, a look at an address or a sign-in.
"""

import getpass
import logging
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models import Model

from integrations.audit_values import Values, all_values, entry_values, name_of, stored, values
from integrations.models.audit import Act, AuditEntry
from integrations.redaction import ERASED
from integrations.sentences import say
from integrations.who import BY_COMMAND

__all__ = ["ERASED", "Act", "Actor", "Subject", "acting", "record", "stored", "values"]

log = logging.getLogger(__name__)

# The most rows that one entry names.
MOST_NAMED = 1000
BATCH = 200


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: the name to sign in with, the network address, and the page or command."""

    who: str
    address: str = ""
    place: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """What an act is about, in words that outlive the row."""

    kind: str = ""
    number: str = ""
    name: str = ""

    @classmethod
    def of(cls, row: Model) -> "Subject":
        return cls(str(row._meta.model_name), str(row.pk), name_of(row))


# Who acts, and the number of the step.
_acting: ContextVar[tuple[Callable[[], Actor], int] | None] = ContextVar("acting", default=None)


@contextmanager
def acting(actor: Callable[[], Actor]) -> Iterator[None]:
    """Record everything inside as done by `actor`, and as one step.

    `actor` is called for each entry, because somebody may sign in during the block.
    """
    token = _acting.set((actor, secrets.randbits(60)))
    try:
        yield
    finally:
        _acting.reset(token)


def actor() -> Actor:
    """Return who acts now: inside `acting` its actor, else the operating system's user."""
    found = _acting.get()
    return found[0]() if found else _of_process()


def _of_process() -> Actor:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run as a user without a name
        user = "unknown"
    # Without the command's arguments, because they may contain a person's address.
    command = [Path(sys.argv[0]).name, *sys.argv[1:2]] if sys.argv else []
    return Actor(who=f"{user}{BY_COMMAND}", place=" ".join(command)[:200])


def record(
    act: Act,
    subject: Model | Subject | None = None,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    note: str = "",
    undoes: int | None = None,
) -> AuditEntry:
    """Add an entry in the caller's transaction. Never pass it a secret or the webhook address.

    `before` and `after` are {field: value} of what differs.
    """
    entry = _entry(act, subject, before=before, after=after, note=note, undoes=undoes)
    entry.save()
    _log(entry)
    return entry


def record_all(act: Act, rows: Iterable[Model]) -> None:
    """Add one entry for an act on several rows of one model, or none if there are no rows."""
    found = list(rows)
    if len(found) == 1:
        record(act, found[0])
    elif found:
        meta, numbers = found[0]._meta, [row.pk for row in found]
        name = say("{number} {rows}", number=len(found), rows=meta.verbose_name_plural)
        subject = Subject(str(meta.model_name), name=name)
        record(act, subject, after={"numbers": numbers[:MOST_NAMED]})


def record_each(
    act: Act,
    rows: Iterable[Model],
    before: Callable[[Any], Values | None] = lambda row: None,
    after: Callable[[Any], Values | None] = lambda row: None,
    undoes: Mapping[int, int] | None = None,
    note: str = "",
) -> None:
    """Add an entry for each row, in one query. `before` and `after` return its values.

    `undoes` maps the pk of a row to the pk of the entry that this undoes.
    """
    taken_back = undoes or {}
    entries = [
        _entry(
            act,
            row,
            before=before(row),
            after=after(row),
            undoes=taken_back.get(row.pk),
            note=note,
        )
        for row in rows
    ]
    for entry in AuditEntry.objects.bulk_create(entries, batch_size=BATCH):
        _log(entry)


def record_added(act: Act, rows: Iterable[Model]) -> None:
    """Add an entry for each new row, with its values."""
    record_each(act, rows, after=lambda row: all_values(values(row)))


def record_deleted(
    act: Act, rows: Iterable[Model], *, undoes: Mapping[int, int] | None = None
) -> None:
    """Add an entry for each row that is about to be deleted, with its values."""
    record_each(act, rows, before=lambda row: all_values(values(row)), undoes=undoes)


def record_change(act: Act, row: Model, before: Values) -> AuditEntry | None:
    """Add an entry for what differs from `before`, or none if nothing does."""
    return record_difference(act, row, before, values(row))


def record_difference(
    act: Act,
    subject: Model | Subject,
    before: Values,
    after: Values,
    *,
    note: str = "",
    undoes: int | None = None,
) -> AuditEntry | None:
    """Add an entry for what differs between the two, or none if nothing does.

    An empty `before` or `after` means that the subject is new or deleted.
    """
    if not (before and after):
        # The subject is new or deleted, so no secret was replaced.
        before, after = all_values(before), all_values(after)
    names = [name for name in before | after if before.get(name) != after.get(name)]
    if not names:
        return None
    return record(
        act,
        subject,
        before=entry_values(before, names, old=True),
        after=entry_values(after, names, old=False),
        note=note,
        undoes=undoes,
    )


def _entry(
    act: Act,
    subject: Model | Subject | None,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    note: str = "",
    undoes: int | None = None,
) -> AuditEntry:
    now, acting_now = actor(), _acting.get()
    about = Subject.of(subject) if isinstance(subject, Model) else subject or Subject()
    return AuditEntry(
        who=now.who[:320],
        address=now.address[:45],
        place=now.place[:200],
        act=act.value,
        kind=about.kind,
        number=about.number,
        name=about.name,
        before=None if before is None else dict(before),
        after=None if after is None else dict(after),
        note=say("Undo of change {number}", number=str(undoes)) if undoes else note,
        undoes=undoes,
        step=acting_now[1] if acting_now else None,
    )


def _log(entry: AuditEntry) -> None:
    """Log a line without names or values, so that a log kept elsewhere shows missing entries."""
    if _acting.get() is None:
        return  # a command: its output goes to a terminal, not to a log
    facts = {"entry": entry.pk, "act": entry.act, "kind": entry.kind, "subject": entry.number}
    # On commit, because an entry that was rolled back is not missing.
    transaction.on_commit(lambda: log.info("audit", extra=facts))
