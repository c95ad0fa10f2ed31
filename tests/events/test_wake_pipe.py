"""The pipe that makes the cluster look for a wake-up, and how it works without one."""

import os
from collections.abc import Iterator

import pytest
from django.db import transaction
from django_q.models import OrmQ

from events.queue import wake, wake_pipe
from events.queue.broker import Broker


@pytest.fixture
def pipe(monkeypatch) -> Iterator[tuple[int, int]]:
    """A pipe as `up` gives it to its programs. An empty one is not waited for."""
    read_end, write_end = wake_pipe.create()
    monkeypatch.setenv(wake_pipe.READ_END, str(read_end))
    monkeypatch.setenv(wake_pipe.WRITE_END, str(write_end))
    monkeypatch.setattr(wake_pipe, "WITH_PIPE_SECONDS", 0.0)
    yield read_end, write_end
    for end in (read_end, write_end):
        os.close(end)


def test_two_notifications_are_taken_as_one_and_wait_for_the_reader(pipe):
    wake_pipe.notify()
    wake_pipe.notify()
    assert wake_pipe.wait()
    assert not wake_pipe.wait()


def test_a_full_pipe_blocks_no_writer(pipe):
    for _ in range(70_000):  # more than a pipe holds
        wake_pipe.notify()
    assert wake_pipe.wait()


def test_a_pipe_whose_cluster_has_ended_raises_nothing(monkeypatch):
    read_end, write_end = wake_pipe.create()
    monkeypatch.setenv(wake_pipe.WRITE_END, str(write_end))
    os.close(read_end)
    wake_pipe.notify()
    os.close(write_end)
    wake_pipe.notify()


def test_a_pipe_without_a_writer_does_not_keep_the_cluster_spinning(monkeypatch):
    read_end, write_end = wake_pipe.create()
    monkeypatch.setenv(wake_pipe.READ_END, str(read_end))
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    os.close(write_end)
    assert not wake_pipe.wait()
    assert slept == [wake_pipe.WITHOUT_PIPE_SECONDS]
    os.close(read_end)


def test_without_a_pipe_the_cluster_looks_often(monkeypatch):
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    wake_pipe.notify()
    assert not wake_pipe.wait()
    assert slept == [wake_pipe.WITHOUT_PIPE_SECONDS]


def test_a_wake_up_notifies_when_it_is_committed_and_not_before(pipe, transactional_db):
    with transaction.atomic():
        wake.wake()
        assert not wake_pipe.wait()
    assert wake_pipe.wait()


def test_a_wake_up_that_is_rolled_back_does_not_notify(pipe, transactional_db):
    with transaction.atomic():
        wake.wake()
        transaction.set_rollback(True)
    assert not wake_pipe.wait()


def test_a_wake_up_that_was_taken_is_gone_and_comes_to_no_other_cluster(pipe, transactional_db):
    wake.wake()
    taken = Broker("admit").dequeue()
    assert taken is not None
    (task,) = taken
    assert not OrmQ.objects.exists()
    assert not Broker("admit").dequeue()
    Broker("admit").acknowledge(task[0])  # as the monitor does, if it lives


def test_the_broker_looks_first_and_waits_only_when_it_finds_nothing(pipe, transactional_db):
    broker = Broker("admit")
    wake.wake()
    assert broker.dequeue()
    assert wake_pipe.wait()  # nobody took the notification: the next look comes at once
    assert not broker.dequeue()
