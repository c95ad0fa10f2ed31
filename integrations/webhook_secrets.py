"""Which account an address belongs to: asked when this process first hears of it.

The ORM composes its SQL for each call again, which costs more than the look-up (measured).
"""

from dataclasses import dataclass

from django.db import connection
from django.utils import timezone

_FIND = """
SELECT marketplace_id, expires_at IS NOT NULL AND expires_at <= %s
  FROM integrations_webhooksecret WHERE digest = %s
"""
# The account of each digest that was found, in this process. Whether the address still is one,
# the database tells when it takes what came there.
_seen: dict[str, int] = {}
MAX_CACHED = 1000


@dataclass(frozen=True, slots=True)
class WebhookAddress:
    """An address of an account; `withdrawn` when its time was over as the database was asked.

    `marketplace_id` is None when it is not known whether there is such an address.
    """

    marketplace_id: int | None
    withdrawn: bool = False


def find(digest: str) -> WebhookAddress | None:
    """The address with the secret of this digest, withdrawn or not; None when there is none."""
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


def remembered(digest: str) -> WebhookAddress:
    """What is known of this digest without the database."""
    return WebhookAddress(_seen.get(digest))


def forget(digest: str) -> None:
    """The address does not exist any more."""
    _seen.pop(digest, None)
