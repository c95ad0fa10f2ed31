"""The list of erased people: keyed hashes of their addresses and sales.

It keeps replays and restored backups from bringing an erased person back. It exists twice: in the
database, where each delivery is compared with it, and in a file, because a restored database does
not know what was erased after the backup. The hashes have a key of their own, sealed with
FIELD_ENCRYPTION_KEYS, so that those keys can change while the hashes stay.
"""

import hashlib
import hmac
import json
import logging
import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from events.models import Erasure, ErasureKey
from integrations import secrets

log = logging.getLogger(__name__)
# Each line of the file holds the sealed key or one hash.
KEY, ENTRY = "key", "erased"


@dataclass(frozen=True, slots=True)
class SaleIds:
    """What identifies a sale: the account, the IDs that SamCart gave it, and the body's digest."""

    marketplace: int | None
    order_id: str = ""
    subscription_id: str = ""
    transaction_id: str = ""
    body_digest: str = ""

    def parts(self) -> list[tuple[str, ...]]:
        """Return a tuple for each ID that is set."""
        named = {
            "order": self.order_id,
            "subscription": self.subscription_id,
            "transaction": self.transaction_id,
        }
        of_account = str(self.marketplace)
        found = [(kind, of_account, number) for kind, number in named.items() if number]
        return [*found, ("body", self.body_digest)] if self.body_digest else list(found)


def add(addresses: Iterable[str], sales: Iterable[SaleIds]) -> None:
    """Put these addresses and their sales on the list. Raises OSError if the file takes none.

    A sale is listed with an address, because an order may name two people and one of them be
    erased.
    """
    key = _key()
    sales = list(sales)
    digests = {_digest(key, address) for address in addresses} | {
        _digest(key, address, *part)
        for address in addresses
        for sale in sales
        for part in sale.parts()
    }
    _append([{ENTRY: digest} for digest in sorted(digests)])
    Erasure.objects.bulk_create(
        [Erasure(digest=digest) for digest in sorted(digests)], ignore_conflicts=True
    )


@dataclass(frozen=True, slots=True)
class ErasureList:
    """The whole list, with every key it has had."""

    keys: tuple[bytes, ...]
    digests: frozenset[str]

    def has(self, address: str) -> bool:
        """Whether the address is on the list."""
        return any(_digest(key, address) in self.digests for key in self.keys)

    def has_sale(self, address: str, sale: SaleIds) -> bool:
        """Whether this sale of this address is on the list."""
        return any(
            _digest(key, address, *part) in self.digests
            for key in self.keys
            for part in sale.parts()
        )


def erased_among(addresses: Collection[str]) -> set[str]:
    """Return those of these addresses that are on the database's list."""
    if not addresses:
        return set()
    try:
        key = _known_key()
    except secrets.SecretUnreadable:
        # Serving a replayed sale of an erased person is better than serving no sale at all.
        log.error("erasures_not_opened")
        return set()
    if key is None:
        return set()
    by_digest = {_digest(key, address): address for address in addresses}
    found = Erasure.objects.filter(digest__in=by_digest).values_list("digest", flat=True)
    return {by_digest[digest] for digest in found}


def has_sale(address: str, sale: SaleIds) -> bool:
    """Whether this sale of this address is on the database's list."""
    key = _known_key()
    if key is None:
        return False
    digests = [_digest(key, address, *part) for part in sale.parts()]
    return Erasure.objects.filter(digest__in=digests).exists()


def restore() -> ErasureList:
    """Merge the lists in the file and in the database, and return the merged list.

    The database may come from an older backup. Raises OSError if the file cannot be read or
    written, SecretUnreadable if no key opens it.
    """
    keys, entries = _read()
    known = _known_key()
    if known is None and keys:
        ErasureKey.objects.create(pk=ErasureKey.ONLY, sealed=secrets.seal(keys[0].hex()))
    Erasure.objects.bulk_create(
        [Erasure(digest=digest) for digest in sorted(entries)], ignore_conflicts=True
    )
    stored = set(Erasure.objects.values_list("digest", flat=True))
    known = _known_key()
    if known is None:
        return ErasureList((), frozenset())
    _append([{ENTRY: digest} for digest in sorted(stored - entries)])
    return ErasureList(tuple({*keys, known}), frozenset(stored))


def _digest(key: bytes, *parts: str) -> str:
    text = json.dumps(parts).encode()  # JSON, so that different parts never give the same text
    return hmac.new(key, text, hashlib.sha256).hexdigest()


def _known_key() -> bytes | None:
    sealed = ErasureKey.objects.values_list("sealed", flat=True).first()
    return bytes.fromhex(secrets.reveal(sealed)) if sealed else None


def _key() -> bytes:
    """Return the list's key. If the database has none, store the file's key or a new one."""
    known = _known_key()
    if known is not None:
        return known
    keys, _ = _read()
    made = secrets.seal((keys[0] if keys else os.urandom(32)).hex())
    ErasureKey.objects.get_or_create(pk=ErasureKey.ONLY, defaults={"sealed": made})
    found = _known_key()
    assert found is not None
    return found


# The file


def _read() -> tuple[list[bytes], set[str]]:
    """Return the file's keys and hashes; both are empty if there is no file.

    Raises SecretUnreadable if it has keys and none of them can be opened.
    """
    try:
        text = Path(settings.ERASED_FILE).read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return [], set()
    lines = list(filter(None, map(_line, text.splitlines())))
    sealed = [str(line[KEY]) for line in lines if KEY in line]
    keys = list(dict.fromkeys(filter(None, map(_opened, sealed))))
    if sealed and not keys:
        raise secrets.SecretUnreadable
    return keys, {str(line[ENTRY]) for line in lines if ENTRY in line}


def _line(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None  # a line that a crash cut off
    return found if isinstance(found, dict) else None


def _opened(sealed: str) -> bytes | None:
    try:
        return bytes.fromhex(secrets.reveal(sealed))
    except secrets.SecretUnreadable:
        return None


def _append(lines: list[dict[str, str]]) -> None:
    """Append these lines, after the current sealed key if it is missing.

    They are on disk when this returns.
    """
    path = Path(settings.ERASED_FILE)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    sealed = ErasureKey.objects.values_list("sealed", flat=True).get()
    before = path.read_text(encoding="ascii", errors="replace") if path.exists() else ""
    if sealed not in before:
        lines = [{KEY: sealed}, *lines]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    if before and not before.endswith("\n"):
        text = "\n" + text
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(number, "wb") as out:
        out.write(text.encode())
        out.flush()
        os.fsync(out.fileno())
