"""The file of a backup: a compressed tar with a manifest, the database and the spool's files."""

import gzip
import hashlib
import hmac
import io
import json
import tarfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from config.backup import sealing
from config.backup.errors import BackupError

MANIFEST = "manifest.json"
SPOOL = "spool"
COMPRESSION = 6
NOT_OURS = "is not a backup of Admit, or it is damaged. Use another one."


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says about itself. `keys` are fingerprints: no key can be had from them.

    `database` is Django's word for its kind, `rows` how many each table has.
    """

    version: str
    made_at: str
    database: str
    migrations: list[str]
    rows: dict[str, int]
    spooled: int
    keys: list[str]


@dataclass(frozen=True, slots=True)
class Backup:
    """An opened backup: its parts lie in a folder for as long as that is needed."""

    manifest: Manifest
    database: Path
    spooled: list[Path]


def fingerprints(made_at: str) -> list[str]:
    """One for each of FIELD_ENCRYPTION_KEYS, to see whether a backup of that time knew it."""
    text = f"Admit's backup of {made_at}".encode()
    keys = settings.FIELD_ENCRYPTION_KEYS
    return [hmac.new(key.encode(), text, hashlib.sha256).hexdigest()[:32] for key in keys]


def write(
    file: Path, manifest: Manifest, database: Path, spooled: Iterable[Path], recipients: list[Any]
) -> None:
    """Write the new file. Uses the same memory however large the parts are."""
    with (
        sealing.writing(file, recipients) as out,
        gzip.GzipFile(fileobj=out, mode="wb", compresslevel=COMPRESSION) as compressed,
        tarfile.open(fileobj=compressed, mode="w|") as tar,
    ):
        text = json.dumps(asdict(manifest), indent=1).encode()
        head = tarfile.TarInfo(MANIFEST)
        head.size, head.mode = len(text), 0o600
        tar.addfile(head, io.BytesIO(text))
        tar.add(database, arcname=database.name)
        for each in spooled:
            tar.add(each, arcname=f"{SPOOL}/{each.name}")


def read(file: Path, folder: Path, *, identity: Path | None) -> Backup:
    """Unpack a backup into the folder. Raises BackupError."""
    try:
        if sealing.is_encrypted(file):
            file = _decrypted(file, folder, identity)
        return _unpacked(file, folder)
    except FileNotFoundError:
        raise BackupError(f"{file} does not exist.") from None
    except (OSError, EOFError, tarfile.TarError, ValueError, TypeError, LookupError) as error:
        raise BackupError(f"{file.name} {NOT_OURS} ({type(error).__name__})") from None


def _decrypted(file: Path, folder: Path, identity: Path | None) -> Path:
    if identity is None:
        raise BackupError(
            f"{file.name} is encrypted. Name the file with the secret key: --identity FILE."
        )
    clear = folder / "clear.tar.gz"
    sealing.decrypt(file, identity, clear)
    return clear


def _unpacked(file: Path, folder: Path) -> Backup:
    parts = folder / "parts"
    with tarfile.open(file, mode="r:gz") as tar:
        # The filter refuses anything that would land outside the folder.
        tar.extractall(parts, filter="data")
    manifest = Manifest(**json.loads((parts / MANIFEST).read_text(encoding="utf-8")))
    (database,) = parts.glob("database.*")
    return Backup(manifest, database, sorted((parts / SPOOL).glob("*")))
