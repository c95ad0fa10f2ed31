"""Writers of SQLite wait for each other no longer than needed, and not forever."""

import os
import signal
import sqlite3
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from django.db import OperationalError, connection, connections, transaction

from config.server import supervisor
from config.sqlite import connection as sqlite_connection
from config.sqlite import writer
from events.queue import wake_pipe
from integrations.models import Marketplace
from tests.support import queued

pytestmark = pytest.mark.skipif(connection.vendor != "sqlite", reason="about SQLite alone")


@contextmanager
def patient_for(seconds: float) -> Iterator[None]:
    """How long this thread's connection waits for other writers."""
    connection.ensure_connection()
    before, connection.connection.timeout = connection.connection.timeout, seconds
    try:
        yield
    finally:
        connection.connection.timeout = before


@contextmanager
def another_process_writes() -> Iterator[sqlite3.Connection]:
    """A connection that knows nothing of ours holds the write lock."""
    name = connection.settings_dict["NAME"]
    other = sqlite3.connect(name, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield other
    finally:
        other.close()


def _in_a_transaction(name: str) -> None:
    with transaction.atomic():
        Marketplace.objects.create(name=name)


def _alone(name: str) -> None:
    Marketplace.objects.filter(name="none").update(name=name)


def test_threads_write_one_after_the_other_and_none_is_refused(transactional_db):
    def write() -> None:
        for _ in range(20):
            with transaction.atomic():
                Marketplace.objects.create(name=f"{threading.get_ident()} {time.monotonic_ns()}")

    queued.at_once(*[write] * 8)
    assert Marketplace.objects.count() == 160


@pytest.mark.parametrize("whole", [True, False])
def test_a_writer_goes_on_as_soon_as_another_process_has_finished(transactional_db, whole):
    with another_process_writes() as other:
        soon = threading.Timer(0.2, lambda: other.execute("COMMIT"))
        soon.start()
        (_in_a_transaction if whole else _alone)("late")
        soon.join()


@pytest.mark.parametrize("whole", [True, False])
def test_a_writer_gives_up_after_its_patience(transactional_db, whole):
    write = _in_a_transaction if whole else _alone
    with another_process_writes(), patient_for(0.05), pytest.raises(OperationalError, match="lock"):
        write("late")
    # And nothing is left that would keep the next one waiting.
    with patient_for(0.0), transaction.atomic():
        Marketplace.objects.create(name="next")


def test_a_thread_gives_up_on_another_thread_after_its_patience(transactional_db):
    holding, enough = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            holding.set()
            enough.wait(10)
        connections.close_all()

    other = threading.Thread(target=hold)
    other.start()
    holding.wait(10)
    try:
        with patient_for(0.05), pytest.raises(OperationalError), transaction.atomic():
            pass
    finally:
        enough.set()
        other.join()
    with patient_for(0.0), transaction.atomic():
        pass


@pytest.mark.parametrize("end", ["rollback", "close"])
def test_the_turn_is_given_back_however_a_transaction_ends(transactional_db, end):
    def break_off() -> None:
        with transaction.atomic():
            if end == "close":
                connection.close()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        break_off()
    done = queued.at_once(lambda: Marketplace.objects.create(name="next").pk)
    assert done


def test_a_new_connection_waits_while_another_has_the_file_alone(tmp_path):
    # As the last process has that closes it, and the first one that opens it after a crash.
    file = str(tmp_path / "alone.sqlite3")
    alone = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    alone.execute("BEGIN EXCLUSIVE")
    soon = threading.Timer(0.2, alone.close)
    soon.start()
    with closing(sqlite_connection.Connection(file)) as new:
        assert new.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)
    soon.join()


def test_readers_wait_for_nobody(transactional_db):
    with another_process_writes(), patient_for(0.0):
        assert Marketplace.objects.count() == 0


def test_a_forked_process_is_not_kept_by_a_turn_of_its_parent(transactional_db):
    connection.close()
    with transaction.atomic():
        assert sqlite_connection._turns
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # newer Pythons warn of what is tested here
            child = os.fork()
        if child == 0:  # only what a fork may do: look, and leave without cleaning up
            os._exit(len(sqlite_connection._turns))
    assert os.waitpid(child, 0)[1] == 0


# A writer that hangs


linux = pytest.mark.skipif(not writer.LOCKS.exists(), reason="Linux lists who holds a lock")


@linux
def test_the_process_that_writes_is_known(transactional_db):
    Marketplace.objects.create(name="before")
    assert writer.process() == 0
    with another_process_writes():
        assert writer.process() == os.getpid()
    assert writer.process() == 0


class HangingCluster:
    """A cluster of which this process is one, until it has failed."""

    running_seconds = 0.0
    started = False

    def __init__(self, *_: object, **__: object) -> None:
        self.ended_for: list[str] = []
        self.is_over = threading.Event()

    def start(self, **_: str) -> None:
        self.started = True

    def may_start(self) -> bool:
        return not self.ended_for

    def alive(self) -> bool:
        return True

    def has(self, pid: int) -> bool:
        return pid == os.getpid()

    def failed(self, why: str) -> None:
        self.ended_for.append(why)
        self.started = False
        self.is_over.set()

    def ask_to_stop(self) -> None:
        pass

    def end(self, grace: float = 0.0) -> None:
        pass


@linux
@pytest.mark.parametrize(("hangs", "ended_for"), [(True, ["cluster_silent"]), (False, [])])
def test_a_cluster_that_hangs_in_the_middle_of_a_write_is_ended(
    transactional_db, settings, monkeypatch, tmp_path, hangs, ended_for
):
    settings.STORE_SECONDS = settings.HEARTBEAT_TIMEOUT = 0.2
    settings.SPOOL_DIR = tmp_path
    monkeypatch.setenv(wake_pipe.WRITE_END, "")
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(supervisor, "Program", HangingCluster)
    monkeypatch.setattr(supervisor, "TICK_SECONDS", 0.0)
    up = supervisor.Supervisor(listener=None, workers=1)
    cluster = up._cluster
    assert isinstance(cluster, HangingCluster)
    if not hangs:
        monkeypatch.setattr(cluster, "has", lambda pid: False)

    def stop() -> None:
        cluster.is_over.wait(20.0 if hangs else 1.0)
        up.stop()

    stopping = threading.Thread(target=stop)
    stopping.start()
    with another_process_writes():
        up.run()
    stopping.join()
    assert cluster.ended_for == ended_for
