"""Buyers who were refunded and still have something that the purchase gave.

No rule ended it, or a person or a rule for the refund gave it again.

Canceled buyers are listed only if a person let them keep it: when SamCart sends a cancellation, it
does not say whether the paid time is over.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import OuterRef, Q, QuerySet

from events.access import revocations
from events.access.ended_by_hand import NO_PURCHASE
from events.access.other_grants import OtherGrants
from events.access.sale import BySale, near
from events.models import EventLog, Grant, RuleRun
from events.reports.access import open_access
from integrations.sentences import Said
from rules.listing import listed
from rules.triggers import CANCELS, TAKES_BACK, Trigger

# How many refunds that left access open are looked at, the newest first; of what is kept after
# cancellations, as many.
MAX_REFUNDS = 500


@dataclass(frozen=True, slots=True)
class Refunded:
    """A purchase that was refunded, by the `event` that gave it, with what its buyer still has.

    `refund` is a cancellation if the buyer was canceled and keeps it on purpose. `again` are the
    actions by which rules gave that again at the refund.
    """

    event: EventLog
    refund: EventLog
    runs: Sequence[RuleRun]
    again: Sequence[RuleRun] = ()

    @property
    def grants(self) -> list[Grant]:
        return [run.grant for run in self.runs if run.grant]

    @property
    def is_canceled(self) -> bool:
        """Whether it was canceled and not refunded."""
        return self.refund.trigger in CANCELS

    @property
    def is_kept(self) -> bool:
        """Whether a person let the buyer keep all of it after the refund."""
        return all(grant.is_kept_after(self.refund.received_at) for grant in self.grants)

    @property
    def given_again(self) -> list[Grant]:
        """Those of `grants` that a rule gave again after the refund."""
        by_rules = {run.grant_id for run in self.again}
        return [grant for grant in self.grants if grant.pk in by_rules]

    @property
    def given_back(self) -> list[Grant]:
        """Those of `grants` that a person gave back after the refund."""
        at = self.refund.received_at
        return [grant for grant in self._others if grant.is_opened_after(at)]

    @property
    def not_ended(self) -> list[Grant]:
        """Those of `grants` that nobody ended after the refund."""
        at = self.refund.received_at
        return [grant for grant in self._others if not grant.is_opened_after(at)]

    @property
    def _others(self) -> list[Grant]:
        again = self.given_again
        return [grant for grant in self.grants if grant not in again]

    @property
    def courses(self) -> str:
        """The names of what the buyer still has."""
        return listed([grant.name for grant in self.grants])

    @property
    def why(self) -> Said:
        """The refund in words: "order 1183 was refunded on 3 May"."""
        return revocations.sentence(self.refund)


def refunded_with_access(
    *,
    kept: bool | None = False,
    among: Sequence[EventLog] | None = None,
    by: Collection[Trigger] = (Trigger.PRODUCT_REFUNDED,),
) -> list[Refunded]:
    """Return refunded purchases whose buyers still have access, the newest refund first.

    With `kept`, return those that a person let the buyers keep after the refund, without it all
    others, and with None both. `among` are the refunds to look at, all `left_open`; without it, the
    newest are looked at. `by` are the triggers that count. Access that something else gives as well
    is left out, and what an action of the refund was to end: pages tell of that action. Takes one
    query if there are none.
    """
    found = list(_refunds(kept=kept)) if among is None else among
    open_ = list(_grants().filter(near(found))) if found else []
    if not open_:
        return []
    refunds = EventLog.objects.filter(near(found)).trusted().of_triggers(*by)
    by_sale = BySale(refunds.prefetch_related("runs"))
    grants = [grant for grant in open_ if _is_left(grant, by_sale.of(grant), kept=kept)]
    others = OtherGrants(grants)
    alone = {grant.pk for grant in grants if not others.give(grant)}
    ended = revocations.of_grants(
        [grant for grant in grants if grant.pk in alone],
        lambda grant, event: event.received_at >= grant.decided_at,
        by=by,
    )
    left = _by_purchase(alone, {pk: endings[-1] for pk, endings in ended.items()})
    return sorted(left, key=lambda each: (each.refund.received_at, each.event.pk), reverse=True)


def _by_purchase(
    grants: Collection[int], refunds: Mapping[int | None, EventLog]
) -> Iterator[Refunded]:
    """Yield the purchases that gave these grants (IDs); `refunds` has the last of each grant."""
    gave, again = _gave(grants)
    events: dict[int, EventLog] = {}
    of_event: dict[int, list[RuleRun]] = {}
    for event, run in _with_purchases(gave):
        events.setdefault(event.pk, event)
        of_event.setdefault(event.pk, []).append(run)
    for pk, runs in of_event.items():
        back = [refunds[run.grant_id] for run in runs if run.grant_id in refunds]
        # What the refund gave in place of the purchase is not left by it.
        if back and (last := max(back, key=_moment)) != events[pk]:
            by_rules = [again[run.grant_id] for run in runs if run.grant_id in again]
            yield Refunded(events[pk], last, runs, by_rules)


def canceled_and_kept() -> list[Refunded]:
    """Return canceled purchases of which a person let the buyers keep something that is open.

    The newest cancellation comes first. Purchases that were refunded later are left out.
    """
    kept = list(_grants().filter(kept_at__isnull=False).order_by("-kept_at")[:MAX_REFUNDS])
    canceled = EventLog.objects.filter(near(kept)).trusted().of_triggers(*CANCELS)
    among = list(canceled) if kept else []
    found = refunded_with_access(kept=True, among=among, by=TAKES_BACK)
    return [each for each in found if each.is_canceled]


def may_be_kept() -> bool:
    """Return whether a person let a refunded buyer keep something that is open.

    Something else may give it as well, and then `refunded_with_access` does not list it. Takes one
    query.
    """
    return _refunds(kept=True).exists()


def _moment(event: EventLog) -> tuple[datetime, int]:
    return event.received_at, event.pk


def _gave(grants: Collection[int]) -> tuple[list[RuleRun], dict[int | None, RuleRun]]:
    """Return the newest action that gave each of these grants (IDs), with what pages show of it.

    What a refund or cancellation gave again counts as given by the purchase. The newest actions
    that did that at a refund come second, by the ID of the grant.
    """
    runs = (
        open_access.runs_with_open_access()
        .filter(grant__in=grants)
        .exclude(event__by_hand__in=NO_PURCHASE)
        .select_related(
            "rule",
            "event__product",
            "integration",
            "event__customer",
            "event__delivery",
            "grant__customer",
        )
        .order_by("received_at", "pk")
    )
    newest = {run.grant_id: run for run in runs}
    bought = {run.grant_id: run for run in runs if run.event.trigger not in TAKES_BACK}
    again = {
        grant: run for grant, run in newest.items() if run.event.trigger == Trigger.PRODUCT_REFUNDED
    }
    return [*(newest | bought).values()], again


def _with_purchases(runs: Sequence[RuleRun]) -> Iterator[tuple[EventLog, RuleRun]]:
    """Yield each action with the purchase that it is for, also if a person gave it for that."""
    given = [run.grant for run in runs if run.event.is_gift and run.grant]
    bought: BySale[EventLog] = BySale()
    if given:
        purchases = EventLog.objects.filter(near(given)).trusted()
        purchases = purchases.of_triggers(Trigger.PRODUCT_PURCHASED)
        bought = BySale(purchases.select_related("product", "customer", "delivery"))
    for run in runs:
        if not run.event.is_gift:
            yield run.event, run
        elif run.grant and (of_grant := bought.of(run.grant)):
            yield of_grant[0], run


def _refunds(*, kept: bool | None) -> QuerySet[EventLog]:
    """Return the newest refunds that left access open, of purchases with open access."""
    marked = EventLog.objects.filter(left_open=True).order_by("-received_at", "-pk")[:MAX_REFUNDS]
    open_ = _grants()
    if kept is not None:
        is_kept = Q(kept_at__isnull=False, kept_at__gte=OuterRef("received_at"))
        open_ = open_.filter(is_kept if kept else ~is_kept)
    refunds = EventLog.objects.filter(pk__in=marked.values("pk"))
    return refunds.filter(open_access.of_purchase(open_))


def _grants() -> QuerySet[Grant]:
    return Grant.objects.active().filter(source=Grant.Source.PURCHASE)


def _is_left(grant: Grant, refunds: Sequence[EventLog], *, kept: bool | None) -> bool:
    """Whether no action is to end the grant for these refunds of its purchase.

    Only refunds since the last decision on the grant count, and there must be one. What one ended
    is open again only if a person undid that. While an action waits for a person, the refund itself
    may be in doubt. `kept` is as for `refunded_with_access`; only a decision
    after the last refund counts.
    """
    refunds = [each for each in refunds if each.received_at >= grant.decided_at]
    last = max((each.received_at for each in refunds), default=None)
    if last is None or kept not in {None, grant.is_kept_after(last)}:
        return False
    runs = [run for refund in refunds for run in refund.runs.all()]
    place = (grant.integration_id, grant.target)
    told = any(
        run.status == RuleRun.Status.HELD
        or (
            run.spec.ends_access
            and run.status != RuleRun.Status.DONE
            and (run.integration_id, run.target) == place
        )
        for run in runs
    )
    return not told
