"""When rules last ran."""

from datetime import UTC, datetime

from django.db.models import CharField, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Cast, Coalesce, Greatest, NullIf

from events.models import RuleRun
from integrations.audit import Act
from integrations.models import AuditEntry
from rules.models import Rule

# Stands for NULL, because SQLite's MAX of several times is NULL if one of them is.
_NEVER = Value(datetime(1970, 1, 1, tzinfo=UTC))


def with_last_run(rules: QuerySet[Rule]) -> QuerySet[Rule]:
    """Annotate each rule with the time at which it last ran, as `last_run`; None if it never did.

    It is the latest of three times: when an action of the rule last began, also for an old event;
    when the action of its newest event was carried out; and when it was last run for earlier
    buyers. The last comes from the audit: once that is undone, its actions do not name the rule.
    """
    runs = RuleRun.objects.filter(rule=OuterRef("pk"))
    began = runs.filter(started_at__isnull=False).order_by("-started_at").values("started_at")
    ran = Coalesce("finished_at", "started_at", "received_at")
    by_event = runs.order_by("-received_at").values_list(ran)
    entries = AuditEntry.objects.filter(
        act=Act.BUYERS_ENROLLED,
        kind=Rule._meta.model_name,
        number=Cast(OuterRef("pk"), CharField()),
    )
    by_hand = entries.order_by("-pk").values("at")
    times = [Coalesce(Subquery(each[:1]), _NEVER) for each in (began, by_event, by_hand)]
    return rules.annotate(last_run=NullIf(Greatest(*times), _NEVER))
