"""The promise: everybody who paid is in. How many bought lately, and who is not in."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Case, Exists, OuterRef, Q, QuerySet, Value, When
from django.utils import timezone

from events.models import EventLog, Grant, RuleRun
from events.models.runs import UNFINISHED
from events.reports import backfill, batches, review
from integrations.models import Integration, ThinkificUser
from rules import actions
from rules.triggers import Trigger

# Purchases that gave nothing are counted so far back.
LATELY = timedelta(days=30)
WEEK = timedelta(days=7)
# What was bought a moment ago is on its way, unless its site lets nobody in until a person acts.
MOMENT = timedelta(minutes=2)
# Beyond this many the exact number does not matter.
MAX_COUNT = 10_000
# Fewer buyers than these do not buy more than MAX_COUNT times a week.
MANY_BUYERS = 1000
# So many of them are listed, the newest.
LISTED = 1000
# What tells whether nothing is owed for a purchase any more.
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
Rows = list[tuple[int | None, int | None]]


@dataclass(frozen=True, slots=True)
class Promise:
    """How many buyers of this week are in or on their way, and how many paid and are not in.

    `purchases` are those by which they are not in: a list of them has one line for each.
    """

    buyers: int = 0
    more_bought: bool = False  # beyond the newest MAX_COUNT purchases, of whom these buyers are
    on_the_way: int = 0
    not_in: int = 0
    purchases: int = 0
    # What a person undid on purpose, of this week's purchases, in a sentence: neither in nor not.
    undone: str = ""


def promise(gave_nothing: QuerySet[EventLog], *, behind: Collection[int] = ()) -> Promise:
    """How it is kept; `gave_nothing` are the purchases of `unfulfilled`.

    `behind` are the grants, by number, that no rule gives any more: nobody is in by these.
    """
    since = timezone.now() - WEEK
    bought = EventLog.objects.filter(trigger=Trigger.PRODUCT_PURCHASED, received_at__gte=since)
    in_order = bought.order_by("-received_at").values("pk")
    newest = in_order[:MAX_COUNT]
    seen = Grant.objects.active().filter(runs__event__in=newest, seen_at__isnull=False)
    seen = seen.exclude(pk__in=behind) if behind else seen
    on_the_way, not_in = _not_in(gave_nothing, MAX_COUNT + 1)
    buyers = seen.values("customer").distinct().count()
    more = buyers > MANY_BUYERS and in_order[MAX_COUNT : MAX_COUNT + 1].exists()
    purchases = len({event for event, _ in not_in})
    undone = batches.undone_lately(_undone(since))
    return Promise(buyers, more, _buyers(on_the_way), _buyers(not_in), purchases, undone)


def not_in() -> list[int]:
    """The newest events of those who paid and are not in, by number."""
    return [event for event, _ in _not_in(unfulfilled(), LISTED)[1] if event is not None]


def unfulfilled() -> QuerySet[EventLog]:
    """What was bought lately and gave nothing, but for what is settled.

    Settled is what was refunded since, or given to the buyer in another way. That is looked up for
    the newest backfill.MAX_EVENTS purchases.
    """
    purchases = review.gave_nothing().filter(received_at__gte=timezone.now() - LATELY)
    newest = purchases.order_by("-received_at", "-pk")[: backfill.MAX_EVENTS]
    likely = backfill.may_be_settled().filter(pk__in=newest.values("pk"))
    events = list(likely.only(*_SETTLED_BY))
    return purchases.exclude(pk__in=backfill.settled(events)) if events else purchases


def _undone(since: datetime) -> list[EventLog]:
    """The newest purchases that a person undid, but for those that are settled."""
    newest = review.undone().filter(received_at__gte=since).order_by("-received_at", "-pk")
    events = list(newest.only(*_SETTLED_BY)[: backfill.MAX_EVENTS])
    settled = backfill.settled(events) if events else set()
    return [event for event in events if event.pk not in settled]


def _not_in(gave_nothing: QuerySet[EventLog], most: int) -> tuple[Rows, Rows]:
    """(event, customer) of what is on its way, and of what was paid for and is not given.

    At most so many of each kind, the newest.
    """
    goes_on = RuleRun.objects.filter(grant=OuterRef("pk"), status__in=UNFINISHED)
    refused = Q(integration__connection=Integration.Connection.REFUSED)
    closed = refused | Q(integration__enabled=False)
    lately = Q(decided_at__gt=timezone.now() - MOMENT) & Exists(goes_on) & ~closed
    found: tuple[Rows, Rows] = ([], [])
    rows: list[tuple[int | None, int, int, int, str]] = []
    for grants in (Grant.objects.owed(), _lost()):
        waits = grants.filter(source=Grant.Source.PURCHASE).order_by("-decided_at")
        waits = waits.annotate(late=Case(When(lately, Value(0)), default=Value(1)))
        rows += waits.values_list("event", "late", "customer", "integration", "target")[:most]
    has = access_of({customer for _, _, customer, *_ in rows})
    for event, late, customer, integration, target in rows:
        if (customer, integration, target) not in has:  # else another purchase gives it
            found[late].append((event, customer))
    # Who has no usable e-mail address has no access that could be owed.
    nobodys = RuleRun.objects.without_email().filter(action__in=actions.giving_access())
    found[1].extend(nobodys.order_by("-received_at").values_list("event", "customer")[:most])
    found[1].extend(gave_nothing.order_by("-received_at").values_list("pk", "customer")[:most])
    return found


def access_of(students: Collection[int]) -> set[tuple[int, int, str]]:
    """(student, integration, course or bundle) of what these have."""
    rows = Grant.objects.seen().filter(customer__in=students)
    return {
        (row.customer_id, row.integration_id, part)
        for row in rows.only("customer", "integration", "target", "course_ids")
        for part in row.parts
    }


def _lost() -> QuerySet[Grant]:
    """What an account held that was deleted in Thinkific since: the new one does not have it."""
    replaced = ThinkificUser.objects.filter(since__isnull=False).values("customer")
    return Grant.objects.active().lost().filter(customer__in=replaced)


def _buyers(rows: Rows) -> int:
    """How many people these are; an event without a customer is one of its own."""
    return len({("event", event) if who is None else ("customer", who) for event, who in rows})
