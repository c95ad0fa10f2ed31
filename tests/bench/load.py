"""The load generator, a separate process: `python -m tests.bench.load PORT PATH ...`.

Keeps that many connections busy for that many seconds, or until that many POSTs were sent, each
with a different body, and prints the result as JSON. Only answers with status 200 count.
"""

import argparse
import json
import selectors
import time

from tests.bench import bodies, wire


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True, help="at most")
    parser.add_argument("--count", type=int, help="at most so many POSTs")
    parser.add_argument("--first", type=int, required=True, help="number of the first purchase")
    asked = parser.parse_args()
    lines = [wire.Line(asked.port) for _ in range(asked.connections)]
    try:
        end = asked.first + asked.count if asked.count else None
        print(json.dumps(saturate(lines, asked.path, asked.seconds, asked.first, end)))
    finally:
        for line in lines:
            line.close()


def saturate(
    lines: list[wire.Line], path: str, seconds: float, number: int, end: int | None = None
) -> dict[str, float | int]:
    """Keep one request under way on every line until time is up or number `end` is reached."""
    took: list[float] = []
    refused = 0
    begun: dict[wire.Line, float] = {}
    ready = selectors.DefaultSelector()
    start = time.monotonic()

    def begin(line: wire.Line) -> None:
        nonlocal number
        line.send(wire.post(path, bodies.purchase(number)))
        number += 1
        begun[line] = time.monotonic()
        ready.register(line, selectors.EVENT_READ, line)

    for line in lines:
        begin(line)
    while begun:
        for key, _ in ready.select(timeout=30) or _give_up():
            line = key.data
            answer = line.receive()
            if answer is None:
                continue
            # Removed before the line may get another socket.
            ready.unregister(key.fd)
            now = time.monotonic()
            if wire.status(answer) == 200:
                took.append(now - begun.pop(line))
            else:
                refused += 1
                del begun[line]
            if now - start < seconds and number != end:
                begin(line)
    return _summary(took, refused, time.monotonic() - start, number)


def _give_up() -> list[tuple[selectors.SelectorKey, int]]:
    raise TimeoutError("No answer came for 30 seconds.")


def _summary(
    took: list[float], refused: int, elapsed: float, following: int
) -> dict[str, float | int]:
    ordered = sorted(took) or [0.0]
    return {
        "per_second": len(took) / elapsed,
        "p50": ordered[len(ordered) // 2],
        "p99": ordered[len(ordered) * 99 // 100],
        "answered": len(took),
        "refused": refused,
        "following": following,
    }


if __name__ == "__main__":
    main()
