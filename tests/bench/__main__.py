"""`python -m tests.bench` measures Admit next to its floors and prints a Markdown table."""

import argparse
import contextlib
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import psycopg

from tests.bench import carrying, figures, history, idling, pages, receiving
from tests.bench.programs import Bench, BenchError
from tests.support import postgres

PARTS = {
    "receiving": receiving.measure,
    "carrying": carrying.measure,
    "idling": idling.measure,
    "pages": pages.measure,
    "history": history.measure,
}
HEAD = """# Benchmarks

What `make bench` measured, each figure next to its floor in the same run. Written by
`make bench ARGS="--write docs/benchmarks.md"`, which takes about a quarter of an hour. Read the
ratios rather than the figures: machines differ, and noise hits both alike.

- The floor of receiving is a Django view on the same server that inserts the body and nothing
  else, that of carrying out as many processes as there are workers, which make the same commits
  and two bare calls each. That of the history is Admit itself with an empty database.
- Everything runs on the one machine: load generator, web server, workers, database, and the
  stand-in of Thinkific, a Python program that shares the processor with what is measured.
- Each commit waits for the disk, Admit's and the floor's, on both databases. So does that of an
  installation, for a power failure must take no acknowledged event along.
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Measures Admit next to floors that no program of its kind gets below.",
        epilog="Example: make bench ARGS='--quick --postgres'",
    )
    parser.add_argument("--sqlite", action="store_true", help="on SQLite alone")
    parser.add_argument("--postgres", action="store_true", help="on a temporary PostgreSQL alone")
    parser.add_argument("--quick", action="store_true", help="a few minutes, less certain")
    parser.add_argument("--only", choices=PARTS, help="one part of it")
    parser.add_argument("--write", type=Path, metavar="FILE", help="also write the document there")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, _leave)
    both = asked.sqlite == asked.postgres
    parts = [asked.only] if asked.only else list(PARTS)
    document = HEAD
    try:
        for name, wanted in (("SQLite", asked.sqlite), ("PostgreSQL", asked.postgres)):
            if not (wanted or both):
                continue
            with _place(postgresql=name == "PostgreSQL", quick=asked.quick) as bench:
                found = f"\n## {name}\n\n{_report(bench, parts)}\n"
            # At once, because the next part may fail.
            print(found, flush=True)
            document += found
            if asked.write:
                asked.write.write_text(document, encoding="utf-8")
    except (BenchError, postgres.StartError) as error:
        print(f"The benchmark stopped: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; every program that was started has ended.", file=sys.stderr)
        return 130
    return 0


@contextlib.contextmanager
def _place(*, postgresql: bool, quick: bool) -> Iterator[Bench]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="admit-bench-")))
        url = ""
        if postgresql:
            found = postgres.binaries()
            if found is None:
                raise BenchError(f"There is no PostgreSQL here. {postgres.HOW_TO_INSTALL}")
            # As on a server set up by default: a delivery, and the floor's body, must be
            # on the disk before it is acknowledged.
            durable = postgres.server(
                found, fsync="on", full_page_writes="on", synchronous_commit="on"
            )
            url = stack.enter_context(durable).url
        yield Bench.at(folder, postgres=url, quick=quick)


def _report(bench: Bench, parts: list[str]) -> str:
    start, load = time.monotonic(), figures.load()
    found: list[figures.Figure] = []
    for part in parts:
        print(f"Measuring {part} on {bench.vendor} ...", file=sys.stderr, flush=True)
        with bench.sandbox() as school:
            found += PARTS[part](bench, school)
    took = time.monotonic() - start
    conditions = figures.conditions(database=_database(bench), took=took, load_before=load)
    return f"{figures.table(found)}\n\n{conditions}"


def _database(bench: Bench) -> str:
    if not bench.postgres:
        return figures.sqlite()
    with psycopg.connect(bench.postgres) as connection:
        version = connection.info.server_version
    return f"PostgreSQL {version // 10000}.{version % 10000} (each commit waits for the disk)"


def _leave(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
