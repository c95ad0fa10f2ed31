"""Endings whose day no longer is the one that their rule has: find them, and apply the rule's."""

from collections.abc import Collection, Iterable
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
class FormerDays:
    """How many buyers' access ends by days that the rule had before, and when the first does."""

    rule: Rule
    buyers: int
    first: datetime


def waiting() -> RuleRunQuerySet:
    """Return the endings whose day is to come and differs from what their rule says now."""
    days = Cast("rule__delay_days", IntegerField()) * Value(A_DAY)
    by_rule = F("received_at") + ExpressionWrapper(days, output_field=DurationField())
    open_ = Q(grant=None) | Q(grant__state=Grant.State.ACTIVE)
    later = RuleRun.objects.of_a_later_day().filter(open_, rule__isnull=False)
    return later.exclude(next_attempt_at=by_rule)


def by_rule(rules: Collection[int] | None = None) -> list[FormerDays]:
    """Return what `waiting` finds for each of these rules, or for every rule.

    Takes one query, and another if there are some.
    """
    runs = waiting() if rules is None else waiting().filter(rule__in=rules)
    counts = list(
        runs.order_by()
        .values_list("rule")
        .annotate(Count("customer", distinct=True), Min("next_attempt_at"))
        .order_by("rule")
    )
    known = Rule.objects.with_names().in_bulk([rule for rule, *_ in counts]) if counts else {}
    return [
        FormerDays(known[rule], buyers, first)
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
