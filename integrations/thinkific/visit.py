"""One customer on one site during one attempt: calls, what we remember, what is in doubt.

Everything that must survive a crash is written in the transaction before the next call,
together with the lease and the call's slot: two calls cost two commits, not six.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from integrations import budget, rows, together
from integrations.errors import KeyRejected, LimitReached, OutOfTime, OutsideError, Refused, Retry
from integrations.models import ApiCall, CallBudget, Customer, Integration, Intent, Learner
from integrations.rows import Given, Question
from integrations.thinkific.client import Answer, Client, Exchange

T = TypeVar("T")
# The columns that tell a customer on a site.
_WHO = ("integration_id", "customer_id")
# How long a 202 is believed while nothing is to be seen of what it promised.
ACCEPTED_FOR = timedelta(hours=1)
_INTENTS = Question(
    lambda: Intent.objects.filter(integration=Given("site"), customer=Given("customer"))
)
_LEARNER = Question(
    lambda: Learner.objects.filter(integration=Given("site"), customer=Given("customer"))
)


class Visit:
    """The calls of one attempt. `renew` is called in the transaction before each of them.

    `until` (monotonic seconds) is when the last call may start. Raises what the client
    raises, budget.SiteBlocked and budget.NoSlot before a call, OutOfTime when `until` has
    passed or the call could outlast the lease, and whatever `renew` raises.
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
        self._run_id = run_id
        self._renew = renew
        self._until = until
        self._later: list[Callable[[], object]] = []
        self._target = ""
        self._probe = False
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
        self.learner: Learner | None = None
        self.former: Learner | None = None  # set aside in this attempt
        if customer:
            who = {"site": integration.pk, "customer": customer.pk}
            self._intents = {intent.target: intent for intent in _INTENTS.all(**who)}
            self.learner = _LEARNER.first(**who)

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
            self._later.append(lambda: rows.delete(intent))

    # Memory

    def remember(self, user_id: int, *, administrator: bool, fields: dict[str, str]) -> None:
        """The customer is this user of the site, holding these signup fields {id: value}."""
        before = self.learner or self.former
        found = {"user_id": user_id, "administrator": administrator, "fields_known": fields}
        self.learner = Learner(**self._here, **found)
        # A new object each time: one whose transaction was undone keeps an id that another
        # row may have got meanwhile.
        self._later.append(
            lambda: rows.write_over(Learner(**self._here, **found), key=_WHO, fields=tuple(found))
        )
        if before is not None and before.user_id != user_id:
            self.replaced = True
            mine = Learner.objects.filter(**self._here)
            self._later.append(lambda: mine.update(since=Now()))

    def set_aside(self) -> None:
        """The remembered user may be gone: act as if there was none, until one is remembered."""
        self.former, self.learner = self.learner, None

    def write(self) -> None:
        """Write what is still only remembered here; inside the caller's transaction.

        It may be undone and done again, so it stays remembered.
        """
        for step in self._later:
            step()

    # Around each call

    def _before_call(self, method: str, path: str) -> None:
        patience = self._until - time.monotonic()
        if patience <= 0:
            raise OutOfTime("The worker's time was up before the next call; it goes on at once.")
        leased_until = time.monotonic() + settings.LEASE_SECONDS

        def prepare() -> budget.Slot:
            self._renew()
            self.write()
            if self._target:
                self._intend(self._target)
            return budget.take(self.integration.pk, patience=min(patience, 3600))

        slot = together.write(prepare)
        self._later = []
        self.calls += 1
        self._probe = slot.probe
        if slot.wait > 0:
            time.sleep(slot.wait)
            self._stop_if_blocked(slot)
        # A process that stood still may find its run with another one, which has looked already
        # whether this call was made.
        if self._run_id and time.monotonic() + settings.CALL_DEADLINE_SECONDS > leased_until:
            raise OutOfTime("The worker stood still before the next call; it goes on at once.")

    def _stop_if_blocked(self, slot: budget.Slot) -> None:
        """The site may have been stopped while we waited for our slot: nothing was sent yet."""
        why, seconds = budget.blocked_for(self.integration.pk)
        if why and not slot.probe:
            self.settle(self._target)
            raise budget.SiteBlocked(why, seconds)

    def _intend(self, target: str) -> None:
        fresh = Intent(**self._here, target=target, sent_at=timezone.now())
        rows.write_over(fresh, key=(*_WHO, "target"), fields=("accepted", "sent_at"))
        self._intents[target] = fresh

    def _after_call(self, exchange: Exchange) -> None:
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
        self._later.append(lambda: rows.insert(call))

    def _watched(self, call: Callable[[], T]) -> T:
        """Carry out a call and let its answer open or close the site."""
        try:
            result = call()
        except KeyRejected as error:
            reject_key(self.integration, error.message)
            raise
        except LimitReached as error:
            budget.block(self.integration.pk, CallBudget.Blocked.LIMIT, error.seconds)
            raise
        except Retry as error:
            if error.seconds is not None:  # it said itself when to come back
                budget.block(self.integration.pk, CallBudget.Blocked.LIMIT, error.seconds)
            elif self._probe and error.status is not None:
                budget.unblock(self.integration.pk)  # called it can be; of the key we know nothing
            raise
        except Refused:
            self._report_open()
            raise
        self._report_open()
        return result

    def _report_open(self) -> None:
        connected = Integration.Connection.CONNECTED
        if self._probe or self.integration.connection != connected:
            self._probe = False
            self.integration.connection = connected
            accept_key(self.integration)


def reject_key(integration: Integration, message: str) -> None:
    """Pause the site, unless the key was changed since: an old key's answer says nothing."""
    current = Integration.objects.filter(
        pk=integration.pk, secret_version=integration.secret_version
    )
    refused = {"connection": Integration.Connection.REFUSED, "connection_message": message}
    with transaction.atomic():  # a new key waits for the row, and then ends this pause
        if current.update(**refused):
            budget.block(integration.pk, CallBudget.Blocked.KEY, budget.KEY_PAUSE_SECONDS)


def accept_key(integration: Integration) -> None:
    """The site answered: it is open, and its key works."""
    budget.unblock(integration.pk)
    connected = {"connection": Integration.Connection.CONNECTED, "connection_message": ""}
    Integration.objects.filter(pk=integration.pk).update(**connected)
