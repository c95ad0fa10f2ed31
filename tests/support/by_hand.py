"""A worker that a test advances step by step, so two workers can meet at any chosen point."""

from collections.abc import Callable
from typing import Any

from events.execution.claiming import claims
from events.execution.conversation import Conversation
from events.execution.loop import Loop
from events.execution.senders import Reply, Senders
from events.models import RuleRun


class HeldCalls(Senders[Conversation]):
    """Holds calls and sends them on demand, in the order in which they were handed out."""

    def __init__(self) -> None:
        super().__init__(1)
        self.held: list[tuple[Any, ...]] = []
        self.answered: list[tuple[Conversation, Reply]] = []

    def send(self, *call: Any, not_after: float) -> None:
        self.under_way += 1
        self.held.append((*call, not_after))

    def replies(self, **_: float) -> list[tuple[Conversation, Reply]]:
        found, self.answered = self.answered, []
        self.under_way -= len(found)
        return found

    def let_go(self, number: int) -> None:
        """Send that many calls and wait for their answers, without telling the loop yet."""
        for _ in range(min(number, len(self.held))):
            self._carry_out(*self.held.pop(0))
            self.answered.append(self._replies.get())


class Worker:
    """A loop whose turn is split, so that another worker can run between any two steps.

    `at_most` limits the runs that it claims and the calls that it sends in one step.
    """

    def __init__(self, at_most: int = 16) -> None:
        self.at_most = at_most
        self.calls = HeldCalls()
        self.loop = Loop(self.calls)
        self._next = 0

    @property
    def moments(self) -> tuple[Callable[[], None], ...]:
        return (
            lambda: self.loop._hear(0.0),
            self.loop._write_and_send,
            self._claim,
            self.loop._begin,
            lambda: self.calls.let_go(self.at_most),
        )

    def step(self) -> None:
        """Run one step."""
        self.moments[self._next]()
        self._next = (self._next + 1) % len(self.moments)

    def finish(self) -> None:
        """Run steps until nothing is under way and nothing is due."""
        while not self.is_idle or RuleRun.objects.due().exists():
            self.step()

    @property
    def is_idle(self) -> bool:
        """Return whether this worker has nothing under way."""
        return not (self.loop.here or self.loop.claimed)

    def _claim(self) -> None:
        if RuleRun.objects.due().exists():
            for runs_of_site in claims(self.at_most):
                self.loop.claimed += runs_of_site
