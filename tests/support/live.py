"""Admit as people run it: `manage.py` in separate processes, with a separate database.

    with live.installation(tmp_path) as admit, Sandbox() as sandbox: ...

`python -m tests.support.live` fills the database that the environment names: a shop, a connected
school and two rules. Because migrations take long, a finished database is copied for each test.
"""

import contextlib
import http.client
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zlib import crc32

import psycopg

from integrations.thinkific.sandbox import SAMPLE_KEY, Sandbox, School, add_sample_school
from tests.support import prepared
from tests.support.postgres import free_port

ROOT = Path(__file__).resolve().parents[2]
HOOK_SECRET = "live-hook-secret-that-only-tests-know"
ENCRYPTION_KEY = "bGl2ZS1saXZlLWxpdmUtbGl2ZS1saXZlLWxpdmUtMTI="
COURSE = 501
# Another product that gives the course, and its bundle.
BUNDLE_PRODUCT, BUNDLE = 1048003, 801
# Generous, because two cores may be shared by many; a test never waits this long when all is well.
PATIENCE = 60.0


def until(holds: Callable[[], Any], *, seconds: float = PATIENCE, what: str = "") -> Any:
    """Return what `holds` returns as soon as that is true; fail after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = holds()
        if found:
            return found
        time.sleep(0.03)
    raise AssertionError(f"not within {seconds:.0f} s: {what or holds}")


@dataclass(frozen=True, slots=True)
class Process:
    """A process, known by its ID and its start time, so that no other is mistaken for it."""

    pid: int
    started: str

    def alive(self) -> bool:
        """Return whether it still runs; a process that only waits to be reaped does not."""
        found = _stat(self.pid)
        return found is not None and found[0] not in "ZX" and found[2] == self.started


def _stat(pid: int) -> tuple[str, int, str] | None:
    """Return state, parent and start time, from Linux's /proc."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    words = text.rpartition(")")[2].split()
    return words[0], int(words[1]), words[19]


def children(pid: int) -> list[Process]:
    """Return the direct children, oldest first."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        stat = _stat(int(folder.name))
        if stat is not None and stat[1] == pid and stat[0] not in "ZX":
            found.append(Process(int(folder.name), stat[2]))
    return sorted(found, key=lambda child: (int(child.started), child.pid))


def tree(pid: int) -> list[Process]:
    """Return every process below this one."""
    below = children(pid)
    return below + [process for child in below for process in tree(child.pid)]


def started_with(variable: str) -> list[Process]:
    """Return every process with "NAME=value" in its environment, wherever it ended up."""
    found = []
    for file in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # it is gone, or not ours
            if variable.encode() in file.read_bytes().split(b"\0"):
                pid = int(file.parent.name)
                stat = _stat(pid)
                found += [Process(pid, stat[2])] if stat and stat[0] not in "ZX" else []
    return found


def connected_to(pid: int, port: int) -> bool:
    """Return whether a process has a connection to this port of 127.0.0.1."""
    try:
        table = Path(f"/proc/{pid}/net/tcp").read_text(encoding="ascii").splitlines()[1:]
        files = [str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:  # it has gone, or a file was closed meanwhile
        return False
    there = f"0100007F:{port:04X}"
    lines = [line.split() for line in table]
    return any(words[2:4] == [there, "01"] and f"socket:[{words[9]}]" in files for words in lines)


@dataclass
class Running:
    """A started command; its output, both streams, goes to `log`."""

    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def output(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def program(self, name: str) -> int:
        """Return the ID of `up`'s child "web" or "cluster", once it is there."""

        def find() -> int:
            for child in children(self.pid):
                with contextlib.suppress(OSError):
                    words = Path(f"/proc/{child.pid}/cmdline").read_bytes().split(b"\0")
                    if words[-2:-1] == [name.encode()]:
                        return child.pid
            return 0

        return int(until(find, what=f"{name} of {self.log}"))

    def terminate(self) -> int:
        """Send SIGTERM as systemd does; return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


@dataclass
class Installation:
    """An environment, a folder and a port."""

    folder: Path
    database: str
    bare: bool = False
    port: int = field(default_factory=free_port)
    env: dict[str, str] = field(default_factory=dict)
    running: list[Running] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self) -> dict[str, str]:
        """Return what every command gets; with `bare`, it must find the rest in its .env."""
        own = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "PYTHONUNBUFFERED": "1",
            "ADMIT_ENV_FILE": str(self.folder / ".env"),
            "DATABASE_URL": self.database,
            "SPOOL_DIR": str(self.folder / "spool"),
            "ERASED_FILE": str(self.folder / "erased.jsonl"),
            "BACKUP_DIR": str(self.folder / "backups"),
            "WEB_CONCURRENCY": "1",
            "BALLAST_MB": "0",
        }
        settings = {
            "SECRET_KEY": "only-for-live-tests-" + "x" * 40,
            "FIELD_ENCRYPTION_KEYS": ENCRYPTION_KEY,
            "PUBLIC_URL": self.address,
            "THINKIFIC_CALLS_PER_MINUTE": "0",
            "THINKIFIC_API_URL": "http://127.0.0.1:9/api/public/v1",
        }
        return own | ({} if self.bare else settings) | self.env

    def manage(self, *arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end."""
        return subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), *arguments],
            cwd=ROOT,
            env=self.environment() | env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE * 2,
            check=False,
        )

    def start(self, *arguments: str, **env: str) -> Running:
        """Start a command that keeps running; it ends with the installation at the latest."""
        log = self.folder / f"{arguments[0]}-{len(self.running)}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, str(ROOT / "manage.py"), *arguments],
                cwd=ROOT,
                env=self.environment() | env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                # A separate process group, so signals meant for the tests do not reach it.
                start_new_session=True,
            )
        self.running.append(Running(process, log))
        return self.running[-1]

    def up(self, *arguments: str, **env: str) -> Running:
        """Start `manage.py up` and wait until its web server and cluster work."""
        running = self.start("up", "--bind", f"127.0.0.1:{self.port}", *arguments, **env)
        try:
            if "--no-web" not in arguments:
                until(lambda: self.ready() or running.process.poll() is not None, what="/readyz")
            assert running.process.poll() is None
        except AssertionError as error:
            raise AssertionError(f"{error}\n{running.output()}") from None
        return running

    def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        """Return status and text; raises OSError when nothing answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.read().decode("utf-8", "replace")
        finally:
            connection.close()

    def ready(self) -> bool:
        """Return whether /readyz says that it is ready."""
        try:
            return self.request("GET", "/readyz")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def sell(
        self,
        email: str,
        *,
        order: int = 0,
        kind: str = "Order",
        product: int = 1048001,
        secret: str = "",
    ) -> int:
        """POST a sale as SamCart does; return the answer's status. Each person has one order."""
        body = {
            "type": kind,
            "customer": {"first_name": "Dana", "last_name": "Example", "email": email},
            "product": {"id": product, "name": f"Watercolor {product}", "price": "97.00"},
            "order": {"id": order or crc32(email.encode()), "total": "97.00"},
        }
        path = f"/hooks/samcart/{secret or HOOK_SECRET}/"
        kinds = {"Content-Type": "application/json"}
        return self.request("POST", path, json.dumps(body).encode(), kinds)[0]

    def end(self) -> None:
        """End everything, also orphans that a failed test left behind."""
        for running in self.running:
            if running.process.poll() is None:
                running.process.kill()
            running.process.wait()

        def kill_rest() -> bool:
            rest = started_with(f"ADMIT_ENV_FILE={self.folder / '.env'}")
            for process in rest:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
            return not rest

        until(kill_rest, what=f"the end of all processes of {self.folder}")

    def events(self, *arguments: str) -> list[dict[str, Any]]:
        """Return what `manage.py events --json` prints."""
        ended = self.manage("events", "--json", *arguments)
        assert ended.returncode == 0, ended.stderr
        return [json.loads(line) for line in ended.stdout.splitlines()]


@contextlib.contextmanager
def installation(
    folder: Path, *, seeded: bool = True, bare: bool = False, **env: str
) -> Iterator[Installation]:
    """An installation with its own SQLite database, filled like `python -m tests.support.live`."""
    file = folder / "live.sqlite3"
    if seeded:
        shutil.copy(prepared.file("seed", _seed, migrated_file()), file)
    admit = Installation(folder, f"sqlite:///{file}", bare=bare, env=env)
    try:
        yield admit
    finally:
        admit.end()


@contextlib.contextmanager
def on_server(folder: Path, server: str, **env: str) -> Iterator[Installation]:
    """The same, with a new database on the PostgreSQL server of the URL `server`."""
    name = f"live_{secrets.token_hex(6)}"
    seed = prepared.database("seed", _seed, server, migrated_database(server))
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {seed}")
    try:
        with installation(folder, seeded=False) as admit:
            admit.database, admit.env = prepared.on(server, name), env
            yield admit
    finally:
        prepared.drop(server, name)


@contextlib.contextmanager
def school() -> Iterator[tuple[Sandbox, School]]:
    """Serve the sample school on a free port."""
    with Sandbox() as sandbox:
        yield sandbox, add_sample_school(sandbox)


def has_access(place: School, email: str) -> bool:
    """Return whether the person is enrolled in the course of the seeded rules."""
    row = place.enrollment(email, COURSE)
    return row is not None and row.active


@contextlib.contextmanager
def working() -> Iterator[None]:
    """Do the worker's job in a thread of this process, for servers of this process."""
    from django.db import connections

    from events.deciding import inbox
    from events.execution import recovery
    from tests.support import queued

    stopping = threading.Event()

    def work() -> None:
        try:
            while not stopping.wait(0.02):
                inbox.process()
                recovery.revive()
                queued.drain()
        finally:
            connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(PATIENCE)


def migrated_file() -> Path:
    """Return an SQLite database after `migrate`, for copying."""
    return prepared.file("migrated", _migrate)


def migrated_database(server: str) -> str:
    """Return the name of a migrated database on the PostgreSQL server of this URL."""
    return prepared.database("migrated", _migrate, server)


def _migrate(database: str) -> None:
    with tempfile.TemporaryDirectory() as home:
        ended = Installation(Path(home), database).manage("migrate", "--verbosity", "0")
    assert ended.returncode == 0, ended.stderr


def _seed(database: str) -> None:
    with tempfile.TemporaryDirectory() as home:
        env = Installation(Path(home), database).environment()
        subprocess.run([sys.executable, "-m", "tests.support.live"], cwd=ROOT, env=env, check=True)


def _fill() -> None:
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    django.setup()
    from django.core.management import call_command
    from django.db import connections

    from integrations import credentials
    from integrations.models import Destination, Integration, Marketplace, Product
    from rules.actions import Action
    from rules.models import Rule, Scope
    from rules.triggers import Trigger

    call_command("migrate", verbosity=0)
    shop = Marketplace.objects.create(name="Main shop")
    credentials.add_webhook_secret(shop, HOOK_SECRET)
    site = Integration(name="Art Academy", site="acme")
    credentials.save(site, SAMPLE_KEY)
    course = Destination.objects.create(
        integration=site, kind="course", external_id=COURSE, name="Watercolor"
    )
    bundle = Destination.objects.create(
        integration=site, kind="bundle", external_id=BUNDLE, name="The Painter's Path"
    )
    path = Product.objects.create(marketplace=shop, external_id=BUNDLE_PRODUCT, name="Path")
    for trigger, verb in (
        (Trigger.PRODUCT_PURCHASED, "create"),
        (Trigger.PRODUCT_REFUNDED, "expire"),
        (Trigger.SUBSCRIPTION_CANCELED, "expire"),
    ):
        rule = {"marketplace": shop, "trigger": trigger, "integration": site}
        Rule.objects.create(
            **rule,
            scope=Scope.GLOBAL,
            action=Action(f"{verb}_course_enrollment"),
            destination=course,
        )
        Rule.objects.create(
            **rule,
            scope=Scope.PRODUCT,
            product=path,
            action=Action(f"{verb}_bundle_enrollment"),
            destination=bundle,
        )
    # The last connection to close moves the write-ahead log into the file, which is then copied.
    connections.close_all()


if __name__ == "__main__":
    _fill()
