"""A worker stops in the middle of a write to SQLite, which allows only one writer."""

import os
import signal
import time

from config.sqlite import writer
from tests.faults.fault import Fault
from tests.faults.stage import Stage
from tests.support import live


def frozen_in_a_write(stage: Stage) -> float:
    """All others wait and SamCart's events go to the spool, until `up` ends that cluster."""
    running = stage.up()
    with stage.trading(every=0.1, sellers=4):
        workers = stage.pool(running).workers
        live.until(lambda: _frozen(stage, workers), what="a write to stop in")
        before = len(stage.sales)
        live.until(lambda: "cluster_silent" in running.output(), what="the end of the cluster")
        stage.mended()
        during = stage.sales[before:]
        refused = sum(not sale.acknowledged for sale in during)
        assert not refused, f"{refused} of {len(during)} were not acknowledged"
        stage.notes.append(f"{len(during)} acknowledged meanwhile")
        time.sleep(1)
    assert "delivery_spooled" in running.output(), "the database took everything"
    return stage.heal()


def _frozen(stage: Stage, workers: tuple[int, ...]) -> int:
    """Stop a worker that is writing at this moment; return its ID, 0 if none is."""
    database = stage.database.url.removeprefix("sqlite:///")
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
        if writer.of(database) == pid:
            return pid
        os.kill(pid, signal.SIGCONT)
    time.sleep(stage.dice.uniform(0.001, 0.01))
    return 0


FAULTS = [
    Fault(
        "frozen-in-a-write",
        "worker frozen in the middle of a write",
        frozen_in_a_write,
        only="SQLite",
    )
]
