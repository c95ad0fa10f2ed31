"""A Redis server of its own for a test: made, used and ended."""

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
    """The address of a server on loopback that keeps nothing. Raises OSError without Redis."""
    port = free_port()
    command = [SERVER or "redis-server", "--port", str(port), "--bind", "127.0.0.1"]
    command += ["--save", "", "--dir", os.fspath(folder)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait()
