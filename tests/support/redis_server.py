"""A temporary Redis server for a test."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.postgres import free_port

SERVER = shutil.which("redis-server")


@contextlib.contextmanager
def running(folder: Path) -> Iterator[str]:
    """Run a server on loopback that stores nothing; yield its URL. Raises OSError without Redis."""
    port = free_port()
    command = [SERVER or "redis-server", "--port", str(port), "--bind", "127.0.0.1"]
    command += ["--save", "", "--dir", os.fspath(folder)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait()
