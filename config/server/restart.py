"""Starting `manage.py up` again in its own process, with the program that is on the disk now.

The socket of the web server stays open all the while: who connects waits, and is not refused.
"""

import os
import socket
import subprocess
import sys

from django.conf import settings

from config import env_file

# The number of the open socket that the program before us left.
LISTENER = "ADMIT_LISTENER"


def can_start() -> bool:
    """Whether the program on the disk loads, with the settings of now; it says itself why not."""
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
    """Become that program, with the words and the environment that we were started with."""
    env = dict(env_file.given)
    if listener is not None:
        listener.set_inheritable(True)
        env[LISTENER] = str(listener.fileno())
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], env)  # noqa: S606 - ourselves


def inherited() -> socket.socket | None:
    """The socket of the program before us, None when there was none."""
    number = os.environ.pop(LISTENER, "")
    env_file.given.pop(LISTENER, None)
    if not number:
        return None
    listener = socket.socket(fileno=int(number))
    listener.set_inheritable(False)
    return listener
