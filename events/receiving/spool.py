"""The spool keeps deliveries that the database cannot take, until it can.

Each is a file in a folder of this machine, sealed with FIELD_ENCRYPTION_KEYS. The name begins with
the time of receipt, so that files sort by it. Each machine's `manage.py up` brings its own into the
database. The delivery's UUID keeps that from happening twice, so two `up` on one folder, or a crash
in the middle, do no harm.
"""

import json
import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db import DataError, Error, IntegrityError, transaction
from django.db.models import DateTimeField, Value
from django.db.models.functions import Least

from events.models import Delivery
from events.models.received import ReceiptTime
from events.queue import wake
from events.receiving import spool_folder
from events.receiving.spool_folder import KNOWN, UNKNOWN
from integrations import sealed, secrets
from integrations.database.database_timeout import DatabaseTimeout
from integrations.models import Marketplace, WebhookSecret

log = logging.getLogger(__name__)
# What the first line of a file says about its delivery; the body follows.
FACTS = ("address_trigger", "query", "content_type", "content_encoding", "body_digest")

# Files that this process has no key for, and has logged once.
_not_ours: set[str] = set()
# Files that the disk did not give or remove, logged once. They are tried again each time.
_stuck: set[str] = set()


@dataclass(frozen=True, slots=True)
class Spooled:
    """A delivery in the folder. Its `marketplace_id` is None for an unknown address."""

    delivery: Delivery
    secret_digest: str
    received_at: datetime


def keep(delivery: Delivery, *, secret_digest: str, received_at: datetime) -> None:
    """Write the delivery to this machine's disk. It is durable when this returns.

    Raises OSError, or Full if it is for an unknown address and beyond the cap.
    """
    # The time of receipt is this machine's: the database cannot be asked.
    folder = spool_folder.path()
    known = delivery.marketplace_id is not None
    facts = {name: getattr(delivery, name) for name in FACTS} | {
        "uuid": str(delivery.uuid),
        "marketplace": delivery.marketplace_id,
        "secret": secret_digest,
        "received_at": received_at.isoformat(),
    }
    content = secrets.seal_bytes(json.dumps(facts).encode() + b"\n" + delivery.body)
    if not known:
        spool_folder.check_cap(folder, len(content))
    stamp = f"{received_at.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}"
    spool_folder.write(folder / f"{stamp}-{delivery.uuid}{KNOWN if known else UNKNOWN}", content)


def prepare() -> None:
    """Make the folder while all is well, and log an error if it cannot take a file."""
    try:
        prove()
    except OSError as error:
        log.error("spool_out_of_reach", extra={"error": type(error).__name__})


def prove() -> None:
    """Write a test file to the disk, and delete it. Raises OSError."""
    # If a crash leaves it, it is swept with the drafts.
    file = spool_folder.path() / f".{uuid4()}.tmp"
    spool_folder.write(file, b"proof")
    file.unlink()


def drain(*, seconds: float) -> int:
    """Bring what waits here into the database, oldest first. Return the number of deliveries.

    Begins none after `seconds`, and does not wait for a database that hangs. Raises django.db.Error
    if the database does not take them; they stay then. A file that our keys do not open stays, too.
    One that makes no sense is set aside, and one that the disk does not give is tried again next
    time; the rest goes on.
    """
    landed = 0
    until = time.monotonic() + seconds
    try:
        files = [file for file in spool_folder.waiting() if file.name not in _not_ours]
        for file in files:
            if time.monotonic() >= until:
                break
            with DatabaseTimeout(settings.STORE_SECONDS):
                landed += _bring_in(file)
        if files:
            spool_folder.sweep()
    except OSError as error:
        log.error("spool_out_of_reach", extra={"error": type(error).__name__})
    if landed:
        log.info("spooled_deliveries_stored", extra={"count": landed})
    return landed


# Into the database


def _bring_in(file: Path) -> int:
    """Store one delivery and remove its file. Return how many were stored."""
    try:
        return _land(file)
    except OSError as error:
        if file.name not in _stuck:
            kind = type(error).__name__
            log.error("spooled_delivery_stuck", extra={"file": file.name, "error": kind})
            _stuck.add(file.name)
        return 0


def _land(file: Path) -> int:
    try:
        spooled = read(file)
    except FileNotFoundError:
        return 0  # another `up` was faster
    except (secrets.SecretUnreadable, PermissionError) as error:
        # Another installation, which has the keys, may have written it, so it stays.
        if file.name not in _not_ours:
            kind = type(error).__name__
            log.error("spooled_delivery_not_ours", extra={"file": file.name, "error": kind})
            _not_ours.add(file.name)
        return 0
    except (ValueError, KeyError, TypeError) as error:
        kind = type(error).__name__
        log.error("spooled_delivery_unreadable", extra={"file": file.name, "error": kind})
        spool_folder.set_aside(file)
        return 0
    if not _find_account(spooled):
        if spooled.delivery.marketplace_id is None:
            log.warning("spooled_address_unknown")  # the database would have made it a 404
            file.unlink(missing_ok=True)
        else:
            log.error("spooled_delivery_refused", extra={"file": file.name, "error": "no account"})
            spool_folder.set_aside(file)
        return 0
    try:
        _store(spooled)
    except Exception as error:
        if isinstance(error, Error) and not isinstance(error, DataError | IntegrityError):
            raise  # the database is away; the file is not at fault
        kind = type(error).__name__
        log.error("spooled_delivery_refused", extra={"file": file.name, "error": kind})
        spool_folder.set_aside(file)
        return 0
    file.unlink(missing_ok=True)
    return 1


def read(file: Path) -> Spooled:
    """Return what the file holds. Raises SecretUnreadable if no key opens it or a part is missing.

    Raises ValueError, KeyError or TypeError if its content makes no sense.
    """
    head, _, body = secrets.reveal_bytes(file.read_bytes()).partition(b"\n")
    facts: dict[str, Any] = json.loads(head)
    delivery = Delivery(
        uuid=UUID(facts["uuid"]),
        marketplace_id=facts["marketplace"],
        sealed_body=sealed.seal(body),
        # A file of an earlier version has fewer facts.
        **{name: facts.get(name, "") for name in FACTS},
    )
    return Spooled(delivery, facts["secret"], datetime.fromisoformat(facts["received_at"]))


def _find_account(spooled: Spooled) -> bool:
    """Set account and secret by what the database says now. Return False if there is no account.

    An address that was deleted since may have been deleted for a reason: what came to it is held
    for a person, as for one that was withdrawn.
    """
    delivery = spooled.delivery
    address = WebhookSecret.objects.filter(digest=spooled.secret_digest).first()
    if address is None:
        delivery.withdrawn = True
        return Marketplace.objects.filter(pk=delivery.marketplace_id).exists()
    delivery.secret, delivery.marketplace_id = address, address.marketplace_id
    delivery.withdrawn = bool(address.expires_at and address.expires_at <= spooled.received_at)
    return True


def _store(spooled: Spooled) -> None:
    # Never later than now by the database's clock, however fast ours goes.
    received = Value(spooled.received_at, output_field=DateTimeField())
    spooled.delivery.received_at = Least(received, ReceiptTime())
    with transaction.atomic():
        # If it is there already, it was stored by a COMMIT whose answer was lost.
        Delivery.objects.bulk_create([spooled.delivery], ignore_conflicts=True)
        wake.wake()
