"""A child of `manage.py up`: the web server or the worker cluster, on a leash.

`python -m config.child web|cluster`. The parent holds the other end of a pipe; when it
dies, however suddenly, the pipe ends and the child takes its whole process group along.
"""

import gc
import os
import signal
import sys
import threading
from typing import Any

LEASH = "ADMIT_LEASH"
BIND = "ADMIT_BIND"


def main(program: str) -> None:
    """Run the program in this process until SIGTERM."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    leash = int(os.environ.pop(LEASH))
    _put_on(leash)
    # Each process watches for itself: the main one may have been killed before the parent.
    os.register_at_fork(after_in_child=lambda: _put_on(leash))
    {"web": _web, "cluster": _cluster}[program]()


def _put_on(leash: int) -> None:
    threading.Thread(target=_die_with_parent, args=[leash], daemon=True).start()


def _die_with_parent(leash: int) -> None:
    os.read(leash, 1)  # nothing is ever written: it returns when the parent is gone
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _web() -> None:
    import django

    django.setup()
    from django.conf import settings
    from gunicorn.app.base import BaseApplication

    class Web(BaseApplication):
        def load_config(self) -> None:
            for name, value in _web_options(settings.WEB_CONCURRENCY).items():
                if name in self.cfg.settings:
                    self.cfg.set(name, value)

        def load(self) -> Any:
            from config.wsgi import application

            _set_aside_what_is_loaded()
            return application

    Web().run()


def _web_options(workers: int) -> dict[str, Any]:
    return {
        "bind": os.environ[BIND],
        "workers": workers,
        "worker_class": "gthread",
        "threads": 4,
        "preload_app": True,  # the workers share the memory of what is imported once
        "timeout": 60,
        "graceful_timeout": 15,
        "proc_name": "admit-web",
        # Newer versions open a socket for commands in the home folder; nobody here uses it.
        "control_socket_disable": True,
        "loglevel": "warning",
        "logger_class": "config.logs.GunicornLogger",
    }


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


if __name__ == "__main__":
    main(sys.argv[1])
