"""Adding several products: one a line, typed or pasted; a preview of what is added, then Save."""

import hashlib
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from config.admin.menu import allowed
from config.admin.pages.products import coverage_filter
from config.admin.parts.buttons import way_back
from config.admin.parts.page import Page, render
from config.admin.parts.params import row_ids
from integrations import product_lines
from integrations.finding.ordering import by_name
from integrations.models import Marketplace, Product
from integrations.product_lines import Line
from integrations.sentences import say, say_count

MAX_PRODUCTS = 200
MAX_LENGTH = 100_000
# The button that saves, and the field with a digest of what the page showed before.
SAVE, SEEN = "save", "seen"
# The field with the IDs of products that were added while other lines could not be read.
ADDED = "added"


class LinesForm(forms.Form):
    """The lines, and the account to which all of them belong."""

    required_css_class = "required"

    marketplace = forms.ModelChoiceField(
        Marketplace.objects.order_by(by_name(), "pk"), label=_("SamCart account"), empty_label=None
    )
    lines = forms.CharField(
        label=_("Products, one on each line"),
        max_length=MAX_LENGTH,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 12, "class": "whole", "spellcheck": "false"}),
        help_text=_(
            "Name, then SamCart ID, with a comma between. You can also paste these two columns "
            "from a spreadsheet. In SamCart open a product; its ID is in the page's address."
        ),
    )

    def __init__(self, data: Any = None) -> None:
        super().__init__(data)
        if Marketplace.objects.count() == 1:
            field = self.fields["marketplace"]
            field.widget = forms.HiddenInput()
            field.initial = Marketplace.objects.get()

    def clean_lines(self) -> str:
        lines = str(self.cleaned_data["lines"])
        if not lines.strip():
            raise forms.ValidationError(say("Enter at least one product."))
        number = sum(bool(line.strip()) for line in lines.splitlines())
        if number > MAX_PRODUCTS:
            text = say(
                "These are {number} lines. Add at most {most} at once.",
                number=number,
                most=MAX_PRODUCTS,
            )
            raise forms.ValidationError(text)
        return lines

    def read(self) -> list[Line]:
        return product_lines.read(self.cleaned_data["lines"], self.cleaned_data["marketplace"])


def show(request: HttpRequest) -> HttpResponse:
    """Show the form by GET, a preview by POST; the button on the preview saves."""
    form = LinesForm(request.POST if request.method == "POST" else None)
    if not form.is_valid():
        return _page(request, form, [])
    lines = form.read()
    if SAVE not in request.POST:
        return _page(request, form, lines)
    if request.POST.get(SEEN) == _digest(lines):
        try:
            made = product_lines.add(lines, form.cleaned_data["marketplace"])
        except IntegrityError:
            lines = form.read()  # the first event of one of them came meanwhile
        else:
            return _saved(request, form, lines, made)
    text = say("Nothing is saved yet: this has changed since you looked. Look again, then save.")
    messages.warning(request, text)
    return _page(request, form, lines)


def _saved(
    request: HttpRequest, form: LinesForm, lines: list[Line], made: list[Product]
) -> HttpResponse:
    """Say how many were added, then go to the new products in Coverage or back.

    Go back if the person came from another page or may not see Coverage. New rule then has the new
    products chosen. If lines could not be read, show the form with those lines instead.
    """
    back = way_back(request)
    text: str = say_count(len(made), "1 product added.", "{number} products added.")
    products = reverse("admin:integrations_product_changelist")
    earlier = row_ids(request.POST.get(ADDED, "").split(","))
    numbers = [*earlier, *(product.pk for product in made)]
    new = coverage_filter.of_products(numbers)
    theirs = new.address if allowed(request, "rules.view_rule") else ""
    to_coverage = not back or back.partition("?")[0] == reverse("admin:coverage")
    left = [line for line in lines if line.problem]
    if theirs and (left or not to_coverage):
        link = say("Choose their courses")
        text = format_html('{} <a href="{}">{}</a>', text, theirs, link)
    messages.success(request, text)
    if not left:
        if back.startswith(reverse("admin:new-rule")):
            back = _with_products(back, numbers)
        return HttpResponseRedirect((to_coverage and theirs) or back or products)
    typed = "\n".join(line.text for line in left)
    again = LinesForm({"marketplace": form.cleaned_data["marketplace"].pk, "lines": typed})
    again.is_valid()
    return _page(request, again, again.read(), added=new.numbers)


def _with_products(page: str, numbers: Iterable[int]) -> str:
    chosen = urlencode([("product", number) for number in numbers])
    return f"{page}{'&' if '?' in page else '?'}{chosen}" if chosen else page


def _page(
    request: HttpRequest, form: LinesForm, lines: list[Line], *, added: str = ""
) -> HttpResponse:
    return render(
        request,
        "admin/several_products.html",
        title=say("Add several products"),
        form=form,
        # Lines that need a change come first.
        lines=sorted(lines, key=lambda line: (not line.problem, bool(line.known))),
        new=sum(line.is_new for line in lines),
        known=sum(line.known is not None for line in lines),
        unread=sum(bool(line.problem) for line in lines),
        seen=_digest(lines),
        added=added or request.POST.get(ADDED, ""),
        back=way_back(request),
    )


def _digest(lines: list[Line]) -> str:
    """Return a digest of what the lines would add."""
    made = [(line.external_id, line.name) for line in lines if line.is_new]
    return hashlib.sha256(repr(made).encode()).hexdigest()


PAGES = [Page("several-products/", "several-products", show, "integrations.add_product")]
