"""Each rule passes a delivery on once, with the first of its lines that fits."""

from collections.abc import Iterable
from dataclasses import replace

from events.models import RuleRun
from rules import actions
from rules.engine import Reason, Verdict


def rules_that_passed_on(delivery: int | None) -> set[int]:
    """Return the IDs of the rules that have passed this delivery on, or are about to."""
    runs = RuleRun.objects.filter(event__delivery=delivery, action__in=actions.passing_on())
    return set(runs.exclude(rule=None).values_list("rule", flat=True))


def without_passing_on(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Return the verdicts for an event that SamCart did not send: there is nothing to pass on."""
    return [
        replace(each, why=Reason.NOT_SENT) if each.runs and each.rule.spec.passes_on else each
        for each in verdicts
    ]


def passing_on_once(verdicts: Iterable[Verdict], passed_on: set[int]) -> list[Verdict]:
    """Return the verdicts for one line; rules in `passed_on` do not pass it on again.

    Adds the rules that pass it on now to `passed_on`, for the lines that follow.
    """
    found = []
    for verdict in verdicts:
        if verdict.runs and verdict.rule.spec.passes_on:
            if verdict.rule.pk in passed_on:
                verdict = replace(verdict, why=Reason.OTHER_LINE)
            passed_on.add(verdict.rule.pk)
        found.append(verdict)
    return found
