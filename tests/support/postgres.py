"""A temporary PostgreSQL server for one command.

    python -m tests.support.postgres run -- python -m pytest

The command finds the server's address in DATABASE_URL. The cluster lives in a temporary folder,
listens on 127.0.0.1 only, and is stopped and removed however the command ends; our exit code is
the command's. Without PostgreSQL on this machine the command is skipped with a clear message and
exit code 0, or with CI=true refused with exit code 1.
"""

import argparse
import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import psycopg

NAME = "admit"
START_SECONDS = 30
STOP_SECONDS = 15
# Where the packages of Debian, Fedora and Homebrew (both processors) put the server's programs.
FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
)
HOW_TO_INSTALL = (
    "Install it with `sudo apt-get install postgresql` (Debian, Ubuntu) or "
    "`brew install postgresql` (macOS)."
)
# The data is thrown away, so nothing waits for the disk.
OPTIONS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "timezone": "UTC",
}


class StartError(Exception):
    """PostgreSQL is here but could not be started; the text says why."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The user that the server runs as: IDs for subprocess, None for our own user."""

    user: int | None = None
    group: int | None = None


def binaries() -> Path | None:
    """Return the folder that holds initdb and postgres: on PATH, else the newest of FOLDERS."""
    folders = [Path(found).parent for found in [shutil.which("initdb")] if found]
    for pattern in FOLDERS:
        matches = Path("/").glob(pattern.removeprefix("/"))
        folders += sorted(matches, key=version, reverse=True)
    for folder in folders:
        if all(os.access(folder / name, os.X_OK) for name in ("initdb", "postgres")):
            return folder
    return None


def version(folder: Path) -> tuple[int, ...]:
    """Return the numbers in a folder's name, so that 15 sorts after 9."""
    digits = "".join(letter if letter.isdigit() else " " for letter in str(folder))
    return tuple(int(word) for word in digits.split())


def owner() -> Owner:
    """Return the user to run as. PostgreSQL refuses root: then its own user, else nobody."""
    if os.geteuid() != 0:
        return Owner()
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Owner(user=entry.pw_uid, group=entry.pw_gid)
    raise StartError("PostgreSQL refuses to run as root, and there is no user postgres or nobody.")


@dataclass
class Server:
    """A server with an empty database, which a test may kill and start again."""

    folder: Path
    home: Path
    who: Owner
    password: str
    options: dict[str, str]
    port: int
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def address(self) -> str:
        return f"postgres://{NAME}:{self.password}@127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.address}/{NAME}"

    def start(self) -> None:
        """Return once the server accepts connections. Raises StartError."""
        given = {**self.options, "port": str(self.port), "unix_socket_directories": str(self.home)}
        words = [word for name, value in given.items() for word in ("-c", f"{name}={value}")]
        command = [str(self.folder / "postgres"), "-D", str(self.home / "data"), *words]
        self.process = begin(command, home=self.home, who=self.who)
        await_start(self.process, f"{self.address}/postgres", home=self.home)

    def kill(self) -> None:
        """Stop the server at once, without a shutdown; the next start recovers from its log."""
        assert self.process is not None
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(STOP_SECONDS)


@contextlib.contextmanager
def server(folder: Path, *, where: Path | None = None, **options: str) -> Iterator[Server]:
    """Run a server with these settings besides OPTIONS; `where` may name a folder for its data.

    Raises StartError when it cannot be made or started.
    """
    who = owner()
    home = Path(tempfile.mkdtemp(prefix="admit-pg-", dir=where))
    try:
        give(home, who)
        password = secrets.token_hex(16)
        create(folder, home, who, password=password)
        running = Server(folder, home, who, password, OPTIONS | options, free_port())
        try:
            running.start()
            with psycopg.connect(f"{running.address}/postgres", autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {NAME}")
            yield running
        finally:
            if running.process is not None:
                stop(running.process)
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """Run a server; yield the URL of its empty database. Raises StartError."""
    with server(folder) as running:
        yield running.url


def create(folder: Path, home: Path, who: Owner, *, password: str) -> None:
    """Fill `home` with a cluster; its only user is `admit`."""
    secret = home / "password"
    secret.write_text(password, encoding="ascii")
    give(secret, who)
    # Sort by bytes, as SQLite does, but let upper and lower know letters beyond ASCII.
    letters = "C.UTF-8" if sys.platform == "linux" else "en_US.UTF-8"
    command = [
        str(folder / "initdb"),
        f"--pgdata={home / 'data'}",
        f"--username={NAME}",
        f"--pwfile={secret}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        f"--lc-ctype={letters}",
        "--no-sync",
    ]
    with program(command, home=home, who=who) as process:
        if process.wait() != 0:
            raise StartError(f"initdb failed:\n{told(home)}")


@contextlib.contextmanager
def program(command: list[str], *, home: Path, who: Owner) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program of PostgreSQL until the block ends; it writes to the log in `home`."""
    process = begin(command, home=home, who=who)
    try:
        yield process
    finally:
        stop(process)


def begin(command: list[str], *, home: Path, who: Owner) -> "subprocess.Popen[bytes]":
    """Start a program of PostgreSQL; it writes to the log in `home`."""
    with (home / "log").open("ab") as log:
        return subprocess.Popen(
            command,
            cwd=home,
            user=who.user,
            group=who.group,
            extra_groups=None if who.group is None else [],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # Ctrl-C in the terminal is meant for the command; the server outlives it by a moment.
            start_new_session=True,
        )


def give(path: Path, who: Owner) -> None:
    """Make the server's user the owner, because the server reads and writes nothing else."""
    if who.user is not None and who.group is not None:
        os.chown(path, who.user, who.group)


def told(home: Path) -> str:
    """Return what PostgreSQL's programs have written so far."""
    return (home / "log").read_text(encoding="utf-8", errors="replace")


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def await_start(process: subprocess.Popen[bytes], url: str, *, home: Path) -> None:
    """Return once the server accepts connections; raises StartError with the log after too long."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with psycopg.connect(url, connect_timeout=5):
                return
        except psycopg.OperationalError:
            time.sleep(0.1)
    raise StartError(f"the server did not start:\n{told(home)}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the server: first politely, so that it closes its connections, then by force."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        if process.poll() is not None:
            return
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)


def run(command: list[str], url: str) -> int:
    """Run the command with DATABASE_URL set; return its exit code, or 128 + n after signal n."""
    try:
        process = subprocess.Popen(command, env={**os.environ, "DATABASE_URL": url})
    except OSError as error:
        raise StartError(f"{command[0]} could not be started: {error.strerror}.") from error
    try:
        code = process.wait()
    except KeyboardInterrupt:
        # A second Ctrl-C must not interrupt the cleanup. The terminal sent the first one to the
        # command too, which now writes its last lines.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        code = 128 + signal.SIGINT
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    return code if code >= 0 else 128 - code


def leave(number: int, _frame: FrameType | None) -> None:
    """Turn the first signal into an orderly end; a second one must not interrupt the cleanup."""
    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(128 + number)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.postgres",
        description="Runs a command with a PostgreSQL of its own in DATABASE_URL.",
        epilog="Example: python -m tests.support.postgres run -- python -m pytest",
    )
    parser.add_argument("verb", choices=["run"])
    parser.add_argument("command", nargs="+", metavar="COMMAND", help="after --, with its options")
    command = parser.parse_args().command
    folder = binaries()
    if folder is None and os.environ.get("CI") == "true":
        print(f"PostgreSQL is missing, and CI must not skip it. {HOW_TO_INSTALL}", file=sys.stderr)
        return 1
    if folder is None:
        line = "=" * 72
        print(f"{line}\nPostgreSQL tests SKIPPED: no PostgreSQL here. {HOW_TO_INSTALL}\n{line}")
        return 0
    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, leave)
    try:
        with cluster(folder) as url:
            return run(command, url)
    except StartError as error:
        print(f"PostgreSQL for the tests: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
