"""Sentences are kept as text and facts, so each reader gets their language and time zone."""

import copy
import pickle
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from django.utils import timezone, translation
from django.utils.translation import gettext_lazy

from integrations import sentences
from integrations.sentences import format_day, format_time, joined, say, say_count

NOON = datetime(2024, 3, 5, 12, 30, tzinfo=UTC)
GERMAN: dict[str | tuple[str, str], Any] = {
    "The course {name} is gone.": "Den Kurs {name} gibt es nicht mehr.",
    "Call your technician.": "Rufen Sie Ihre Technik an.",
    ("1 course is gone.", "{number} courses are gone."): (
        "1 Kurs fehlt.",
        "{number} Kurse fehlen.",
    ),
    "It was {what}.": "Es war {something_else}.",
    "It {what}.": "Es {what",
}


@pytest.fixture(autouse=True)
def _german(settings: Any, tmp_path: Path) -> None:
    """A few sentences in another language than those of Admit."""
    catalog = Catalog(locale="de")
    for english, german in GERMAN.items():
        catalog.add(english, german)
    folder = tmp_path / "de" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    with (folder / "django.mo").open("wb") as file:
        write_mo(file, catalog)
    settings.LANGUAGES, settings.LOCALE_PATHS = [("en", "English"), ("de", "Deutsch")], [tmp_path]


def in_german(sentence: str) -> str:
    with translation.override("de"):
        return str(sentences.read(sentences.write(sentence)))


@pytest.mark.parametrize(
    ("sentence", "english", "german"),
    [
        (say("Call your technician."), "Call your technician.", "Rufen Sie Ihre Technik an."),
        (
            say("The course {name} is gone.", name="{Ink} <b>"),
            "The course {Ink} <b> is gone.",
            "Den Kurs {Ink} <b> gibt es nicht mehr.",
        ),
        (
            say_count(1, "1 course is gone.", "{number} courses are gone."),
            "1 course is gone.",
            "1 Kurs fehlt.",
        ),
        (
            say_count(1200, "1 course is gone.", "{number} courses are gone."),
            "1,200 courses are gone.",
            "1.200 Kurse fehlen.",
        ),
        (
            joined(
                [say("The course {name} is gone.", name="Ink"), "", say("Call your technician.")]
            ),
            "The course Ink is gone. Call your technician.",
            "Den Kurs Ink gibt es nicht mehr. Rufen Sie Ihre Technik an.",
        ),
        (
            say("The course {name} is gone.", name=say("Call your technician.")),
            "The course Call your technician. is gone.",
            "Den Kurs Rufen Sie Ihre Technik an. gibt es nicht mehr.",
        ),
        (
            joined(["1.", gettext_lazy("Call your technician.")]),
            "1. Call your technician.",
            "1. Rufen Sie Ihre Technik an.",
        ),
        (
            say(gettext_lazy("The course {name} is gone."), name="Ink"),
            "The course Ink is gone.",
            "Den Kurs Ink gibt es nicht mehr.",
        ),
        (say("Not translated: {n}.", n=2.5), "Not translated: 2.5.", "Not translated: 2,5."),
        (format_day(date(2024, 3, 5)), "5 Mar 2024", "5 Mär 2024"),
        (format_time(NOON), "5 Mar 12:30", "5 Mär 12:30"),
        (say("{a}", a=format_day(NOON, sentences.FULL)), "5 Mar 12:30 UTC", "5 Mär 12:30 UTC"),
    ],
)
def test_a_sentence_is_kept_for_readers_of_each_language(sentence, english, german):
    assert sentence == english
    assert sentences.read(sentences.write(sentence)) == english
    assert in_german(sentence) == german


def test_the_name_of_a_row_that_is_a_sentence_stays_one_inside_another():
    class Row:
        def __str__(self) -> str:
            return say("The course {name} is gone.", name="Ink")

    assert in_german(say("{row}", row=Row())) == "Den Kurs Ink gibt es nicht mehr."
    assert in_german(joined([Row()])) == "Den Kurs Ink gibt es nicht mehr."


@pytest.mark.parametrize(
    "sentence", [say("It was {what}.", what="new"), say("It {what}.", what="is")]
)
def test_a_translation_that_does_not_fit_its_facts_is_not_used(sentence):
    assert in_german(sentence) == sentence


@pytest.mark.parametrize(
    "text", ["", "Plain.", "{", '{"say":"x"}', '{"all":[]}', "{name} is gone."]
)
def test_a_text_that_is_no_sentence_stays_as_it_is(text):
    assert sentences.read(sentences.write(text)) == text


@pytest.mark.parametrize(
    "kept",
    [
        *("{ was sent", '{"of":"another version"}', "[1]", "{}", '{"say":5}', '{"one":1}'),
        *('{"all":5}', '{"at":"x","as":""}', '{"at":5}', '{"say":"{a}","with":{"b":1}}'),
        *('{"say":"{0.real}","with":{"a":"b"}}', '{"say":"{a.real}","with":{"a":"b"}}'),
        '{"a":' * 5000 + "1" + "}" * 5000,
    ],
)
def test_what_another_version_kept_is_shown_as_it_is_and_breaks_no_page(kept):
    assert sentences.read(kept) == kept


def test_the_facts_of_a_sentence_are_changed_and_its_own_words_are_not():
    name = joined([say("The course {name} is gone.", name="name"), "course", format_day(NOON), 7])
    without = sentences.changed(name, lambda text: text.replace("name", "X").replace("course", "Y"))
    assert without == "The course X is gone. Y 5 Mar 2024 7"
    assert in_german(without) == "Den Kurs X gibt es nicht mehr. Y 5 Mär 2024 7"


@pytest.mark.parametrize(
    "again",
    [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))],  # noqa: S301
)
def test_a_copied_sentence_is_still_kept_by_what_it_is_made_of(again):
    assert in_german(again(say("Call your technician."))) == "Rufen Sie Ihre Technik an."


def test_a_moment_is_shown_in_the_time_zone_of_the_reader():
    with timezone.override("Asia/Tokyo"):
        assert sentences.read(sentences.write(format_time(NOON))) == "5 Mar 21:30"


def test_a_day_of_this_year_needs_no_year():
    today = timezone.localdate()
    assert str(today.year) not in format_day(today)
    assert format_day(today, sentences.YEAR).endswith(str(today.year))


def test_a_month_is_written_as_the_language_writes_it():
    with translation.override("es"):
        assert format_time(NOON).endswith("mar 12:30")
