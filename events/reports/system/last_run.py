"""When rules last ran."""

from datetime import UTC, datetime
from typing import Any

from django.db.models import (
    Case,
    CharField,
    F,
    JSONField,
    OuterRef,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.db.models.functions import Cast, Coalesce, Greatest, JSONObject, NullIf

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

    `last_led_to` says where the rule led then, for `former_course`.
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
    times = {"began_at": began, "event_at": by_event, "by_hand_at": by_hand}
    dated = rules.alias(
        **{name: Coalesce(Subquery(found[:1]), _NEVER) for name, found in times.items()}
    )
    # One value, because each of them looks for the run again.
    place = JSONObject(name="destination_name", site="integration", target="target")
    last_led_to = Case(
        When(by_hand_at__gt=Greatest("began_at", "event_at"), then=None),
        When(began_at__gt=F("event_at"), then=Subquery(began.values(place=place)[:1])),
        default=Subquery(by_event.values(place=place)[:1]),
        output_field=JSONField(),
    )
    return dated.annotate(last_run=NullIf(Greatest(*times), _NEVER), last_led_to=last_led_to)


def former_course(rule: Any) -> str:
    """Return where the rule led when it last ran, "" if it still leads there or never ran.

    The rule is one of `with_last_run`.
    """
    led_to = rule.last_led_to or {}
    leads_to = {"site": rule.integration_id, "target": rule.target}
    return "" if leads_to.items() <= led_to.items() else led_to.get("name", "")
