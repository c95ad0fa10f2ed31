"""Find the account of a webhook address, and remember it in this process.

Uses plain SQL: the ORM builds its SQL again for each call, which costs more than the query itself
(measured).
"""

from dataclasses import dataclass

from django.db import connection
from django.utils import timezone

_FIND = """
SELECT marketplace_id, expires_at IS NOT NULL AND expires_at <= %s
  FROM integrations_webhooksecret WHERE digest = %s
"""
# The account of each digest that this process has found. An entry may be outdated: the database
# checks the address again when it stores a delivery.
_seen: dict[str, int] = {}
MAX_CACHED = 1000


@dataclass(frozen=True, slots=True)
class WebhookAddress:
    """A webhook address. `withdrawn` means that it had ended when the database was asked.

    `marketplace_id` is None if it is not known whether there is such an address.
    """

    marketplace_id: int | None
    withdrawn: bool = False


def find(digest: str) -> WebhookAddress | None:
    """Ask the database for the address of this secret, withdrawn or not; None if there is none."""
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    with connection.cursor() as cursor:
        cursor.execute(_FIND, [now, digest])
        row = cursor.fetchone()
    if row is None:
        forget(digest)
        return None
    if len(_seen) >= MAX_CACHED:
        _seen.clear()
    _seen[digest] = row[0]
    return WebhookAddress(row[0], withdrawn=bool(row[1]))


def remember_all() -> None:
    """Remember every address, for a process that will not ask the database later."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT digest, marketplace_id FROM integrations_webhooksecret")
        _seen.update(cursor.fetchall())


def remembered(digest: str) -> WebhookAddress:
    """Return what this process knows about the digest without asking the database."""
    return WebhookAddress(_seen.get(digest))


def forget(digest: str) -> None:
    """Forget an address that no longer exists."""
    _seen.pop(digest, None)
