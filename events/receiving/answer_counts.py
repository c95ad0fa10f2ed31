"""How often the webhook gave each answer on this machine, since its `up` was started.

Each web process keeps its numbers in a small file of its own, in a folder that `manage.py up`
makes; the process for the pages adds them up. So counting needs no database and no lock of another
process, and the numbers outlive their process.
"""

import contextlib
import os
import struct
import threading
from pathlib import Path

# The environment variable that names the folder; without it nothing is counted.
FOLDER = "ADMIT_ANSWER_COUNTS"
CODES = (200, 404, 405, 411, 413, 503)
_FORMAT = struct.Struct(f"<{len(CODES)}Q")
_lock = threading.Lock()


class _Own:
    """The numbers of one process, and its file."""

    def __init__(self, folder: str) -> None:
        self.pid = os.getpid()
        self.counts = [0] * len(CODES)
        self.file = os.open(
            Path(folder) / f"{self.pid}-{os.urandom(4).hex()}", os.O_WRONLY | os.O_CREAT, 0o600
        )


_own: _Own | None = None


def add(code: int) -> None:
    """Count an answer with this status. If that fails, nothing else is affected."""
    global _own
    folder = os.environ.get(FOLDER)
    if not folder:
        return
    with _lock, contextlib.suppress(OSError):
        if _own is None or _own.pid != os.getpid():
            _own = _Own(folder)
        _own.counts[CODES.index(code)] += 1
        os.pwrite(_own.file, _FORMAT.pack(*_own.counts), 0)


def totals() -> dict[int, int]:
    """Return how often each status was answered; {} if nothing is counted."""
    folder = os.environ.get(FOLDER)
    if not folder:
        return {}
    sums = [0] * len(CODES)
    for file in Path(folder).glob("*"):
        content = file.read_bytes()
        if len(content) == _FORMAT.size:
            sums = [a + b for a, b in zip(sums, _FORMAT.unpack(content), strict=True)]
    return dict(zip(CODES, sums, strict=True))
