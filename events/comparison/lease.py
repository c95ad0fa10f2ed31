"""The lease on a comparison: who may continue it, when calls go out, what faults mean."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from events.models import ComparisonRun, RuleRun
from integrations.calls import rate_limit
from integrations.database.database_share import short_transaction
from integrations.errors import TRIES_AGAIN, KeyRejected, LimitReached, OutOfTime, Retry
from integrations.models import CallBudget, Customer
from integrations.sentences import joined, say
from integrations.thinkific.explain import explain_plainly
from integrations.thinkific.session import Session

# A holder that has not renewed its lease within this time has died.
LEASE = timedelta(seconds=90)
# The calls of one step start within this time, so even the last one ends inside the lease.
CALLS_SECONDS = 60.0
# A call waits this many seconds for buyers before the comparison is put off.
GIVE_WAY_SECONDS = 20.0
LOOK_SECONDS = 0.2
# Seconds before each retry after a fault. Then the comparison stops.
DELAYS = (5, 15, 60, 300)
BUYERS_FIRST = _("It waits while buyers are being given access.")
REJECTED = _(
    "Thinkific rejects the key of {site}, so nothing can be compared. Press Continue as soon as "
    "the key works again or another one is entered."
)
AWAY = _("{site} could not be reached. Admit tries again by itself.")
LIMIT = _("Thinkific's limit of calls is used up. Admit tries again by itself.")


class LeaseLost(Exception):
    """Another process has the comparison now, or it was deleted."""


@dataclass(slots=True)
class Lease:
    """A comparison that this process works on."""

    run: ComparisonRun
    is_over: bool = False

    def release(self) -> None:
        """Let another process continue at once."""
        self._held().update(next_at=Now(), token=None)

    def session(self, customer: Customer | None = None) -> Session:
        """Return a session for one step's calls to the site. Raises SecretUnreadable."""
        until = time.monotonic() + CALLS_SECONDS
        return Session(self.run.integration, customer, until=until, before_call=self._give_way)

    @contextmanager
    def writing(self) -> Iterator[ComparisonRun]:
        """Yield the stored row to change it in a transaction, and renew the lease.

        Raises LeaseLost.
        """
        with short_transaction():
            rows = ComparisonRun.objects.select_for_update(of=("self",))
            run = rows.select_related("integration").held_by(self.run.pk, self.run.token).first()
            if run is None:
                raise LeaseLost
            run.failures, run.message, run.next_at = 0, "", timezone.now() + LEASE
            yield run
            run.save()
        self.run = run

    def put_off(self, error: Exception) -> None:
        """Continue later, or stop if only a person can help."""
        match error:
            case rate_limit.SiteBlocked(why=CallBudget.Blocked.KEY):
                self.stop(say(REJECTED, site=self.run.integration))
            case rate_limit.SiteBlocked(why=CallBudget.Blocked.AWAY):
                self.wait(say(AWAY, site=self.run.integration), error.seconds)
            case KeyRejected():
                self.stop(explain_plainly(error))
            case LimitReached() | rate_limit.SiteBlocked():
                self.wait(say(LIMIT), error.seconds)
            case rate_limit.NoSlot():
                self.wait(say(LIMIT), 1.0)
            case OutOfTime():
                self.wait(error.message, 1.0)
            case Retry() if self.run.failures < len(DELAYS):
                seconds = max(DELAYS[self.run.failures], error.seconds or 0.0)
                self.wait(joined([error.message, TRIES_AGAIN]), seconds, failed=True)
            case _:
                self.stop(explain_plainly(error))

    def stop(self, message: str) -> None:
        """Continue only when a person says so."""
        self.wait(message, None)

    def wait(self, message: str, seconds: float | None, *, failed: bool = False) -> None:
        """Continue in so many seconds; None means when a person says so. `message` says why."""
        # Not "now and 0 seconds": SQLite takes that for later than now.
        later = Now() + timedelta(seconds=seconds) if seconds else Now()
        again = None if seconds is None else later
        failures = self.run.failures + failed
        self._held().update(message=message, next_at=again, token=None, failures=failures)
        self.is_over = True

    def _give_way(self) -> None:
        """Delay a call while buyers' actions are due or running at the site.

        Raises OutOfTime if they last too long, SiteBlocked if they wait for the site as well, and
        LeaseLost.
        """
        if not self._held().update(next_at=Now() + LEASE):
            raise LeaseLost
        give_up = time.monotonic() + GIVE_WAY_SECONDS
        while _buyers_wait(self.run.integration_id):
            why, seconds = rate_limit.blocked_for(self.run.integration_id)
            if why and seconds > 0:
                raise rate_limit.SiteBlocked(why, seconds)
            if time.monotonic() > give_up:
                raise OutOfTime(say(BUYERS_FIRST))
            time.sleep(LOOK_SECONDS)

    def _held(self) -> QuerySet[ComparisonRun]:
        return ComparisonRun.objects.held_by(self.run.pk, self.run.token)


def claim(chosen: QuerySet[ComparisonRun]) -> Lease | None:
    """Take the lease on one of these comparisons that is due. Return None if there is none."""
    for pk in chosen.order_by("next_at").values_list("pk", flat=True)[:10]:
        mine = ComparisonRun.objects.due().filter(pk=pk)
        if mine.update(token=uuid4(), next_at=Now() + LEASE):
            return Lease(ComparisonRun.objects.select_related("integration").get(pk=pk))
    return None


def _buyers_wait(site: int) -> bool:
    """Whether actions at the site are due or running."""
    due = RuleRun.objects.due().filter(integration=site)
    running = RuleRun.objects.filter(
        integration=site, status=RuleRun.Status.RUNNING, lease_until__gt=Now()
    )
    return due.exists() or running.exists()
