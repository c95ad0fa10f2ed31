"""Log lines that strangers can cause at will are counted, and written once a minute."""

import pytest

from events.receiving import grouped_log
from events.receiving.grouped_log import GroupedLog


def test_the_first_is_told_at_once_and_the_rest_together_a_minute_later(monkeypatch):
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    monkeypatch.setattr(grouped_log, "EVERY_SECONDS", 60.0)
    told: list[int] = []
    unknown = GroupedLog(told.append)
    for _ in range(600):
        unknown.add()
    assert told == [1]
    now += 59
    grouped_log.flush_all()
    assert told == [1]
    now += 1
    grouped_log.flush_all()
    assert told == [1, 599]
    now += 600
    grouped_log.flush_all()
    assert told == [1, 599]
    unknown.add()
    assert told == [1, 599, 1]
    unknown.add()
    grouped_log.flush_all(at_once=True)
    assert told == [1, 599, 1, 1]


@pytest.fixture(autouse=True)
def _forgotten():
    before = len(grouped_log._all)
    yield
    del grouped_log._all[before:]
