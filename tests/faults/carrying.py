"""Faults while runs are carried out: a worker dies at the worst moments, or comes back late."""

import os
import signal
import time
from collections.abc import Callable
from functools import partial

from integrations.thinkific.sandbox import Fault as Answer
from tests.faults.fault import Fault
from tests.faults.stage import Stage
from tests.support import live

of_enrollment = partial(Answer, method="POST", path="^/enrollments$")


def before_the_call(stage: Stage) -> float:
    """The user exists and the enrollment waits for its slot, with its intent recorded."""
    pool = stage.pool(stage.up())
    _wait_for_a_slot(stage)
    for pid in pool.workers:
        os.kill(pid, signal.SIGKILL)
    assert [call.path for call in stage.sandbox.calls] == ["/users"]
    return _goes_on(stage)


def stopped_before_the_call(stage: Stage) -> float:
    """A machine stops right before a call, until another machine has made it."""
    return _stop_a_machine(
        stage, _wait_for_a_slot, woke="late call not made", ended="ended before its late call"
    )


def after_sending(stage: Stage) -> float:
    """The call was sent, and Thinkific never carries it out."""
    stage.sandbox.faults.add(of_enrollment("black_hole"))
    return _kill_the_caller(stage, "black_hole")


def before_the_answer(stage: Stage) -> float:
    """Thinkific has carried out the call, but its answer has not arrived."""
    stage.sandbox.faults.add(of_enrollment("black_hole", applied=True))
    return _kill_the_caller(stage, "black_hole")


def before_the_commit(stage: Stage) -> float:
    """The answer has arrived, but its result could not be written."""
    pool = stage.pool(stage.up())
    stage.sandbox.faults.add(of_enrollment("delay", delay=1.0, applied=True))
    stage.sell(4)
    live.until(lambda: stage.struck("delay"), what="the call")
    worker = stage.caller(pool)
    call = next(each for each in stage.sandbox.calls if each.done and not each.status)
    with stage.database.held("events_rulerun"):
        live.until(lambda: call.status, what="the answer")
        time.sleep(0.3)
        os.kill(worker, signal.SIGKILL)
    return _goes_on(stage)


def worker_stopped(stage: Stage) -> float:
    """A worker stops for longer than its lease, and goes on after another did its work."""
    pool = stage.pool(stage.up())
    _hold_one(stage)
    return _stand_still(stage, [stage.caller(pool)])


def machine_stopped(stage: Stage) -> float:
    """A whole machine stops for longer than its leases, and then goes on."""
    return _stop_a_machine(
        stage, _hold_one, woke="late write refused", ended="ended before its late write"
    )


def stopped_in_a_transaction(stage: Stage) -> float:
    """A machine stops in the middle of a write and keeps its locks."""
    stopped = stage.up("--no-web")
    stage.up("--no-worker")
    with stage.trading(every=0.1, sellers=4):
        stage.pool(stopped)
        processes = [stopped.pid, *(each.pid for each in live.tree(stopped.pid))]
        live.until(lambda: _stopped_writing(stage, processes), what="a write to stop in")
        stage.up("--no-web")
        stage.mended()
    return _woken(stage, processes)


def _stopped_writing(stage: Stage, processes: list[int]) -> bool:
    """Stop them; let them go on if none of them was in the middle of a write."""
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(0.3)
    writing = stage.database.number(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND state = 'idle in transaction' AND backend_xid IS NOT NULL"
        " AND state_change < clock_timestamp() - interval '0.25 s'"
    )
    if not writing:
        for pid in reversed(processes):
            os.kill(pid, signal.SIGCONT)
        time.sleep(stage.dice.uniform(0.01, 0.2))
    return writing > 0


def random_kills(stage: Stage) -> float:
    """Workers of two machines are killed at random while there is plenty to do."""
    machines = [stage.up(), stage.up("--no-web")]
    stage.sandbox.switches.latency = 0.05
    kills = 20 if stage.long else 4
    with stage.trading(every=0.1, sellers=4):
        for _ in range(kills):
            time.sleep(stage.dice.uniform(0.2, 1.5))
            machine = stage.dice.choice(machines)
            os.kill(stage.dice.choice(stage.pool(machine).workers), signal.SIGKILL)
        stage.mended()
    stage.notes.append(f"{kills} kills")
    return stage.heal()


def _kill_the_caller(stage: Stage, kind: str) -> float:
    pool = stage.pool(stage.up())
    stage.sell(4)
    live.until(lambda: stage.struck(kind), what="the call")
    os.kill(stage.caller(pool), signal.SIGKILL)
    return _goes_on(stage)


def _wait_for_a_slot(stage: Stage) -> None:
    """Sell one product; the user is made, the enrollment waits, and its intent is recorded."""
    stage.sell(1)
    live.until(lambda: any(call.status for call in stage.sandbox.calls), what="the first call")
    time.sleep(0.1)


def _goes_on(stage: Stage) -> float:
    """Check that unfinished work is finished, and that new work is done as well."""
    stage.mended()
    stage.trade(4)
    return stage.heal()


def _hold_one(stage: Stage) -> None:
    stage.sandbox.faults.add(of_enrollment("delay", delay=1.5, applied=True))
    stage.sell(1)
    live.until(lambda: stage.struck("delay"), what="the call")


def _stop_a_machine(
    stage: Stage, begin: Callable[[Stage], None], *, woke: str, ended: str
) -> float:
    """Stop a machine in the middle of what `begin` starts, until another machine has done it."""
    stopped = stage.up("--no-web")
    stage.up("--no-worker")
    begin(stage)
    stage.up("--no-web")
    seconds = _stand_still(stage, [stopped.pid, *(each.pid for each in live.tree(stopped.pid))])
    refused = "lease_lost" in stopped.output()  # On a busy machine it may finish before that.
    stage.notes.append(woke if refused else ended)
    return seconds


def _stand_still(stage: Stage, processes: list[int]) -> float:
    # On SQLite, a machine stopped in the middle of a write would block all other writers.
    with stage.database.held("events_rulerun"):
        for pid in processes:
            os.kill(pid, signal.SIGSTOP)
    stage.mended()
    return _woken(stage, processes)


def _woken(stage: Stage, processes: list[int]) -> float:
    """Let others do all the work, and then continue the stopped processes."""
    seconds = stage.heal()
    for pid in reversed(processes):
        os.kill(pid, signal.SIGCONT)
    time.sleep(2)
    stage.trade(4)
    stage.heal()
    return seconds


# With so few calls there is no burst: the second call waits three seconds for its slot.
FEW_SLOTS = {"THINKIFIC_CALLS_PER_MINUTE": "20", "LEASE_SECONDS": "30"}
FAULTS = [
    Fault("before-the-call", "worker killed before a call", before_the_call, env=FEW_SLOTS),
    Fault(
        "stopped-before-the-call",
        "machine stopped right before a call for longer than its lease, then continued",
        stopped_before_the_call,
        # Otherwise the watchdog would end the woken machine before it could call.
        env=FEW_SLOTS | {"HEARTBEAT_TIMEOUT": "120"},
    ),
    Fault("after-sending", "worker killed after sending a call", after_sending),
    Fault(
        "before-the-answer",
        "worker killed when the call was done, before its answer",
        before_the_answer,
        short=True,
    ),
    Fault(
        "before-the-commit",
        "worker killed after the answer, before the commit",
        before_the_commit,
        short=True,
    ),
    Fault("worker-stopped", "worker stopped for longer than its lease", worker_stopped),
    Fault(
        "machine-stopped",
        "machine stopped for longer than its leases, then continued",
        machine_stopped,
        # Otherwise the watchdog would end the woken machine before it could write.
        env={"HEARTBEAT_TIMEOUT": "60"},
        short=True,
    ),
    Fault(
        "stopped-in-a-transaction",
        "machine stopped in the middle of a write, then continued",
        stopped_in_a_transaction,
        env={"HEARTBEAT_TIMEOUT": "60"},
        only="PostgreSQL",
    ),
    Fault("workers-killed", "workers of two machines killed at random", random_kills),
]
