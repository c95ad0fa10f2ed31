"""The audit: who changed what, when and from where, with the values before and after.

Everything that changes something on a person's behalf calls `record`, in the transaction of the
change. Whose behalf that is, is said once for each request and command by `acting`.

Written by ourselves and not by django-simple-history: that keeps a copy of each row of a model by
signals, which bulk updates pass by, and knows no act that leaves no row, such as a retry, a
look at an address or a sign-in.
"""

import getpass
import logging
import re
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

from integrations import sentences
from integrations.audit_values import Values, name_of, shown, stored, values, whole
from integrations.models.audit import Act, AuditEntry, AuditUnlock
from integrations.redaction import ERASED
from integrations.sentences import Said, say

__all__ = ["ERASED", "Act", "Actor", "Subject", "acting", "record", "stored", "values"]

log = logging.getLogger(__name__)

NOT_SIGNED_IN = "Somebody not signed in"
BY_COMMAND = " (command line)"
# Of many rows that one act is about, so many are named.
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


# Who acts, and the number of the step that all of it is.
_acting: ContextVar[tuple[Callable[[], Actor], int] | None] = ContextVar("acting", default=None)


@contextmanager
def acting(actor: Callable[[], Actor]) -> Iterator[None]:
    """Inside, this is who acts. It is asked when something is recorded: one may sign in by then.

    All that is recorded inside is one step.
    """
    token = _acting.set((actor, secrets.randbits(60)))
    try:
        yield
    finally:
        _acting.reset(token)


def actor() -> Actor:
    """Who acts now; outside of `acting` the user of the operating system, by this command."""
    found = _acting.get()
    return found[0]() if found else _of_process()


def _of_process() -> Actor:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run as a user without a name
        user = "unknown"
    # Without what follows the command: that may be a person's address.
    command = [Path(sys.argv[0]).name, *sys.argv[1:2]] if sys.argv else []
    return Actor(who=f"{user}{BY_COMMAND}", place=" ".join(command)[:200])


def shown_who(who: str) -> str:
    """Who acted, as kept in an entry, in the language of who reads it."""
    if who == NOT_SIGNED_IN:
        return say("Somebody not signed in")
    if who.endswith(BY_COMMAND):
        return say("{user} (command line)", user=who.removesuffix(BY_COMMAND))
    return who


def record(
    act: Act,
    subject: Model | Subject | None = None,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    note: str = "",
    undoes: int | None = None,
) -> AuditEntry:
    """Add an entry, in the caller's transaction. Never give it a secret or the webhook's address.

    `before` and `after` hold {field: value} of what differs.
    """
    entry = _entry(act, subject, before=before, after=after, note=note, undoes=undoes)
    entry.save()
    _log(entry)
    return entry


def record_all(act: Act, rows: Iterable[Model]) -> None:
    """Add one entry for an act on several rows of one model; none when there are no rows."""
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
) -> None:
    """Add an entry for each row, with what these two say of it, all at once.

    `undoes` has, by the row's number, the number of the entry that is taken back by this.
    """
    taken_back = undoes or {}
    entries = [
        _entry(act, row, before=before(row), after=after(row), undoes=taken_back.get(row.pk))
        for row in rows
    ]
    for entry in AuditEntry.objects.bulk_create(entries, batch_size=BATCH):
        _log(entry)


def record_added(act: Act, rows: Iterable[Model]) -> None:
    """Add an entry for each new row, with its values."""
    record_each(act, rows, after=lambda row: whole(values(row)))


def record_deleted(
    act: Act, rows: Iterable[Model], *, undoes: Mapping[int, int] | None = None
) -> None:
    """Add an entry for each row that is about to be deleted, with its values."""
    record_each(act, rows, before=lambda row: whole(values(row)), undoes=undoes)


def record_change(act: Act, row: Model, before: Values) -> AuditEntry | None:
    """Add an entry for what differs from `before`; none when nothing does."""
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
    """Add an entry for what differs between the two; none when nothing does.

    An empty one means that there was nothing before, or that nothing is left.
    """
    if not (before and after):
        # There is no secret that was replaced.
        before, after = whole(before), whole(after)
    names = [name for name in before | after if before.get(name) != after.get(name)]
    if not names:
        return None
    return record(
        act,
        subject,
        before=shown(before, names, old=True),
        after=shown(after, names, old=False),
        note=note,
        undoes=undoes,
    )


def forget(texts: Iterable[str], *, beside: Iterable[str] = (), about: Iterable[Model] = ()) -> int:
    """Replace these addresses and names in all entries: a person was erased. How many had one.

    The words of `beside` are replaced only in entries that have one of the texts, as a first name
    is, which others have as well, and in what was searched for before a list was downloaded, which
    mostly is a name. Of entries about the rows of `about` nothing stays but who did
    what, and when.

    The one change that an entry may see. Capitals do not matter; part of a longer address or
    word is left alone. What was typed as `who` stays: that is a person who signs in. Looks
    through every entry, since an address may be anywhere in them.
    """
    pattern, words = _any_of(texts), _any_of(beside)
    subjects = {(row._meta.model_name, str(row.pk)) for row in about}
    number = 0
    with transaction.atomic(), _unlocked(AuditUnlock.Reason.ERASURE):
        for entry in AuditEntry.objects.order_by("pk").iterator(BATCH):
            old = {name: getattr(entry, name) for name in ("name", "before", "after", "note")}
            new = {name: _without(value, pattern) for name, value in old.items()}
            if (entry.kind, entry.number) in subjects:
                new = {"name": ERASED, "before": None, "after": None, "note": ""}
            elif new != old or entry.act == Act.LIST_DOWNLOADED:
                new = {name: _without(value, words) for name, value in new.items()}
            if new != old:
                number += AuditEntry.objects.filter(pk=entry.pk).update(**new)
    return number


def remove(pks: Iterable[int]) -> int:
    """Delete entries that are too old, for the housekeeping alone. Inside a transaction."""
    with _unlocked(AuditUnlock.Reason.RETENTION):
        number, _ = AuditEntry.objects.filter(pk__in=list(pks)).delete()
        return number


def _any_of(texts: Iterable[str]) -> re.Pattern[str]:
    wanted = "|".join(re.escape(text) for text in sorted(set(texts), key=len, reverse=True) if text)
    return re.compile(rf"(?<![\w.+%-])(?:{wanted or '(?!)'})(?![\w%-]|\.\w)", re.IGNORECASE)


@contextmanager
def _unlocked(reason: AuditUnlock.Reason) -> Iterator[None]:
    """Inside, the database allows what the reason names; for use in a transaction."""
    key = AuditUnlock.objects.create(reason=reason)
    yield
    key.delete()


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
    """A line without names or values: a log kept elsewhere shows which entries are missing."""
    if _acting.get() is None:
        return  # a command: its terminal is no log
    facts = {"entry": entry.pk, "act": entry.act, "kind": entry.kind, "subject": entry.number}
    # One that is rolled back is not missing.
    transaction.on_commit(lambda: log.info("audit", extra=facts))


def _without(value: Any, pattern: re.Pattern[str]) -> Any:
    """The same without what the pattern finds, however deep it lies."""
    if isinstance(value, Said):
        return sentences.changed(value, lambda text: pattern.sub(ERASED, text))
    if isinstance(value, str):
        return pattern.sub(ERASED, value)
    if isinstance(value, list):
        return [_without(one, pattern) for one in value]
    if isinstance(value, dict):
        return {key: _without(one, pattern) for key, one in value.items()}
    return value
