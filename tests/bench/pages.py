"""Measures how fast the admin's pages open when there is much to show."""

import json

from tests.bench.figures import Figure
from tests.bench.programs import Bench, School

EVENTS = 100_000
SECONDS = 0.15


def measure(bench: Bench, school: School) -> list[Figure]:
    """Return the median of a few requests of each page, in the server alone."""
    events = EVENTS // 10 if bench.quick else EVENTS
    env = bench.database("pages") | school.environment
    found = json.loads(bench.call("tests.bench.crowd", str(events), env=env))
    return [
        Figure(
            f"{name}, with {events:,} events ({queries} queries)",
            f"{seconds * 1000:.0f} ms",
            target=f"at most {SECONDS * 1000:.0f} ms",
            met=seconds <= SECONDS,
        )
        for name, (seconds, queries) in found.items()
    ]
