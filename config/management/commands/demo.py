"""`manage.py demo`: show everything at work, on loopback, in a separate database."""

import fcntl
import os
import socket
import sys
import threading
from argparse import ArgumentParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from config import demonstration
from config.management.commands.up import listen
from config.server.supervisor import Supervisor
from events.receiving.sample_sale import NotReceived
from integrations.notify_url.sample_receiver import SampleReceiver
from integrations.thinkific.sandbox import Sandbox

# Environment variables of the restarted process: the demo's folder, and the descriptor of its lock.
FOLDER = "ADMIT_DEMO_FOLDER"
LOCK = "ADMIT_DEMO_LOCK"
FIRST_PORT = 8000


class Command(BaseCommand):
    help = (
        "Shows Admit at work: a sample school, a purchase and a refund through the real webhook. "
        "Example: manage.py demo; manage.py demo --once stops after that."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="stop after the two sample sales")
        parser.add_argument("--port", type=int, help="of the admin (default: 8000, or a free one)")

    def handle(self, **options: Any) -> None:
        port: int | None = options["port"]
        if port is not None and not 0 < port <= 65535:
            raise CommandError("--port takes a number from 1 to 65535.", returncode=2)
        if not settings.DEMO:
            restart_in_demo(port)
        listener, sandbox = take_ports(port)
        with sandbox, SampleReceiver() as receiver:
            fresh_database()
            story = demonstration.Story(sandbox, receiver, say=self._say)
            story.set_the_scene()
            connections.close_all()
            self._serve(story, listener, once=options["once"])
        if story.right is False or (options["once"] and not story.right):
            raise CommandError("The demo did not end as it should; see above.")

    def _serve(self, story: demonstration.Story, listener: socket.socket, *, once: bool) -> None:
        supervisor = Supervisor(listener=listener, workers=None)

        def tell() -> None:
            try:
                story.tell()
                if not once:
                    story.invite()
            except NotReceived as error:
                story.right = False
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
    """Run this command again with the demo's settings, which leave the real installation alone."""
    folder, lock = own_folder()
    web = port or free_port(FIRST_PORT)
    env = {
        "ADMIT_DEMO": "true",
        FOLDER: str(folder),
        LOCK: str(lock),
        "DATABASE_URL": f"sqlite:///{folder / 'demo.sqlite3'}",
        "SPOOL_DIR": str(folder / "spool"),
        "ERASED_FILE": str(folder / "erased.jsonl"),
        "REDIS_URL": "",
        "PUBLIC_URL": f"http://127.0.0.1:{web}",
        "ALLOWED_HOSTS": "localhost,127.0.0.1",
        "THINKIFIC_API_URL": f"http://127.0.0.1:{free_port()}/api/public/v1",
        "THINKIFIC_CALLS_PER_MINUTE": "110",
        "ALLOW_PRIVATE_NOTIFY_URLS": "true",  # the sample receiver is on loopback
        "RETRY_DELAYS": "0,5,30,120,600",
        "WEB_CONCURRENCY": "1",
        "BALLAST_MB": "0",
        "PING_URL": "",
        "CANARY": "false",
        "REQUIRE_SECOND_FACTOR": "false",
        "CHECK_BREACHED_PASSWORDS": "false",
    }
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | env)  # noqa: S606


def own_folder() -> tuple[Path, int]:
    """Return a folder that no other demo uses, and the descriptor of its lock file.

    The lock is held until the demo ends. The folder is relative to manage.py's, as in DATABASE_URL.
    """
    if LOCK in os.environ:
        return Path(os.environ[FOLDER]), int(os.environ[LOCK])
    for number in range(1, 100):
        folder = Path("var") / ("demo" if number == 1 else f"demo-{number}")
        (settings.BASE_DIR / folder).mkdir(parents=True, exist_ok=True)
        lock = os.open(settings.BASE_DIR / folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            continue
        os.set_inheritable(lock, True)  # survives the restart; no child inherits it
        return folder, lock
    raise CommandError("A hundred demos run already. End one of them.")


def take_ports(asked: int | None) -> tuple[socket.socket, Sandbox]:
    """Take both ports of the settings: return the web server's socket and the sandbox.

    Where another program has taken a port meanwhile, the demo restarts with another one.
    """
    web, thinkific = urlsplit(settings.PUBLIC_URL).port, urlsplit(settings.THINKIFIC_API_URL).port
    try:
        listener = listen("127.0.0.1", web or 0)
    except CommandError:
        if asked:
            raise
        restart_in_demo(None)
    try:
        return listener, Sandbox(port=thinkific or 0)
    except OSError:
        listener.close()
        restart_in_demo(asked)
    raise AssertionError("restarted")


def free_port(wanted: int = 0) -> int:
    """Return the wanted port if it is free, else any free one."""
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
    """Start with an empty database: the sandbox starts empty, and earlier rows would not fit it."""
    # An open connection would go on writing into the deleted file.
    connections.close_all()
    file = Path(str(settings.DATABASES["default"]["NAME"]))
    for old in file.parent.glob(f"{file.name}*"):
        old.unlink()
    call_command("migrate", verbosity=0)
