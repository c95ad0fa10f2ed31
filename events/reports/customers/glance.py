"""Customers at a glance: what access each has, when it ends, who is not in, what was bought last.

The customer's own page says it exactly, and why.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Count, Min, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from events.access import moves
from events.execution import gone_destinations
from events.models import EventLog, Grant, RuleRun
from events.models.runs import DELAYED
from events.reports.access import bundle_parts
from events.reports.access.standing import Standing, taken_back
from events.reports.customers import moved_orders
from events.reports.earlier import backfill, given_already
from events.reports.owed import promise
from events.reports.sentences import pending_endings
from integrations.models import Customer
from integrations.sentences import Said, format_day, joined, say, say_count
from integrations.targets import Target
from rules.listing import listed
from rules.triggers import Trigger

# A course or bundle of a customer: by customer, integration and target.
CustomerTarget = tuple[int, int, str]


@dataclass(frozen=True, slots=True)
class Glance:
    """What a list shows about a customer.

    `targets` are the courses and bundles that are open in Thinkific, and `names` their names,
    newest first, such as "Everything, in part" if a course of the bundle has ended. `ends` has the
    last moment of each that has one. `not_in` means that something was paid for and has not been
    given; `on_the_way`, that all of it was paid for a moment ago.
    `last` is the last purchase. Without one, `moved` names the orders that a person moved here, and
    `moved_products` what they were for. `moved_to` is who has all that the customer had, if a
    person moved it.
    """

    targets: Sequence[str] = ()
    names: Sequence[str] = ()
    ends: Sequence[datetime] = ()
    not_in: bool = False
    on_the_way: bool = False
    last: EventLog | None = None
    moved: str = ""
    moved_products: str = ""
    moved_to: Customer | None = None

    @property
    def is_nothing(self) -> bool:
        """Whether the customer has nothing and is owed nothing."""
        return not (self.names or self.not_in or self.on_the_way)

    @property
    def more(self) -> int:
        """How many names there are beside the first."""
        return max(0, len(self.names) - 1)

    @property
    def until(self) -> str:
        """ "ends 15 Dec" if everything ends on that day, else how many end; "" if nothing does."""
        if not self.ends:
            return ""
        first = format_day(min(self.ends))
        if len(self.ends) == len(self.targets) and len(set(map(format_day, self.ends))) == 1:
            return say("ends {day}", day=first)
        return say_count(len(self.ends), "1 ends {day}", "{number} end, the first {day}", day=first)


def counted(targets: Iterable[str]) -> Said:
    """Return text like "2 courses and 1 bundle"; "" for none."""
    kinds = [Target.parse(target).kind for target in targets]
    courses, bundles = kinds.count("course"), kinds.count("bundle")
    found = [say_count(courses, "1 course", "{number} courses")] if courses else []
    found += [say_count(bundles, "1 bundle", "{number} bundles")] if bundles else []
    return listed(found)


def glances(customers: Sequence[Customer]) -> dict[int, Glance]:
    """Return {customer ID: glance}, with as many queries for a hundred customers as for one."""
    numbers = [each.pk for each in customers]
    grants = list(
        Grant.objects.active()
        .filter(customer__in=numbers)
        .select_related("customer", "integration", "event")
        .order_by("pk")
    )
    open_ = _open(grants, numbers)
    ends = _ends(open_, numbers)
    waiting = _waiting(grants, open_, numbers)
    last = _last_purchases(numbers)
    without = [each for each in numbers if each not in last]
    moved = moved_orders.of_customers(without) if without else {}
    targets, partly = _targets(open_), bundle_parts.bundles_in_part(grants)
    found = {
        each: Glance(
            targets=[target for _, _, target in targets[each]],
            names=[
                bundle_parts.named_in_part(open_[place][-1], partly)
                for place in targets[each][::-1]
            ],
            ends=[ends[place] for place in targets[each] if place in ends],
            not_in=each in waiting.not_in,
            on_the_way=each in waiting.on_the_way,
            last=last.get(each),
            moved=moved_orders.sentence(moved.get(each, {})),
            moved_products=moved_orders.product_names(moved.get(each, {})),
        )
        for each in numbers
    }
    to = moves.all_moved_to([each for each, glance in found.items() if glance.is_nothing])
    return found | {each: replace(found[each], moved_to=other) for each, other in to.items()}


@dataclass(frozen=True, slots=True)
class _Waiting:
    """The IDs of the customers who lack something they paid for, and of those about to get it all.

    The first are `not_in`, the others `on_the_way`.
    """

    not_in: Collection[int | None]
    on_the_way: Collection[int | None]


def _waiting(
    grants: Iterable[Grant], open_: Mapping[CustomerTarget, list[Grant]], customers: Collection[int]
) -> _Waiting:
    """Return who waits; `grants` are the customers' active grants, `open_` what is open of them."""
    parts = {(who, site, part) for (who, site, _), rows in open_.items() for part in rows[0].parts}
    bought = [grant for grant in grants if grant.source == Grant.Source.PURCHASE]
    missing = [grant for grant in bought if _place(grant) not in parts]
    unpaid = taken_back(missing)
    owed = [grant for grant in missing if grant.pk not in unpaid]
    soon = _on_the_way(owed)
    late = {grant.customer_id for grant in owed if grant.pk not in soon}
    not_in = late | _gave_nothing(customers)
    return _Waiting(not_in, {grant.customer_id for grant in owed} - not_in)


def _targets(open_: Iterable[CustomerTarget]) -> Mapping[int, list[CustomerTarget]]:
    """Return {customer ID: those of these places that Thinkific still has}."""
    places = list(open_)
    gone = gone_destinations.among({(site, target) for _, site, target in places})
    found: dict[int, list[CustomerTarget]] = defaultdict(list)
    for place in places:
        if place[1:] not in gone:
            found[place[0]].append(place)
    return found


def _open(grants: Iterable[Grant], customers: Collection[int]) -> dict[CustomerTarget, list[Grant]]:
    """Return those of these customers' active grants whose access is open, by what they open."""
    lost = set(Grant.objects.lost().filter(customer__in=customers).values_list("pk", flat=True))
    now = timezone.now()
    found: dict[CustomerTarget, list[Grant]] = defaultdict(list)
    for grant in grants:
        if grant.seen_at and grant.pk not in lost and not (grant.until and grant.until <= now):
            found[_place(grant)].append(grant)
    return found


def _on_the_way(grants: Sequence[Grant]) -> set[int]:
    """Return the IDs of those of these grants that the buyer is about to get."""
    if not grants:
        return set()
    found = Grant.objects.filter(promise.is_on_the_way(), pk__in=[grant.pk for grant in grants])
    return set(found.values_list("pk", flat=True))


def _place(row: Grant | RuleRun) -> CustomerTarget:
    return row.customer_id or 0, row.integration_id or 0, row.target


def _ends(
    open_: dict[CustomerTarget, list[Grant]], customers: Collection[int]
) -> dict[CustomerTarget, datetime]:
    """The last moment of each course or bundle that has one."""
    runs: dict[CustomerTarget, list[RuleRun]] = defaultdict(list)
    # Those whose day has come are included: with a filter by status SQLite would walk through all
    # waiting runs.
    delayed = RuleRun.objects.filter(customer__in=customers, code=DELAYED)
    for run in delayed.select_related("event").order_by("pk"):
        runs[_place(run)].append(run)
    found = {place: _end(grants, runs[place]) for place, grants in open_.items()}
    return {place: moment for place, moment in found.items() if moment is not None}


def _end(grants: Sequence[Grant], runs: Sequence[RuleRun]) -> datetime | None:
    first = grants[0]
    by_school = [row.until for row in grants if row.until]
    if len(by_school) == len(grants):
        return max(by_school)
    if not runs:
        return None
    about = Standing(
        customer=first.customer,
        name=first.name,
        integration=first.integration_id,
        site=first.integration.site,
        target=first.target,
        grants=tuple(grants),
        runs=tuple(runs),
        lost=(),
        unpaid={},
    )
    return pending_endings.ends_at(about)


def _gave_nothing(customers: Collection[int]) -> set[int | None]:
    """Return those customers who paid for something that gave nothing and are still owed it."""
    nothing = _purchases().filter(
        customer__in=customers, gave_nothing=True, dealt_with_at=None, undone_at=None
    )
    events = list(nothing[: backfill.MAX_EVENTS])
    settled = given_already.settled(events) if events else set()
    return {event.customer_id for event in events if event.pk not in settled}


def _last_purchases(customers: Collection[int]) -> dict[int, EventLog]:
    last = _purchases().filter(customer=OuterRef("pk")).order_by("-received_at", "-pk")
    rows = Customer.objects.filter(pk__in=customers)
    found = dict(rows.values_list("pk", Subquery(last.values("pk")[:1])))
    events = EventLog.objects.select_related("product").defer("verdicts", "custom_fields")
    known = events.in_bulk([event for event in found.values() if event])
    return {who: known[event] for who, event in found.items() if event in known}


def _purchases() -> QuerySet[EventLog]:
    """Return all purchases, without repeats."""
    events = EventLog.objects.of_triggers(Trigger.PRODUCT_PURCHASED)
    return events.exclude(status=EventLog.Status.REPEAT)


def totals(customer: Customer, targets: Iterable[str]) -> Said:
    """Return text like "3 orders · 2 courses now · first purchase 3 May".

    Orders that were moved here have a part of their own. `targets` are what the customer has. The
    first purchase is left out if older ones may have been
    removed since.
    """
    bought = (
        _purchases()
        .filter(customer=customer)
        .aggregate(
            orders=Count("order_id", distinct=True, filter=~Q(order_id="")),
            others=Count("pk", filter=Q(order_id="")),
            first=Min(Coalesce("ordered_at", "received_at")),
        )
    )
    orders, has = bought["orders"] + bought["others"], counted(targets)
    days = settings.KEEP_EVENTS_DAYS
    moved = moved_orders.sentence(moved_orders.of_customers([customer.pk]).get(customer.pk, {}))
    is_kept = not days or customer.created_at > timezone.now() - timedelta(days=days)
    return joined(
        [
            say_count(orders, "1 order", "{number} orders")
            if orders
            else not (moved or has) and say("no order"),
            moved,
            say("{courses} now", courses=has) if has else say("no course now"),
            bought["first"]
            and is_kept
            and say("first purchase {day}", day=format_day(bought["first"])),
        ],
        " · ",
    )
