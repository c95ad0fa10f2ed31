"""Steps: generators that yield calls and receive answers. They know no network and no database."""

from collections.abc import Callable, Generator
from typing import Any, TypeVar

T = TypeVar("T")
Asked = TypeVar("Asked")
Told = TypeVar("Told")


def drive(steps: Generator[Asked, Told, T], send: Callable[[Asked], Told]) -> T:
    """Run the steps, answering each call with `send`, and return their result.

    What `send` raises is raised inside the steps at their call.
    """
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
    """Do the same as `drive`, but as steps: `send` may inspect each answer or yield other calls."""
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
