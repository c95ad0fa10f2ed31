"""Measures how soon the first call goes out when Admit is idle, and what waiting costs."""

import random
import time
from statistics import median, quantiles

from tests.bench import bare, bodies, processes, wire
from tests.bench.figures import Figure
from tests.bench.programs import Bench, BenchError, School
from tests.support.postgres import free_port

REST_SECONDS = 2.0
MEDIAN_SECONDS = 0.1
SHARE_OF_CORE = 0.05
MEGABYTES = 300


def measure(bench: Bench, school: School) -> list[Figure]:
    """Measure single purchases at random moments; the floor is a POST and then a call."""
    count, watch = (10, 3.0) if bench.quick else (40, 10.0)
    database = bench.database("idle") | school.environment
    path = bench.call("tests.bench.scene", "0", env=database).strip()
    empty = bench.database("bare_idle")
    bench.call("tests.bench.bare_table", env=empty)
    port, floor_port = free_port(), free_port()
    with bench.bare(floor_port, env=empty) as floor_root, bench.up(port=port, env=database) as root:
        time.sleep(REST_SECONDS)
        costs = [_cost(one, watch) for one in (root, floor_root)]
        sent, floors = [], []
        for number in range(5_000_000, 5_000_000 + count):
            floors.append(_floor(school, floor_port, number))
            time.sleep(random.uniform(0.5, 1.0))  # Irregular, so that no poll keeps time with it.
            sent.append(_post(port, path, number))
        time.sleep(REST_SECONDS)
    arrived = _arrivals(school)
    missing = [number for number, _ in sent if bodies.email(number) not in arrived]
    if missing:
        raise BenchError(f"{len(missing)} of {count} single purchases led to no call.")
    delays = [arrived[bodies.email(number)] - at for number, at in sent]
    return [
        _times("POST to first call, idle, median", median(delays), median(floors), MEDIAN_SECONDS),
        _times("POST to first call, idle, p90", _p90(delays), _p90(floors)),
        *_costs(*costs),
    ]


def _post(port: int, path: str, number: int) -> tuple[int, float]:
    with wire.Line(port) as line:
        at = time.monotonic()
        answer = line.ask(wire.post(path, bodies.purchase(number)))
    if wire.status(answer) != 200:
        raise BenchError(f"The webhook answered {wire.status(answer)}.")
    return number, at


def _floor(school: School, port: int, number: int) -> float:
    """Measure from the POST to the bare server until our own call right after it."""
    with wire.Line(school.port) as line:
        _, at = _post(port, bare.PATH, number)
        line.ask(wire.post("/api/public/v1/users", b"{}"))
    return float(school.calls(last=1)[0]["at"]) - at


def _arrivals(school: School) -> dict[str, float]:
    """Return the moment of the call that creates each buyer, by e-mail."""
    found: dict[str, float] = {}
    for call in school.calls():
        email = (call["body"] or {}).get("email")
        if email:
            found.setdefault(email, call["at"])
    return found


def _cost(root: int, seconds: float) -> tuple[float, int]:
    """Return the share of a core over that many seconds, and bytes of memory."""
    if not processes.AVAILABLE:
        return 0.0, 0
    start, before = time.monotonic(), processes.cpu_seconds(root)
    time.sleep(seconds)
    used = processes.cpu_seconds(root) - before
    return used / (time.monotonic() - start), processes.memory(root)


def _costs(subject: tuple[float, int], floor: tuple[float, int]) -> list[Figure]:
    if not processes.AVAILABLE:
        return [Figure("CPU and memory of the idle programs", "not measured: needs Linux's /proc")]
    return [
        Figure(
            "idle, share of one core",
            f"{subject[0]:.1%}",
            f"{floor[0]:.1%}",
            target=f"at most {SHARE_OF_CORE:.0%}",
            met=subject[0] <= SHARE_OF_CORE,
        ),
        Figure(
            "idle, memory (proportional set size)",
            f"{subject[1] / 1e6:.0f} MB",
            f"{floor[1] / 1e6:.0f} MB",
            target=f"at most {MEGABYTES} MB",
            met=subject[1] <= MEGABYTES * 1e6,
        ),
    ]


def _times(what: str, subject: float, floor: float, most: float | None = None) -> Figure:
    return Figure(
        what,
        f"{subject * 1000:.0f} ms",
        f"{floor * 1000:.1f} ms",
        target="" if most is None else f"at most {most * 1000:.0f} ms",
        met=None if most is None else subject <= most,
    )


def _p90(values: list[float]) -> float:
    return quantiles(values, n=10)[-1]
