"""Roles: Django's groups and what each may do. Admit's three can be changed, others added."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.db.models import Case, Q, QuerySet, When
from django.http import HttpRequest, HttpResponse
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from config.admin.parts.audited import Watched
from config.admin.parts.changelist import ListAdmin
from config.admin.parts.confirm import ask_owner
from config.staff import roles
from integrations import audit
from integrations.audit import Act

admin.site.unregister(Group)


class PermissionField(forms.ModelMultipleChoiceField):
    """The permissions that our pages ask for, a tick box each, in words and in the roles' order."""

    widget = forms.CheckboxSelectMultiple

    def label_from_instance(self, obj: Any) -> str:
        return str(roles.WORDS[f"{obj.content_type.app_label}.{obj.codename}"])


class GroupForm(forms.ModelForm):
    permissions = PermissionField(queryset=None, required=False, label=pgettext_lazy("role", "May"))

    class Meta:
        model = Group
        fields = ("name", "permissions")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        place = Case(*[When(_is(code), then=i) for i, code in enumerate(roles.WORDS)])
        found = Permission.objects.select_related("content_type").annotate(place=place)
        field = self.fields["permissions"]
        assert isinstance(field, PermissionField)
        field.queryset = found.exclude(place=None).order_by("place")


def _audited(group: Group) -> dict[str, Any]:
    """Return what the audit keeps of a group."""
    return {"name": group.name, "may": _codes(group.permissions.all())}


def _codes(permissions: QuerySet[Permission]) -> list[str]:
    may = permissions.order_by().values_list("content_type__app_label", "codename")
    return sorted(f"{app}.{code}" for app, code in may)


def _is(code: str) -> Q:
    app, codename = code.split(".")
    return Q(content_type__app_label=app, codename=codename)


@admin.register(Group)
class GroupAdmin(Watched, ListAdmin):
    form = GroupForm
    list_title = _("Roles")
    one, many = _("role"), _("roles")
    list_display = ("shown_name", "meaning")
    ordering = ("name",)
    add_label = _("New role")
    actions = None

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return ask_owner(request) or super().changeform_view(request, *args, **kwargs)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return ask_owner(request) or super().delete_view(request, *args, **kwargs)

    def render_delete_form(self, request: HttpRequest, context: Any) -> HttpResponse:
        return super().render_delete_form(
            request, context | {"called": roles.display_name(context["object"].name)}
        )

    def stored_of(self, thing: Group) -> dict[str, Any]:
        return _audited(Group.objects.get(pk=thing.pk))

    def typed_in(self, form: Any) -> dict[str, Any]:
        chosen = form.cleaned_data["permissions"]
        return {"name": form.cleaned_data["name"], "may": _codes(chosen)}

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Save its permissions, which come after its name, and record both."""
        before = _audited(form.instance)
        if "name" in form.initial and before:
            before["name"] = form.initial["name"]
        super().save_related(request, form, formsets, change)
        audit.record_difference(
            Act.GROUP_CHANGED, form.instance, before if change else {}, _audited(form.instance)
        )

    def delete_model(self, request: HttpRequest, obj: Group) -> None:
        audit.record(Act.GROUP_DELETED, obj, before=_audited(obj))
        super().delete_model(request, obj)

    def title_of(self, thing: Group) -> str:
        return roles.display_name(super().title_of(thing))

    @admin.display(description=_("Name"))
    def shown_name(self, group: Group) -> str:
        return roles.display_name(group.name)

    @admin.display(description=_("What people with this role do"))
    def meaning(self, group: Group) -> str:
        return capfirst(str(roles.MEANINGS.get(group.name, ""))) or "–"
