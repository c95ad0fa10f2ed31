"""A fault, its result, and the table that shows it."""

import tempfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults import checker
from tests.faults.database import Place
from tests.faults.stage import Stage, stage


@dataclass(frozen=True, slots=True)
class Fault:
    """`strike` starts what is needed, breaks it and mends it; it returns the seconds to heal.

    `short`: quick enough for every run of the tests. `only`: the database that it concerns.
    """

    name: str
    what: str
    strike: Callable[[Stage], float]
    env: Mapping[str, str] = field(default_factory=dict)
    short: bool = False
    only: str = ""

    def meets(self, place: Place) -> bool:
        """Return whether the fault applies to that database."""
        return self.only in ("", place.name)


@dataclass(frozen=True, slots=True)
class FaultResult:
    """The result of one fault on one database: a line of the table."""

    what: str
    database: str
    acknowledged: int
    lost: int
    twice: int
    healed: float
    faults: Sequence[str]
    notes: Sequence[str] = ()

    @property
    def good(self) -> bool:
        return not self.faults

    @property
    def verdict(self) -> str:
        return ", ".join(["held" if self.good else "BROKEN", *self.notes])


def strike(fault: Fault, place: Place, *, seed: int, long: bool) -> FaultResult:
    """Let one fault happen on a new stage, and check the result."""
    with tempfile.TemporaryDirectory(prefix="admit-faults-") as folder:
        own_seed = seed ^ zlib.crc32(fault.name.encode())
        with stage(Path(folder), place, seed=own_seed, long=long, env=fault.env) as here:
            healed, broken = 0.0, []
            try:
                healed = fault.strike(here)
            except AssertionError as error:
                broken = [f"{error}\n{_said(here)}"]
            found = checker.check(here)
            return FaultResult(
                fault.what,
                place.name,
                found.acknowledged,
                len(found.lost),
                len(found.twice),
                healed,
                [*broken, *found.lost, *found.twice, *found.stray],
                tuple(here.notes),
            )


def _said(here: Stage) -> str:
    """Return the last lines that each program wrote."""
    return "\n".join(
        line for each in here.admit.running for line in each.output().splitlines()[-12:]
    )


def table(results: Sequence[FaultResult]) -> str:
    """Return the results as Markdown."""
    rows = [
        ("fault", "database", "acknowledged", "lost", "twice", "healed after s", "verdict"),
        ("---", "---", "---:", "---:", "---:", "---:", "---"),
    ]
    for each in results:
        counts = (f"{each.acknowledged:,}", str(each.lost), str(each.twice), f"{each.healed:.1f}")
        rows.append((each.what, each.database, *counts, each.verdict))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
