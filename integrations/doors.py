"""Which account an address belongs to: asked for every event that comes in, so in one statement.

The ORM composes its SQL for each call anew, which costs more than the look-up (measured).
"""

from dataclasses import dataclass

from django.db import connection
from django.utils import timezone

_FIND = """
SELECT id, marketplace_id, expires_at IS NOT NULL AND expires_at <= %s
  FROM integrations_webhooksecret WHERE digest = %s
"""
# The account of each digest that was found, in this process, for when the database is away.
_seen: dict[str, int] = {}
MOST_SEEN = 1000


@dataclass(frozen=True, slots=True)
class Door:
    """An address of an account; `withdrawn` when its time is over.

    `secret_id` is None when the database could not be asked; then `marketplace_id` is that of
    earlier, or None when nobody knows whether the address is one.
    """

    secret_id: int | None
    marketplace_id: int | None
    withdrawn: bool


def find(digest: str) -> Door | None:
    """The door that the secret of this digest opens, withdrawn or not; None for one of nobody."""
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    with connection.cursor() as cursor:
        cursor.execute(_FIND, [now, digest])
        row = cursor.fetchone()
    if row is None:
        _seen.pop(digest, None)
        return None
    if len(_seen) >= MOST_SEEN:
        _seen.clear()
    _seen[digest] = row[1]
    return Door(row[0], row[1], bool(row[2]))


def remembered(digest: str) -> Door:
    """What is known of this digest without the database."""
    return Door(None, _seen.get(digest), withdrawn=False)
