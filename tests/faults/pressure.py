"""What other programs do to PostgreSQL; a public benchmark of queues has these faults.

Each line shows how many sales a second were acknowledged, and how many actions finished.
"""

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import psycopg

from tests.faults.fault import Fault
from tests.faults.stage import Stage

KILLS_PER_SECOND = 4
READERS = 4
TABLES = ("events_delivery", "events_eventlog", "events_rulerun", "events_grant", "django_q_ormq")


def backends_killed(stage: Stage) -> float:
    """The server ends one connection after the other, whoever holds it."""
    running = stage.up()
    with stage.trading(every=0.2, sellers=4):
        _measure(stage, "before", 5)
        with _killing(stage):
            _measure(stage, "meanwhile", 20 if stage.long else 5)
        stage.mended()
        _measure(stage, "after", 5)
    _all_were_taken(stage)
    assert running.process.poll() is None, running.output()
    return stage.heal()


def connections_used_up(stage: Stage) -> float:
    """Others hold every connection of the server, and Admit loses its own."""
    running = stage.up()
    with stage.trading(every=0.2, sellers=4):
        _measure(stage, "before", 5)
        with _holding_every_connection(stage):
            time.sleep(20 if stage.long else 3)
        stage.mended()
        _measure(stage, "after", 5)
    _all_were_taken(stage)
    assert "delivery_spooled" in running.output(), "the database took everything"
    return stage.heal()


def idle_transaction(stage: Stage) -> float:
    """A transaction that never ends keeps old rows alive, and locks a table that is not ours."""
    return _all_the_time(stage, _idle_in_transaction)


def long_readers(stage: Stage) -> float:
    """Four programs read all tables again and again, each in one transaction that never ends."""
    return _all_the_time(stage, _reading)


def _all_the_time(stage: Stage, harm: Callable[[Stage], AbstractContextManager[None]]) -> float:
    """Do the harm from before the start until all work is done."""
    with harm(stage):
        stage.up()
        with stage.trading(every=0.2, sellers=4):
            _measure(stage, "in the first 10 s", 10)
            time.sleep(20 if stage.long else 0)
            _measure(stage, "in the last 10 s", 10)
        stage.mended()
        seconds = stage.heal()
    _all_were_taken(stage)
    return seconds


def _measure(stage: Stage, when: str, seconds: float) -> None:
    """Record what each second of this time achieved."""
    began, sold, done = time.monotonic(), len(stage.sales), _done(stage)
    time.sleep(seconds)
    done = _done(stage) - done
    taken = sum(sale.acknowledged for sale in stage.sales[sold:])
    took = time.monotonic() - began
    stage.notes.append(f"{when} {taken / took:.0f} sales/s, {done / took:.0f} actions/s")


def _done(stage: Stage) -> int:
    """Return how many actions are finished. The server may end this connection too."""
    for _ in range(50):
        with contextlib.suppress(psycopg.OperationalError):
            return stage.database.number(
                "SELECT count(*) FROM events_rulerun WHERE status IN ('done', 'skipped')"
            )
        time.sleep(0.1)
    raise AssertionError("PostgreSQL does not answer")


def _all_were_taken(stage: Stage) -> None:
    refused = sum(not sale.acknowledged for sale in stage.sales)
    assert not refused, f"{refused} of {len(stage.sales)} were refused"


@contextlib.contextmanager
def _killing(stage: Stage) -> Iterator[None]:
    over = threading.Event()
    ended = 0

    def kill() -> None:
        nonlocal ended
        # Connect to another database, so that it does not end its own connection.
        with _connected(stage, "postgres") as connection:
            while not over.wait(1 / KILLS_PER_SECOND):
                ended += len(_end_connections(stage, connection, "ORDER BY random() LIMIT 1"))

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert ended, "no connection was ended"
    stage.notes.append(f"{ended} connections ended")


@contextlib.contextmanager
def _holding_every_connection(stage: Stage) -> Iterator[None]:
    with contextlib.ExitStack() as held:
        first = held.enter_context(_connected(stage, "postgres"))
        others = _take_all(stage, held)
        for _ in range(5):  # A connection that Admit got in between is ended at the next look.
            _end_connections(stage, first, "")
            others += _take_all(stage, held)
        stage.notes.append(f"{others} connections of others")
        yield


def _take_all(stage: Stage, held: contextlib.ExitStack) -> int:
    """Take connections until the server has none left; return their number."""
    taken = 0
    with contextlib.suppress(psycopg.OperationalError):
        while True:
            held.enter_context(_connected(stage, "postgres"))
            taken += 1
    return taken


def _end_connections(
    stage: Stage, connection: "psycopg.Connection[tuple[object, ...]]", which: str
) -> list[tuple[object, ...]]:
    """End connections to the stage's database, as an administrator does."""
    name = stage.database.url.rpartition("/")[2]
    return connection.execute(
        "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity"  # noqa: S608
        f" WHERE datname = '{name}' {which}) AS chosen"
    ).fetchall()


@contextlib.contextmanager
def _idle_in_transaction(stage: Stage) -> Iterator[None]:
    with _connected(stage) as connection:
        table = f"of_others_{secrets.token_hex(4)}"
        connection.execute(f"CREATE TABLE {table} (number integer)")
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT count(*) FROM events_delivery")
        connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        connection.execute(f"INSERT INTO {table} VALUES (1)")  # noqa: S608
        yield
        connection.execute("ROLLBACK")
        connection.execute(f"DROP TABLE {table}")


@contextlib.contextmanager
def _reading(stage: Stage) -> Iterator[None]:
    over = threading.Event()
    read: list[int] = []

    def go_on() -> None:
        with _connected(stage) as connection:
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            times = 0
            while not over.wait(0.05):
                for table in TABLES:
                    connection.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608
                times += 1
            read.append(times)

    threads = [threading.Thread(target=go_on) for _ in range(READERS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert len(read) == READERS, "a reader failed"


def _connected(
    stage: Stage, database: str = ""
) -> "AbstractContextManager[psycopg.Connection[tuple[object, ...]]]":
    """Open another program's connection, to the stage's database or another one of its server."""
    url = stage.database.url
    address = f"{url.rpartition('/')[0]}/{database}" if database else url
    return contextlib.closing(psycopg.connect(address, autocommit=True, connect_timeout=5))


FAULTS = [
    Fault(
        "backends-killed",
        f"{KILLS_PER_SECOND} connections a second ended by the server for 20 s",
        backends_killed,
        only="PostgreSQL",
    ),
    Fault(
        "connections-used-up",
        "every connection of the server held by others for 20 s",
        connections_used_up,
        only="PostgreSQL",
    ),
    Fault(
        "idle-transaction",
        "a transaction of others idle all the time, with a lock of its own",
        idle_transaction,
        only="PostgreSQL",
    ),
    Fault("long-readers", "four long readers all the time", long_readers, only="PostgreSQL"),
]
