"""Groups: what each role may do. The three that come with Admit can be changed, others made."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.db.models import Case, Q, When
from django.http import HttpRequest

from config.admin.parts.changelist import ListAdmin
from config.staff import roles

admin.site.unregister(Group)


class PermissionField(forms.ModelMultipleChoiceField):
    """Only what our pages ask for, one tick box each, in words and in the order of the roles."""

    widget = forms.CheckboxSelectMultiple

    def label_from_instance(self, obj: Any) -> str:
        return roles.WORDS[f"{obj.content_type.app_label}.{obj.codename}"]


class GroupForm(forms.ModelForm):
    permissions = PermissionField(queryset=None, required=False, label="May")

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


def _is(code: str) -> Q:
    app, codename = code.split(".")
    return Q(content_type__app_label=app, codename=codename)


@admin.register(Group)
class GroupAdmin(ListAdmin):
    form = GroupForm
    list_title = "Groups"
    list_display = ("name", "meaning")
    ordering = ("name",)
    add_label = "New group"
    actions = None
    sortable_by = ()

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    @admin.display(description="What its people do")
    def meaning(self, group: Group) -> str:
        return roles.MEANINGS.get(group.name, "").capitalize() or "–"
