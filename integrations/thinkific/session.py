"""One customer on one site during one attempt: calls, what we remember, what is in doubt.

Everything that must survive a crash is written in the transaction before the next call,
together with the lease and the call's slot: two calls cost two commits, not six.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from django.conf import settings
from django.db.models.functions import Now
from django.utils import timezone

from integrations import queries, rate_limit, together
from integrations.errors import KeyRejected, LimitReached, OutOfTime, OutsideError, Refused, Retry
from integrations.models import ApiCall, Customer, Integration, Intent, SiteAnswer, ThinkificUser
from integrations.queries import Parameter, Query
from integrations.thinkific import access_check
from integrations.thinkific.client import Answer, Client, Exchange

T = TypeVar("T")
# The columns that tell a customer on a site.
_WHO = ("integration_id", "customer_id")
# How long a 202 is believed while nothing is to be seen of what it promised.
ACCEPTED_FOR = timedelta(hours=1)
# How long it is believed that a site is open, so that many refusals ask once.
BELIEVED_SECONDS = 60.0
# How long to wait for the answer that another thread or machine has asked for.
AWAITED_SECONDS = 5.0
_INTENTS = Query(
    lambda: Intent.objects.filter(integration=Parameter("site"), customer=Parameter("customer"))
)
_THINKIFIC_USER = Query(
    lambda: ThinkificUser.objects.filter(
        integration=Parameter("site"), customer=Parameter("customer")
    )
)


class Session:
    """The calls of one attempt. `renew` is called in the transaction before each of them.

    `until` (monotonic seconds) is when the last call may start. Raises what the client
    raises, budget.SiteBlocked and budget.NoSlot before a call, OutOfTime when `until` has
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
        renew: Callable[[], None] = lambda: None,
        until: float = float("inf"),
    ) -> None:
        self.integration = integration
        self.customer = customer
        self.user_is_new = False  # created in this attempt: nothing can be enrolled yet
        self.looked_up = False  # read from the site in this attempt: cannot be outdated
        self.replaced = False  # another account was remembered, and is no longer the customer's
        self.calls = 0  # begun in this attempt
        self.answer_seconds = 0.0  # what they took
        self._run_id = run_id
        self._renew = renew
        self._until = until
        self._later: list[Callable[[], object]] = []
        self._target = ""
        # A customer's call never goes out during a pause; what a person asks for may end one.
        self._pause = None if run_id else 0.0
        self._client = Client(
            base_url=settings.THINKIFIC_API_URL,
            site=integration.site,
            secret=integration.secret(),
            before_call=self._before_call,
            after_call=self._after_call,
            deadline=settings.CALL_DEADLINE_SECONDS,
            version=settings.VERSION,
        )
        here: dict[str, Any] = {"integration": integration, "customer": customer}
        self._here = here
        self._intents: dict[str, Intent] = {}
        self.thinkific_user: ThinkificUser | None = None
        self.former: ThinkificUser | None = None  # set aside in this attempt
        if customer:
            who = {"site": integration.pk, "customer": customer.pk}
            self._intents = {intent.target: intent for intent in _INTENTS.all(**who)}
            self.thinkific_user = _THINKIFIC_USER.first(**who)

    # Calls

    def get(self, path: str, params: Mapping[str, str | int] | None = None) -> Answer:
        return self._watched(lambda: self._client.get(path, params))

    def put(self, path: str, body: Mapping[str, Any]) -> Answer:
        return self._watched(lambda: self._client.put(path, body))

    def pages(
        self, path: str, params: Mapping[str, str | int] | None = None
    ) -> Iterator[dict[str, Any]]:
        found = self._client.pages(path, params)
        while True:
            row = self._watched(lambda: next(found, None))
            if row is None:
                return
            yield row

    def post(
        self, path: str, body: Mapping[str, Any], *, target: str, settle: bool = True
    ) -> Answer:
        """POST with an intent row that outlives a crash and a lost answer.

        With `settle` False success alone does not end the doubt: the caller settles it when
        it knows what was made.
        """
        self._target = target
        try:
            answer = self._watched(lambda: self._client.post(path, body))
        except OutsideError as error:
            # Without a call no answer is known: what was in doubt before it stays so.
            if not (isinstance(error, OutOfTime) or (isinstance(error, Retry) and error.in_doubt)):
                self.settle(target)
            raise
        finally:
            self._target = ""
        if answer.status == 202:
            intent = self._intents[target]
            intent.accepted = True
            accepted = Intent.objects.filter(pk=intent.pk)
            self._later.append(lambda: accepted.update(accepted=True))
        elif settle:
            self.settle(target)
        return answer

    # Doubt

    def in_doubt(self, target: str) -> bool:
        """Whether a POST for this target may have been carried out without our knowing."""
        return target in self._intents

    def promised(self, target: str) -> bool:
        """Whether the site said that it would do this later, and may still be at it."""
        intent = self._intents.get(target)
        return bool(intent and intent.accepted and timezone.now() - intent.sent_at < ACCEPTED_FOR)

    def settle(self, target: str) -> None:
        """A definite answer is known: the doubt about this target is over."""
        intent = self._intents.pop(target, None)
        if intent is not None:
            self._later.append(lambda: queries.delete(intent))

    # Memory

    def remember(self, user_id: int, *, administrator: bool, fields: dict[str, str]) -> None:
        """The customer is this user of the site, holding these signup fields {id: value}."""
        before = self.thinkific_user or self.former
        found = {"user_id": user_id, "administrator": administrator, "fields_known": fields}
        self.thinkific_user = ThinkificUser(**self._here, **found)
        # A new object each time: one whose transaction was undone keeps an id that another
        # row may have got meanwhile.
        self._later.append(
            lambda: queries.upsert(
                ThinkificUser(**self._here, **found), key=_WHO, fields=tuple(found)
            )
        )
        if before is not None and before.user_id != user_id:
            self.replaced = True
            mine = ThinkificUser.objects.filter(**self._here)
            self._later.append(lambda: mine.update(since=Now()))

    def set_aside(self) -> None:
        """The remembered user may be gone: act as if there was none, until one is remembered."""
        self.former, self.thinkific_user = self.thinkific_user, None

    def note_gone(self, kind: str, number: int) -> None:
        """The site said that it has no such course or bundle."""
        there = self.integration.destinations.filter(kind=kind, external_id=number, gone_at=None)
        self._later.append(lambda: there.update(gone_at=Now()))

    def note_back(self, kind: str, number: int) -> None:
        """The site has this course or bundle after all."""
        found = self.integration.destinations.filter(kind=kind, external_id=number)
        self._later.append(lambda: found.update(gone_at=None))

    def write(self) -> None:
        """Write what is still only remembered here; inside the caller's transaction.

        It may be undone and done again, so it stays remembered.
        """
        for step in self._later:
            step()

    # Around each call

    def _before_call(self, method: str, path: str) -> None:
        max_wait = self._until - time.monotonic()
        if max_wait <= 0:
            raise OutOfTime("The worker's time was up before the next call; it goes on at once.")
        leased_until = time.monotonic() + settings.LEASE_SECONDS

        def prepare() -> float:
            self._renew()
            self.write()
            if self._target:
                self._intend(self._target)
            return rate_limit.take(
                self.integration.pk, max_wait=min(max_wait, 3600), pause=self._pause
            )

        wait = together.write(prepare)
        self._later = []
        self.calls += 1
        if wait > 0:
            time.sleep(wait)
            self._stop_if_blocked()
        # A process that stood still may find its run with another one, which has looked already
        # whether this call was made.
        if self._run_id and time.monotonic() + settings.CALL_DEADLINE_SECONDS > leased_until:
            raise OutOfTime("The worker stood still before the next call; it goes on at once.")

    def _stop_if_blocked(self) -> None:
        """The site may have been paused while we waited for our slot: nothing was sent yet."""
        why, seconds = rate_limit.blocked_for(self.integration.pk)
        if why and (self._pause is None or seconds > self._pause):
            self.settle(self._target)
            raise rate_limit.SiteBlocked(why, seconds)

    def _intend(self, target: str) -> None:
        fresh = Intent(**self._here, target=target, sent_at=timezone.now())
        queries.upsert(fresh, key=(*_WHO, "target"), fields=("accepted", "sent_at"))
        self._intents[target] = fresh

    def _after_call(self, exchange: Exchange) -> None:
        self.answer_seconds += exchange.milliseconds / 1000
        call = ApiCall(
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
        self._later.append(lambda: queries.insert(call))

    def _watched(self, call: Callable[[], T]) -> T:
        """Carry out a call; an answer that may concern the whole site is looked into."""
        began = time.monotonic()
        try:
            result = call()
        except (KeyRejected, LimitReached, Retry) as error:
            raise self._judged(error, time.monotonic() - began) from error
        except Refused:
            self._report_open()
            raise
        self._report_open()
        return result

    def _judged(self, error: OutsideError, age: float) -> Exception:
        """What an answer to this call, `age` seconds after it was begun, means for its run."""
        told = access_check.what_it_tells(error)
        if told.state == SiteAnswer.UNKNOWN and error.status != 403:
            return error
        ours = self.customer is None or error.status is None  # without a status it was not sent
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

    def ask(self, *, max_age: float, impatient: bool = False) -> SiteAnswer:
        """Whether the site lets us in: as found out in the last `max_age` seconds, or asked now.

        The answer opens or pauses the site. `impatient` does not wait for another one who asks.
        Raises what a call raises before it is sent, and NoSlot where the other one takes long.
        """
        asking = 0.0 if impatient else rate_limit.ASKING_SECONDS
        asked_at = rate_limit.begin_asking(self.integration.pk, max_age=max_age, asking=asking)
        if asked_at is None:
            return self._awaited()
        target, pause, self._target, self._pause = self._target, self._pause, "", float("inf")
        try:
            found = access_check.ask(self._client.get)
        except BaseException:
            rate_limit.stop_asking(self.integration.pk, asked_at)
            raise
        finally:
            self._target, self._pause = target, pause
        access_check.take_effect(self.integration, found)
        rate_limit.answered(self.integration.pk, asked_at, found.state)
        return found.state

    def _awaited(self) -> SiteAnswer:
        give_up = time.monotonic() + AWAITED_SECONDS
        while not (answer := rate_limit.answer(self.integration.pk)):
            if time.monotonic() > give_up:
                raise rate_limit.NoSlot(AWAITED_SECONDS)  # nothing is known yet, so nothing counts
            time.sleep(0.05)
        return answer
