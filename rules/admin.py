"""The admin's pages of the rules."""

from django import forms
from django.contrib import admin

from rules.models import Rule


class RuleForm(forms.ModelForm):
    class Meta:
        model = Rule
        fields = (
            "marketplace",
            "scope",
            "product",
            "trigger",
            "integration",
            "action",
            "destination",
            "enabled",
        )

    def _post_clean(self) -> None:
        # The model compares the fields with each other, so it needs all of them.
        if not self.errors:
            super()._post_clean()  # type: ignore[misc]


@admin.register(Rule)
class RuleAdmin(admin.ModelAdmin):
    form = RuleForm
    list_display = ("trigger", "product", "action", "destination", "integration", "enabled")
    list_filter = ("enabled", "integration", "trigger", "action")
    list_select_related = ("product", "destination", "integration")
    autocomplete_fields = ("product", "destination")
