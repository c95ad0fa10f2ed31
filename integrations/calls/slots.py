"""Take slots for many calls at once inside a transaction, for the worker's loop.

`integrations.calls.rate_limit` takes a slot for a single call.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from django.db.models import F

from integrations.calls.rate_limit import EpochNow, spacing
from integrations.models import CallBudget, Integration


@dataclass(slots=True)
class Budget:
    """A site's call budget at this moment. `blocked_for` and `next_slot` are seconds from now."""

    site: int
    blocked: str
    blocked_for: float
    next_slot: float
    calls_per_minute: int

    def take(self, wanted: int) -> int:
        """Take up to `wanted` slots that are free now; return how many. The row must be locked."""
        gap, tolerance = spacing(self.calls_per_minute)
        if not gap:
            return wanted
        taken = 0
        while taken < wanted and self.next_slot <= tolerance:
            self.next_slot = max(self.next_slot, 0.0) + gap
            taken += 1
        if taken:
            later = EpochNow() + self.next_slot
            CallBudget.objects.filter(pk=self.site).update(next_slot=later)
        return taken

    @property
    def slot_in(self) -> float:
        """Seconds until the next slot is free."""
        gap, tolerance = spacing(self.calls_per_minute)
        return max(0.0, self.next_slot - tolerance) if gap else 0.0


def lock(calls_per_minute: Mapping[int, int]) -> dict[int, Budget]:
    """Lock the budgets of these sites in the caller's transaction and return them by site.

    `calls_per_minute` gives each site's limit; 0 means no limit. Deleted sites are left out.
    """
    if not calls_per_minute:
        return {}
    found = _locked(calls_per_minute)
    missing = calls_per_minute.keys() - found.keys()
    there = Integration.objects.filter(pk__in=missing).values_list("pk", flat=True)
    if missing and there:
        rows = [CallBudget(integration_id=site) for site in there]
        CallBudget.objects.bulk_create(rows, ignore_conflicts=True)
        found = _locked(calls_per_minute)
    return found


def look(calls_per_minute: Mapping[int, int]) -> dict[int, Budget]:
    """Return the same as `lock`, but without locking if every site is unlimited and not paused.

    Then no slot has to be taken.
    """
    if calls_per_minute and not any(calls_per_minute.values()):
        budgets = CallBudget.objects.filter(pk__in=calls_per_minute.keys(), blocked="")
        open_ones = budgets.values_list("pk", flat=True)
        found = {site: Budget(site, "", 0.0, 0.0, 0) for site in open_ones}
        if len(found) == len(calls_per_minute):
            return found
    return lock(calls_per_minute)


def _locked(calls_per_minute: Mapping[int, int]) -> dict[int, Budget]:
    budgets = CallBudget.objects.select_for_update().filter(pk__in=calls_per_minute.keys())
    now = EpochNow()
    columns = ("pk", "blocked", F("blocked_until") - now, F("next_slot") - now)
    rows = budgets.order_by("pk").values_list(*columns)
    return {
        site: Budget(site, blocked, blocked_for, next_slot, calls_per_minute[site])
        for site, blocked, blocked_for, next_slot in rows
    }
