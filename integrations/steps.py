"""Steps: generators that yield calls and receive answers. They know no network and no database."""

from collections.abc import Callable, Generator
from typing import Any, TypeVar

T = TypeVar("T")
Asked = TypeVar("Asked")
Told = TypeVar("Told")


def drive(steps: Generator[Asked, Told, T], send: Callable[[Asked], Told]) -> T:
    """Carry the steps out by `send`; their result. What `send` raises is raised at the call."""
    try:
        call = next(steps)
        while True:
            try:
                answer = send(call)
            except Exception as error:
                call = steps.throw(error)
            else:
                call = steps.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result


def through(
    steps: Generator[Asked, Told, T], send: Callable[[Asked], Generator[Any, Any, Told]]
) -> Generator[Any, Any, T]:
    """The same where `send` is steps too: it may look into each answer, or ask something else."""
    try:
        call = next(steps)
        while True:
            try:
                answer = yield from send(call)
            except Exception as error:
                call = steps.throw(error)
            else:
                call = steps.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result
