"""A delivery is passed on once by each rule, with the first of its lines that fits."""

from collections.abc import Iterable
from dataclasses import replace

from events.models import RuleRun
from rules import actions
from rules.engine import Reason, Verdict


def rules_that_did(delivery: int | None) -> set[int]:
    """The ids of the rules by which this delivery is passed on already; None: there is none."""
    runs = RuleRun.objects.filter(event__delivery=delivery, action__in=actions.passing_on())
    return set(runs.exclude(rule=None).values_list("rule", flat=True))


def never(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """The verdicts for an event that SamCart did not send, so that there is nothing to pass on."""
    return [
        replace(each, why=Reason.NOT_SENT) if each.runs and each.rule.spec.passes_on else each
        for each in verdicts
    ]


def once(verdicts: Iterable[Verdict], passed_on: set[int]) -> list[Verdict]:
    """The verdicts for one line, where rules in `passed_on` pass nothing on again.

    Adds those that do it now to `passed_on`, for the lines that follow.
    """
    found = []
    for verdict in verdicts:
        if verdict.runs and verdict.rule.spec.passes_on:
            if verdict.rule.pk in passed_on:
                verdict = replace(verdict, why=Reason.OTHER_LINE)
            passed_on.add(verdict.rule.pk)
        found.append(verdict)
    return found
