"""`manage.py up`: run everything that serves, in the foreground."""

import socket
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from config import health
from config.server import restart
from config.server.program import Program
from config.server.receive_only import ReceiveOnly
from config.server.supervisor import Supervisor

# How many connections may wait while the web server restarts.
BACKLOG = 2048


class Command(BaseCommand):
    help = (
        "Web server, worker cluster and their watchdog. "
        "Example: manage.py up --bind 0.0.0.0:8000; on a second machine: manage.py up --no-web"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--bind", default="127.0.0.1:8000", metavar="HOST:PORT")
        parser.add_argument("--no-web", action="store_true", help="no web server here")
        parser.add_argument("--no-worker", action="store_true", help="no worker cluster here")
        parser.add_argument("--workers", type=int, help="worker processes (default: 1)")
        parser.add_argument(
            "--migrate",
            action="store_true",
            help="migrate the database first where that is needed, and receive meanwhile",
        )
        parser.add_argument(
            "--receive-only",
            action="store_true",
            help="only take SamCart's events into the spool, and ask no database",
        )

    def handle(self, **options: Any) -> None:
        if options["no_web"] and options["no_worker"]:
            raise CommandError("Nothing is left to run without web and worker.", returncode=2)
        if options["workers"] is not None and options["workers"] < 1:
            raise CommandError("--workers takes a whole number of at least 1.", returncode=2)
        where = None if options["no_web"] else host_and_port(options["bind"])
        listener = (restart.inherited() or listen(*where)) if where else None
        if options["receive_only"]:
            if listener is None:
                raise CommandError("--receive-only needs the web server.", returncode=2)
            self._say(f"Admit only receives, on {options['bind']}. Ctrl-C stops it.")
            ReceiveOnly(listener).run()
            return
        if not self._migrated(listener, migrate=options["migrate"]):
            return
        if listener:
            self._say(f"Admit serves {settings.PUBLIC_URL}/admin/ on {options['bind']}.")
        self._say("Ctrl-C stops it; nothing received is lost.")
        workers = 0 if options["no_worker"] else options["workers"]
        supervisor = Supervisor(listener=listener, workers=workers)
        supervisor.run()
        if supervisor.restarting:
            restart.in_place(listener)

    def _migrated(self, listener: socket.socket | None, *, migrate: bool) -> bool:
        """Migrate first if that is needed. Returns False when stopped before it is done.

        Raises CommandError when the database does not fit the program and is not to be migrated
        here.
        """
        if health.overtaken():
            raise CommandError(health.OVERTAKEN)
        if not health.outdated():
            return True
        if not migrate or listener is None:
            raise CommandError(health.OUTDATED)
        self._say("Admit receives while it migrates the database.")
        return ReceiveOnly(listener).run(Program("migrate", env={}))

    def _say(self, sentence: str) -> None:
        self.stdout.write(sentence)
        self.stdout.flush()


def host_and_port(bind: str) -> tuple[str, int]:
    """Return the parts of HOST:PORT. Raises CommandError."""
    host, _, port = bind.rpartition(":")
    if not host or not (port.isascii() and port.isdigit() and 0 < int(port[:9]) <= 65535):
        raise CommandError(
            f"--bind takes HOST:PORT, such as 127.0.0.1:8000; not {bind}.", returncode=2
        )
    return host.strip("[]"), int(port)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens there.

    Raises CommandError at once, because a web server that cannot listen would be restarted forever.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        both = family == socket.AF_INET6 and socket.has_dualstack_ipv6()
        return socket.create_server(address, family=family, backlog=BACKLOG, dualstack_ipv6=both)
    except OSError as error:
        raise CommandError(
            f"Admit cannot listen on {host}:{port} ({error.strerror}). "
            "Another program may use it: choose another port with --bind."
        ) from None
