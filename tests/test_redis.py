"""With REDIS_URL the wake-ups travel through Redis, and the rows stay the queue."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import live
from tests.postgres import free_port

SERVER = shutil.which("redis-server")


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[str]:
    """The address of a Redis server of this test's own."""
    if SERVER is None:
        assert not os.environ.get("CI"), "CI must have redis-server"
        pytest.skip("redis-server is not installed: apt-get install redis-server")
    port = free_port()
    server = subprocess.Popen(
        [SERVER, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)],
        stdout=subprocess.DEVNULL,
    )
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait()


def test_a_purchase_is_enrolled_with_wake_ups_through_redis(tmp_path, redis):
    with (
        live.school() as (sandbox, school),
        live.installation(tmp_path, THINKIFIC_API_URL=sandbox.url, REDIS_URL=redis) as admit,
    ):
        running = admit.up()
        assert admit.sell("dana@example.com") == 200
        live.until(lambda: live.has_access(school, "dana@example.com"), what=running.output())
        assert running.terminate() == 0
