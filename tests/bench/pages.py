"""Measures how fast the admin's pages open when there is much to show."""

import json

from tests.bench.figures import Figure
from tests.bench.programs import Bench, School

EVENTS = 100_000
# What most creators sell, and far more; each has five rules.
PRODUCTS = (40, 1000)
SECONDS = 0.15


def measure(bench: Bench, school: School) -> list[Figure]:
    """Return the median of a few requests of each page, in the server alone."""
    events = EVENTS // 10 if bench.quick else EVENTS
    return [figure for products in PRODUCTS for figure in _measure(bench, school, events, products)]


def _measure(bench: Bench, school: School, events: int, products: int) -> list[Figure]:
    env = bench.database(f"pages_{products}") | school.environment
    found = json.loads(bench.call("tests.bench.crowd", str(events), str(products), env=env))
    return [
        Figure(
            f"{name}, with {events:,} events, {products:,} products ({queries} queries)",
            f"{seconds * 1000:.0f} ms",
            target=f"at most {SECONDS * 1000:.0f} ms",
            met=seconds <= SECONDS,
        )
        for name, (seconds, queries) in found.items()
    ]
