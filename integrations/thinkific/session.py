"""Carries out the steps of one attempt on one site: sends their calls, and keeps what comes of it.

Everything that must survive a crash is written in the transaction before the next call,
together with the lease and the call's slot: two calls cost two commits, not six.
"""

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from django.conf import settings

from integrations import queries, rate_limit, together
from integrations.app_spec import AppSpec
from integrations.errors import KeyRejected, LimitReached, OutOfTime, OutsideError, Refused, Retry
from integrations.models import ApiCall, Customer, Integration, Intent, SiteAnswer
from integrations.thinkific import access_check, calls
from integrations.thinkific.answers import Answer
from integrations.thinkific.calls import Call, Post, Steps
from integrations.thinkific.client import Client, Exchange
from integrations.thinkific.memory import Memory

T = TypeVar("T")
# How long it is believed that a site is open, so that many refusals ask once.
BELIEVED_SECONDS = 60.0
# How long to wait for the answer that another thread or machine has asked for.
AWAITED_SECONDS = 5.0
NO_LABELS: Mapping[int, str] = {}


def client_of(
    integration: Integration,
    before_call: Callable[[str, str], None],
    after_call: Callable[[Exchange], None],
) -> Client:
    """A client for this site. Raises SecretUnreadable."""
    return Client(
        base_url=settings.THINKIFIC_API_URL,
        site=integration.site,
        secret=integration.secret(),
        before_call=before_call,
        after_call=after_call,
        deadline=settings.CALL_DEADLINE_SECONDS,
        version=settings.VERSION,
    )


class Session:
    """The calls of one attempt. `renew` is called in the transaction before each of them.

    `app` is that of the integration, by default Thinkific.
    `until` (monotonic seconds) is when the last call may start. Raises what the client
    raises, rate_limit.SiteBlocked and rate_limit.NoSlot before a call, OutOfTime when `until` has
    passed or the call could outlast the lease, and whatever `renew` raises. KeyRejected,
    LimitReached and SiteBlocked say that the whole site is paused; where only this one call was
    refused, it is Refused or Retry.
    """

    def __init__(
        self,
        integration: Integration,
        customer: Customer | None = None,
        *,
        run_id: int | None = None,
        labels: Mapping[int, str] = NO_LABELS,
        renew: Callable[[], None] = lambda: None,
        until: float = float("inf"),
        app: AppSpec | None = None,
    ) -> None:
        self.integration = integration
        self._interpret_error = app.interpret if app else None
        self._calls_per_minute = app.calls_per_minute() if app else None
        self.answer_seconds = 0.0  # what the calls of this attempt took
        self._run_id = run_id
        self._renew = renew
        self._until = until
        self._exchanges: list[ApiCall] = []
        self._target = ""
        # A customer's call never goes out during a pause; what a person asks for may end one.
        self._pause = None if run_id else 0.0
        client = app.client if app else client_of
        self._client = client(integration, self._before_call, self._after_call)
        self._memory = Memory(integration, customer, labels)
        self.attempt = self._memory.attempt

    def carry_out(self, steps: Steps[T]) -> T:
        """Send the calls of the steps, one after the other; their result."""
        return calls.drive(steps, self.send)

    def send(self, call: Call) -> Answer:
        """Send one call. A POST leaves an intent that outlives a crash and a lost answer."""
        if not isinstance(call, Post):
            return self._send_and_check(call)
        self._target = call.target
        try:
            answer = self._send_and_check(call)
        except OutsideError as error:
            # Without a call no answer is known: what was in doubt before it stays so.
            if not (isinstance(error, OutOfTime) or (isinstance(error, Retry) and error.in_doubt)):
                self.attempt.settle(call.target)
            raise
        finally:
            self._target = ""
        if answer.status == 202:
            self.attempt.accept(call.target)
        return answer

    def write(self) -> None:
        """Write what is still only noted here; inside the caller's transaction.

        It may be undone and done again, so it stays noted.
        """
        for exchange in self._exchanges:
            queries.insert(exchange)
        self._memory.write()

    # Around each call

    def _before_call(self, method: str, path: str) -> None:
        max_wait = self._until - time.monotonic()
        if max_wait <= 0:
            raise OutOfTime("The worker's time was up before the next call.")
        leased_until = time.monotonic() + settings.LEASE_SECONDS
        intent: Intent | None = None

        def prepare() -> float:
            nonlocal intent
            self._renew()
            self.write()
            if self._target:
                intent = self._memory.intend(self._target)
            return rate_limit.take(
                self.integration.pk,
                max_wait=min(max_wait, 3600),
                pause=self._pause,
                calls_per_minute=self._calls_per_minute,
            )

        wait = together.write(prepare)
        self._exchanges.clear()
        self.attempt.notes.clear()
        if intent is not None:
            self._memory.begin_doubt(intent)
        self.attempt.calls += 1
        if wait > 0:
            time.sleep(wait)
            self._stop_if_blocked()
        # A process that stood still may find its run with another one, which has looked already
        # whether this call was made.
        if self._run_id and time.monotonic() + settings.CALL_DEADLINE_SECONDS > leased_until:
            raise OutOfTime("The worker stood still before the next call.")

    def _stop_if_blocked(self) -> None:
        """The site may have been paused while we waited for our slot: nothing was sent yet."""
        why, seconds = rate_limit.blocked_for(self.integration.pk)
        if why and (self._pause is None or seconds > self._pause):
            self.attempt.settle(self._target)
            raise rate_limit.SiteBlocked(why, seconds)

    def _after_call(self, exchange: Exchange) -> None:
        self.answer_seconds += exchange.milliseconds / 1000
        row = ApiCall(
            integration=self.integration,
            run_id=self._run_id,
            method=exchange.method,
            url=exchange.url,
            request_body=exchange.request_body,
            status=exchange.status,
            response_body=exchange.response_body,
            error=exchange.error,
            milliseconds=exchange.milliseconds,
            sent_at=exchange.sent_at,
        )
        self._exchanges.append(row)

    def _send_and_check(self, call: Call) -> Answer:
        """Send a call; an answer that may concern the whole site is looked into."""
        began = time.monotonic()
        try:
            answer = self._client.send(call)
        except (KeyRejected, LimitReached, Retry) as error:
            raise self._interpret(error, time.monotonic() - began) from error
        except Refused:
            self._report_open()
            raise
        self._report_open()
        return answer

    def _interpret(self, error: OutsideError, age: float) -> Exception:
        """What an answer to this call, `age` seconds after it was begun, means for its run."""
        if self._interpret_error is not None:
            return self._interpret_error(self.integration, error)
        told = access_check.what_it_tells(error)
        if told.state == SiteAnswer.UNKNOWN and error.status != 403:
            return error
        # Without a status it was not sent.
        ours = self._memory.customer is None or error.status is None
        if ours and told.state != SiteAnswer.UNKNOWN:
            access_check.take_effect(self.integration, told)
            return error
        # Of a 401 or 429 an older answer knows nothing: the key may have been changed since, and
        # the limit be reached.
        state = self.ask(max_age=BELIEVED_SECONDS if error.status == 403 else age)
        return access_check.meaning(error, state)

    def _report_open(self) -> None:
        connected = Integration.Connection.CONNECTED
        if self.integration.connection != connected:
            self.integration.connection = connected
            access_check.accept_key(self.integration)

    # The site as a whole

    def ask(
        self, *, max_age: float, impatient: bool = False, pause: float = float("inf")
    ) -> SiteAnswer:
        """Whether the site lets us in: as found out in the last `max_age` seconds, or asked now.

        The answer opens or pauses the site. `impatient` does not wait for another one who asks.
        A pause that lasts longer than `pause` seconds is an answer too. Raises what a call raises
        before it is sent, and NoSlot where the other one takes long.
        """
        asked_at = rate_limit.begin_asking(
            self.integration.pk,
            max_age=max_age,
            asking=0.0 if impatient else rate_limit.ASKING_SECONDS,
            pause=pause,
        )
        if asked_at is None:
            return self._await_answer()
        target, before, self._target, self._pause = self._target, self._pause, "", float("inf")
        try:
            found = calls.drive(access_check.ask(), self._client.send)
        except BaseException:
            rate_limit.stop_asking(self.integration.pk, asked_at)
            raise
        finally:
            self._target, self._pause = target, before
        access_check.take_effect(self.integration, found)
        rate_limit.answered(self.integration.pk, asked_at, found.state)
        return found.state

    def _await_answer(self) -> SiteAnswer:
        give_up = time.monotonic() + AWAITED_SECONDS
        while not (answer := rate_limit.answer(self.integration.pk)):
            if time.monotonic() > give_up:
                raise rate_limit.NoSlot(AWAITED_SECONDS)  # nothing is known yet, so nothing counts
            time.sleep(0.05)
        return answer
