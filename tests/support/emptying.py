"""How the database is emptied after a test in real transactions: as Django does it, but quicker.

Django empties every table and then makes content types and permissions again, which costs more
than most tests do. Here they stay, as long as they are those that Django made.
"""

from typing import Any

from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction

from integrations import audit
from integrations.models import AuditEntry

KEPT = {ContentType._meta.db_table, Permission._meta.db_table}
# The content types and permissions that Django has made last.
made: list[tuple[Any, ...]] = []


def is_enough() -> bool:
    """Whether content types and permissions may stay."""
    return bool(made) and _kept() == made


def empty() -> None:
    """Empty all other tables."""
    # Whoever refers to whom: foreign keys are looked at when all tables are empty.
    with transaction.atomic(), connection.cursor() as cursor:
        empty_audit()
        for table in tables():
            cursor.execute(f"DELETE FROM {connection.ops.quote_name(table)}")


def empty_audit() -> None:
    """Delete the audit entries, which the database refuses without being asked in its way."""
    if found := list(AuditEntry.objects.values_list("pk", flat=True)):
        with transaction.atomic():
            audit.remove(found)


def remember() -> None:
    """Take what is there for what Django made."""
    made[:] = _kept()


def tables() -> list[str]:
    """The tables of all models but those whose rows stay."""
    names = connection.introspection.django_table_names(only_existing=True)
    return sorted(set(names) - KEPT)


def _kept() -> list[tuple[Any, ...]]:
    types = ContentType.objects.order_by("pk").values_list("pk", "app_label", "model")
    permissions = Permission.objects.order_by("pk")
    return [*types, *permissions.values_list("pk", "content_type_id", "codename", "name")]
