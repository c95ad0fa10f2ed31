"""`python -m tests.faults` runs each fault and prints a Markdown table."""

import argparse
import contextlib
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from tests.faults import (
    answers,
    carrying,
    clusters,
    frozen,
    one_customer,
    passing_on,
    pressure,
    receiving,
    scale,
    soak,
    updating,
)
from tests.faults.database import Place
from tests.faults.fault import Fault, FaultResult, strike, table
from tests.support import postgres

FAULTS = {
    fault.name: fault
    for part in (
        receiving,
        pressure,
        carrying,
        clusters,
        frozen,
        answers,
        one_customer,
        passing_on,
        scale,
        updating,
    )
    for fault in part.FAULTS
}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description="Kills, stops and starves Admit, and looks what was lost or done twice.",
        epilog="Example: make faults ARGS='--only web-killed --seed 7'",
    )
    parser.add_argument("--sqlite", action="store_true", help="on SQLite alone")
    parser.add_argument("--postgres", action="store_true", help="on a temporary PostgreSQL alone")
    parser.add_argument("--quick", action="store_true", help="less of each, as the tests do it")
    parser.add_argument("--seed", type=int, default=1, help="for what is left to chance (1)")
    parser.add_argument(
        "--only",
        action="append",
        choices=FAULTS,
        metavar="FAULT",
        help="one of " + ", ".join(FAULTS) + "; may be given again",
    )
    parser.add_argument(
        "--soak",
        type=int,
        metavar="MINUTES",
        help=f"no fault, but sales for so long (at most {soak.LONGEST}), and a line a minute",
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="also write the table there")
    asked = parser.parse_args()
    if asked.soak is not None and not 1 <= asked.soak <= soak.LONGEST:
        parser.error(f"--soak takes 1 to {soak.LONGEST} minutes")
    signal.signal(signal.SIGTERM, _leave)
    results: list[FaultResult] = []
    try:
        with contextlib.ExitStack() as stack:
            for result in _strike_all(_places(asked, stack), asked):
                results.append(result)
                if asked.write:  # After each line, because all of them take long.
                    asked.write.write_text(table(results) + "\n", encoding="utf-8")
    except postgres.StartError as error:
        print(f"The faults stopped: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; every program that was started has ended.", file=sys.stderr)
        return 130
    print(table(results))
    return 0 if all(result.good for result in results) else 1


def _places(asked: argparse.Namespace, stack: contextlib.ExitStack) -> list[Place]:
    places = [] if asked.postgres else [Place()]
    if asked.sqlite:
        return [Place()]
    folder = postgres.binaries()
    if folder is None:
        raise postgres.StartError(f"There is no PostgreSQL here. {postgres.HOW_TO_INSTALL}")
    # It is stopped hard: everything that it reported as committed must be there again.
    server = stack.enter_context(postgres.server(folder, synchronous_commit="on"))
    return [*places, Place(server.url, server)]


def _strike_all(places: list[Place], asked: argparse.Namespace) -> Iterator[FaultResult]:
    chosen: list[Fault] = [FAULTS[name] for name in asked.only or FAULTS]
    if asked.soak:
        chosen = [soak.of(asked.soak)]
    for place in places:
        for fault in chosen:
            if not fault.meets(place):
                continue
            start = time.monotonic()
            print(f"{place.name}: {fault.what} ...", file=sys.stderr, flush=True)
            result = strike(fault, place, seed=asked.seed, long=not asked.quick)
            took = time.monotonic() - start
            print(f"  {result.verdict}, {took:.0f} s", file=sys.stderr, flush=True)
            for line in result.faults[:10]:
                print(f"  {line}", file=sys.stderr)
            yield result


def _leave(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
