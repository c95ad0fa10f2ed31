"""`manage.py demo`: everything at work, on loopback, in a database of its own."""

import os
import socket
import sys
import threading
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from config import demonstration
from config.management.commands.up import check_free
from config.supervisor import Supervisor
from integrations.thinkific.sandbox import Sandbox

FOLDER = Path("var") / "demo"


class Command(BaseCommand):
    help = (
        "Shows Admit at work: a sample school, a purchase and a refund through the real webhook. "
        "Example: manage.py demo; manage.py demo --once stops after that."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="stop after the two sample sales")
        parser.add_argument("--port", type=int, help="of the admin (default: 8000, or a free one)")

    def handle(self, **options: Any) -> None:
        if not settings.DEMO:
            restart_in_demo(options["port"])
        bind = settings.PUBLIC_URL.removeprefix("http://")
        check_free(bind)
        fresh_database()
        port = int(settings.THINKIFIC_API_URL.split(":")[2].split("/")[0])
        with Sandbox(port=port) as sandbox:
            story = demonstration.Story(sandbox, say=self._say)
            story.set_the_scene()
            connections.close_all()
            self._serve(story, bind, once=options["once"])
        if not story.right:
            raise CommandError("The sandbox does not hold what it should; see above.")

    def _serve(self, story: demonstration.Story, bind: str, *, once: bool) -> None:
        supervisor = Supervisor(bind=bind, workers=None)

        def tell() -> None:
            try:
                story.tell()
                if not once:
                    story.invite()
            except CommandError as error:
                self._say(str(error))
            finally:
                connections.close_all()
                if once:
                    supervisor.stop()

        teller = threading.Thread(target=tell, daemon=True)
        teller.start()
        supervisor.run()
        teller.join(timeout=5)

    def _say(self, line: str = "") -> None:
        self.stdout.write(line)
        self.stdout.flush()


def restart_in_demo(port: int | None) -> None:
    """This command anew, with settings of the demo: nothing of the real installation is touched."""
    web = port or free_port(8000)
    env = {
        "ADMIT_DEMO": "true",
        "DATABASE_URL": f"sqlite:///{FOLDER / 'demo.sqlite3'}",
        "REDIS_URL": "",
        "PUBLIC_URL": f"http://127.0.0.1:{web}",
        "ALLOWED_HOSTS": "localhost,127.0.0.1",
        "THINKIFIC_API_URL": f"http://127.0.0.1:{free_port()}/api/public/v1",
        "WEB_CONCURRENCY": "1",
    }
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | env)  # noqa: S606


def free_port(wanted: int = 0) -> int:
    """The wanted port when it is free, else any that is."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise CommandError("This machine has no free port on 127.0.0.1.")


def fresh_database() -> None:
    """The sandbox forgets at each start, so what we remember of it must go too."""
    folder = settings.BASE_DIR / FOLDER
    for file in folder.glob("demo.sqlite3*"):
        file.unlink()
    call_command("migrate", verbosity=0)
