"""Who has what no rule gives any more, of all rules at once: for pages that say it unasked."""

from collections import defaultdict
from collections.abc import Iterable
from functools import reduce
from itertools import product
from operator import or_
from typing import Any

from django.db.models import Q

from events.models import Grant, RuleRun
from events.reports import left_behind
from events.reports.left_behind import MOST, LeftBehind
from integrations.audit import Act
from integrations.models import AuditEntry, Destination
from rules import actions, changing, pairing
from rules.models import Rule

# So many rules that lead elsewhere are told of; the others follow when these are dealt with.
MOST_RULES = 5
# Of so many courses is asked at once who has them.
TOGETHER = 100
# A product by its number, None for all of them, and a course or bundle by its own.
Place = tuple[int | None, int]


def everywhere() -> list[LeftBehind]:
    """Those of all deleted rules, then those of each rule that gives something else now.

    Where no rule was ever deleted or led elsewhere it is one query, however much was sold. Else
    what rules gave before is asked for by an index, and looked at only where buyers have it.
    """
    grants = _with_buyers(_given_by_none(_former_places()))
    if not grants:
        return []
    of_rule: dict[int | None, dict[int | None, RuleRun]] = defaultdict(dict)
    told = set()
    giving = left_behind.still_open().filter(grant__in=grants)
    # Not put in order by the database: SQLite would walk through all actions for that.
    for run in sorted(giving, key=lambda run: (run.received_at, run.pk), reverse=True):
        if run.grant_id not in told:
            told.add(run.grant_id)
            of_rule[run.rule_id][run.grant_id] = run
    rules = Rule.objects.with_names().in_bulk(filter(None, of_rule))
    numbers: list[int | None] = [None, *sorted(rules)[:MOST_RULES]]
    found = [
        left_behind.of_runs(rules.get(number or 0), list(of_rule[number].values()))
        for number in numbers
        if number in of_rule
    ]
    return [each for each in found if each.rows]


def _former_places() -> set[Place]:
    """What rules gave or ended for which product, before they were deleted or changed."""
    entries = AuditEntry.objects.filter(
        act__in=[Act.RULE_DELETED, Act.RULE_CHANGED],
        kind=Rule._meta.model_name,
        before__has_any_keys=changing.LEADS,
    )
    products: dict[int, set[int | None]] = defaultdict(set)
    courses: dict[int, set[int | None]] = defaultdict(set)
    rows: Iterable[tuple[str, dict[str, Any] | None]] = entries.values_list("number", "before")
    changed = set()
    for number, before in rows:
        changed.add(int(number))
        for name, of_rule in (("product", products), ("destination", courses)):
            if before and name in before:
                of_rule[int(number)].add(_number(before[name]))
    # What did not change is as it was.
    now = Rule.objects.filter(pk__in=changed) if changed else Rule.objects.none()
    for pk, product_now, course_now in now.values_list("pk", "product", "destination"):
        products[pk].add(product_now)
        courses[pk].add(course_now)
    pairs = (product(products[pk], courses[pk]) for pk in products.keys() & courses.keys())
    return {(sold, course) for each in pairs for sold, course in each if course is not None}


def _number(kept: Any) -> int | None:
    return kept["number"] if kept else None


def _given_by_none(places: set[Place]) -> list[Q]:
    """For each course the condition for grants of it that no rule of their purchase gives.

    A rule that is off speaks for its course: it may be turned on again.
    """
    courses = Destination.objects.in_bulk({course for _, course in places})
    giving = Rule.objects.filter(destination__in=courses, action__in=actions.giving_access())
    named = giving.exclude(trigger__in=pairing.GIVES_BACK).values_list(
        "destination", "product", "marketplace"
    )
    own: dict[int | None, set[int]] = defaultdict(set)
    accounts: dict[int | None, set[int]] = defaultdict(set)
    for course, its_product, account in named if courses else ():
        if its_product is None:
            accounts[course].add(account)
        else:
            own[course].add(its_product)
    wanted: dict[int, set[int | None]] = defaultdict(set)
    for sold, number in places:
        if sold is None or sold not in own[number]:
            wanted[number].add(sold)
    return [
        Q(integration=each.integration_id, target=f"{each.kind}:{each.external_id}")
        & (~Q(product__in=own[each.pk]) if None in wanted[each.pk] else _of(wanted[each.pk]))
        & ~Q(marketplace__in=accounts[each.pk])
        for each in courses.values()
        if wanted[each.pk]
    ]


def _of(products: Iterable[int | None]) -> Q:
    return Q(product__in=sorted(filter(None, products)))


def _with_buyers(conditions: list[Q]) -> list[int]:
    """The numbers of what buyers have of this and were not said to keep, up to one above MOST."""
    found: list[int] = []
    for at in range(0, len(conditions), TOGETHER):
        has = Grant.objects.active().filter(
            reduce(or_, conditions[at : at + TOGETHER]),
            source=Grant.Source.PURCHASE,
            kept_at=None,
            product__isnull=False,
        )
        found += has.order_by("-decided_at").values_list("pk", flat=True)[: MOST + 1 - len(found)]
        if len(found) > MOST:
            break
    return found
