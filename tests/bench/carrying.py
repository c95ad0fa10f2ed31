"""How many runs per second are carried out, against bare calls with and without commits."""

import contextlib
import json
import subprocess
import time
from statistics import mean, median
from typing import Any

from tests.bench.figures import Figure, compare
from tests.bench.programs import Bench, BenchError, School

# Commits of one run: before each of its two calls, at its end, and its share in those of the inbox
# and of the claim, which serve several runs each. Counted: 3.4 on PostgreSQL; on SQLite, where
# threads share them, 2.4 on a slow disk and 2.8 without one.
COMMITS = 3
CALLS = 2
SHARE = 0.5
PER_SECOND = 150
WORKERS = 1  # The default of WORKER_PROCESSES.
GIVE_UP_SECONDS = 120.0


def measure(bench: Bench, school: School) -> list[Figure]:
    """Measure new buyers of one course, who all wait when the worker starts."""
    rounds, count, seconds = (1, 200, 1.0) if bench.quick else (3, 1000, 2.0)
    subject, bare, floor, calls = [], [], [], []
    empty = bench.database("bare_calls") | school.environment | {"BENCH_KEY": school.key}
    bench.call("tests.bench.bare_table", env=empty)
    numbers = iter(range(10_000_000, 1_000_000_000, 1_000_000))

    def floors() -> tuple[float, float]:
        return (
            pairs(bench, empty, next(numbers), seconds, commits=0),
            pairs(bench, empty, next(numbers), seconds, commits=COMMITS),
        )

    for turn in range(rounds):
        # A drain takes long, and the machine may change meanwhile: measure floors on both sides.
        before = floors()
        per_second, per_run = drain(bench, f"drain{turn}", count)
        after = floors()
        subject.append(per_second)
        calls.append(per_run)
        bare.append(mean((before[0], after[0])))
        floor.append(mean((before[1], after[1])))
    return [
        compare("runs/s, floor: two calls", subject, bare),
        compare(f"runs/s, floor: two calls and {COMMITS} commits", subject, floor, at_least=SHARE),
        Figure(
            "runs/s in itself",
            f"{median(subject):,.0f}",
            target=f"at least {PER_SECOND}",
            met=median(subject) >= PER_SECOND,
        ),
        Figure(
            "calls per run for a new buyer",
            f"{median(calls):.3f}",
            f"{CALLS}",
            target=f"{CALLS}",
            met=round(median(calls), 3) == CALLS,
        ),
    ]


def drain(bench: Bench, name: str, count: int, first: int = 0) -> tuple[float, float]:
    """Return runs per second from the first to the last call, and calls per run.

    `first` is the number of the first buyer, who must be new to the database of this name.
    """
    with bench.sandbox() as school:
        database = bench.database(name) | school.environment
        bench.call("tests.bench.scene", str(count), str(first), env=database)
        school.forget_calls()
        with bench.up(env=database):
            calls = _await_calls(school, count * CALLS)
    enrolled = sum(1 for c in calls if (c["method"], c["path"]) == ("POST", "/enrollments"))
    if enrolled != count or any(call["status"] != 201 for call in calls):
        raise BenchError(f"{enrolled} of {count} purchases were carried out.")
    return count / (calls[-1]["at"] - calls[0]["at"]), len(calls) / count


def _await_calls(school: School, expected: int) -> list[dict[str, Any]]:
    """Return all calls once enough have come and no more follow. Each look costs time."""
    until = time.monotonic() + GIVE_UP_SECONDS
    last = 0.0
    while time.monotonic() < until:
        time.sleep(0.5)
        newest = school.calls(last=1)
        if newest and newest[0]["at"] == last:
            calls = school.calls()
            if len(calls) >= expected:
                return calls
        last = newest[0]["at"] if newest else 0.0
    raise BenchError(f"The worker did not finish within {GIVE_UP_SECONDS:.0f} s.")


def pairs(bench: Bench, env: dict[str, str], first: int, seconds: float, *, commits: int) -> float:
    """Return pairs of calls per second, made by as many processes as the cluster has workers."""
    with contextlib.ExitStack() as stack:
        running = [
            stack.enter_context(
                bench.running(
                    "tests.bench.bare_calls",
                    *(str(first + worker * 500_000), str(seconds), str(commits)),
                    output=subprocess.PIPE,
                    env=env,
                )
            )
            for worker in range(WORKERS)
        ]
        told = [process.communicate(timeout=60)[0] for process in running]
    if any(process.returncode for process in running):
        raise BenchError(f"The bare calls failed: {bench.told('tests.bench.bare_calls')}")
    return float(sum(json.loads(text)["per_second"] for text in told))
