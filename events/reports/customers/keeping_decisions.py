"""What people decided about access that no purchase pays for anymore, shown with its events."""

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime

from events.models import EventLog
from integrations.audit import Act
from integrations.models import AuditEntry
from integrations.sentences import Said, joined, say
from integrations.who import shown_who
from rules.listing import listed

KEEPS = (Act.REFUNDED_KEPT, Act.CANCELED_KEPT, Act.BUYERS_KEPT)


def of_events(events: Collection[int]) -> dict[int, list[tuple[datetime, Said]]]:
    """Return {event: (time, decision)}, the oldest first: who let the buyer keep what, and why.

    Also who took that back, so that Admit asks about it again. Takes one query.
    """
    if not events:
        return {}
    entries = AuditEntry.objects.filter(
        act__in=[*KEEPS, Act.BUYERS_TOLD],
        kind=EventLog._meta.model_name,
        number__in=[str(event) for event in events],
    )
    found: dict[int, list[tuple[datetime, Said]]] = defaultdict(list)
    for entry in entries.order_by("pk"):
        found[int(entry.number)].append((entry.at, _in_words(entry)))
    return found


def _in_words(entry: AuditEntry) -> Said:
    facts = {
        "person": shown_who(entry.who) or say("a person"),
        "courses": listed((entry.after or {}).get("access", [])),
    }
    if entry.act == Act.BUYERS_TOLD:
        return say("{person} let Admit ask again about {courses}.", **facts)
    told = say("{person} decided that the buyer keeps {courses}.", **facts)
    return joined([told, say("Reason: {reason}", reason=entry.note)]) if entry.note else told
