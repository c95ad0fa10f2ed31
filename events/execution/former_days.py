"""Endings whose day no longer is the one that their rule has: find them, and apply the rule's."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import (
    Count,
    DurationField,
    ExpressionWrapper,
    F,
    IntegerField,
    Min,
    Q,
    Value,
)
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Cast
from django.utils import timezone

from events.access import pending
from events.access.lock import lock
from events.execution import delayed
from events.models import Batch, Grant, RuleRun
from events.models.runs import RuleRunQuerySet
from integrations import audit
from integrations.audit import Act
from rules.models import Rule

A_DAY = timedelta(days=1)
# What lists call them in their addresses.
FORMER_DAYS = "former_days"


@dataclass(frozen=True, slots=True)
class WaitingEndings:
    """For how many buyers a rule's endings wait for a day to come, and when the first comes."""

    rule: Rule
    buyers: int
    first: datetime


def waiting() -> RuleRunQuerySet:
    """Return the endings whose day is to come and differs from what their rule says now."""
    return _open().exclude(next_attempt_at=_day_by_rule())


def _open() -> RuleRunQuerySet:
    """Return the endings of rules that are to come and end something."""
    open_ = Q(grant=None) | Q(grant__state=Grant.State.ACTIVE)
    return RuleRun.objects.of_a_later_day().filter(open_, rule__isnull=False)


def _day_by_rule() -> CombinedExpression:
    days = Cast("rule__delay_days", IntegerField()) * Value(A_DAY)
    return F("received_at") + ExpressionWrapper(days, output_field=DurationField())


def by_rule(rules: Collection[int] | None = None) -> list[WaitingEndings]:
    """Return what `waiting` finds for each of these rules, or for every rule.

    Takes one query, and another if there are some.
    """
    return _by_rule(waiting() if rules is None else waiting().filter(rule__in=rules))


def by_new_days(since: Mapping[int, datetime]) -> list[WaitingEndings]:
    """Return the endings that wait by the days that each of these rules got at that moment.

    `since` maps the IDs of rules. Takes the same queries as `by_rule`, none without rules.
    """
    of_them = Q()
    for rule, moment in since.items():
        of_them |= Q(rule=rule, received_at__gt=moment)
    return _by_rule(_open().filter(of_them, next_attempt_at=_day_by_rule())) if since else []


def _by_rule(runs: RuleRunQuerySet) -> list[WaitingEndings]:
    counts = list(
        runs.order_by()
        .values_list("rule")
        .annotate(Count("customer", distinct=True), Min("next_attempt_at"))
        .order_by("rule")
    )
    known = Rule.objects.with_names().in_bulk([rule for rule, *_ in counts]) if counts else {}
    return [
        WaitingEndings(known[rule], buyers, first)
        for rule, buyers, first in counts
        if rule in known and buyers
    ]


def day_of(run: RuleRun) -> datetime:
    """Return when the access ends by what the run's rule says now; it may be in the past."""
    assert run.rule is not None
    return run.received_at + run.rule.delay_days * A_DAY


def apply(runs: Iterable[RuleRun], *, batch: Batch, by: str) -> int:
    """Let each of these endings come on the day that its rule has now.

    One whose day is over comes at once, and the batch gets its ID. Returns how many got another
    day that is still to come.
    """
    moved = 0
    for run in runs:
        with transaction.atomic():
            lock()
            same = waiting().filter(pk=run.pk).select_related("rule", "customer", "integration")
            for found in same.select_for_update(of=("self",)):
                if day_of(found) > timezone.now():
                    _move(found)
                    moved += 1
                elif delayed.bring_forward(found, by=by):
                    batch.run_ids.append(found.pk)
    return moved


def _move(run: RuleRun) -> None:
    before = run.next_attempt_at
    pending.end_on(run, day_of(run))
    run.save(update_fields=["code", "next_attempt_at", "message"])
    access = {"access": [delayed.access_of(run)]}
    audit.record(
        Act.LAST_DAY_CHANGED,
        run.customer or run,
        before=access | {"ends": before},
        after=access | {"ends": run.next_attempt_at},
    )
