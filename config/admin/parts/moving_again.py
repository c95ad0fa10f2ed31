"""Where buyers can be moved again whose move to another course was undone."""

from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode

from config.admin.menu import allowed
from events.execution import rule_history
from events.models import Batch, RuleRun
from events.reports.changed_rules.left_behind import by_deleted_rules, left_behind
from integrations.audit import Act
from integrations.audit_values import BATCH
from integrations.models import AuditEntry
from rules import actions

PERMISSION = "events.by_hand_grant"


def address(request: HttpRequest, undone: Batch) -> str:
    """Return the address of the page that moves the buyers of this batch again.

    "" if the batch moved nobody, if nobody can be moved now, or for a person who may not do it.
    """
    if not allowed(request, PERMISSION):
        return ""
    moved = AuditEntry.objects.filter(act=Act.BUYERS_MOVED, **{f"after__{BATCH}": undone.pk})
    if not moved.exists():
        return ""
    numbers = [number for each in undone.new_ids for number in each]
    runs = RuleRun.objects.filter(pk__in=numbers, action__in=actions.giving_access())
    run = runs.select_related("event", "event__rule_texts").order_by("pk").first()
    if run is None:
        return ""
    page, rule, product = (
        reverse("admin:given-by-rule"),
        rule_history.rule_of(run),
        run.event.product,
    )
    if rule and left_behind(rule.pk).moves:
        return f"{page}?{urlencode({'rule': rule.pk})}"
    if product and by_deleted_rules([product.pk]).moves:
        return f"{page}?{urlencode({'product': product.pk})}"
    return ""
