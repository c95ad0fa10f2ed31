"""What the pages of all integrations have in common: the form in its sections, and its frame."""

from typing import Any

from django import forms
from django.contrib.admin.helpers import AdminForm
from django.http import HttpRequest, HttpResponse

from config.admin.parts import badges
from config.admin.parts.page import render
from integrations.models import Integration
from integrations.sentences import Text

Sections = tuple[tuple[Text, tuple[str, ...]], ...]  # title, and the names of the fields


def render_form(
    request: HttpRequest,
    template: str,
    integration: Integration,
    form: forms.ModelForm | None,
    sections: Sections,
    *,
    new: Text,
    **context: Any,
) -> HttpResponse:
    """The page of a new or a stored integration; without a form it can only be read.

    `template` extends form.html; `context` is for its blocks. `new` is the title of a new one.
    """
    is_new = not integration.pk
    fieldsets = [(title, {"fields": list(names)}) for title, names in sections]
    return render(
        request,
        f"admin/integrations/integration/{template}",
        title=new if is_new else badges.brief(integration),
        original=None if is_new else integration,
        form=form,
        sections=AdminForm(form, fieldsets, {}) if form else None,
        **context,
    )
