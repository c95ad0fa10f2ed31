"""Carries steps out while someone waits for them: a person at a page, or a command.

What the worker does for customers is in `events.execution.loop`; both take the same slots.
"""

import time
from collections.abc import Callable
from typing import TypeVar

from django.conf import settings
from django.db import transaction

from integrations import rate_limit
from integrations.call_log import kept
from integrations.errors import OutOfTime
from integrations.exchanges import Exchange
from integrations.findings import Finding
from integrations.models import ApiCall, Customer, Integration, SiteAnswer
from integrations.sentences import say
from integrations.steps import drive
from integrations.thinkific import memory, site_check
from integrations.thinkific.answers import Answer
from integrations.thinkific.calls import Call, Post, Steps
from integrations.thinkific.client import Client
from integrations.thinkific.site_check import Ask, Request

T = TypeVar("T")
# How long to wait for the answer that another thread or machine has asked for.
AWAITED_SECONDS = 5.0
FOREVER = float("inf")


class Session:
    """Reads of one site, each sent as soon as the site has a slot for it.

    `until` (monotonic seconds) is when the last call may start, `call_seconds` how long one may
    take instead of the usual, for a person who waits for it. `before_call` may hold each call
    up before it takes its slot; what it raises is raised in place of the call. Raises
    SecretUnreadable.
    """

    def __init__(
        self,
        integration: Integration,
        customer: Customer | None = None,
        *,
        until: float = FOREVER,
        call_seconds: float | None = None,
        before_call: Callable[[], None] = lambda: None,
    ) -> None:
        self.integration = integration
        self._until = until
        self._before_call = before_call
        self._exchanges: list[ApiCall] = []
        self._client = client_for(
            integration,
            lambda exchange: self._exchanges.append(kept(exchange, integration)),
            call_seconds,
        )
        (self._memory,) = memory.read([(integration, customer)])
        self.attempt = self._memory.attempt()

    def carry_out(self, steps: Steps[T]) -> T:
        """Send the calls of the steps and keep what they learned; their result.

        Raises what the steps raise, rate_limit.SiteBlocked and rate_limit.NoSlot before a call,
        and OutOfTime when `until` has passed. KeyRejected, LimitReached and SiteBlocked say that
        the whole site is paused.
        """
        try:
            return drive(site_check.checked(self.attempt, steps), self._answer)
        finally:
            self._write()

    def ask(self, *, max_age: float, impatient: bool = False) -> SiteAnswer:
        """Whether the site lets us in: as found out in the last `max_age` seconds, or asked now.

        The answer opens or pauses the site. `impatient` does not wait for another one who asks.
        Raises what a call raises before it is sent, and NoSlot where the other one takes long.
        """
        asking = 0.0 if impatient else rate_limit.ASKING_SECONDS
        asked_at = rate_limit.begin_asking(self.integration.pk, max_age=max_age, asking=asking)
        if asked_at is None:
            return self._await_answer()
        try:
            found = self.look()
        except BaseException:
            rate_limit.stop_asking(self.integration.pk, asked_at)
            raise
        site_check.take_effect(self.integration, found)
        rate_limit.answered(self.integration.pk, asked_at, found.state)
        return found.state

    def look(self) -> Finding:
        """What the site answers now; nothing follows from it. Raises as `ask`."""
        try:
            return drive(site_check.ask(), lambda call: self._send(call, pause=FOREVER))
        finally:
            self._write()

    def _answer(self, request: Request) -> Answer | SiteAnswer:
        if isinstance(request, Ask):
            return self.ask(max_age=request.max_age or 0.0)
        assert not isinstance(request, Post), "a POST needs an intent that outlives a crash"
        # What a person asks for may go out as soon as a pause is over.
        return self._send(request, pause=0.0)

    def _send(self, call: Call, *, pause: float) -> Answer:
        self._before_call()
        max_wait = self._until - time.monotonic()
        if max_wait <= 0:
            raise OutOfTime(say("The time was up before the next call."))
        wait = rate_limit.take(self.integration.pk, max_wait=min(max_wait, 3600), pause=pause)
        if wait > 0:
            time.sleep(wait)
            # The site may have been paused meanwhile.
            why, seconds = rate_limit.blocked_for(self.integration.pk)
            if why and seconds > pause:
                raise rate_limit.SiteBlocked(why, seconds)
        return self._client.send(call)

    def _await_answer(self) -> SiteAnswer:
        give_up = time.monotonic() + AWAITED_SECONDS
        while not (answer := rate_limit.answer(self.integration.pk)):
            if time.monotonic() > give_up:
                raise rate_limit.NoSlot(AWAITED_SECONDS)  # nothing is known yet, so nothing counts
            time.sleep(0.05)
        return answer

    def _write(self) -> None:
        notes, self.attempt.notes = self.attempt.notes, []
        exchanges, self._exchanges = self._exchanges, []
        if notes or exchanges:
            with transaction.atomic():
                ApiCall.objects.bulk_create(exchanges)
                memory.write([(self._memory, notes)])
                for note in notes:
                    if isinstance(note, Finding):
                        site_check.take_effect(self.integration, note)


def client_for(
    integration: Integration,
    after_call: Callable[[Exchange], None],
    call_seconds: float | None = None,
) -> Client:
    """A client of the site, whose calls take the usual time or less. Raises SecretUnreadable."""
    usual = settings.CALL_DEADLINE_SECONDS
    return Client(
        base_url=settings.THINKIFIC_API_URL,
        site=integration.site,
        secret=integration.secret(),
        after_call=after_call,
        deadline=usual if call_seconds is None else min(usual, call_seconds),
        version=settings.VERSION,
    )
