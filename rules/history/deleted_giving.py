"""Deleted rules that gave access on a purchase."""

from collections.abc import Collection
from datetime import datetime

from django.db.models import QuerySet

from integrations.audit import Act
from integrations.models import AuditEntry
from rules import actions
from rules.history.rule_changes import number_before
from rules.models import Rule
from rules.triggers import Trigger

# At most this many deletions are looked at, newest first.
MAX_ENTRIES = 200


def of_products(
    products: Collection[int], since: datetime | None = None
) -> dict[int, list[AuditEntry]]:
    """Return {product ID: the deletions of its rules, the newest first}, since that time if given.

    Rules that exist again are left out. Takes two queries, or one if nothing was deleted.
    """
    entries = _entries().filter(before__product__number__in=[*products])
    entries = entries.filter(at__gte=since) if since else entries
    deleted = list(entries.order_by("-pk")[:MAX_ENTRIES])
    numbers = [int(entry.number) for entry in deleted]
    there = set(Rule.objects.filter(pk__in=numbers).values_list("pk", flat=True) if deleted else ())
    found: dict[int, list[AuditEntry]] = {}
    for entry in deleted:
        if int(entry.number) not in there:
            product = number_before(entry, "product")
            found.setdefault(product or 0, []).append(entry)
    return found


def everywhere() -> set[int]:
    """Return the IDs of the courses and bundles that deleted global rules gave."""
    deleted = _entries().exclude(before__product__has_key="number").order_by("-pk")
    destinations = deleted.values_list("before__destination__number", flat=True)
    return {number for number in destinations[:MAX_ENTRIES] if number}


def _entries() -> QuerySet[AuditEntry]:
    return AuditEntry.objects.filter(
        act=Act.RULE_DELETED,
        kind=Rule._meta.model_name,
        before__trigger=Trigger.PRODUCT_PURCHASED,
        before__action__in=actions.giving_access(),
    )
