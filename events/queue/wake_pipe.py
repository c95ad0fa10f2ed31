"""The wake pipe: by it a process tells the cluster beside it that a wake-up was queued.

A pipe that `manage.py up` makes for its web server and its cluster. It carries no data and may
be missing, full or broken: a cluster that hears nothing looks into the queue by itself.
"""

import contextlib
import os
import select
import time

# Environment variables with the pipe's ends, as numbers of open files.
HEARD = "ADMIT_BELL_HEARD"
RUNG = "ADMIT_BELL_RUNG"
# So often a cluster looks by itself: seldom where the pipe tells it, often where nobody does.
LISTENING_SECONDS = 1.0
DEAF_SECONDS = 0.05


def hang() -> tuple[int, int]:
    """A new pipe: the end to read and the end to write. Neither ever blocks."""
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    return ends


def ring() -> None:
    """Have the cluster look now; without effect where there is no pipe."""
    end = os.environ.get(RUNG)
    if end:
        with contextlib.suppress(OSError):  # full: it rings already; broken: the cluster has ended
            os.write(int(end), b"!")


def listen() -> bool:
    """Wait for a byte, at most until it is time to look anyway; True when one came."""
    end = os.environ.get(HEARD)
    if not end:
        time.sleep(DEAF_SECONDS)
        return False
    rang, _, _ = select.select([int(end)], [], [], LISTENING_SECONDS)
    if rang and not _take_rings(int(end)):
        time.sleep(DEAF_SECONDS)  # nobody is left who could ring: `up` has ended, and we shall
        return False
    return bool(rang)


def _take_rings(end: int) -> bool:
    """Take all rings; False when the other end is closed everywhere."""
    try:
        return bool(os.read(end, 65536))
    except BlockingIOError:
        return True
