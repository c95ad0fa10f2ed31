"""Carry out steps while somebody waits: a person at a page, or a command.

The worker's actions for customers run in `events.execution.loop`. Both take the same slots.
"""

import time
from collections.abc import Callable
from typing import TypeVar

from django.conf import settings
from django.db import transaction

from integrations.calls import rate_limit
from integrations.calls.call_log import as_row
from integrations.calls.exchanges import Exchange
from integrations.calls.findings import Finding
from integrations.errors import OutOfTime
from integrations.models import ApiCall, Customer, Integration, SiteAnswer
from integrations.sentences import say
from integrations.steps import drive
from integrations.thinkific import memory, site_check
from integrations.thinkific.answers import Answer
from integrations.thinkific.calls import Call, Post, Steps
from integrations.thinkific.client import Client
from integrations.thinkific.site_check import Ask, Request

T = TypeVar("T")
# How long to wait for the answer to a question that another thread or machine has sent.
AWAITED_SECONDS = 5.0
FOREVER = float("inf")


class Session:
    """Sends calls other than POST to one site, each as soon as the site has a slot.

    `until` (monotonic seconds) is when the last call may start. `call_seconds` limits each call
    further than usual, for a person who waits. `before_call` runs before each call takes its slot
    and may delay it; what it raises is raised in place of the call. Raises SecretUnreadable.
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
            lambda exchange: self._exchanges.append(as_row(exchange, integration)),
            call_seconds,
        )
        (self._memory,) = memory.read([(integration, customer)])
        self.attempt = self._memory.attempt()

    def carry_out(self, steps: Steps[T]) -> T:
        """Send the calls of the steps, store what they learned and return their result.

        Raises what the steps raise, rate_limit.SiteBlocked and rate_limit.NoSlot before a call,
        and OutOfTime when `until` has passed. KeyRejected, LimitReached and SiteBlocked mean that
        the whole site is paused.
        """
        try:
            return drive(site_check.checked(self.attempt, steps), self._answer)
        finally:
            self._write()

    def ask(self, *, max_age: float, impatient: bool = False) -> SiteAnswer:
        """Return whether the site lets us in, by an answer at most `max_age` seconds old.

        Asks if there is none; a new answer opens or pauses the site. If somebody else is asking
        right now, waits for that answer, unless `impatient`. Raises what a call raises before it is
        sent, and NoSlot if the other answer takes too long.
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
        """Return what the site answers now, without opening or pausing it. Raises like `ask`."""
        try:
            return drive(site_check.ask(), lambda call: self._send(call, pause=FOREVER))
        finally:
            self._write()

    def _answer(self, request: Request) -> Answer | SiteAnswer:
        if isinstance(request, Ask):
            return self.ask(max_age=request.max_age or 0.0)
        assert not isinstance(request, Post), "a POST needs an intent that outlives a crash"
        # A person's call may go out as soon as a pause is over.
        return self._send(request, pause=0.0)

    def _send(self, call: Call, *, pause: float) -> Answer:
        self._before_call()
        max_wait = self._until - time.monotonic()
        if max_wait <= 0:
            raise OutOfTime(say("The time was up before the next call."))
        wait = rate_limit.take_slot(self.integration.pk, max_wait=min(max_wait, 3600), pause=pause)
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
                raise rate_limit.NoSlot(AWAITED_SECONDS)  # the site's state is still unknown
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
    """Return a client for the site. `call_seconds` may shorten the usual deadline of a call.

    Raises SecretUnreadable.
    """
    usual = settings.CALL_DEADLINE_SECONDS
    return Client(
        base_url=settings.THINKIFIC_API_URL,
        site=integration.site,
        secret=integration.secret(),
        after_call=after_call,
        deadline=usual if call_seconds is None else min(usual, call_seconds),
        version=settings.VERSION,
    )
