"""Changes and deletions of rules, as entries of the audit tell of them."""

from datetime import datetime

from integrations.audit import Act
from integrations.models import AuditEntry
from rules.models import Rule

# At most this many changes are looked at, newest first.
MAX_ENTRIES = 500


def since(moment: datetime) -> list[AuditEntry]:
    """Return the changes and deletions of rules since then, the newest first. Takes one query."""
    entries = AuditEntry.objects.filter(
        at__gte=moment,
        act__in=[Act.RULE_CHANGED, Act.RULE_DELETED],
        kind=Rule._meta.model_name,
    )
    return list(entries.order_by("-pk")[:MAX_ENTRIES])


def number_before(entry: AuditEntry, name: str) -> int | None:
    """Return the ID of what the rule was about before, by the name of its field.

    None if the rule was about none, or the entry does not tell.
    """
    kept = (entry.before or {}).get(name)
    return kept.get("number") if isinstance(kept, dict) else None


def course_before(entry: AuditEntry) -> str:
    """Return the name of the course or bundle that the rule was about before, "" if unknown."""
    kept = (entry.before or {}).get("destination")
    return str(kept.get("name", "")) if isinstance(kept, dict) else ""
