"""Who changed a rule or an integration last."""

from django.db.models import Model
from django.utils.timesince import timesince

from integrations.audit import Act
from integrations.models import AuditEntry
from integrations.sentences import say

CHANGES = (
    Act.RULE_ADDED,
    Act.RULE_CHANGED,
    Act.INTEGRATION_ADDED,
    Act.INTEGRATION_CHANGED,
    Act.KEY_REPLACED,
    Act.MAPPING_CHANGED,
)


def last(thing: Model) -> AuditEntry | None:
    """Return the newest entry of a change to the row itself; None if none is kept."""
    found = AuditEntry.objects.filter(kind=thing._meta.model_name, number=str(thing.pk))
    return found.filter(act__in=CHANGES).order_by("-pk").first()


def ago(entry: AuditEntry) -> str:
    """Return "5 minutes ago" or "just now"."""
    spoken = timesince(entry.at, depth=1)
    return say("just now") if spoken.startswith("0") else say("{time} ago", time=spoken)
