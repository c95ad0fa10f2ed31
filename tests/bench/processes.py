"""What a tree of processes costs, read from Linux's /proc."""

import os
from pathlib import Path

PROC = Path("/proc")
AVAILABLE = (PROC / "self" / "smaps_rollup").exists()


def tree(root: int) -> list[int]:
    """Return the process and all its descendants."""
    parents: dict[int, list[int]] = {}
    for folder in PROC.iterdir():
        if folder.name.isdigit() and (fields := _stat(int(folder.name))):
            parents.setdefault(int(fields[1]), []).append(int(folder.name))
    found = [root]
    for process in found:
        found += parents.get(process, [])
    return found


def cpu_seconds(root: int) -> float:
    """Return the processor seconds that the tree's living processes have used so far."""
    ticks = sum(int(fields[11]) + int(fields[12]) for p in tree(root) if (fields := _stat(p)))
    return ticks / os.sysconf("SC_CLK_TCK")


def memory(root: int) -> int:
    """Return the tree's memory in bytes; memory that processes share is counted once."""
    return sum(_proportional(process) for process in tree(root))


def _stat(process: int) -> list[str]:
    """Return the fields after the name: state, parent, ...; empty when the process has ended."""
    try:
        return (PROC / str(process) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _proportional(process: int) -> int:
    try:
        text = (PROC / str(process) / "smaps_rollup").read_text()
    except OSError:
        return 0
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line[:4] == "Pss:")
