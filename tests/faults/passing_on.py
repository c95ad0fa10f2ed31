"""Faults while messages are posted: each sale reaches the receiver, under one ID."""

import os
import signal
import time

from tests.faults.fault import Fault
from tests.faults.stage import Stage
from tests.support import live
from tests.support import receiver as receivers
from tests.support.receiver import Behavior
from tests.support.wire import Peer


def worker_killed(stage: Stage) -> float:
    """The receiver has the message, and the worker dies before the answer."""
    receiver = stage.open_receiver()
    receiver.behavior = receivers.silent
    pool = stage.pool(stage.up())
    stage.sell(4)

    def posting() -> int:
        return next((pid for pid in pool.workers if live.connected_to(pid, receiver.port)), 0)

    worker = int(live.until(lambda: receiver.requests and posting(), what="a message"))
    os.kill(worker, signal.SIGKILL)
    receiver.behavior = receivers.healthy
    healed = _goes_on(stage)
    ids = receiver.verified()
    assert len(ids) > len(set(ids)), "no message was sent again"
    return healed


def answers_lost(stage: Stage) -> float:
    """The receiver takes the first messages and breaks off before its answer."""
    receiver = stage.open_receiver()
    receiver.behavior = _ill_at_first(2, receivers.sends(b""))
    stage.up()
    stage.sell(4)
    live.until(lambda: len(receiver.requests) >= 2, what="the messages")
    return _goes_on(stage)


def random_kills(stage: Stage) -> float:
    """Workers of two machines are killed at random, and every other answer is an error."""
    receiver = stage.open_receiver()
    machines = [stage.up(), stage.up("--no-web")]
    receiver.behavior = _every_other(receivers.answers(500), receivers.healthy)
    kills = 12 if stage.long else 3
    with stage.trading(every=0.2, sellers=3):
        for _ in range(kills):
            time.sleep(stage.dice.uniform(0.2, 1.5))
            machine = stage.dice.choice(machines)
            os.kill(stage.dice.choice(stage.pool(machine).workers), signal.SIGKILL)
        stage.mended()
    receiver.behavior = receivers.healthy
    stage.notes.append(f"{kills} kills")
    return stage.heal()


def _goes_on(stage: Stage) -> float:
    """Check that unfinished work is finished, and that new work is done as well."""
    stage.mended()
    stage.trade(4)
    return stage.heal()


def _ill_at_first(times: int, ill: Behavior) -> Behavior:
    left = [ill] * times

    def behave(peer: Peer) -> None:
        (left.pop() if left else receivers.healthy)(peer)

    return behave


def _every_other(one: Behavior, other: Behavior) -> Behavior:
    both = [one, other]

    def behave(peer: Peer) -> None:
        both.reverse()
        both[0](peer)

    return behave


FAULTS = (
    Fault(
        "message-worker-killed",
        "a worker killed between a message and its answer",
        worker_killed,
        short=True,
    ),
    Fault(
        "message-answers-lost",
        "a receiver takes messages and breaks off before it answers",
        answers_lost,
    ),
    Fault(
        "message-random-kills",
        "workers killed at random, while a receiver fails every other time",
        random_kills,
    ),
)
