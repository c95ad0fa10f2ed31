"""A child of `manage.py up`: a web server, the worker cluster or a command, tied to its parent.

`python -m config.server.child web|pages|cluster|alerts|backup|migrate`. The parent holds the other
end of a pipe. When the parent dies, even by SIGKILL, the pipe ends, and the child ends with its
whole process group.
"""

import gc
import logging
import os
import signal
import socket
import sys
import threading
from typing import Any

import django
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import Error, connection

from integrations import webhook_secrets
from integrations.database.database_timeout import DatabaseTimeout

log = logging.getLogger(__name__)
LEASH = "ADMIT_LEASH"
BIND = "ADMIT_BIND"
# Commands that `up` runs beside the servers.
COMMANDS = {
    "alerts": ["send_alerts", "--quiet"],
    "backup": ["backup"],
    "migrate": ["migrate", "--no-input"],
}
# Environment variables with the file descriptors of the two ends of `hand_over`.
HAND_OVER = "ADMIT_HAND_OVER"
TAKE_OVER = "ADMIT_TAKE_OVER"
# With this setting the web server does not use the database.
RECEIVE_ONLY = "ADMIT_RECEIVE_ONLY"
# More than the longest request head, so that several can wait for a busy program.
HAND_OVER_BYTES = 256 * 1024
# For both web servers.
COMMON: dict[str, Any] = {
    "preload_app": True,  # the workers share the memory of modules imported before the fork
    # config.server.web_workers has limits of its own, which keep accepting.
    "worker_connections": 4000,
    "timeout": 60,
    "graceful_timeout": 15,
    # Newer versions open a command socket in the home folder; Admit does not use it.
    "control_socket_disable": True,
    "loglevel": "warning",
    "logger_class": "config.logging.GunicornLogger",
}


def main(program: str) -> None:
    """Run the program in this process until SIGTERM."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    leash = int(os.environ.pop(LEASH))
    _put_on(leash)
    # Each process watches the pipe itself: the main one may have been killed before the parent.
    os.register_at_fork(after_in_child=lambda: _put_on(leash))
    django.setup()
    programs = {"web": _web, "pages": _pages, "cluster": _cluster}
    if program in programs:
        programs[program]()
    else:
        _command(*COMMANDS[program])


def hand_over() -> tuple[socket.socket, socket.socket]:
    """Return a socket pair by which the web server gives connections to the program for the pages.

    While a process holds it open, connections wait in it even if that program is restarted.
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
    os.read(leash, 1)  # nothing is ever written: this returns when the parent is gone
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _web() -> None:
    if settings.RECEIVE_ONLY:
        _remember_addresses()
    _serve(
        bind=os.environ[BIND],
        workers=settings.WEB_CONCURRENCY,
        worker_class="config.server.web_workers.HookWorker",
        threads=4,
        proc_name="admit-web",
    )


def _remember_addresses() -> None:
    """Read all webhook addresses once, before the forks: no process asks the database later."""
    try:
        with DatabaseTimeout(settings.STORE_SECONDS):
            webhook_secrets.remember_all()
    except Error as error:
        log.error("database_out_of_reach", extra={"error": type(error).__name__})
    finally:
        connection.close()


def _pages() -> None:
    # One process, because it counts every try of a password. Hashing and database calls release the
    # interpreter to the other threads.
    _serve(
        bind=[],  # connections are handed over to it
        workers=1,
        worker_class="config.server.web_workers.PageWorker",
        threads=8,
        # The next request may be for the webhook, which this process must not take.
        keepalive=0,
        proc_name="admit-pages",
    )


def _serve(**options: Any) -> None:
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
    """Keep everything loaded so far out of garbage collection: it stays in memory anyway.

    A collection that walks over all of it took tens of milliseconds (measured). It also made each
    forked process write into, and so copy, the memory that it shares with the others.
    """
    gc.collect()
    gc.freeze()


def _cluster() -> None:
    from config import health

    if health.overtaken():
        sys.exit(health.OVERTAKEN)
    _set_aside_what_is_loaded()
    call_command("qcluster")


def _command(*words: str) -> None:
    try:
        call_command(*words)
    except CommandError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1])
