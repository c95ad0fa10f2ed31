"""The base of every ModelAdmin: pages that load only the scripts they use."""

from django import forms
from django.contrib import admin


class OwnScripts(admin.ModelAdmin):
    """A ModelAdmin without jQuery and XRegExp, which are most of what Django's own pages weigh.

    They serve fields filled in from others and windows for related rows. No page here has one;
    `templates/admin/prepopulated_fields_js.html` is empty for the same reason.
    """

    @property
    def media(self) -> forms.Media:
        return forms.Media(js=["admin/js/actions.js"])
