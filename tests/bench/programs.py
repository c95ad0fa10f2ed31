"""The programs of a benchmark: on loopback, in one temporary folder, and ended by their IDs."""

import base64
import contextlib
import http.client
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg

from config.server import child
from tests.support.postgres import free_port

ROOT = Path(__file__).resolve().parents[2]
# What a program needs of the caller's environment; Admit's settings must not be passed on.
_KEPT = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "LD_LIBRARY_PATH")
Environment = Mapping[str, str]
NOTHING: Environment = MappingProxyType({})
START_SECONDS = 60.0
STOP_SECONDS = 90.0


class BenchError(Exception):
    """Something that a benchmark needs did not work; the text says what."""


@dataclass(frozen=True, slots=True)
class Bench:
    """Where a benchmark runs: a folder, its own keys, and PostgreSQL's URL if it is used."""

    folder: Path
    environment: dict[str, str]
    postgres: str = ""
    quick: bool = False

    @classmethod
    def at(cls, folder: Path, *, postgres: str, quick: bool) -> "Bench":
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ} | {
            "ADMIT_ENV_FILE": os.devnull,
            "SECRET_KEY": secrets.token_urlsafe(50),
            "FIELD_ENCRYPTION_KEYS": base64.urlsafe_b64encode(os.urandom(32)).decode(),
            "THINKIFIC_CALLS_PER_MINUTE": "0",
            "ENDINGS_AN_HOUR": "0",
            "DATABASE_URL": f"sqlite:///{folder}/none.sqlite3",
            "SPOOL_DIR": str(folder / "spool"),
        }
        return cls(folder, environment, postgres, quick)

    @property
    def vendor(self) -> str:
        return "postgresql" if self.postgres else "sqlite"

    def database(self, name: str) -> dict[str, str]:
        """Return the address of a database of that name; make it if it does not exist."""
        if not self.postgres:
            return {"DATABASE_URL": f"sqlite:///{self.folder}/{name}.sqlite3"}
        with psycopg.connect(self.postgres, autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
            if known.fetchone() is None:
                connection.execute(f'CREATE DATABASE "{name}"')
        return {"DATABASE_URL": urlunsplit(urlsplit(self.postgres)._replace(path=f"/{name}"))}

    def call(self, *words: str, env: Environment = NOTHING, patience: float = 300.0) -> str:
        """Run one of our modules to its end; return what it printed. Raises BenchError."""
        with self.running(*words, env=env, output=subprocess.PIPE) as process:
            out, _ = process.communicate(timeout=patience)
        if process.returncode != 0:
            raise BenchError(f"{words[0]} failed: {self.told(words[0])}")
        return str(out.decode())

    @contextlib.contextmanager
    def running(
        self,
        *words: str,
        env: Environment = NOTHING,
        output: int | None = None,
        keep: tuple[int, ...] = (),
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Run `python -m words...` until the block ends; it writes to a log in the folder."""
        with (self.folder / f"{words[0]}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *words],
                cwd=ROOT,
                env={**self.environment, **env},
                stdin=subprocess.DEVNULL,
                stdout=log if output is None else output,
                stderr=log,
                pass_fds=keep,
                # Ctrl-C in the terminal is for us; we end our programs in order.
                start_new_session=True,
            )
        try:
            yield process
        finally:
            end(process)

    @contextlib.contextmanager
    def up(self, *words: str, env: Environment, port: int = 0) -> Iterator[int]:
        """Run `manage.py up` until its web server, if any, answers; yield its process ID."""
        bind = ["--bind", f"127.0.0.1:{port}"] if port else ["--no-web"]
        with self.running("manage", "up", *bind, *words, env=env) as process:
            if port:
                self._await_answer(process, port, "/healthz")
            yield process.pid

    @contextlib.contextmanager
    def bare(self, port: int, *, env: Environment) -> Iterator[int]:
        """Run the floor's web server: the same program that `up` starts, with other settings."""
        ours, leash = os.pipe()
        env = {
            **env,
            child.LEASH: str(ours),
            child.BIND: f"127.0.0.1:{port}",
            "DJANGO_SETTINGS_MODULE": "tests.bench.bare_settings",
        }
        try:
            with self.running("config.server.child", "web", env=env, keep=(ours,)) as process:
                self._await_answer(process, port, "/")
                yield process.pid
        finally:
            os.close(ours)
            os.close(leash)

    @contextlib.contextmanager
    def sandbox(self) -> Iterator["School"]:
        """Run the stand-in for Thinkific as a separate process."""
        port = free_port()
        with self.running("manage", "sandbox", "--port", str(port)) as process:
            self._await_answer(process, port, "/_sandbox/switches")
            yield School(port)

    def told(self, program: str) -> str:
        """Return the last line that a program wrote."""
        lines = (self.folder / f"{program}.log").read_text(errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "it said nothing")

    def _await_answer(self, process: subprocess.Popen[bytes], port: int, path: str) -> None:
        until = time.monotonic() + START_SECONDS
        while process.poll() is None and time.monotonic() < until:
            try:
                ask(port, "GET", path)
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)
            else:
                return
        raise BenchError(f"A program did not start: {self.told(str(process.args[2]))}")  # type: ignore[index]


@dataclass(frozen=True, slots=True)
class School:
    """The running sandbox."""

    port: int

    @property
    def environment(self) -> dict[str, str]:
        return {"THINKIFIC_API_URL": f"http://127.0.0.1:{self.port}/api/public/v1"}

    @property
    def key(self) -> str:
        """The API key of its school."""
        schools = json.loads(ask(self.port, "GET", "/_sandbox/state"))["schools"]
        return str(schools[0]["key"])

    def calls(self, last: int = 0) -> list[dict[str, Any]]:
        """Return the calls it got, in order; `at` is in seconds of the monotonic clock."""
        few = f"?last={last}" if last else ""
        found: list[dict[str, Any]] = json.loads(ask(self.port, "GET", f"/_sandbox/calls{few}"))[
            "calls"
        ]
        return found

    def forget_calls(self) -> None:
        ask(self.port, "DELETE", "/_sandbox/calls")


def ask(port: int, method: str, path: str) -> bytes:
    """Make one request on a new connection; return the body of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path)
        return connection.getresponse().read()
    finally:
        connection.close()


def end(process: subprocess.Popen[bytes]) -> None:
    """End it politely, so that `up` ends its children itself; by force when that takes too long."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
    except BaseException:
        process.kill()
        raise
    finally:
        # End what it left behind in its session; the children of `up` also die with it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout:
            process.stdout.close()
