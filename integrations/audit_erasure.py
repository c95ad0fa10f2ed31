"""The only changes that entries of the audit allow: to forget a person, and to delete old entries.

A trigger of the database refuses all others.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import transaction
from django.db.models import Model

from integrations import sentences
from integrations.models.audit import Act, AuditEntry, AuditUnlock
from integrations.redaction import ERASED
from integrations.sentences import Said

BATCH = 200


def forget(texts: Iterable[str], *, beside: Iterable[str] = (), about: Iterable[Model] = ()) -> int:
    """Replace an erased person's addresses and names in all entries. Return how many changed.

    The words of `beside`, such as a first name that others have too, are replaced only in entries
    with one of the `texts`, and in entries of list downloads, whose search term is often a name.
    Entries about the rows of `about` keep only who did what, and when.

    It ignores case, and leaves parts of longer addresses or words alone. `who` stays, because it is
    a person who signs in. All entries are read, since an address can be anywhere in them.
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
    """Delete entries that are too old, and return how many. Only for housekeeping.

    Call it in a transaction.
    """
    with _unlocked(AuditUnlock.Reason.RETENTION):
        number, _ = AuditEntry.objects.filter(pk__in=list(pks)).delete()
        return number


def _any_of(texts: Iterable[str]) -> re.Pattern[str]:
    wanted = "|".join(re.escape(text) for text in sorted(set(texts), key=len, reverse=True) if text)
    return re.compile(rf"(?<![\w.+%-])(?:{wanted or '(?!)'})(?![\w%-]|\.\w)", re.IGNORECASE)


@contextmanager
def _unlocked(reason: AuditUnlock.Reason) -> Iterator[None]:
    """Make the database allow what the reason names, inside a transaction."""
    key = AuditUnlock.objects.create(reason=reason)
    yield
    key.delete()


def _without(value: Any, pattern: re.Pattern[str]) -> Any:
    """Return the value with every match of the pattern erased, at any depth."""
    if isinstance(value, Said):
        return sentences.changed(value, lambda text: pattern.sub(ERASED, text))
    if isinstance(value, str):
        return pattern.sub(ERASED, value)
    if isinstance(value, list):
        return [_without(one, pattern) for one in value]
    if isinstance(value, dict):
        return {key: _without(one, pattern) for key, one in value.items()}
    return value
