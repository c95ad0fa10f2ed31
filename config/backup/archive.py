"""The backup file: a compressed tar with a manifest, the database and the spool's files."""

import gzip
import hashlib
import hmac
import io
import json
import os
import re
import shutil
import tarfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from config.backup import postgresql, sealing, sqlite
from config.backup.errors import BackupError

MANIFEST = "manifest.json"
SPOOL = "spool"
COMPRESSION = 6
# The only names that a backup may contain. Spooled files keep their names.
PARTS = re.compile(
    "|".join(map(re.escape, (MANIFEST, sqlite.FILE, postgresql.FILE))) + rf"|{SPOOL}/[\w-][\w.-]*",
    re.ASCII,
)
# In bytes; a real manifest is far smaller, even with thousands of tables.
MOST_MANIFEST = 10_000_000
# Bytes to leave free: the database may be on the same disk, and a restore must not fill it.
LEFT_FREE = 100_000_000
NOT_OURS = "is not a backup of Admit, or it is damaged. Use another one."


@dataclass(frozen=True, slots=True)
class Manifest:
    """A backup's description of itself.

    `database` is Django's name for its kind, `rows` the row count of each table, `spooled` the
    number of spooled files. `keys` are fingerprints, from which no key can be recovered.
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
    """An unpacked backup. Its files last only as long as the folder that it was unpacked into."""

    manifest: Manifest
    database: Path
    spooled: list[Path]


def fingerprints(made_at: str) -> list[str]:
    """Return a fingerprint of each key in FIELD_ENCRYPTION_KEYS, for a backup made at that time.

    Comparing them with a backup's own shows which of its keys this server has.
    """
    text = f"Admit's backup of {made_at}".encode()
    keys = settings.FIELD_ENCRYPTION_KEYS
    return [hmac.new(key.encode(), text, hashlib.sha256).hexdigest()[:32] for key in keys]


def write(
    file: Path, manifest: Manifest, database: Path, spooled: Iterable[Path], recipients: list[Any]
) -> None:
    """Write the backup file. Memory use does not depend on the size of the parts."""
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
        for part in tar:
            _check(part, shutil.disk_usage(folder).free)
            _unpack(tar, part, parts / part.name)
    manifest = Manifest(**json.loads((parts / MANIFEST).read_text(encoding="utf-8")))
    (database,) = parts.glob("database.*")
    return Backup(manifest, database, sorted((parts / SPOOL).glob("*")))


def _unpack(tar: tarfile.TarFile, part: tarfile.TarInfo, target: Path) -> None:
    """Write a checked part, for nobody else to read. Raises FileExistsError for a second one.

    `TarFile.extract` is safe only with a filter, which Python has from 3.11.4 on.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    target.touch(mode=0o600, exist_ok=False)
    source = tar.extractfile(part)
    assert source is not None  # _check lets nothing but files pass
    with source, target.open("wb") as out:
        shutil.copyfileobj(source, out)
    os.utime(target, (part.mtime, part.mtime))


def _check(part: tarfile.TarInfo, free: int) -> None:
    """Check a part before it is unpacked.

    Raises ValueError for a part that no backup has, BackupError when the disk has no room for it.
    """
    if not part.isreg() or not PARTS.fullmatch(part.name):
        raise ValueError(part.name)
    if part.name == MANIFEST and part.size > MOST_MANIFEST:
        raise ValueError(part.size)
    if part.size > free - LEFT_FREE:
        raise BackupError(
            f"{part.name} of this backup is {part.size:,} bytes, and the disk of BACKUP_DIR has "
            f"{free:,} bytes left. Make room there, or set BACKUP_DIR to another disk."
        )
