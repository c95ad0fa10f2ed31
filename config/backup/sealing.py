"""Encryption of backups to the recipients of BACKUP_RECIPIENT, in the format of the age tool."""

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pyrage

from config.backup.errors import BackupError

# The first bytes of an age file.
MAGIC = b"age-encryption.org/v1\n"


@contextlib.contextmanager
def writing(file: Path, recipients: list[Any]) -> Iterator[IO[bytes]]:
    """Yield a stream that writes the new file, encrypted if there are recipients.

    pyrage reads what it encrypts from a stream, so a thread lets it read from a pipe. Memory use
    does not depend on the size.
    """
    number = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(number, "wb") as out:
        if not recipients:
            yield out
            return
        errors: list[Exception] = []
        there, here = os.pipe()
        thread = threading.Thread(target=_encrypt, args=(there, out, recipients, errors))
        thread.start()
        try:
            with os.fdopen(here, "wb") as clear:
                yield clear
        except BrokenPipeError:
            pass  # the thread has ended; `errors` says why
        finally:
            thread.join()
        if errors:
            raise errors[0]


def _encrypt(number: int, out: IO[bytes], recipients: list[Any], errors: list[Exception]) -> None:
    with os.fdopen(number, "rb") as clear:
        try:
            pyrage.encrypt_io(clear, out, recipients)
        except Exception as error:
            errors.append(error)


def is_encrypted(file: Path) -> bool:
    """Return whether a backup must be decrypted first. Raises OSError."""
    with file.open("rb") as opened:
        return opened.read(len(MAGIC)) == MAGIC


def decrypt(file: Path, identity: Path, target: Path) -> None:
    """Decrypt `file` into `target`. Raises BackupError when the identity does not open it."""
    try:
        with file.open("rb") as sealed, target.open("wb") as clear:
            pyrage.decrypt_io(sealed, clear, _identities(identity))
    except (pyrage.DecryptError, OSError) as error:
        raise BackupError(
            f"{identity} does not open {file.name} ({error}). Name the file with the secret key of "
            "the recipient that BACKUP_RECIPIENT named when the backup was made."
        ) from None


def _identities(file: Path) -> list[Any]:
    try:
        content = file.read_bytes()
        if content.startswith(b"-----BEGIN"):
            return [pyrage.ssh.Identity.from_buffer(content)]
        lines = [line.strip() for line in content.decode().splitlines()]
        keys = [line for line in lines if line and not line.startswith("#")]
        identities = [pyrage.x25519.Identity.from_str(key) for key in keys]
    except (OSError, ValueError, pyrage.IdentityError):
        identities = []
    if not identities:
        raise BackupError(
            f"{file} holds no secret key of age or SSH. Name the file that age-keygen wrote."
        )
    return identities
