"""The admin's pages of the rules."""

from django.contrib import admin

from rules.models import Rule


@admin.register(Rule)
class RuleAdmin(admin.ModelAdmin):
    list_display = ("trigger", "product", "action", "destination", "integration", "enabled")
    list_filter = ("enabled", "integration", "trigger", "action")
    list_select_related = ("product", "destination", "integration")
    autocomplete_fields = ("product", "destination")
