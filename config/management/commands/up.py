"""`manage.py up`: everything that serves, in the foreground."""

import socket
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from config import health
from config.server.supervisor import Supervisor

# As many connections may wait while the web server is started again.
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
        parser.add_argument(
            "--workers", type=int, help="worker processes (default: 2, on SQLite 1)"
        )

    def handle(self, **options: Any) -> None:
        if options["no_web"] and options["no_worker"]:
            raise CommandError("Nothing is left to run without web and worker.", returncode=2)
        if options["workers"] is not None and options["workers"] < 1:
            raise CommandError("--workers takes a whole number of at least 1.", returncode=2)
        where = None if options["no_web"] else host_and_port(options["bind"])
        if health.outdated():
            raise CommandError(health.OUTDATED)
        listener = listen(*where) if where else None
        if listener:
            self.stdout.write(f"Admit serves {settings.PUBLIC_URL}/admin/ on {options['bind']}.")
        self.stdout.write("Ctrl-C stops it; nothing received is lost.")
        self.stdout.flush()
        workers = 0 if options["no_worker"] else options["workers"]
        Supervisor(listener=listener, workers=workers).run()


def host_and_port(bind: str) -> tuple[str, int]:
    """The parts of HOST:PORT. Raises CommandError."""
    host, _, port = bind.rpartition(":")
    if not host or not (port.isascii() and port.isdigit() and 0 < int(port[:9]) <= 65535):
        raise CommandError(
            f"--bind takes HOST:PORT, such as 127.0.0.1:8000; not {bind}.", returncode=2
        )
    return host.strip("[]"), int(port)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises CommandError: better now than in a loop."""
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
