"""`manage.py up`: everything that serves, in the foreground."""

import socket
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from config.supervisor import Supervisor


class Command(BaseCommand):
    help = (
        "Web server, worker cluster and their watchdog. "
        "Example: manage.py up --bind 0.0.0.0:8000; on a second machine: manage.py up --no-web"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--bind", default="127.0.0.1:8000", metavar="HOST:PORT")
        parser.add_argument("--no-web", action="store_true", help="no web server here")
        parser.add_argument("--no-worker", action="store_true", help="no worker cluster here")
        parser.add_argument("--workers", type=int, help="worker processes (default: 2)")

    def handle(self, **options: Any) -> None:
        if options["no_web"] and options["no_worker"]:
            raise CommandError("Nothing is left to run without web and worker.", returncode=2)
        if options["workers"] is not None and options["workers"] < 1:
            raise CommandError("--workers takes a whole number of at least 1.", returncode=2)
        bind = None if options["no_web"] else options["bind"]
        if bind:
            check_free(bind)
            self.stdout.write(f"Admit serves {settings.PUBLIC_URL}/admin/ on {bind}.")
        self.stdout.write("Ctrl-C stops it; nothing received is lost.")
        self.stdout.flush()
        workers = 0 if options["no_worker"] else options["workers"]
        Supervisor(bind=bind, workers=workers).run()


def check_free(bind: str) -> None:
    """Raises CommandError when nobody could listen there: better now than in a loop."""
    host, colon, port = bind.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise CommandError(f"--bind takes HOST:PORT, such as 127.0.0.1:8000; not {bind}.")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host.strip("[]"), int(port)))
    except OSError as error:
        raise CommandError(
            f"Admit cannot listen on {bind} ({error.strerror}). "
            "Another program may use it: choose another port with --bind."
        ) from None
