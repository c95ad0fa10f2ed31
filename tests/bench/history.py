"""Measures whether years of history slow down receiving and carrying out.

The same shop is measured alternately with and without a past, so that the ratio shows the history
and not the machine.
"""

import contextlib

from tests.bench import carrying
from tests.bench.figures import Figure, compare
from tests.bench.programs import Bench, School
from tests.bench.receiving import WARM_UP_SECONDS, Numbers
from tests.support.postgres import free_port

EVENTS = 1_000_000
# The factor by which a figure may change.
CHANGE = 1.3


def measure(bench: Bench, school: School) -> list[Figure]:
    """Measure; the `floor` of these figures is Admit itself with an empty database."""
    events = EVENTS // 20 if bench.quick else EVENTS
    rounds, seconds, count = (1, 1.5, 200) if bench.quick else (3, 3.0, 600)
    old, new = (bench.database(name) | school.environment for name in ("old", "new"))
    for database in (old, new):
        bench.call("tests.bench.scene", "0", env=database)
    bench.call("tests.support.past", str(events), env=old, patience=900.0)
    drains: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds):
        for name, found in zip(("old", "new"), drains, strict=True):
            found.append(carrying.drain(bench, name, count, turn * count)[0])
    # Last, because it leaves purchases that nobody carries out.
    rates = _receiving(bench, old, new, rounds, seconds)
    return [
        compare(f"{what} after {events:,} events, to none", *both, at_least=1 / CHANGE)
        for what, both in (("acknowledged POSTs/s", rates), ("runs/s", drains))
    ]


def _receiving(
    bench: Bench, old: dict[str, str], new: dict[str, str], rounds: int, seconds: float
) -> tuple[list[float], list[float]]:
    with contextlib.ExitStack() as stack:
        ports, numbers = (free_port(), free_port()), Numbers()
        for port, database in zip(ports, (old, new), strict=True):
            stack.enter_context(bench.up("--no-worker", port=port, env=database))
        path = bench.call("tests.bench.scene", "0", env=new).strip()
        for port in ports:
            numbers.load(bench, port, path, WARM_UP_SECONDS)
        found: tuple[list[float], list[float]] = ([], [])
        for _ in range(rounds):
            for port, rates in zip(ports, found, strict=True):
                rates.append(numbers.load(bench, port, path, seconds)["per_second"])
    return found
