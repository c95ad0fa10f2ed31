"""A soak: the shop trades for a long time without faults; each minute prints what Admit holds."""

import contextlib
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.faults.fault import Fault
from tests.faults.stage import Stage
from tests.support import live

LONGEST = 24 * 60  # Minutes.
ROWS = ("delivery", "eventlog", "rulerun", "grant")
# Sales a second, two or three for each customer.
SELLERS, EVERY = 4, 1.0


def of(minutes: int) -> Fault:
    """Return a soak of this many minutes as a line of the table."""

    def strike(stage: Stage) -> float:
        running = stage.up()
        _print(f"{'minute':>6} {'sales':>7} {'MB, files of each process':40} rows, oldest due")
        with stage.trading(every=EVERY, sellers=SELLERS):
            for minute in range(minutes + 1):
                until = time.monotonic() + 60
                _print(f"{minute:6} {len(stage.sales):7} {_held(running.pid):40} {_rows(stage)}")
                if minute < minutes:
                    time.sleep(max(0.0, until - time.monotonic()))
        stage.mended()
        return stage.heal()

    return Fault("soak", f"sales for {minutes} minutes, and no fault", strike)


def _held(main: int) -> str:
    """Return own memory and open files of each process, in the order of their start."""
    return " ".join(
        f"{_megabytes(pid)}/{_files(pid)}" for pid in [main, *(p.pid for p in live.tree(main))]
    )


def _megabytes(pid: int) -> int:
    """Return the proportional set size in megabytes."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) // 1024
    return 0


def _files(pid: int) -> int:
    with contextlib.suppress(OSError):
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return 0


def _rows(stage: Stage) -> str:
    counts = [stage.database.number(f"SELECT count(*) FROM events_{name}") for name in ROWS]  # noqa: S608
    (oldest,) = stage.database.ask(
        "SELECT min(next_attempt_at) FROM events_rulerun WHERE status = 'waiting'"
    )[0]
    if isinstance(oldest, str):
        oldest = datetime.fromisoformat(oldest).replace(tzinfo=UTC)
    due = f"{max(0.0, (datetime.now(UTC) - oldest).total_seconds()):.1f} s" if oldest else "none"
    told = ", ".join(f"{count} {name}" for count, name in zip(counts, ROWS, strict=True))
    return f"{told}; {due}"


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
