"""Buyers who have what no rule gives anymore, for all rules at once.

Pages show them without being asked.
"""

from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import CharField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Cast

from events.access import revocations
from events.execution import gone_destinations
from events.models import EventLog
from events.reports.access import open_access
from events.reports.changed_rules.left_behind import MAX_RUNS
from integrations.audit import Act
from integrations.models import AuditEntry
from integrations.targets import Target
from rules import actions, changing, pairing
from rules.models import Rule

# (integration ID, "course:501", product ID): a course or bundle, and the product that was bought.
ProductTarget = tuple[int, str, int]
# At most this many changed rules are shown; the others follow when these are dealt with.
MOST_RULES = 5
# At most this many places are looked at: each needs three parameters, and SQLite allows 32,766.
MOST_PLACES = 5000
# Literals, as in the condition of the index `grant_of_buyer`: SQLite does not match parameters with
# it, and would not use the index.
_OPEN = "state = 'active' AND source = 'purchase' AND kept_at IS NULL"
# Finds the places where buyers have something that no rule gives to buyers of the product: one row
# for each, however many buyers it has. For each course the index is asked for the next product
# until there is none. A rule that is off counts as giving, because it may be turned on again.
_GIVEN_BY_NONE = f"""
WITH RECURSIVE held (destination, site, course, product) AS (
    SELECT id, integration_id, kind || ':' || external_id, CAST(0 AS BIGINT)
    FROM integrations_destination
    UNION ALL
    SELECT destination, site, course, (
        SELECT MIN(product_id) FROM events_grant
        WHERE integration_id = site AND target = course AND product_id > product AND {_OPEN}
    )
    FROM held WHERE product >= 0
),
giving (destination, product, account) AS (
    SELECT destination_id, product_id, marketplace_id FROM rules_rule
    WHERE action IN ({{actions}}) AND trigger NOT IN ({{triggers}})
)
SELECT site, course, held.product FROM held WHERE held.product > 0
AND NOT EXISTS (
    SELECT 1 FROM giving
    WHERE giving.product = held.product AND giving.destination = held.destination
)
AND NOT EXISTS (
    SELECT 1 FROM giving JOIN integrations_product ON marketplace_id = giving.account
    WHERE integrations_product.id = held.product
    AND giving.product IS NULL AND giving.destination = held.destination
)
"""  # noqa: S608 - words of our own
_GRANTS = f"""
WITH place (site, course, product) AS (VALUES {{places}})
SELECT id FROM place JOIN events_grant
ON integration_id = site AND target = course AND product_id = product
WHERE {_OPEN} LIMIT {MAX_RUNS + 1}
"""  # noqa: S608 - words of our own
_PLACE_FIELDS = (
    "product",
    "marketplace",
    "integration",
    "destination__kind",
    "destination__external_id",
)
# The ID of an action, the fields of `_Given`, then the action's event.
_FACTS = (
    "pk",
    "grant",
    "event",
    "rule",
    "grant__customer",
    "grant__name",
    "event__product",
    "integration",
    "target",
    "event__marketplace",
    "event__trigger",
)


@dataclass(frozen=True, slots=True)
class LastChange:
    """Who last changed what a rule does, and when; `entry` is the ID of the audit's entry."""

    entry: int
    who: str
    at: datetime


@dataclass(frozen=True, slots=True)
class LeftBehindByRule:
    """Buyers left behind by one rule that gives something else now, or by all deleted ones (None).

    `courses` are the names of what they have, `products` the IDs of what they bought, `grants` the
    IDs of what they have by it; `taken_back` is how many were refunded or canceled since. With
    `is_gone` Thinkific has none of these courses anymore, with `moves` the rule is on and gives
    another one now to some who were not refunded or canceled, with `more` there may be others.
    `changed` is the rule's last change, None if it is not known or was an undo.
    """

    rule: Rule | None
    customers: int
    courses: Sequence[str]
    products: Sequence[int]
    grants: Sequence[int]
    taken_back: int
    is_gone: bool
    moves: bool
    more: bool
    changed: LastChange | None = None


@dataclass(frozen=True, slots=True)
class LeftBehindSummary:
    """Buyers left behind by all rules: `told` has the deleted rules, and up to MOST_RULES others.

    `grants` are the IDs of the grants they have, up to MAX_RUNS, and `gone` of those whose course
    Thinkific does not have anymore. With `more` there are others.
    """

    told: Sequence[LeftBehindByRule] = ()
    grants: Sequence[int] = ()
    gone: Sequence[int] = ()
    customers: int = 0
    more: bool = False


@dataclass(frozen=True, slots=True)
class _Given:
    """What a buyer has, by the last action that gave it; `product` is that of its event."""

    grant: int
    event: int
    rule: int | None
    customer: int
    course: str
    product: int | None
    site: int
    target: str


def summarize() -> LeftBehindSummary:
    """Return who has what no rule gives anymore.

    If there is no such buyer, this takes one query. However much was sold and however
    often rules were changed, each product of a course is looked up once.
    """
    places = _given_by_none()
    found = _with_buyers(places[:MOST_PLACES]) if places else []
    more, found = len(found) > MAX_RUNS or len(places) > MOST_PLACES, found[:MAX_RUNS]
    of_rule: dict[int | None, list[_Given]] = defaultdict(list)
    for given in found:
        of_rule[given.rule].append(given)
    numbers = sorted(number for number in of_rule if number is not None)[:MOST_RULES]
    rules: dict[int, Any] = _with_last_change().in_bulk(numbers) if numbers else {}
    events = EventLog.objects.filter(pk__in={given.event for given in found})
    bought = events.only("marketplace", *revocations.READ).in_bulk() if found else {}
    ended = revocations.later_endings(bought.values())
    gone = gone_destinations.among({(given.site, given.target) for given in found})
    shown = {number: of_rule[number] for number in (None, *numbers) if number in of_rule}
    told = [
        _told(number and rules.get(number), given, bought, ended, gone, more=more)
        for number, given in shown.items()
        if number is None or number in rules
    ]
    return LeftBehindSummary(
        told,
        grants=[each.grant for each in found],
        gone=[each.grant for each in found if (each.site, each.target) in gone],
        customers=_customers(found),
        more=more,
    )


def _with_last_change() -> QuerySet[Rule]:
    """Return all rules with their names and their last change, which takes no further query."""
    entries = AuditEntry.objects.filter(
        act=Act.RULE_CHANGED,
        kind=Rule._meta.model_name,
        number=Cast(OuterRef("pk"), CharField()),
        before__has_any_keys=changing.DEFINING_FIELDS,
    ).order_by("-pk")
    return Rule.objects.with_names().annotate(
        changed_in=Subquery(entries.values("pk")[:1]),
        changed_by=Subquery(entries.values("who")[:1]),
        changed_at=Subquery(entries.values("at")[:1]),
        changed_back=Subquery(entries.values("undoes")[:1]),
    )


def _rules() -> QuerySet[Rule]:
    return Rule.objects.filter(action__in=actions.giving_access())


def _given_by_none() -> list[ProductTarget]:
    """Return the places whose course or bundle no rule gives to buyers of the product."""
    giving, back = actions.giving_access(), pairing.GIVES_BACK
    sql = _GIVEN_BY_NONE.format(actions=_marks(giving), triggers=_marks(back))
    with connection.cursor() as cursor:
        cursor.execute(sql, [*giving, *back])
        return sorted(cursor.fetchall())


def _marks(values: Sequence[str]) -> str:
    return ", ".join(["%s"] * len(values))


def _with_buyers(places: Sequence[ProductTarget]) -> list[_Given]:
    """Return what buyers have at these places, at most MAX_RUNS + 1.

    Left out are what a rule still gives for the event that gave it, such as a recovered payment,
    and what only a person gave.
    """
    sql = _GRANTS.format(places=", ".join(["(%s, %s, %s)"] * len(places)))
    with connection.cursor() as cursor:
        cursor.execute(sql, [value for place in places for value in place])
        grants = [pk for (pk,) in cursor.fetchall()]
    products = {product for *_, product in places}
    of_them = Q(product=None) | Q(product__in=products)
    on = _rules().filter(of_them, trigger__in=pairing.GIVES_BACK, enabled=True)
    giving_back = {
        (product, None if product else account, site, str(Target(kind, number)), trigger)
        for product, account, site, kind, number, trigger in on.values_list(
            *_PLACE_FIELDS, "trigger"
        )
    }
    runs = open_access.giving_runs().filter(grant__in=grants, event__trigger__isnull=False)
    found: dict[int, _Given] = {}
    due: set[int] = set()
    for _, *facts, account, trigger in sorted(runs.order_by().values_list(*_FACTS)):
        given = _Given(*facts)
        found[given.grant] = given
        # A global rule fits by the account, any other rule by the product alone.
        fits = ((given.product, None), (None, account))
        if any((*each, given.site, given.target, trigger) in giving_back for each in fits):
            due.add(given.grant)
    return [given for given in found.values() if given.grant not in due]


def _told(
    rule: Any,
    found: Sequence[_Given],
    bought: Mapping[int, EventLog],
    ended: Container[int],
    gone: Container[tuple[int | None, str]],
    *,
    more: bool,
) -> LeftBehindByRule:
    courses = dict.fromkeys(each.course for each in found)
    products = dict.fromkeys(each.product for each in found if each.product)
    taken_back = _customers([each for each in found if each.event in ended])
    return LeftBehindByRule(
        rule,
        _customers(found),
        [*courses],
        [*products],
        [each.grant for each in found],
        taken_back,
        all((each.site, each.target) in gone for each in found),
        rule is not None
        and rule.enabled
        and rule.spec.gives_access
        and any(bought[each.event].is_for(rule) for each in found if each.event not in ended),
        more,
        LastChange(rule.changed_in, rule.changed_by, rule.changed_at)
        if rule and rule.changed_in and rule.changed_back is None
        else None,
    )


def _customers(found: Sequence[_Given]) -> int:
    return len({each.customer for each in found})
