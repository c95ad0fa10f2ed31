"""Figures and the table that shows them."""

import os
import platform
import sqlite3
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

import config

_PACKAGES = ("Django", "django-q2", "gunicorn", "requests", "psycopg")


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `met` is None if there is no target."""

    what: str
    admit: str
    floor: str = ""
    ratio: str = ""
    target: str = ""
    met: bool | None = None


def compare(
    what: str, subject: Sequence[float], floor: Sequence[float], *, at_least: float | None = None
) -> Figure:
    """Return medians of alternating rounds; the ratio is the median of the rounds' ratios."""
    ratios = [one / other for one, other in zip(subject, floor, strict=True)]
    spread = f" ({min(ratios):.2f}-{max(ratios):.2f})" if len(ratios) > 1 else ""
    return Figure(
        what,
        f"{median(subject):,.0f}",
        f"{median(floor):,.0f}",
        f"{median(ratios):.2f}{spread}",
        "" if at_least is None else f"ratio at least {at_least:.2g}",
        None if at_least is None else median(ratios) >= at_least,
    )


def table(figures: Sequence[Figure]) -> str:
    """Return Markdown, padded so that its source is readable."""
    rows = [("measured", "Admit", "floor", "ratio", "to reach", "")]
    rows += [(f.what, f.admit, f.floor, f.ratio, f.target, _MET[f.met]) for f in figures]
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    lines = [
        f"| {row[0]:<{widths[0]}} | "
        + " | ".join(f"{row[column]:>{widths[column]}}" for column in (1, 2, 3))
        + f" | {row[4]:<{widths[4]}} | {row[5]:<{widths[5]}} |"
        for row in rows
    ]
    rule = f"|{'-' * (widths[0] + 2)}|" + "".join(f"{'-' * (w + 1)}:|" for w in widths[1:4])
    rule += "".join(f"{'-' * (w + 2)}|" for w in widths[4:])
    return "\n".join([lines[0], rule, *lines[1:]])


_MET = {None: "", True: "met", False: "NOT MET"}


def load() -> float:
    """Return how many programs, ours and others, wanted a core at once in the last minute."""
    return os.getloadavg()[0]


def conditions(*, database: str, took: float, load_before: float) -> str:
    """Return machine, versions and command, as lines of Markdown."""
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    command = " ".join(["python -m tests.bench", *sys.argv[1:]])
    return "\n".join(
        [
            f"- {datetime.now(UTC):%Y-%m-%d}, `{command}`, {took:.0f} s",
            f"- {os.cpu_count()} cores ({_processor()}), {platform.system()} {platform.release()}, "
            f"load of the minute before {load_before:.1f}",
            f"- Admit {config.__version__}, {database}, "
            f"Python {platform.python_version()}, {packages}",
        ]
    )


def sqlite() -> str:
    """Return the name and version of the database that comes with Python."""
    return f"SQLite {sqlite3.sqlite_version}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
