"""Whether a course was given by mistake: its rule led there for a few days only."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models import Q

from events.models import RuleRun
from integrations.audit import Act
from integrations.models import AuditEntry, Destination
from rules.history.rule_changes import number_before
from rules.models import Rule

# A course that a rule gave for no longer than this was not taken out on purpose.
MOST = timedelta(days=7)


def was_mistake(ended: RuleRun, product: int | None, at: datetime) -> bool:
    """Return whether the rule that gave what this action ended gave it for a few days only.

    `product` is the ID of what was bought, and `at` when the access ended. If the audit does not
    tell since when the rule gave it, it was no mistake. Takes up to four queries.
    """
    same = Destination.objects.of_target(ended.integration_id, ended.target)
    courses = set(same.values_list("pk", flat=True))
    of_rules = AuditEntry.objects.filter(kind=Rule._meta.model_name, at__lte=at)
    taken_out = of_rules.filter(
        act__in=[Act.RULE_CHANGED, Act.RULE_DELETED], before__destination__number__in=courses
    )
    last = _of_product(taken_out.order_by("-pk")[:20], product)
    if last is None:
        return False
    led_there = of_rules.filter(
        Q(act__in=[Act.RULE_ADDED, Act.RULE_CHANGED]),
        number=last.number,
        pk__lt=last.pk,
        after__destination__number__in=courses,
    )
    since = led_there.order_by("-pk").values_list("at", flat=True).first()
    return since is not None and last.at - since <= MOST


def _of_product(entries: Iterable[AuditEntry], product: int | None) -> AuditEntry | None:
    """Return the first of these entries whose rule is for this product, or for every one."""
    entries = list(entries)
    numbers = [int(each.number) for each in entries if each.number.isdecimal()]
    now = dict(Rule.objects.filter(pk__in=numbers).values_list("pk", "product"))
    for each in entries:
        known = "product" in (each.before or {})
        of = number_before(each, "product") if known else now.get(int(each.number), -1)
        if of in (None, product):
            return each
    return None
