"""The letter to customers: its template with its fields, its language, and a preview."""

from dataclasses import asdict
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from config.admin.parts import edit_conflicts
from config.admin.parts.page import Page, render
from config.admin.parts.params import row_in
from events.models import LetterTemplate
from events.reports.customers import letter
from events.reports.customers.letter import Template
from integrations import audit
from integrations.audit import Act, Subject
from integrations.models import Customer
from integrations.sentences import say

PERMISSION = "integrations.change_integration"
# The buttons beside Save.
PREVIEW, OURS = "preview", "ours"


def show(request: HttpRequest) -> HttpResponse:
    """The template, and a sample letter. A POST saves, previews or resets it."""
    customer = row_in(Customer.objects.all(), request.GET.get("customer"))
    stored = template = letter.current()
    fault = ""
    if request.method == "POST":
        template = _posted(request, stored)
        if PREVIEW not in request.POST and (page := _overtaken(request, stored, template)):
            return page
        try:
            letter.check(template) if PREVIEW in request.POST else _save(template)
        except ValueError as error:
            fault = str(error)
        else:
            if PREVIEW not in request.POST:
                done = say("Saved. The letter on each customer's page follows it.")
                messages.success(request, done)
                return HttpResponseRedirect(_back(customer))
    named = template.language in dict(settings.LANGUAGES)
    language = template.language if named else stored.language
    return render(
        request,
        "admin/letter.html",
        title=say("The letter to customers"),
        text=template.text,
        language=language,
        languages=settings.LANGUAGES,
        fault=fault,
        opened=edit_conflicts.form_state(request, asdict(stored)),
        fields=letter.fields(language),
        sample="" if fault else letter.fill(template.text, letter.example(language)),
        is_ours=template.text == letter.default_text(language),
        customer=customer,
    )


def _save(template: Template) -> None:
    """Make this the template for letters. Raises ValueError with a sentence."""
    after = Template(letter.clean(template.text), template.language)
    letter.check(after)
    text = "" if letter.is_default(after.text) else after.text
    with transaction.atomic():
        before = letter.current()
        _row, is_new = LetterTemplate.objects.update_or_create(
            pk=LetterTemplate.ONLY, defaults={"text": text, "language": after.language}
        )
        if is_new or before != after:
            subject = Subject(name=say("The letter to customers"))
            audit.record(Act.LETTER_CHANGED, subject, before=asdict(before), after=asdict(after))


def _posted(request: HttpRequest, stored: Template) -> Template:
    text, language = request.POST.get("text", ""), request.POST.get("language", stored.language)
    if language not in dict(settings.LANGUAGES):
        return Template(text, language)  # `check` refuses it
    is_ours = OURS in request.POST or letter.is_default(text)
    return Template(letter.default_text(language) if is_ours else text, language)


def _overtaken(request: HttpRequest, stored: Template, template: Template) -> HttpResponse | None:
    mine = asdict(template) | {"text": template.text.replace("\r\n", "\n").strip()}
    return edit_conflicts.conflict_page(request, Subject(), asdict(stored), mine)


def _back(customer: Customer | None) -> str:
    """Return the page of the letter, for the customer from whose page the person came."""
    page = reverse("admin:letter")
    return f"{page}?{urlencode({'customer': customer.pk})}" if customer else page


PAGES = [Page("letter/", "letter", show, PERMISSION)]
