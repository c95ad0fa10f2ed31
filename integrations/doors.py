"""Which account an address belongs to: asked for every event that comes in, so in one statement.

The ORM composes its SQL for each call anew, which costs more than the look-up (measured).
"""

from dataclasses import dataclass

from django.db import connection
from django.utils import timezone

from integrations import secrets

_FIND = """
SELECT id, marketplace_id, expires_at IS NOT NULL AND expires_at <= %s
  FROM integrations_webhooksecret WHERE digest = %s
"""


@dataclass(frozen=True, slots=True)
class Door:
    """An address of an account; `withdrawn` when its time is over."""

    secret_id: int
    marketplace_id: int
    withdrawn: bool


def find(secret: str) -> Door | None:
    """The door that this secret opens, withdrawn or not; None for a secret of nobody."""
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    with connection.cursor() as cursor:
        cursor.execute(_FIND, [now, secrets.digest(secret)])
        row = cursor.fetchone()
    return Door(row[0], row[1], bool(row[2])) if row else None
