"""Threads that only send: each carries out one call at a time and hands its answer back."""

import time
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from integrations.app_spec import Client
from integrations.calls.exchanges import Answer
from integrations.errors import OutOfTime
from integrations.sentences import say

Who = TypeVar("Who")
Reply = Answer | Exception


class Senders(Generic[Who]):
    """A pool of threads that send. They know nothing of runs, and touch no database."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="send")
        self._replies: SimpleQueue[tuple[Who, Reply]] = SimpleQueue()
        self.under_way = 0

    def send(self, who: Who, client: Client, call: Any, *, not_after: float) -> None:
        """Have the call sent, unless it would go out after `not_after` (monotonic seconds)."""
        self.under_way += 1
        self._pool.submit(self._carry_out, who, client, call, not_after)

    def replies(self, *, wait: float, gather: float) -> list[tuple[Who, Reply]]:
        """Return the answers that came, waiting at most `wait` seconds for the first.

        Then waits up to `gather` seconds more, until all that was under way is answered.
        """
        wanted = self.under_way
        found = self._take(wait) if self.under_way else []
        until = time.monotonic() + gather
        while found and len(found) < wanted:
            left = until - time.monotonic()
            if left <= 0:
                break
            found += self._take(left)
        return found

    def _take(self, wait: float) -> list[tuple[Who, Reply]]:
        found = []
        try:
            found.append(self._replies.get(timeout=max(wait, 0.0001)))
            while True:
                found.append(self._replies.get_nowait())
        except Empty:
            pass
        self.under_way -= len(found)
        return found

    def _carry_out(self, who: Who, client: Client, call: Any, not_after: float) -> None:
        reply: Reply
        try:
            # If this process stood still, another one may have the run by now, and may have checked
            # already whether this call was made.
            if time.monotonic() > not_after:
                raise OutOfTime(say("The worker stood still before the next call."))
            reply = client.send(call)
        except Exception as error:
            reply = error
        self._replies.put((who, reply))
