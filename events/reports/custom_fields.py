"""The custom fields that orders brought lately: suggestions for the person who maps them."""

from events.models import EventLog

# How many of the newest events are looked into, and how many names are suggested.
LATEST = 500
MAX_FIELDS = 50


def seen_lately() -> list[str]:
    """Names of custom fields in the latest events, in the order of the alphabet.

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
