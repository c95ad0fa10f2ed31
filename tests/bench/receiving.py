"""Measures how many POSTs per second are stored and acknowledged, against one bare INSERT each."""

import contextlib
import json
from statistics import median

from tests.bench import bare
from tests.bench.figures import Figure, compare
from tests.bench.programs import Bench, School
from tests.support.postgres import free_port

CONNECTIONS = 16
WARM_UP_SECONDS = 0.5
BURST = 10_000
BURST_SECONDS = 120.0
# Share of the floor's POSTs per second; a prototype had 0.72 and 0.4.
SHARE = {"sqlite": 0.7, "postgresql": 0.5}


def measure(bench: Bench, school: School) -> list[Figure]:
    """Measure the web server alone, and beside a worker that carries out what comes in."""
    rounds, seconds = (1, 1.5) if bench.quick else (5, 3.0)
    alone, busy, floors = [], [], []
    with contextlib.ExitStack() as stack:
        port, floor_port = free_port(), free_port()
        database = bench.database("receiving") | school.environment
        path = bench.call("tests.bench.scene", "0", env=database).strip()
        stack.enter_context(bench.up("--no-worker", port=port, env=database))
        empty = bench.database("bare")
        bench.call("tests.bench.bare_table", env=empty)
        stack.enter_context(bench.bare(floor_port, env=empty))
        numbers = Numbers()
        numbers.load(bench, port, path, WARM_UP_SECONDS)
        numbers.load(bench, floor_port, bare.PATH, WARM_UP_SECONDS)
        for turn in range(rounds):
            floors.append(numbers.load(bench, floor_port, bare.PATH, seconds))
            alone.append(numbers.load(bench, port, path, seconds))
            busy.append(with_worker(bench, school, numbers, f"busy{turn}", seconds))
        at_once = burst(bench, school, numbers)
    refused = sum(int(load["refused"]) for load in (*alone, *busy, *floors, at_once))
    return [
        *_figures("web server alone", alone, floors, SHARE[bench.vendor]),
        *_figures("beside a busy worker", busy, floors),
        Figure(
            f"a burst of {at_once['answered']:,} POSTs beside the worker, p99",
            f"{at_once['p99'] * 1000:.0f} ms",
            met=at_once["p99"] < 1,
            target="below 1 s",
        ),
        Figure("POSTs answered with anything but 200", f"{refused}", met=refused == 0, target="0"),
    ]


class Numbers:
    """Starts the load generator so that no purchase is sent twice."""

    def __init__(self) -> None:
        self._next = 1_000_000

    def load(
        self, bench: Bench, port: int, path: str, seconds: float, count: int = 0
    ) -> dict[str, float]:
        told = bench.call(
            "tests.bench.load",
            *(str(port), path, "--connections", str(CONNECTIONS)),
            *("--seconds", str(seconds), "--first", str(self._next)),
            *(("--count", str(count)) if count else ()),
        )
        found: dict[str, float] = json.loads(told)
        self._next = int(found["following"])
        return found


def with_worker(
    bench: Bench, school: School, numbers: Numbers, name: str, seconds: float
) -> dict[str, float]:
    """Run a round in a new database, because unfinished work would disturb the next round."""
    database = bench.database(name) | school.environment
    path = bench.call("tests.bench.scene", "0", env=database).strip()
    port = free_port()
    with bench.up(port=port, env=database):
        numbers.load(bench, port, path, WARM_UP_SECONDS)
        return numbers.load(bench, port, path, seconds)


def burst(bench: Bench, school: School, numbers: Numbers) -> dict[str, float]:
    """Send many POSTs as fast as they are answered, while a worker carries them out."""
    database = bench.database("burst") | school.environment
    path = bench.call("tests.bench.scene", "0", env=database).strip()
    port = free_port()
    with bench.up(port=port, env=database):
        return numbers.load(
            bench, port, path, BURST_SECONDS, count=BURST // 10 if bench.quick else BURST
        )


def _figures(
    where: str,
    loads: list[dict[str, float]],
    floors: list[dict[str, float]],
    share: float | None = None,
) -> list[Figure]:
    return [
        compare(
            f"acknowledged POSTs/s, {where}",
            [load["per_second"] for load in loads],
            [floor["per_second"] for floor in floors],
            at_least=share,
        ),
        *(
            Figure(
                f"time to the 200, {share}, {where}",
                f"{median(load[share] for load in loads) * 1000:.1f} ms",
                f"{median(floor[share] for floor in floors) * 1000:.1f} ms",
            )
            for share in ("p50", "p99")
        ),
    ]
