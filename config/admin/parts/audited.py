"""Base classes for rows that Django's own pages save: they show concurrent edits and audit all."""

from dataclasses import dataclass
from typing import Any

from django.contrib.admin.utils import flatten_fieldsets, unquote
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from config.admin.parts import edit_conflicts
from config.admin.parts.own_scripts import OwnScripts
from integrations import audit
from integrations.audit import Act
from integrations.audit_values import Values


@dataclass(frozen=True, slots=True)
class Acts:
    added: Act
    changed: Act
    deleted: Act


class Watched(OwnScripts):
    """A ModelAdmin that asks before a save overwrites what somebody else changed meanwhile."""

    def stored_of(self, thing: Any) -> Values:
        """Return what the page edits, as the database has it."""
        return audit.stored(thing)

    def typed_in(self, form: Any) -> Values:
        """Return the same, as this valid form would save it."""
        return audit.values(form.instance)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        thing = context.get("original")
        if thing is not None and self.has_change_permission(request, thing):
            context["opened"] = edit_conflicts.form_state(request, self.stored_of(thing))
        return super().render_change_form(request, context, *args, **kwargs)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        if request.method != "POST" or object_id is None:
            return super().changeform_view(request, object_id, form_url, extra_context)
        with transaction.atomic():
            if page := self._overtaken(request, object_id):
                # Validating the form may have entered a course by its number.
                transaction.set_rollback(True)
                return page
            return super().changeform_view(request, object_id, form_url, extra_context)

    def _overtaken(self, request: HttpRequest, object_id: str) -> HttpResponse | None:
        thing = self.get_object(request, unquote(object_id))
        if thing is None or not self.has_change_permission(request, thing):
            return None
        # Locked, so that nobody else saves it before this transaction does.
        self.model._default_manager.select_for_update().filter(pk=thing.pk).first()
        stored = self.stored_of(thing)
        if edit_conflicts.is_unchanged(request, stored):
            return None
        fields = flatten_fieldsets(self.get_fieldsets(request, thing))
        form = self.get_form(request, thing, change=True, fields=fields)(
            request.POST, instance=thing
        )
        if not form.is_valid():
            return None
        return edit_conflicts.conflict_page(request, thing, stored, self.typed_in(form))


class Audited(Watched):
    """A ModelAdmin that audits its changes; the model's `audited` names the fields to keep."""

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
