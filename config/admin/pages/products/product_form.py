"""The form of a product."""

from typing import Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS
from django.utils.translation import gettext_lazy as _

from config.admin.parts import badges
from integrations import product_lines
from integrations.models import Marketplace, Product
from integrations.sentences import Said, say


class ProductForm(forms.ModelForm):
    class Meta:
        model = Product
        fields = ("external_id", "name", "marketplace", "kind")
        labels = {"marketplace": _("SamCart account")}
        help_texts = {
            "external_id": _("In SamCart open the product; its ID is in the page's address."),
            "kind": _("A course of SamCart's own Courses app is not a product."),
        }
        error_messages = {
            NON_FIELD_ERRORS: {"unique_together": _("Another product has this SamCart ID already.")}
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "name" in self.fields:
            self.fields["name"].help_text = _about_name(self.instance)
        if self.instance.pk or "kind" not in self.fields:
            return
        # A new product is asked only for what Admit cannot know.
        accounts = list(Marketplace.objects.order_by("pk")[:2])
        self.initial.setdefault("marketplace", accounts[0] if accounts else None)
        self.fields["kind"].widget = forms.HiddenInput()
        if len(accounts) == 1:
            self.fields["marketplace"].widget = forms.HiddenInput()

    def clean_external_id(self) -> str:
        """Return the ID as SamCart's events carry it."""
        try:
            return product_lines.samcart_id(self.cleaned_data["external_id"])
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None


def _about_name(product: Product) -> Said:
    """Return a sentence about what SamCart's next event does to the name."""
    if not product.samcart_name:
        return say("The first event brings SamCart's own name.")
    if product.has_samcart_name:
        return say("SamCart's own name. If you change it, later sales leave it as you wrote it.")
    return say(
        "SamCart calls it “{name}”. Sales leave your name as it is; enter SamCart's to follow "
        "SamCart again.",
        name=badges.brief(product.samcart_name),
    )
