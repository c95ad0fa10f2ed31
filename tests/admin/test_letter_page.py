"""The letter to a customer: a template that the owner edits, with fields and a preview."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from django.apps import apps
from django.test import Client
from django.urls import reverse
from django.utils import translation

from config.staff import roles
from events.models import LetterTemplate
from events.reports.customers import customer_access, letter
from events.reports.customers.letter import Template
from integrations.models import AuditEntry, Customer
from tests.support import english
from tests.support import shop as shops
from tests.support.pages import said, signed_in, words

pytestmark = [pytest.mark.django_db, pytest.mark.first_database]
LETTER = "admin:letter"
OURS = (
    "Hi {first_name},\n\n{what_happened}\n\n"
    "If anything is not as you expect, just reply to this e-mail.\n\nKind regards,\n{school}"
)


@pytest.fixture
def manager() -> Client:
    return signed_in(roles.MANAGER)


@pytest.fixture
def buyer() -> Customer:
    shop = shops.build()
    shop.rule(destination__name="Course Two")
    customer = shop.sell().customer
    assert customer is not None
    return customer


def test_the_letter_is_complete_and_signed_by_the_school(buyer):
    reply = customer_access.describe(buyer).reply
    assert reply.startswith("Hi Dana,")
    assert "Course Two" in reply
    assert reply.endswith("Kind regards,\nArt Academy")


def test_an_edited_letter_is_used_at_once_and_the_change_is_in_the_audit(manager, buyer):
    text = "Dear {First  name} ({email}),\n\n{course} at {school}: {what happened}"
    page = manager.post(reverse(LETTER), {"text": text}, follow=True)
    assert said(page) == ["Saved. The letter on each customer's page follows it."]
    reply = customer_access.describe(buyer).reply
    assert reply.startswith(f"Dear Dana ({buyer.readable_email}),\n\nCourse Two at Art Academy: We")
    entry = AuditEntry.objects.latest("pk")
    assert entry.act == "letter_changed"
    assert entry.before == {"text": letter.default_text("en"), "language": "en"}
    assert entry.after == {"text": text, "language": "en"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Hi {firstname}", "There is no field {firstname}. Did you mean {first name}?"),
        ("Hi {secret key}", "The fields are {first name}, {email}, {course}, {school}"),
        ("Hi {first name", "A curly bracket is missing, or there is one too many."),
        ("Hi {{first name}}", "A curly bracket is missing, or there is one too many."),
        ("  ", "The letter is empty."),
        ("x" * 5001, "longer than 5,000 characters"),
    ],
)
def test_what_cannot_be_filled_in_is_refused_and_kept_for_editing(manager, text, sentence):
    page = manager.post(reverse(LETTER), {"text": text})
    assert sentence in words(page)
    assert page.context["text"] == text
    assert not LetterTemplate.objects.exists()


def test_a_preview_saves_nothing_and_ours_comes_back(manager):
    page = manager.post(reverse(LETTER), {"text": "Dear {first name}", "preview": "1"})
    assert "This customer is an example." in words(page)
    assert "Dear Dana" in words(page)
    assert not LetterTemplate.objects.exists()
    manager.post(reverse(LETTER), {"text": "Dear {first name}"})
    manager.post(reverse(LETTER), {"text": "Dear {first name}", "ours": "1"})
    assert letter.current() == Template(letter.default_text("en"), "en")
    assert LetterTemplate.objects.get().text == ""


def test_what_a_customer_is_called_is_never_read_as_a_field():
    values = letter.example("en") | {"first name": "{email} <b>"}
    assert letter.fill("Hi {first name}", values) == "Hi {email} <b>"


def test_a_field_without_a_value_leaves_no_gap():
    values = letter.example("en") | {"school": ""}
    assert letter.fill(letter.default_text("en"), values).endswith("Kind regards,")


@pytest.mark.parametrize(("language", "begins"), [("en", "Hi Dana,"), ("es", "Hola, Dana:")])
def test_until_one_is_chosen_the_letter_is_in_the_language_of_the_school(
    buyer, settings, language, begins
):
    settings.LANGUAGE_CODE = language
    for reader in ("en", "es"):
        with translation.override(reader):
            answer = customer_access.describe(buyer)
        assert answer.language == language
        assert answer.reply.startswith(begins)


@pytest.mark.parametrize("text", ["", "Hola, {nombre}:\n\n{lo que pasó}\n\n{escuela}"])
def test_all_of_a_letter_is_in_its_language_no_matter_who_reads_the_page(manager, buyer, text):
    text = text or letter.default_text("es")
    buyer.first_name = ""
    buyer.save()
    manager.post(reverse(LETTER), {"text": text, "language": "es"})
    with translation.override("en"):
        answer = customer_access.describe(buyer)
    with translation.override("es"):
        assert customer_access.describe(buyer).reply == answer.reply
    assert answer.language == "es"
    assert answer.reply.startswith("Hola, qué tal:\n\nEstamos resolviendo su acceso a Course")
    assert english.words_left(answer.reply, english.names()) == set()
    page = manager.get(reverse("admin:integrations_customer_change", args=[buyer.pk]))
    assert "Language of the letter: Español" in words(page)


def test_our_letter_follows_when_another_language_is_chosen(manager):
    posted = {"text": letter.default_text("en"), "language": "es"}
    preview = manager.post(reverse(LETTER), posted | {"preview": "1"})
    assert preview.context["text"] == letter.default_text("es")
    assert "Acuarela para principiantes" in preview.context["sample"]
    manager.post(reverse(LETTER), posted)
    assert letter.current() == Template(letter.default_text("es"), "es")


@pytest.mark.parametrize(
    ("text", "language"),
    [("¡Hola {first name}! {what happened}", "es"), ("Dear {first name}, {what happened}", "en")],
)
def test_a_letter_of_an_older_version_gets_the_language_that_it_is_in(text, language):
    LetterTemplate.objects.create(pk=LetterTemplate.ONLY, text=text, language="")
    import_module("events.migrations.0032_language_of_letter").state_language(apps, None)
    assert letter.current() == Template(text, language)


@pytest.mark.parametrize("button", ["preview", "ours", "save"])
@pytest.mark.parametrize("language", ["tlh", "", "../../etc"])
def test_a_letter_in_a_language_that_admit_does_not_speak_is_refused(manager, language, button):
    posted = {"text": "Hi {first name}", "language": language, button: "1"}
    assert f"There is no language {language}." in words(manager.post(reverse(LETTER), posted))
    assert not LetterTemplate.objects.exists()


@pytest.fixture
def _german(settings: Any, tmp_path: Path) -> None:
    """A server that speaks German as well."""
    catalog = Catalog(locale="de")
    catalog.add("first name", "Vorname")
    catalog.add(OURS, "Hallo {first_name},\n\n{what_happened}\n\n{school}")
    folder = tmp_path / "de" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    with (folder / "django.mo").open("wb") as file:
        write_mo(file, catalog)
    settings.LANGUAGES, settings.LOCALE_PATHS = [("en", "English"), ("de", "Deutsch")], [tmp_path]


@pytest.mark.usefixtures("_german")
def test_fields_are_named_in_the_language_of_the_letter_and_explained_in_that_of_the_reader():
    with translation.override("en"):
        assert letter.default_text("de").startswith("Hallo {Vorname},")
        assert letter.fields("de")[0][0] == "{Vorname}"
        assert str(letter.fields("de")[0][1]).startswith("The customer's first name")


@pytest.mark.usefixtures("_german")
def test_a_field_may_be_named_in_any_language():
    for language in ("en", "de"):
        letter.check(Template("{first name} {vorname}", language))
    assert letter.fill("{first name} {vorname}", letter.example("en")) == "Dana Dana"
