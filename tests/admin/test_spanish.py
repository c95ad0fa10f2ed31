"""Each person reads the pages in their language, and no English is left on them."""

import re
from gettext import GNUTranslations

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from tests.support import english, scenery, screenshots
from tests.support.every_page import PAGES
from tests.support.pages import client_of

pytestmark = [pytest.mark.first_database]

# "de el reembolso", "el hace 5 min", "seleccionado/s".
PUT_TOGETHER = re.compile(
    r"\b(de|a) el [a-z]|\b(el|desde|de|hasta) hace \d|\w/(s|a|as|os)\b|\w\((s|es|a|as)\)"
)


def reader(place: scenery.Scenery, language: str) -> Client:
    """The browser of the owner, who reads this language."""
    owner = get_user_model().objects.get(username=place.people["Owner"])
    client = client_of(owner)
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = language
    return client


@pytest.fixture
def place(place: scenery.Scenery) -> scenery.Scenery:
    scenery.add_receiver(place.world)
    return place


def test_no_page_has_english_or_a_sentence_put_together_wrong_for_a_reader_of_spanish(place):
    known = english.names()
    readers = [reader(place, language) for language in ("en", "es")]
    faults: list[str] = []
    for path in PAGES:
        address = screenshots.fill(path)
        seen = [each.get(address, follow=True) for each in readers]
        assert [each.status_code for each in seen] == [200, 200], path
        first, second = (each.content.decode() for each in seen)
        assert '<html lang="es"' in second, path
        faults += [f"{path} is in English: {text}" for text in english.left(first, second, known)]
        faults += [
            f"{path} is put together wrong: {text}"
            for text in english.texts(second)
            if PUT_TOGETHER.search(text)
        ]
    assert not faults, "\n".join(faults)


def test_triggers_are_also_called_as_samcart_calls_them(place):
    """Its pages are in English, and a rule is to be found there."""
    address = screenshots.fill("/admin/samcart/{marketplace}/")
    spanish = reader(place, "es").get(address).content.decode()
    assert "Producto reembolsado" in spanish
    assert "(Product Refunded)" in spanish
    assert "(Product Refunded)" not in reader(place, "en").get(address).content.decode()


def test_no_sentence_of_the_source_is_missing_in_the_catalog():
    known = {(each.context, each.english) for each in english.catalog()}
    asked = {(context, forms): file for file, context, forms in english.source()}
    missing = [f"{asked[each]}: {each[1]}" for each in asked.keys() - known]
    assert not missing, "\n".join(["run: make messages", *sorted(missing)])


def test_no_sentence_that_pages_may_show_is_written_without_a_mark():
    assert not (found := [*english.unmarked()]), "\n".join(["say(…) marks it:", *found])


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (
            'return f"SamCart cannot reach {url} at all yet."',
            ["SamCart cannot reach … at all yet."],
        ),
        ('return say("SamCart cannot reach Admit yet.")', []),
        ('def f():\n    """Return what is said of it."""', []),
        ('NAME = _("Nobody was here before you.")', []),
        ('x = "Nobody was here" " before you."', ["Nobody was here before you."]),
    ],
)
def test_a_sentence_without_a_mark_is_found_in_the_source(source, found):
    assert [text for _, text in english.sentences_in(source)] == found


def test_the_samcart_page_says_in_spanish_that_samcart_cannot_reach_it(place, settings):
    settings.DEMO, settings.PUBLIC_URL = False, "http://127.0.0.1:8000"
    address = screenshots.fill("/admin/samcart/{marketplace}/")
    first, second = (
        reader(place, language).get(address).content.decode() for language in ("en", "es")
    )
    assert "SamCart cannot reach Admit yet" in first
    assert not english.left(first, second, english.names())


def test_every_sentence_of_the_pages_is_translated():
    assert not [each.english for each in english.catalog() if not all(each.translated)]


def test_a_translation_has_the_facts_of_its_sentence():
    for message in english.catalog():
        for one, other in zip(message.english, message.translated, strict=True):
            found = facts(other)
            assert found in (facts(one), facts(message.english[-1])), message


def facts(text: str) -> set[str]:
    return {found for found in english.PLACEHOLDER.findall(text) if found[0] in "{%"}


def test_what_runs_is_compiled_from_what_is_edited():
    with english.file("es").with_suffix(".mo").open("rb") as file:
        compiled = GNUTranslations(file)
    for message in english.catalog():
        context = f"{message.context}\x04" if message.context else ""
        one, many = message.english[0], message.english[-1]
        found = [compiled.gettext(context + one)]
        if many != one:
            found = [compiled.ngettext(context + one, many, number) for number in (1, 2)]
        assert found == list(message.translated), "run: make messages"


@pytest.mark.parametrize(
    ("word", "other"),
    [
        ("hecho", r"con éxito|\btuv\w+ éxito"),
        ("fallido", r"con fallo\b"),
        ("coincide", r"\bcorrespond\w+"),
        ("quitar acceso", r"\b(finaliz|expir|retir)\w* (el |la )?(acceso|inscripción)"),
        ("termina", r"\bfinaliz\w+"),
        ("vence", r"\b(caduc|expir)\w+"),
        ("eliminar", r"\b(suprim|elimín[ea]se)\w*"),
        ("ejecutar", r"\b(lanza|corre) (la|las) reglas?\b"),
    ],
)
def test_spanish_has_one_word_for_each_thing(word, other):
    found = [text for each in english.catalog() for text in each.translated]
    assert not [text for text in found if re.search(other, text, re.IGNORECASE)], f"say {word!r}"


def test_what_djangos_script_says_of_rows_fits_all_of_them(place):
    script = reader(place, "es").get(reverse("admin:jsi18n")).content.decode()
    assert "Marcado: %(sel)s de %(cnt)s" in script


@pytest.mark.parametrize("word", ["slug", "upsell", "order bump"])
def test_a_word_that_stays_english_stands_behind_one_of_help(word):
    used = [text for message in english.catalog() for text in message.translated if word in text]
    assert used
    assert not [text for text in used if f" ({word})" not in text]


def test_the_months_of_a_chart_are_written_as_in_every_date(place):
    months = {
        language: re.findall(
            r'class="month"[^>]*>(\w+)<', reader(place, language).get("/admin/").content.decode()
        )
        for language in ("en", "es")
    }
    assert months["en"] == [month.title() for month in months["en"]]
    assert months["es"] == [month.lower() for month in months["es"]]
    assert months["es"]
