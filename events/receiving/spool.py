"""The spool: where a delivery goes that the database cannot take, until it can.

One file each, in a folder of this machine, sealed with the keys of FIELD_ENCRYPTION_KEYS. The
name begins with the time of receipt, so that they sort by it. Each machine's `manage.py up`
brings its own into the database; the delivery's UUID keeps that from happening twice, so two
`up` on one folder, or a crash in the middle, do no harm.
"""

import contextlib
import json
import logging
import os
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
from events.receiving import disk
from integrations import secrets
from integrations.database_timeout import DatabaseTimeout
from integrations.models import Marketplace, WebhookSecret

log = logging.getLogger(__name__)
# For addresses that were never seen in use: anyone can make those up.
MAX_UNKNOWN = 1000
MAX_UNKNOWN_BYTES = 64 * 1024 * 1024
# A half-written file was never acknowledged. After so long nothing writes it any more.
STALE_SECONDS = 3600
KNOWN, UNKNOWN, SET_ASIDE = ".known", ".unknown", ".aside"
# What a file tells of its delivery, beside the body, which comes after the first line.
FACTS = ("address_trigger", "query", "content_type", "content_encoding", "body_digest")

# Files that our keys do not open, as this process has found out and told once.
_not_ours: set[str] = set()


class Full(Exception):
    """The spool takes no more deliveries for addresses that were never seen in use."""


@dataclass(frozen=True, slots=True)
class Spooled:
    """A delivery as it lies in the folder; `marketplace_id` is None for an unknown address."""

    delivery: Delivery
    secret_digest: str
    received_at: datetime


def keep(delivery: Delivery, *, secret_digest: str, received_at: datetime) -> None:
    """Write the delivery to this machine's disk; it is there for good when this returns.

    Raises OSError, or Full for one of an unknown address beyond the cap.
    """
    # The time is this machine's, not the database's: that one cannot be asked.
    folder = _folder()
    known = delivery.marketplace_id is not None
    facts = {name: getattr(delivery, name) for name in FACTS} | {
        "uuid": str(delivery.uuid),
        "marketplace": delivery.marketplace_id,
        "secret": secret_digest,
        "received_at": received_at.isoformat(),
    }
    sealed = secrets.seal_bytes(json.dumps(facts).encode() + b"\n" + bytes(delivery.body))
    if not known:
        _check_cap(folder, len(sealed))
    stamp = f"{received_at.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}"
    _write(folder / f"{stamp}-{delivery.uuid}{KNOWN if known else UNKNOWN}", sealed)


def prepare() -> None:
    """Make the folder while all is well, and say so when it could take nothing."""
    try:
        prove()
    except OSError as error:
        log.error("spool_out_of_reach", extra={"error": type(error).__name__})


def prove() -> None:
    """Write a file of no delivery to the disk, and delete it. Raises OSError."""
    file = _folder() / f".{uuid4()}.tmp"  # one that a crash leaves is swept with the drafts
    _write(file, b"proof")
    file.unlink()


def drain(*, seconds: float) -> int:
    """Bring what waits here into the database, oldest first; how many deliveries that were.

    Begins none after so many seconds, and waits for no database that hangs. Raises
    django.db.Error when that does not take them; they stay then. A file that our keys do not
    open stays too, one that makes no sense is set aside, and the rest goes on.
    """
    landed = 0
    until = time.monotonic() + seconds
    try:
        files = [file for file in _waiting() if file.name not in _not_ours]
        for file in files:
            if time.monotonic() >= until:
                break
            with DatabaseTimeout(settings.STORE_SECONDS):
                landed += _bring_in(file)
        if files:
            _sweep()
    except OSError as error:
        log.error("spool_out_of_reach", extra={"error": type(error).__name__})
    if landed:
        log.info("spooled_deliveries_stored", extra={"count": landed})
    return landed


def files() -> dict[str, int]:
    """How many files lie in this machine's folder, by what becomes of them. Opens none.

    Raises OSError when it may not look.
    """
    names = _names()
    aside = sum(name.endswith(SET_ASIDE) for name in names)
    return {"waiting": len(_waiting()), "set_aside": aside}


def oldest() -> datetime | None:
    """When the delivery was received that waits longest in this machine's folder.

    Raises OSError when it may not look.
    """
    waiting = _waiting()
    if not waiting:
        return None
    stamp = waiting[0].name.partition("-")[0]
    return datetime.strptime(stamp, "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC)


def counts() -> dict[str, int | None]:
    """How many files of this machine wait, were set aside, or cannot be opened by our keys.

    None: may not look.
    """
    try:
        aside = [name for name in _names() if name.endswith(SET_ASIDE)]
        waiting = _waiting()
        sealed = sum(not _opens(file) for file in waiting)
        return {"waiting": len(waiting) - sealed, "set_aside": len(aside), "not_ours": sealed}
    except OSError:
        return {"waiting": None, "set_aside": None, "not_ours": None}


def _opens(file: Path) -> bool:
    try:
        secrets.reveal_bytes(file.read_bytes())
    except FileNotFoundError:
        return True  # brought in at this moment
    except (secrets.SecretUnreadable, PermissionError):
        return False
    return True


# The folder


def _folder() -> Path:
    folder = Path(settings.SPOOL_DIR)
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sync(folder.parent)
    return folder


def _names() -> list[str]:
    try:
        return sorted(os.listdir(settings.SPOOL_DIR))  # noqa: PTH208 - names alone, and quickly
    except FileNotFoundError:
        return []  # nothing was ever spooled here


def _waiting() -> list[Path]:
    folder = Path(settings.SPOOL_DIR)
    return [folder / name for name in _names() if name.endswith((KNOWN, UNKNOWN))]


def _check_cap(folder: Path, size: int) -> None:
    count, total = 1, size
    for entry in os.scandir(folder):
        if entry.name.endswith(UNKNOWN):
            with contextlib.suppress(FileNotFoundError):  # brought in at this moment
                total += entry.stat().st_size
                count += 1
    if count > MAX_UNKNOWN or total > MAX_UNKNOWN_BYTES:
        raise Full


def _write(file: Path, content: bytes) -> None:
    disk.giving_up_ballast(file.parent, lambda: _write_whole(file, content))


def _write_whole(file: Path, content: bytes) -> None:
    """The file whole or not at all, and on the disk: its bytes first, then its name."""
    draft = file.with_name(f".{file.name}.tmp")
    try:
        number = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(number, "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        draft.rename(file)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise
    _sync(file.parent)


def _sync(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _sweep() -> None:
    for draft in Path(settings.SPOOL_DIR).glob(".*.tmp"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - draft.stat().st_mtime > STALE_SECONDS:
                draft.unlink()


def _set_aside(file: Path) -> None:
    with contextlib.suppress(FileNotFoundError):  # another `up` was faster
        file.rename(file.with_name(file.name + SET_ASIDE))


# Into the database


def _bring_in(file: Path) -> int:
    try:
        spooled = _read(file)
    except FileNotFoundError:
        return 0  # another `up` was faster
    except (secrets.SecretUnreadable, PermissionError) as error:
        # Another installation may have written it, which has the keys: it stays where it is.
        if file.name not in _not_ours:
            kind = type(error).__name__
            log.error("spooled_delivery_not_ours", extra={"file": file.name, "error": kind})
            _not_ours.add(file.name)
        return 0
    except (ValueError, KeyError, TypeError) as error:
        kind = type(error).__name__
        log.error("spooled_delivery_unreadable", extra={"file": file.name, "error": kind})
        _set_aside(file)
        return 0
    if not _find_door(spooled):
        if spooled.delivery.marketplace_id is None:
            log.warning("spooled_address_unknown")  # with a database it had been a 404
            file.unlink(missing_ok=True)
        else:
            log.error("spooled_delivery_refused", extra={"file": file.name, "error": "no account"})
            _set_aside(file)
        return 0
    try:
        _store(spooled)
    except Exception as error:
        if isinstance(error, Error) and not isinstance(error, DataError | IntegrityError):
            raise  # the database is away, which is no fault of this file's
        kind = type(error).__name__
        log.error("spooled_delivery_refused", extra={"file": file.name, "error": kind})
        _set_aside(file)
        return 0
    file.unlink(missing_ok=True)
    return 1


def _read(file: Path) -> Spooled:
    """Raises SecretUnreadable when no key opens it or a part is missing."""
    head, _, body = secrets.reveal_bytes(file.read_bytes()).partition(b"\n")
    facts: dict[str, Any] = json.loads(head)
    delivery = Delivery(
        uuid=UUID(facts["uuid"]),
        marketplace_id=facts["marketplace"],
        body=body,
        # A file of an earlier version tells less.
        **{name: facts.get(name, "") for name in FACTS},
    )
    return Spooled(delivery, facts["secret"], datetime.fromisoformat(facts["received_at"]))


def _find_door(spooled: Spooled) -> bool:
    """Fill in whose it is, by what the database says now; False when there is no such account.

    An address that was deleted since it was seen in use may have been deleted for a reason:
    what came to it is held for a person, as for one that was withdrawn.
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
    # By the database's clock nothing was received in the future, however fast ours goes.
    received = Value(spooled.received_at, output_field=DateTimeField())
    spooled.delivery.received_at = Least(received, ReceiptTime())
    with transaction.atomic():
        # One that is there already was stored by a COMMIT whose answer was lost.
        Delivery.objects.bulk_create([spooled.delivery], ignore_conflicts=True)
        wake.wake()
