"""When rules last ran."""

from django.db.models import CharField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Cast, Coalesce, Greatest

from events.models import RuleRun
from integrations.audit import Act
from integrations.models import AuditEntry
from rules.models import Rule


def with_last_run(rules: QuerySet[Rule]) -> QuerySet[Rule]:
    """Annotate each rule with the time at which it last ran, as `last_run`; None if it never did.

    That is when the action of its newest event was carried out, or when the rule was run for
    earlier buyers. The second time comes from the audit, because after an undo the actions no
    longer name the rule.
    """
    runs = RuleRun.objects.filter(rule=OuterRef("pk")).order_by("-received_at")
    ran = Coalesce("finished_at", "started_at", "received_at")
    by_event = Subquery(runs.values_list(ran)[:1])
    entries = AuditEntry.objects.filter(
        act=Act.BUYERS_ENROLLED,
        kind=Rule._meta.model_name,
        number=Cast(OuterRef("pk"), CharField()),
    ).order_by("-pk")
    by_hand = Subquery(entries.values("at")[:1])
    # SQLite's MAX is NULL if either value is.
    newest = Greatest(Coalesce(by_event, by_hand), Coalesce(by_hand, by_event))
    return rules.annotate(last_run=newest)
