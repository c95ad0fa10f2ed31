"""One loop for each worker process: it owns the database, and its threads only send.

Each turn takes the answers that came, lets the steps go on, writes in one transaction what all of
them brought, and hands out the next calls. So many runs under way cost one commit.
"""

import logging
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections

from events.execution import due_work, loading, writing
from events.execution.claiming import calls_at_once, claims, must_be_alone
from events.execution.conversation import Conversation
from events.execution.senders import Senders
from events.models import RuleRun
from integrations import app_registry
from integrations.calls import rate_limit
from integrations.errors import OutOfTime
from integrations.models import Integration
from integrations.sentences import say
from integrations.thinkific.site_check import Ask

log = logging.getLogger(__name__)
# Answers that come within this time of each other are written in one commit.
GATHER_SECONDS = 0.020
# How long the loop waits for an answer before it looks again for due work.
PAUSE_SECONDS = 0.2
# With at least this many runs under way, the loop looks for new due work only this often.
FEW_RUNS = 4
SOON_SECONDS = 0.1
# How long to wait for the answer to another worker's question to a site.
AWAITED_SECONDS = 5.0
FOREVER = float("inf")


@dataclass(slots=True)
class Loop:
    """The runs under way in this process.

    Nothing is claimed after `claim_until`, and no call is sent after `call_until` (monotonic
    seconds).
    """

    senders: Senders[Conversation]
    claim_until: float = FOREVER
    call_until: float = FOREVER
    here: list[Conversation] = field(default_factory=list)
    claimed: list[RuleRun] = field(default_factory=list)  # not begun yet
    _claim_at: float = 0.0
    _slots_at: dict[int, float] = field(default_factory=dict)

    def turn(self, *, wait: float = PAUSE_SECONDS) -> bool:
        """Advance all that is under way by one step. Return False if there is nothing.

        Waits at most `wait` seconds for an answer. While the database is away nothing is lost: each
        turn tries again until `call_until`, and then raises OperationalError or InterfaceError.
        """
        try:
            self._hear(wait)
            self._end_late()
            self._ask_sites()
            self._write_and_send()
            self._claim()
            self._begin()
        except (OperationalError, InterfaceError) as error:
            if time.monotonic() > self.call_until:
                raise
            log.warning("turn_failed", extra={"error": type(error).__name__})
            close_old_connections()
            time.sleep(PAUSE_SECONDS)
        return bool(self.here or self.claimed)

    def finish(self) -> None:
        """Take turns until nothing is under way, without claiming more."""
        self.claim_until = 0.0
        while self.turn():
            pass

    # Answers

    def _hear(self, wait: float) -> None:
        wait = min(wait, self._idle_for())
        if self.here and not self.senders.under_way:
            time.sleep(wait)  # for a slot
        for conversation, reply in self.senders.replies(wait=wait, gather=GATHER_SECONDS):
            conversation.answer(reply)

    def _idle_for(self) -> float:
        """Return for how many seconds nothing can be done without an answer."""
        if any(each.is_over for each in self.here):
            return 0.0
        if any(isinstance(each.request, Ask) for each in self.here):
            return 0.05
        return max(0.0, min(self._sendable_at().values(), default=FOREVER) - time.monotonic())

    def _end_late(self) -> None:
        """Give back what cannot go on before time is up."""
        now = time.monotonic()
        for each in [each for each in self.here if not (each.is_over or each.under_way)]:
            slot_at = self._slots_at.get(each.site, 0.0)
            if now >= self.call_until:
                each.fail(OutOfTime(say("The worker's time was up before the next call.")))
            elif each.wants_slot and slot_at > self.call_until:
                each.fail(rate_limit.NoSlot(slot_at - now))

    # Sites

    def _ask_sites(self) -> None:
        """Find out the state of sites for the conversations that ask for it."""
        for each in [each for each in self.here if isinstance(each.request, Ask)]:
            if self._question(each.site):
                continue
            assert isinstance(each.request, Ask)
            age = each.request.max_age
            if age is None:
                age = time.monotonic() - each.begun_at
            if self._begin_question(each.integration, max_age=age, run_id=each.run_id):
                continue
            if answer := rate_limit.answer(each.site):
                each.answer(answer)
            elif time.monotonic() - each.waits_since > AWAITED_SECONDS:
                # There is no answer yet, so this does not count as an attempt.
                each.answer(rate_limit.NoSlot(AWAITED_SECONDS))

    def ask_paused(self, integration: Integration) -> None:
        """Ask a site whose pause is over whether it is open, unless another process is asking.

        If its app has no such question, the pause just ends.
        """
        if app_registry.of(integration).question is None:
            rate_limit.end_pause(integration.pk)
        elif not self._question(integration.pk):
            self._begin_question(integration, max_age=0.0, pause=0.0)

    def _begin_question(
        self,
        integration: Integration,
        *,
        max_age: float,
        pause: float = FOREVER,
        run_id: int | None = None,
    ) -> bool:
        question = app_registry.of(integration).question
        if question is None:
            return False
        asked_at = rate_limit.begin_asking(integration.pk, max_age=max_age, pause=pause)
        if asked_at is None:
            return False
        steps = question()
        self.here.append(loading.question(integration, steps, asked_at=asked_at, run_id=run_id))
        return True

    def _tell(self, question: Conversation) -> None:
        """Answer the conversations whose last call went out before the question was opened.

        If the question could not be sent, it is not asked again at once: they stop as it did.
        """
        reply = question.error
        if reply is None:
            reply = question.outcome.state
        elif not isinstance(reply, OutOfTime | rate_limit.NoSlot):
            return
        for each in self.here:
            asks = isinstance(each.request, Ask) and each.site == question.site
            if asks and each.begun_at <= question.opened_at:
                each.answer(reply)

    def _question(self, site: int) -> bool:
        """Whether this process is asking the site."""
        return any(each.run is None and each.site == site for each in self.here)

    # Writing

    def _write_and_send(self) -> None:
        over = [each for each in self.here if each.is_over]
        now = time.monotonic()
        sendable = {site for site, at in self._sendable_at().items() if at <= now}
        ready = [each for each in self.here if _is_ready(each, sendable)]
        if not (over or ready):
            return
        leased_at = time.monotonic()
        written = writing.write(over, ready, room=self._room)
        self._slots_at |= written.slots_at
        self._forget(written.gone)
        for each in written.gone:
            if each.run is None:
                self._tell(each)
        self._send(written.calls, leased_at)

    # Sending

    def _send(self, calls: Iterable[Conversation], leased_at: float) -> None:
        # A call must end before its lease does.
        not_after = leased_at + settings.LEASE_SECONDS - settings.CALL_DEADLINE_SECONDS
        for each in calls:
            assert each.client is not None
            assert each.request is not None
            assert not isinstance(each.request, Ask)
            each.attempt.calls += 1
            each.under_way, each.begun_at = True, time.monotonic()
            self.senders.send(
                each, each.client, each.request, not_after=not_after if each.run else FOREVER
            )

    def _sendable_at(self) -> dict[int, float]:
        """Return when a call may go out, for each site with a waiting call and room for it."""
        waiting = {each.site: each for each in self.here if each.wants_slot}
        with_room = [site for site, each in waiting.items() if self._room(each) > 0]
        return {site: self._slots_at.get(site, 0.0) for site in with_room}

    def _room(self, one: Conversation, chosen: Sequence[Conversation] = ()) -> int:
        """Return how many more calls may go to this one's site now, beside those chosen."""
        sent = [*chosen, *(each for each in self.here if each.under_way)]
        of_site = sum(each.site == one.site for each in sent)
        of_app = sum(each.app is one.app for each in sent)
        threads = int(one.app.share_of_threads * settings.WORKER_THREADS)
        # With no free thread, a call would go out later than its slot and the task's time allow.
        free = settings.WORKER_THREADS - self.senders.under_way - len(chosen)
        return min(calls_at_once(one.app) - of_site, threads - of_app, free)

    # Claiming

    def _claim(self) -> None:
        """Claim what is due, and ask sites whose pause is over."""
        now = time.monotonic()
        if now >= self.claim_until or now < self._claim_at:
            return
        self._claim_at = now + PAUSE_SECONDS
        for integration in due_work.sites_to_ask():
            self.ask_paused(integration)
        if any(map(must_be_alone, [*self.claimed, *(each.run for each in self.here if each.run)])):
            return
        mine = Counter((each.integration.app, each.site) for each in self.here if each.run)
        room = settings.WORKER_THREADS - mine.total()
        for runs_of_site in claims(room, busy=mine, until=self.call_until):
            self.claimed += runs_of_site

    def _begin(self) -> None:
        if self.claimed:
            self.here += loading.begin(self.claimed)
            self.claimed = []

    def look_now(self) -> None:
        """Claim in the next turn, or soon if much is under way: something may have become due."""
        few = len(self.here) < FEW_RUNS
        self._claim_at = 0.0 if few else min(self._claim_at, time.monotonic() + SOON_SECONDS)

    def _forget(self, gone: Iterable[Conversation]) -> None:
        ended = set(gone)
        if ended:
            self.here = [each for each in self.here if each not in ended]
            # The next one in line may go now.
            self.look_now()


def _is_ready(each: Conversation, sendable: set[int]) -> bool:
    """Whether it may send now, or has something to write while it asks for a site's state."""
    if isinstance(each.request, Ask):
        return each.unwritten
    return each.wants_slot and each.site in sendable
