"""The runs that a person causes: they give or end in Thinkific what a grant is for."""

from collections.abc import Iterable
from typing import Any

from django.utils import timezone

from events.models import Grant, RuleRun
from events.models.runs import RuleRunQuerySet
from integrations.models import Integration
from integrations.sentences import Text, say
from rules import actions
from rules.actions import ActionSpec, Effect


def spec_for(integration: Integration, kind: str, effect: Effect) -> ActionSpec:
    """The action that does this to a course or bundle of the integration."""
    fitting = (spec for spec in actions.ACTIONS.values() if spec.app == integration.app)
    return next(spec for spec in fitting if spec.target == kind and spec.effect is effect)


def run_for(about: Grant, effect: Effect, sentence: Text, **facts: Any) -> RuleRun:
    """The run (not saved) that gives or ends in Thinkific what the grant is for.

    `sentence` says in place of a rule why, with {action}, {course} and {site}. The other `facts`
    are columns of the run: its event, customer and times, and the grant as which it counts.
    """
    kind, number = actions.read_target(about.target)
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
    """The actions that gave these, the newest first."""
    runs = RuleRun.objects.filter(grant__in=grants, action__in=actions.giving_access())
    return runs.order_by("-received_at", "-pk")


def run_behind(
    last: RuleRun, grant: Grant, effect: Effect, sentence: Text, **facts: Any
) -> RuleRun:
    """The same as `run_for`, which counts as of this grant and comes right behind its `last`."""
    return run_for(
        grant,
        effect,
        sentence,
        event_id=last.event_id,
        customer_id=grant.customer_id,
        grant=grant,
        received_at=last.received_at,
        next_attempt_at=timezone.now(),
        **facts,
    )
