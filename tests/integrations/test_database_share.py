"""After a transaction, SQLite is left to others for some time, and a server is not."""

import time

import pytest
from django.db import connection

from integrations.database.database_share import LEAVE_TIMES, short_transaction, time_for_others

pytestmark = pytest.mark.each_database
TOOK = 2.0


@pytest.fixture(autouse=True)
def clock(db, monkeypatch) -> None:
    """Each look at the clock is two seconds after the last one."""
    times = iter(range(0, 100, int(TOOK)))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(times)))


def on(*, sqlite: float, server: float) -> float:
    return sqlite if connection.vendor == "sqlite" else server


@pytest.mark.parametrize("times", [1, LEAVE_TIMES])
def test_others_may_write_for_as_many_times_as_was_written(times):
    assert time_for_others(time.monotonic(), times=times) == on(sqlite=times * TOOK, server=0.0)
    left: list[float] = []
    with short_transaction(times=times, leave=left.append) as began:
        assert connection.in_atomic_block
        assert began >= 0
        assert left == []
    assert sum(left) == on(sqlite=times * TOOK, server=0.0)


def test_a_server_may_be_spared_the_load():
    left: list[float] = []
    with short_transaction(spares_server=True, leave=left.append):
        pass
    assert left == [on(sqlite=LEAVE_TIMES * TOOK, server=TOOK)]


def test_after_a_failure_nothing_is_waited_for():
    left: list[float] = []
    with pytest.raises(ValueError, match="no"), short_transaction(leave=left.append):
        raise ValueError("no")
    assert left == []
