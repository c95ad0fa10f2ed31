"""Runs that a person causes: they give or end in Thinkific what a grant is for."""

from collections.abc import Iterable
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from events.models import EventLog, Grant, RuleRun
from events.models.runs import RuleRunQuerySet
from integrations.models import Integration
from integrations.sentences import Text, say
from integrations.targets import Target
from rules import actions
from rules.actions import ActionSpec, Effect

# Retention removes old runs, but no active grant.
NOT_KEPT = _("what gave it is no longer kept")


def spec_for(integration: Integration, kind: str, effect: Effect) -> ActionSpec:
    """Return the action with this effect on a course or bundle of the integration."""
    fitting = (spec for spec in actions.ACTIONS.values() if spec.app == integration.app)
    return next(spec for spec in fitting if spec.target == kind and spec.effect is effect)


def run_for(about: Grant, effect: Effect, sentence: Text, **facts: Any) -> RuleRun:
    """Return a run, not saved, that gives or ends in Thinkific what the grant is for.

    `sentence` stands in for the rule's and may use {action}, {course} and {site}. `facts` are
    further columns of the run: its event, customer, times and the grant that it counts for.
    """
    kind, number = Target.parse(about.target)
    spec = spec_for(about.integration, kind, effect)
    return RuleRun(
        integration=about.integration,
        action=spec.key,
        destination_id=number,
        destination_name=about.name,
        target=about.target,
        site=about.integration.site,
        rule_sentence=say(sentence, action=spec.label, course=about.name, site=about.integration),
        code="not_started",
        **facts,
    )


def giving(grants: Iterable[Grant | int | None]) -> RuleRunQuerySet:
    """Return the runs that gave these grants, newest first."""
    runs = RuleRun.objects.filter(grant__in=grants, action__in=actions.giving_access())
    return runs.order_by("-received_at", "-pk")


def run_behind(
    last: RuleRun, grant: Grant, effect: Effect, sentence: Text, **facts: Any
) -> RuleRun:
    """Return the same as `run_for`, for this grant and placed right behind its `last` run."""
    facts |= {"event_id": last.event_id, "received_at": last.received_at}
    return _run_now(grant, effect, sentence, **facts)


def run_because(event: EventLog, grant: Grant, effect: Effect, sentence: Text) -> RuleRun:
    """Return the same as `run_for`, for this grant because of this event."""
    return _run_now(grant, effect, sentence, event=event, received_at=event.received_at)


def _run_now(grant: Grant, effect: Effect, sentence: Text, **facts: Any) -> RuleRun:
    facts |= {"customer_id": grant.customer_id, "next_attempt_at": timezone.now()}
    return run_for(grant, effect, sentence, grant=grant, **facts)
