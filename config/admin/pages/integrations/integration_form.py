"""What the pages of all integrations share: the form in its sections, and its frame."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from django import forms
from django.contrib.admin.helpers import AdminForm
from django.http import HttpRequest, HttpResponse

from config.admin.parts import badges, edit_conflicts
from config.admin.parts.page import render
from integrations import audit, field_mapping
from integrations.audit_values import Secret, Values
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
    """Return the page of a new or stored integration; without a form it can only be read.

    `template` extends form.html; `context` is for its blocks. `new` is the title of a new one.
    """
    is_new = not integration.pk
    may_save = form is not None and not is_new
    fieldsets = [(title, {"fields": list(names)}) for title, names in sections]
    return render(
        request,
        f"admin/integrations/integration/{template}",
        title=new if is_new else badges.brief(integration),
        original=None if is_new else integration,
        form=form,
        sections=AdminForm(form, fieldsets, {}) if form else None,
        opened=edit_conflicts.form_state(request, _stored(integration)) if may_save else "",
        **context,
    )


def conflict_page(
    request: HttpRequest,
    form: forms.ModelForm,
    mappings: Mapping[str, str] = MappingProxyType({}),
    secret: str = "",
) -> HttpResponse | None:
    """Return the page to answer with if somebody saved this integration meanwhile, else None.

    Call it in the transaction of the save. `mappings` are {signup field: SamCart name}; `secret` is
    the key that was typed, if any.
    """
    integration: Integration = form.instance
    if not integration.pk:
        return None
    # Locked, so that nobody else saves it before this transaction does.
    Integration.objects.select_for_update().filter(pk=integration.pk).first()
    mine: Values = {**mappings, **audit.values(integration)}
    again = []
    if secret:
        mine["sealed_secret"] = Secret(secret)
        again = [("secret", str(form.fields["secret"].label))]
    return edit_conflicts.conflict_page(
        request, integration, _stored(integration), mine, again=again
    )


def _stored(integration: Integration) -> Values:
    """Return the stored values that the page edits, mappings by the names of signup fields."""
    return {**field_mapping.by_label(integration), **audit.stored(integration)}
