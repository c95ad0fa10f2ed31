"""Empties the database after a test in real transactions, as Django does but faster.

Django empties every table and then makes content types and permissions again, which costs more
than most tests do. This module keeps them while they are the ones that Django made.
"""

from typing import Any

from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction

from integrations import audit_erasure
from integrations.models import AuditEntry

KEPT = {ContentType._meta.db_table, Permission._meta.db_table}
# The content types and permissions that Django made last.
made: list[tuple[Any, ...]] = []


def is_enough() -> bool:
    """Return whether content types and permissions may stay."""
    return bool(made) and _kept() == made


def empty() -> None:
    """Empty all other tables."""
    # All tables at once, because foreign keys are checked when all are empty.
    with transaction.atomic(), connection.cursor() as cursor:
        empty_audit()
        statements = [f"DELETE FROM {connection.ops.quote_name(table)}" for table in tables()]
        # PostgreSQL takes them in one round trip, which costs a fifth. SQLite takes one at a time.
        if connection.vendor == "postgresql":
            statements = [";".join(statements)]
        for statement in statements:
            cursor.execute(statement)


def empty_audit() -> None:
    """Delete the audit entries after unlocking them; the database refuses it otherwise."""
    if found := list(AuditEntry.objects.values_list("pk", flat=True)):
        with transaction.atomic():
            audit_erasure.remove(found)


def remember() -> None:
    """Remember the present rows as those that Django made."""
    made[:] = _kept()


def tables() -> list[str]:
    """Return the tables of all models except those whose rows stay."""
    names = connection.introspection.django_table_names(only_existing=True)
    return sorted(set(names) - KEPT)


def _kept() -> list[tuple[Any, ...]]:
    types = ContentType.objects.order_by("pk").values_list("pk", "app_label", "model")
    permissions = Permission.objects.order_by("pk")
    return [*types, *permissions.values_list("pk", "content_type_id", "codename", "name")]
