"""The wake pipe, by which a process tells the cluster beside it that a wake-up was queued.

`manage.py up` makes the pipe for its web servers and its cluster. It carries no data and may be
missing, full or broken: a cluster that reads nothing from it looks into the queue by itself.
"""

import contextlib
import os
import select
import time

# Environment variables that hold the file descriptors of the pipe's two ends.
READ_END = "ADMIT_WAKE_PIPE_READ"
WRITE_END = "ADMIT_WAKE_PIPE_WRITE"
# Seconds until a cluster looks by itself, with the pipe and without it.
WITH_PIPE_SECONDS = 1.0
WITHOUT_PIPE_SECONDS = 0.05


def create() -> tuple[int, int]:
    """Return the read end and the write end of a new pipe. Neither ever blocks."""
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    return ends


def notify() -> None:
    """Make the cluster look now. Does nothing if there is no pipe."""
    end = os.environ.get(WRITE_END)
    if end:
        # A full pipe has notified already; a broken one has no cluster behind it.
        with contextlib.suppress(OSError):
            os.write(int(end), b"!")


def wait() -> bool:
    """Wait for a notification, or until it is time to look anyway. Return True if one came."""
    end = os.environ.get(READ_END)
    if not end:
        time.sleep(WITHOUT_PIPE_SECONDS)
        return False
    readable, _, _ = select.select([int(end)], [], [], WITH_PIPE_SECONDS)
    if readable and not _empty(int(end)):
        # `up` has ended, and this process is about to. Until then it must not spin.
        time.sleep(WITHOUT_PIPE_SECONDS)
        return False
    return bool(readable)


def _empty(end: int) -> bool:
    """Read all that is in the pipe. Return False if every write end is closed."""
    try:
        return bool(os.read(end, 65536))
    except BlockingIOError:
        return True
