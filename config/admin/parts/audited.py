"""Rows that Django's own pages save and delete: each change leaves an entry in the audit."""

from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest

from integrations import audit
from integrations.audit import Act


@dataclass(frozen=True, slots=True)
class Acts:
    added: Act
    changed: Act
    deleted: Act


class Audited(admin.ModelAdmin):
    """A ModelAdmin of a model that says in `audited` what of it is kept."""

    acts: Acts

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        before = audit.stored(obj) if change else {}
        super().save_model(request, obj, form, change)
        act = self.acts.changed if change else self.acts.added
        audit.record_difference(act, obj, before, audit.values(obj))

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        audit.record_deleted(self.acts.deleted, [obj])
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        with transaction.atomic():
            audit.record_deleted(self.acts.deleted, queryset)
            super().delete_queryset(request, queryset)
