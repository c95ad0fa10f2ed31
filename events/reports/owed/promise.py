"""The promise that everybody who paid has access: how many bought lately, and who has none."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Case, Count, Exists, OuterRef, Q, QuerySet, Value, When
from django.utils import timezone

from events.access import ended_by_hand as by_persons
from events.access import ledger
from events.models import EventLog, Grant, RuleRun
from events.models.runs import UNFINISHED
from events.reports import batches, review
from events.reports.access import standing
from events.reports.earlier import backfill, given_already
from events.reports.owed import unsettled, week
from integrations.models import Customer, Integration, ThinkificUser
from rules import actions
from rules.triggers import Trigger

# How far back purchases that gave nothing are counted.
LATELY = timedelta(days=30)
WEEK = timedelta(days=7)
# A purchase this recent is on its way, unless its site lets nobody in until a person acts.
MOMENT = timedelta(minutes=2)
# Beyond this many the exact number does not matter.
MAX_COUNT = 10_000
# At most this many are listed, the newest.
MAX_LISTED = 1000
# The fields that `given_already.settled` needs.
_SETTLED_BY = (
    "marketplace",
    "delivery",
    "trigger",
    "customer",
    "product",
    "order_id",
    "subscription_id",
    "by_hand",
    "received_at",
)
_IS_IN = Q(state=Grant.State.ACTIVE, seen_at__isnull=False)
_BY_HAND = Q(state=Grant.State.ENDED, because=ledger.BY_HAND)
Rows = list[tuple[int | None, int | None]]


@dataclass(frozen=True, slots=True)
class Promise:
    """How many buyers of this week are in or on their way, and how many paid and are not in.

    `buyers` are in, of `all_buyers`: those who were not refunded or canceled since. `purchases`
    counts the purchases of those who are not in: a list of them has one line for each. `ended`
    counts other buyers of this week: a person ended their access, after no refund.
    """

    buyers: int = 0
    all_buyers: int = 0
    more_bought: bool = False  # there are purchases beyond the newest MAX_COUNT, not counted
    on_the_way: int = 0
    not_in: int = 0
    purchases: int = 0
    ended: int = 0
    # A sentence on this week's purchases that a person undid on purpose; they count as neither.
    undone: str = ""


def promise(gave_nothing: QuerySet[EventLog], *, behind: Collection[int] = ()) -> Promise:
    """Return how well the promise is kept. `gave_nothing` are the purchases of `unfulfilled`.

    `behind` are the IDs of grants that are not what was bought, such as what no rule gives
    anymore; they count as no access.
    """
    since, more = _since()
    giving = _giving(since)
    grants = Grant.objects.filter(runs__event__in=giving)
    back = week.taken_back(grants.filter(_IS_IN), since)
    has = _IS_IN & ~Q(pk__in=back) if back else _IS_IN
    is_in = has & ~Q(pk__in=behind) if behind else has
    # One query for all numbers. Who lost one course and has another is in.
    kinds = {"has": has, "seen": is_in} if behind else {"has": has}
    found = grants.filter(has | _BY_HAND).aggregate(
        every=Count("customer", distinct=True),
        **{name: Count("customer", distinct=True, filter=each) for name, each in kinds.items()},
    )
    seen = found.get("seen", found["has"])
    ended = _ended_by_hand(giving) if found["every"] > seen else []
    on_the_way, not_in = _not_in(gave_nothing, MAX_COUNT + 1)
    undone = _undone(timezone.now() - WEEK)
    others = {who for _, who in [*on_the_way, *ended] if who}
    others |= {event.customer_id for event in undone if event.customer_id}
    return Promise(
        buyers=seen,
        all_buyers=found["has"] + week.besides(grants.filter(has), others),
        more_bought=more,
        on_the_way=week.besides(grants.filter(is_in), {who for _, who in on_the_way if who}),
        not_in=_buyers(not_in),
        purchases=len({event for event, _ in not_in}),
        ended=_buyers(ended),
        undone=batches.recent_undo_sentence(undone),
    )


def _since() -> tuple[datetime, bool]:
    """Return from when on purchases are counted, and whether older ones of this week are not."""
    week = timezone.now() - WEEK
    bought = _bought(week).order_by("-received_at").values_list("received_at", flat=True)
    last = bought[MAX_COUNT - 1 : MAX_COUNT + 1]
    return (last[0], len(last) > 1) if last else (week, False)


def _bought(since: datetime) -> QuerySet[EventLog]:
    return EventLog.objects.filter(trigger=Trigger.PRODUCT_PURCHASED, received_at__gte=since)


def _giving(since: datetime) -> QuerySet[EventLog, Any]:
    """Return the IDs of the events that gave what the purchases since then should have."""
    return _bought(since).values("pk").union(_given_for_purchases(since), all=True)


def ended_by_hand() -> list[int]:
    """Return the IDs of the newest acts by which persons ended what buyers of this week had."""
    since, _ = _since()
    ended = _ended_by_hand(_giving(since))
    return [event for event, _ in ended if event is not None]


def _ended_by_hand(giving: QuerySet[EventLog, Any]) -> Rows:
    """Return (event ID, customer ID) of the acts that ended what these events gave.

    Customers who still have something else of it are left out. So are purchases that were refunded
    or canceled, because their access was meant to end.
    """
    grants = Grant.objects.filter(runs__event__in=giving)
    newest = grants.filter(_BY_HAND).order_by("-ended_at", "-pk").distinct()
    ended = list(newest.select_related("event")[:MAX_LISTED])
    whose = {grant.customer_id for grant in ended}
    are_in = grants.filter(_IS_IN, customer__in=whose).values_list("customer", flat=True)
    leaves_out, taken_back = set(are_in), by_persons.taken_back(ended)
    return [
        (grant.event_id, grant.customer_id)
        for grant in ended
        if grant.customer_id not in leaves_out and grant.pk not in taken_back
    ]


def _given_for_purchases(since: datetime) -> QuerySet[EventLog, Any]:
    """Return the IDs of the acts by which persons gave what a purchase since then should have."""
    # The order as the only other condition, so that SQLite finds its few events first.
    same = EventLog.objects.of_triggers(Trigger.PRODUCT_PURCHASED).filter(
        order_id=OuterRef("order_id"), received_at__gte=since
    )
    of_purchase = Grant.objects.filter(source=Grant.Source.PURCHASE, runs__event=OuterRef("pk"))
    acts = given_by_hand(since).filter(Exists(of_purchase.filter(Exists(same))))
    return acts.values("pk")


def given_by_hand(since: datetime) -> QuerySet[EventLog]:
    """Return the acts since then by which persons gave access."""
    # What persons do has no trigger, and the index that begins with it is short for these.
    return EventLog.objects.filter(
        trigger=None, by_hand=EventLog.ByHand.GIVE, received_at__gte=since
    )


def not_in() -> list[int]:
    """Return the IDs of the newest events of those who paid and are not in."""
    return [event for event, _ in _not_in(unfulfilled(), MAX_LISTED)[1] if event is not None]


def unfulfilled() -> QuerySet[EventLog]:
    """Return recent purchases that gave nothing and are not settled."""
    return not_settled(review.gave_nothing().filter(received_at__gte=timezone.now() - LATELY))


def not_settled(purchases: QuerySet[EventLog]) -> QuerySet[EventLog]:
    """Leave out the settled ones of these purchases, which gave nothing.

    A purchase is settled if it was refunded since, or the buyer got the access in another way. Only
    the newest backfill.MAX_EVENTS purchases are checked for that.
    """
    newest = purchases.order_by("-received_at", "-pk")[: backfill.MAX_EVENTS]
    likely = unsettled.may_be_settled().filter(pk__in=newest.values("pk"))
    events = list(likely.only(*_SETTLED_BY))
    return purchases.exclude(pk__in=given_already.settled(events)) if events else purchases


def owed(customer: Customer) -> list[EventLog]:
    """Return the customer's purchases that gave nothing and are not settled, the newest first."""
    if customer.pk is None:
        return []
    mine = review.gave_nothing().filter(customer=customer)
    newest = mine.select_related("product", "marketplace").order_by("-received_at", "-pk")
    events = list(newest[: backfill.MAX_EVENTS])
    done = given_already.settled(events)
    return [event for event in events if event.pk not in done]


def _undone(since: datetime) -> list[EventLog]:
    """Return the newest purchases that a person undid and that are not settled."""
    newest = (
        review.undone_purchases().filter(received_at__gte=since).order_by("-received_at", "-pk")
    )
    events = list(newest.only(*_SETTLED_BY)[: backfill.MAX_EVENTS])
    settled = given_already.settled(events) if events else set()
    return [event for event in events if event.pk not in settled]


def _not_in(gave_nothing: QuerySet[EventLog], most: int) -> tuple[Rows, Rows]:
    """Return (event ID, customer ID) for what is on its way, and for what is paid and not given.

    Each query reads at most `most` rows, the newest. What was refunded or canceled since is left
    out.
    """
    found: tuple[Rows, Rows] = ([], [])
    rows: list[tuple[int, int | None, int, int, int, str]] = []
    for grants in (Grant.objects.owed(), _lost()):
        waits = grants.filter(source=Grant.Source.PURCHASE).order_by("-decided_at")
        waits = waits.annotate(late=Case(When(is_on_the_way(), Value(0)), default=Value(1)))
        rows += waits.values_list("pk", "event", "late", "customer", "integration", "target")[:most]
    has = access_of({customer for _, _, _, customer, *_ in rows})
    rows = [row for row in rows if row[3:] not in has]  # else another purchase gives it
    unpaid = not_paid_for([grant for grant, *_ in rows])
    for grant, event, late, customer, *_ in rows:
        if grant not in unpaid:
            found[late].append((event, customer))
    # A buyer without a usable e-mail address has no grant, so these are found by their runs.
    nobodys = RuleRun.objects.without_email().filter(action__in=actions.giving_access())
    found[1].extend(nobodys.order_by("-received_at").values_list("event", "customer")[:most])
    found[1].extend(gave_nothing.order_by("-received_at").values_list("pk", "customer")[:most])
    return found


def is_on_the_way() -> Q:
    """Return a condition on grants: a recent action will give it, and its site is open."""
    goes_on = RuleRun.objects.filter(grant=OuterRef("pk"), status__in=UNFINISHED)
    refused = Q(integration__connection=Integration.Connection.REFUSED)
    closed = refused | Q(integration__enabled=False)
    return Q(decided_at__gt=timezone.now() - MOMENT) & Exists(goes_on) & ~closed


def not_paid_for(grants: Sequence[int]) -> Collection[int]:
    """Return the IDs of those grants that are open though they were refunded or canceled since.

    Only the first backfill.MAX_EVENTS grants are looked up.
    """
    some = Grant.objects.filter(pk__in=grants[: backfill.MAX_EVENTS])
    return standing.taken_back(list(some)) if grants else ()


def access_of(students: Collection[int]) -> set[tuple[int, int, str]]:
    """Return (student ID, integration ID, course or bundle) for all that these students have."""
    if not students:
        return set()
    rows = Grant.objects.seen().filter(customer__in=students)
    return {
        (row.customer_id, row.integration_id, part)
        for row in rows.only("customer", "integration", "target", "course_ids")
        for part in row.parts
    }


def _lost() -> QuerySet[Grant]:
    """Return active grants that were lost when an account was deleted in Thinkific."""
    replaced = ThinkificUser.objects.filter(since__isnull=False).values("customer")
    return Grant.objects.active().lost().filter(customer__in=replaced)


def _buyers(rows: Rows) -> int:
    """Return how many people these are; an event without a customer counts as one person."""
    return len({("event", event) if who is None else ("customer", who) for event, who in rows})
