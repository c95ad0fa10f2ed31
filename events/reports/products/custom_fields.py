"""The custom fields of recent orders, as suggestions for the person who maps them."""

from collections.abc import Iterable
from datetime import timedelta

from django.utils import timezone

from events.models import EventLog

# How many of the newest events are looked into, and how many names are suggested.
LATEST = 500
MAX_FIELDS = 50
# How far back, and in how many of the newest orders, a name is looked for.
DAYS = 90
MOST_ORDERS = 5000


def never_carried(names: Iterable[str]) -> list[str]:
    """Return the names that no recent order had as a field's name or slug.

    Recent means the last DAYS days, and at most MOST_ORDERS events. Return [] if there were none.
    """
    wanted = {name.strip().casefold(): name for name in names if name.strip()}
    if not wanted:
        return []
    since = timezone.now() - timedelta(days=DAYS)
    newest = EventLog.objects.filter(received_at__gte=since).order_by("-received_at", "-pk")
    some = False
    for fields in newest.values_list("custom_fields", flat=True)[:MOST_ORDERS].iterator():
        some = True
        for field in fields:
            for key in (field["name"], field["slug"]):
                wanted.pop(key.strip().casefold(), None)
        if not wanted:
            break
    return list(wanted.values()) if some else []


def seen_lately() -> list[str]:
    """Return the names of custom fields in the latest events, in alphabetical order.

    A field without a name is suggested by its slug. Names that differ only in capitals are one
    name, and those that cannot be typed are left out.
    """
    newest = EventLog.objects.order_by("-received_at", "-pk")
    found: dict[str, str] = {}
    for fields in newest.values_list("custom_fields", flat=True)[:LATEST]:
        for field in fields:
            name = field["name"].strip() or field["slug"].strip()
            if name and name.isprintable() and len(found) < MAX_FIELDS:
                found.setdefault(name.casefold(), name)
    return [found[key] for key in sorted(found)]
