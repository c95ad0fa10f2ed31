"""A child of `manage.py up`: a web server, the worker cluster or a look at alerts, on a leash.

`python -m config.server.child web|pages|cluster|alerts`. The parent holds the other end of a pipe;
when it dies, however suddenly, the pipe ends and the child takes its whole process group along.
"""

import gc
import os
import signal
import socket
import sys
import threading
from typing import Any

LEASH = "ADMIT_LEASH"
BIND = "ADMIT_BIND"
# The two ends of `hand_over`, as numbers of open files.
HAND_OVER = "ADMIT_HAND_OVER"
TAKE_OVER = "ADMIT_TAKE_OVER"
# More than the longest head of a request, of which several wait for a busy program.
HAND_OVER_BYTES = 256 * 1024
# Of both web servers.
COMMON: dict[str, Any] = {
    "preload_app": True,  # the workers share the memory of what is imported once
    # config.server.web_workers has limits of its own, which keep accepting.
    "worker_connections": 4000,
    "timeout": 60,
    "graceful_timeout": 15,
    # Newer versions open a socket for commands in the home folder; nobody here uses it.
    "control_socket_disable": True,
    "loglevel": "warning",
    "logger_class": "config.logging.GunicornLogger",
}


def main(program: str) -> None:
    """Run the program in this process until SIGTERM."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    leash = int(os.environ.pop(LEASH))
    _put_on(leash)
    # Each process watches for itself: the main one may have been killed before the parent.
    os.register_at_fork(after_in_child=lambda: _put_on(leash))
    {"web": _web, "pages": _pages, "cluster": _cluster, "alerts": _alerts}[program]()


def hand_over() -> tuple[socket.socket, socket.socket]:
    """A pair by which the web server gives connections to the program for the pages.

    A process that holds it open keeps them waiting while that program is restarted.
    """
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for end in ends:
        end.setblocking(False)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, HAND_OVER_BYTES)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, HAND_OVER_BYTES)
    return ends


def _put_on(leash: int) -> None:
    threading.Thread(target=_die_with_parent, args=[leash], daemon=True).start()


def _die_with_parent(leash: int) -> None:
    os.read(leash, 1)  # nothing is ever written: it returns when the parent is gone
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _web() -> None:
    from django.conf import settings

    _serve(
        bind=os.environ[BIND],
        workers=settings.WEB_CONCURRENCY,
        worker_class="config.server.web_workers.HookWorker",
        threads=4,
        proc_name="admit-web",
    )


def _pages() -> None:
    # One process: it counts every try of a password. Hashing and the database leave the
    # interpreter to the other threads.
    _serve(
        bind=[],  # what it serves is handed over to it
        workers=1,
        worker_class="config.server.web_workers.PageWorker",
        threads=8,
        # The next request may be for the webhook, and must not come to this process.
        keepalive=0,
        proc_name="admit-pages",
    )


def _serve(**options: Any) -> None:
    import django

    django.setup()
    from gunicorn.app.base import BaseApplication

    class Web(BaseApplication):
        def load_config(self) -> None:
            for name, value in (COMMON | options).items():
                if name in self.cfg.settings:
                    self.cfg.set(name, value)

        def load(self) -> Any:
            from config.wsgi import application

            _set_aside_what_is_loaded()
            return application

    Web().run()


def _set_aside_what_is_loaded() -> None:
    """Whatever is loaded now stays for ever: keep it out of each round of garbage collection.

    Walking over all of it cost tens of milliseconds a time (measured), and made each forked
    process write into, and so copy, the memory that it shares with the others.
    """
    gc.collect()
    gc.freeze()


def _cluster() -> None:
    import django

    django.setup()
    from django.core.management import call_command

    _set_aside_what_is_loaded()

    call_command("qcluster")


def _alerts() -> None:
    import django

    django.setup()
    from django.core.management import call_command

    call_command("send_alerts", "--quiet")


if __name__ == "__main__":
    main(sys.argv[1])
