"""The bell that tells the cluster to look for a wake-up, and the looks without it."""

import os
from collections.abc import Iterator

import pytest
from django.db import transaction
from django_q.models import OrmQ

from events.queue import wake, wake_pipe
from events.queue.broker import Broker


@pytest.fixture
def hung(monkeypatch) -> Iterator[tuple[int, int]]:
    """A bell, as `up` gives it to its programs; whoever waits in vain waits for no time."""
    heard, rung = wake_pipe.hang()
    monkeypatch.setenv(wake_pipe.HEARD, str(heard))
    monkeypatch.setenv(wake_pipe.RUNG, str(rung))
    monkeypatch.setattr(wake_pipe, "LISTENING_SECONDS", 0.0)
    yield heard, rung
    for end in (heard, rung):
        os.close(end)


def test_a_ring_is_heard_once_and_waits_for_the_listener(hung):
    wake_pipe.ring()
    wake_pipe.ring()
    assert wake_pipe.listen()
    assert not wake_pipe.listen()


def test_a_bell_that_nobody_hears_disturbs_nobody(hung):
    for _ in range(70_000):  # more than a pipe holds
        wake_pipe.ring()
    assert wake_pipe.listen()


def test_a_bell_whose_cluster_has_ended_disturbs_nobody(monkeypatch):
    heard, rung = wake_pipe.hang()
    monkeypatch.setenv(wake_pipe.RUNG, str(rung))
    os.close(heard)
    wake_pipe.ring()
    os.close(rung)
    wake_pipe.ring()


def test_a_bell_that_nobody_can_ring_any_more_does_not_keep_the_cluster_spinning(monkeypatch):
    heard, rung = wake_pipe.hang()
    monkeypatch.setenv(wake_pipe.HEARD, str(heard))
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    os.close(rung)
    assert not wake_pipe.listen()
    assert slept == [wake_pipe.DEAF_SECONDS]
    os.close(heard)


def test_without_a_bell_the_cluster_looks_often(monkeypatch):
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    wake_pipe.ring()
    assert not wake_pipe.listen()
    assert slept == [wake_pipe.DEAF_SECONDS]


def test_a_wake_up_rings_when_it_is_committed_and_not_before(hung, transactional_db):
    with transaction.atomic():
        wake.wake()
        assert not wake_pipe.listen()
    assert wake_pipe.listen()


def test_a_wake_up_that_is_undone_does_not_ring(hung, transactional_db):
    with transaction.atomic():
        wake.wake()
        transaction.set_rollback(True)
    assert not wake_pipe.listen()


def test_a_wake_up_that_was_taken_is_gone_and_comes_to_no_other_cluster(hung, transactional_db):
    wake.wake()
    taken = Broker("admit").dequeue()
    assert taken is not None
    (task,) = taken
    assert not OrmQ.objects.exists()
    assert not Broker("admit").dequeue()
    Broker("admit").acknowledge(task[0])  # as the monitor does, if it lives


def test_the_broker_looks_first_and_listens_only_when_it_finds_nothing(hung, transactional_db):
    broker = Broker("admit")
    wake.wake()
    assert broker.dequeue()
    assert wake_pipe.listen()  # the ring is still there: the next look comes at once
    assert not broker.dequeue()
