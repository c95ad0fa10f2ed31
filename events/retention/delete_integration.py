"""Delete an integration without blocking other writers for long. Its history stays."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from events.models import Grant, RuleRun
from events.reports import counting
from events.reports.system import backlog
from events.retention.batches import in_batches
from integrations import audit
from integrations.audit import Act
from integrations.models import ApiCall, Integration, Intent, ThinkificUser
from integrations.sentences import say_count
from rules import changing

# Rows in one transaction: on SQLite nothing can be received while it lasts.
BATCH = 500
# How long a person will wait for a page to load.
SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class IntegrationDeletion:
    """What stops working with an integration; `waiting` is counted to counting.MAX_COUNT."""

    rules: int
    waiting: int
    mappings: int

    def lines(self) -> list[str]:
        """Return a sentence for each count that is not 0."""
        rules = say_count(
            self.rules,
            "1 rule is deleted: it does nothing anymore.",
            "{number} rules are deleted: they do nothing anymore.",
        )
        waiting = say_count(
            self.waiting,
            "1 waiting action fails: do it by hand if it is still wanted.",
            "{number} waiting actions fail: do them by hand if they are still wanted.",
            number=counting.format_count(self.waiting),
        )
        mappings = say_count(
            self.mappings, "1 field mapping is deleted.", "{number} field mappings are deleted."
        )
        lines = ((self.rules, rules), (self.waiting, waiting), (self.mappings, mappings))
        return [line for number, line in lines if number]


def summarize(integration: Integration) -> IntegrationDeletion:
    """Return what stops working if the integration is deleted."""
    return IntegrationDeletion(
        rules=integration.rules.count(),
        waiting=backlog.waiting(integration, planned=True),
        mappings=integration.field_mappings.count(),
    )


def delete(integration: Integration) -> bool:
    """Turn the integration and its rules off at once, then delete it little by little.

    Events, actions and calls stay; its grants are deleted. Thinkific is not called: students keep
    their access. Return False if SECONDS were not enough. Then the integration is off, and another
    call goes on.
    """
    until = time.monotonic() + SECONDS
    with transaction.atomic():
        Integration.objects.filter(pk=integration.pk).update(enabled=False)
        changing.switch(integration.rules.all(), on=False)

    def change_all(model: Any, change: Callable[[QuerySet[Any]], object]) -> bool:
        rows = model._default_manager.filter(integration=integration)
        return in_batches(rows, change, size=BATCH, until=until)

    over = (
        change_all(RuleRun, lambda runs: runs.update(integration=None, rule=None, grant=None))
        and change_all(Grant, lambda grants: grants.delete())
        and change_all(ApiCall, lambda calls: calls.update(integration=None))
        and change_all(ThinkificUser, lambda thinkific_users: thinkific_users.delete())
        and change_all(Intent, lambda intents: intents.delete())
    )
    if over:
        with transaction.atomic():
            changing.note_deleted(integration.rules.all())
            audit.record_deleted(Act.INTEGRATION_DELETED, [integration])
            integration.delete()
    return over
