"""With REDIS_URL wake-ups travel through Redis, and the rows remain the queue."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import live, redis_server


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[str]:
    """The address of a Redis server of this test's own."""
    if redis_server.SERVER is None:
        assert not os.environ.get("CI"), "CI must have redis-server"
        pytest.skip("redis-server is not installed: apt-get install redis-server")
    with redis_server.running(tmp_path) as address:
        yield address


def test_a_purchase_is_enrolled_with_wake_ups_through_redis(tmp_path, redis):
    with (
        live.school() as (sandbox, school),
        live.installation(tmp_path, THINKIFIC_API_URL=sandbox.url, REDIS_URL=redis) as admit,
    ):
        running = admit.up()
        assert admit.sell("dana@example.com") == 200
        live.until(lambda: live.has_access(school, "dana@example.com"), what=running.output())
        assert running.terminate() == 0
