"""The audit entries of what a person does by hand with an access and its last day.

In each function `run` is what the act made, `note` is the person's reason, and `replaced` are the
endings that waited for a day until this act.
"""

from collections.abc import Sequence
from typing import Any

from events.models import Grant, RuleRun
from integrations import audit
from integrations.audit import Act
from integrations.audit_values import NOW, RUN
from integrations.sentences import say

# What an entry tells of an access before or after the act.
Facts = dict[str, Any]


def record_giving(act: Act, about: Grant, run: RuleRun, note: str) -> None:
    """Record that access was given or given back, perhaps until a day."""
    after = _named(about) | _last_day(_waiting(run)) | {RUN: run.pk}
    audit.record(act, run.customer, before=None, after=after, note=note)


def record_last_day(about: Grant, replaced: Sequence[RuleRun], run: RuleRun, note: str) -> None:
    """Record that an access has another last day, or none anymore."""
    unlimited = _named(about) | {"ends": None}
    before, after = unlimited | _last_day(replaced), unlimited | _last_day(_waiting(run))
    audit.record(Act.LAST_DAY_CHANGED, run.customer, before=before, after=after, note=note)


def record_ending(about: Grant, replaced: Sequence[RuleRun], run: RuleRun, note: str) -> None:
    """Record that an access ends, now or on a day."""
    before = _named(about) | _last_day(replaced) | {RUN: run.pk}
    after: Facts | None = None
    if run.is_pending:
        after = _named(about) | _last_day([run])
    elif replaced:
        after = _named(about) | {"ends": NOW}
    audit.record(Act.ACCESS_ENDED, run.customer, before=before, after=after, note=note)


def _named(about: Grant) -> Facts:
    return {"access": [say("{course} on {site}", course=about.name, site=about.integration)]}


def _waiting(run: RuleRun) -> Sequence[RuleRun]:
    return [run] if run.is_pending else []


def _last_day(endings: Sequence[RuleRun]) -> Facts:
    """Return the day for which the first of these endings waits; nothing if there is none."""
    return {"ends": endings[0].next_attempt_at} if endings else {}
