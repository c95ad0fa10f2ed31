"""Waive what a person decided not to give: it is no longer owed."""

from collections.abc import Iterable

from django.db.models import Exists, OuterRef

from events.models import Grant, RuleRun
from events.models.runs import UNFINISHED
from rules import actions


def waive(runs: Iterable[RuleRun]) -> None:
    """Waive what these runs were to give, unless another action is about to give it."""
    giving = [run.pk for run in runs if run.spec.gives_access]
    others = RuleRun.objects.filter(action__in=actions.giving_access()).exclude(pk__in=giving)
    under_way = others.filter(grant=OuterRef("pk"), status__in=UNFINISHED)
    owed = Grant.objects.filter(~Exists(under_way), runs__in=giving).owed()
    owed.update(state=Grant.State.WAIVED)
