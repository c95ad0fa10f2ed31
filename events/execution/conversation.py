"""A conversation with a site: the steps under way, and what they brought but is not written yet."""

import time
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from events.execution.results import Result
from events.models import RuleRun
from integrations import app_registry
from integrations.app_spec import AppSpec, Client
from integrations.calls.call_log import as_row
from integrations.calls.exchanges import Exchange
from integrations.models import ApiCall, Integration
from integrations.thinkific.attempt import Attempt
from integrations.thinkific.memory import Memory
from integrations.thinkific.site_check import Ask


@dataclass(slots=True, eq=False)
class Conversation:
    """The steps of a run or, if `run` is None, the question to a site whether it is open.

    `request` is what the steps wait for: a call, or the state of the site. It is None once they
    have ended; then `outcome` or `error` says how.
    """

    integration: Integration
    memory: Memory
    attempt: Attempt
    steps: Generator[Any, Any, Any]
    client: Client | None = None
    run: RuleRun | None = None
    run_id: int | None = None  # the run that its calls are kept with
    user: int | None = None  # the Thinkific user that its customer turned out to be
    asked_at: float = 0.0  # the token of a question; see rate_limit.begin_asking
    request: Any = None
    under_way: bool = False  # the call is being sent
    outcome: Any = None
    error: Exception | None = None
    result: Result | None = None  # how its run ended, once worked out; see `attempt_result`
    exchanges: list[Exchange] = field(default_factory=list)
    answer_seconds: float = 0.0  # how long the calls took
    begun_at: float = 0.0  # when the last call was handed out, in monotonic seconds
    waits_since: float = 0.0  # since when it waits with its request
    opened_at: float = field(default_factory=time.monotonic)

    @property
    def site(self) -> int:
        return self.integration.pk

    @property
    def app(self) -> AppSpec:
        return app_registry.of(self.integration)

    @property
    def is_over(self) -> bool:
        return self.request is None

    @property
    def wants_slot(self) -> bool:
        """Whether it has a call to send."""
        return not self.under_way and self.request is not None and not isinstance(self.request, Ask)

    @property
    def unwritten(self) -> bool:
        return bool(self.exchanges or self.attempt.notes)

    def note(self, exchange: Exchange) -> None:
        """Keep a call and what it brought. Called by the thread that sent it."""
        self.answer_seconds += exchange.milliseconds / 1000
        self.exchanges.append(exchange)

    def rows(self) -> list[ApiCall]:
        """Return the calls as new rows.

        Rows of a transaction that was undone would keep IDs that others may have by now.
        """
        return [as_row(each, self.integration, run_id=self.run_id) for each in self.exchanges]

    def forget(self) -> None:
        """Drop what it brought, which is written now."""
        self.exchanges, self.attempt.notes = [], []

    def begin(self) -> None:
        """Advance to the first call."""
        self._go(lambda: next(self.steps))

    def answer(self, reply: Any) -> None:
        """Go on with an answer, or with the exception that came instead."""
        self.under_way = False
        if isinstance(reply, Exception):
            self._go(lambda: self.steps.throw(reply))
        else:
            self._go(lambda: self.steps.send(reply))

    def fail(self, error: Exception) -> None:
        """End it with this error; nothing more is sent."""
        self.steps.close()
        self.request, self.error = None, error

    def _go(self, step: Any) -> None:
        try:
            self.request = step()
            self.waits_since = time.monotonic()
        except StopIteration as end:
            self.request, self.outcome = None, end.value
        except Exception as error:
            self.request, self.error = None, error


def per_site(conversations: "Iterable[Conversation]") -> Mapping[int, "list[Conversation]"]:
    """Group the conversations by the ID of their site, those that wait longest first."""
    found: dict[int, list[Conversation]] = {}
    for each in sorted(conversations, key=lambda each: each.waits_since):
        found.setdefault(each.site, []).append(each)
    return found
