"""When rules last ran."""

from datetime import UTC, datetime

from django.db.models import CharField, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Cast, Coalesce, Greatest, NullIf

from events.models import RuleRun
from integrations.audit import Act
from integrations.models import AuditEntry
from rules.models import Rule

# Of several times of which one is NULL, SQLite's MAX makes NULL.
_NEVER = Value(datetime(1970, 1, 1, tzinfo=UTC))


def with_last_run(rules: QuerySet[Rule]) -> QuerySet[Rule]:
    """Annotate each rule with the time at which it last ran, as `last_run`; None if it never did.

    That is when an action of it last began, also one for an old event, when its newest event's
    action was carried out, or when the rule was run for earlier buyers: the audit knows that also
    once what it did was undone, and its actions name it no more.
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
