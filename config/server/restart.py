"""Restarts `manage.py up` in its own process, with the program that is now on the disk.

The socket of the web server stays open: clients that connect wait and are not refused.
"""

import os
import socket
import subprocess
import sys

from django.conf import settings

from config import env_file

# The file descriptor of the socket that the earlier program left open.
LISTENER = "ADMIT_LISTENER"


def can_start() -> bool:
    """Return whether the program on the disk loads with the current settings. Prints why not."""
    words = [sys.executable, "manage.py", "check"]
    ended = subprocess.run(  # noqa: S603 - our own program
        words,
        env=env_file.given,
        cwd=settings.BASE_DIR,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=False,
    )
    return ended.returncode == 0


def in_place(listener: socket.socket | None) -> None:
    """Replace this process by the program on the disk, with our own arguments and environment."""
    env = dict(env_file.given)
    if listener is not None:
        listener.set_inheritable(True)
        env[LISTENER] = str(listener.fileno())
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], env)  # noqa: S606 - ourselves


def inherited() -> socket.socket | None:
    """Return the earlier program's socket, None when there was none."""
    number = os.environ.pop(LISTENER, "")
    env_file.given.pop(LISTENER, None)
    if not number:
        return None
    listener = socket.socket(fileno=int(number))
    listener.set_inheritable(False)
    return listener
