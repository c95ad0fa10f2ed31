"""Set and read which SamCart custom field fills which signup field of a site."""

from collections.abc import Mapping

from django.db import transaction

from integrations import audit
from integrations.audit import Act
from integrations.models import FieldMapping, Integration


def fill(integration: Integration, wanted: Mapping[int, str]) -> int:
    """Replace the site's mappings with `wanted`, {signup field's pk: SamCart name or slug}.

    Returns how many were added, changed or removed. Unchanged mappings keep their rows.
    """
    with transaction.atomic():
        before = by_label(integration)
        known = {row.profile_field_id: row for row in integration.field_mappings.all()}
        gone = [row.pk for key, row in known.items() if key not in wanted]
        integration.field_mappings.filter(pk__in=gone).delete()
        changed = len(gone)
        for key, samcart_field in wanted.items():
            row = known.get(key) or FieldMapping(integration=integration, profile_field_id=key)
            if row.samcart_field != samcart_field:
                row.samcart_field = samcart_field
                row.save()
                changed += 1
        note(integration, before)
    return changed


def by_label(integration: Integration) -> dict[str, str]:
    """Return the mappings as people read them: {signup field's label: SamCart name or slug}."""
    rows = integration.field_mappings.select_related("profile_field")
    return {str(row.profile_field): row.samcart_field for row in rows}


def note(integration: Integration, before: dict[str, str]) -> None:
    """Record in the audit how the site's mappings differ from `before`."""
    after = by_label(integration)
    audit.record_difference(Act.MAPPING_CHANGED, integration, before, after)
