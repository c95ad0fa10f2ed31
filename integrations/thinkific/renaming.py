"""Let the ledger call courses and bundles by their present names.

A grant copies the name of what it gives, so that it outlives it. A student looks for the present
name in the school.
"""

from integrations.models import Integration
from integrations.targets import Target

# Grants per statement. It is small because nothing else can write to SQLite meanwhile.
CHUNK = 500


def rename_grants(integration: Integration) -> None:
    """Give the grants of this site the names that its courses and bundles have now.

    What is gone from Thinkific keeps its name. Takes two queries if no name is out of date.
    """
    there = integration.destinations.filter(gone_at=None)
    names = {
        str(Target(kind, number)): name
        for kind, number, name in there.values_list("kind", "external_id", "name")
    }
    known = integration.grants.order_by().values_list("target", "name").distinct()
    for target, name in list(known):
        if names.get(target, name) == name:
            continue
        same = integration.grants.filter(target=target, name=name).order_by("pk")
        while some := list(same.values_list("pk", flat=True)[:CHUNK]):
            integration.grants.filter(pk__in=some).update(name=names[target])
