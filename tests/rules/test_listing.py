"""Joins names into a list, as each language does."""

import re
from datetime import UTC, datetime

import pytest
from django.utils import translation

from events.access import sentences
from integrations import spanish
from integrations.sentences import say, separated
from rules.listing import listed, of_several
from rules.triggers import Trigger


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["Ana", "Luis"], "Ana y Luis"),
        (["Ana", "Inés"], "Ana e Inés"),
        (["Luis", "Ana", "Hilda"], "Luis, Ana e Hilda"),
        (["Fuego", "Hielo"], "Fuego y Hielo"),
        (["Ana", "Yolanda"], "Ana y Yolanda"),
        (["Dibujo", "«Ilustración»"], "Dibujo e «Ilustración»"),
        (["Inés"], "Inés"),
    ],
)
def test_and_is_spoken_in_spanish_as_the_next_name_needs_it(names, text):
    with translation.override("es"):
        assert listed(names) == text
    if len(names) == 2:
        assert listed(names) == " and ".join(names)


@pytest.mark.parametrize(
    ("fact", "text"),
    [("ocho", "uno u ocho"), ("8", "uno u 8"), ("11", "uno u 11"), ("110", "uno o 110")],
)
def test_or_is_spoken_in_spanish_as_the_next_word_needs_it(fact, text):
    assert spanish.fitted("uno o {other}", {"other": fact}).format(other=fact) == text
    assert spanish.fitted("cambio {other}", {"other": fact}) == "cambio {other}"


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["Ink, Basics"], "Ink, Basics"),
        (["Ink, Basics", "Oil"], "Ink, Basics; and Oil"),
        (["Ink", "Oil, Basics", "Wash"], "Ink; Oil, Basics; and Wash"),
        (["Ink", "Oil", "Wash, Basics"], "Ink; Oil; and Wash, Basics"),
    ],
)
def test_names_with_a_comma_are_separated_by_semicolons(names, text):
    assert listed(names) == text
    with translation.override("es"):
        assert listed(names) == text.replace("and", "y")


def test_more_names_than_are_shown_are_counted_after_a_semicolon_too():
    assert listed(["Ink, Basics", "Oil", "Wash"], 2) == "Ink, Basics; Oil; and 1 more"
    assert listed(["Ink"] * 1300, 1) == "Ink and 1,299 more"


def test_what_several_people_have_is_joined_by_or_and_what_one_has_by_and():
    assert of_several(["Ink", "Oil", "Wash"], 3, 4) == "Ink, Oil or Wash"
    assert of_several(["Ink, Basics", "Oil"], 3, 4) == "Ink, Basics; or Oil"
    assert of_several(["Ink", "Oil", "Wash"], 2, 4) == "Ink, Oil or 1 more"
    assert of_several(["Ink", "Oil"], 3, 1) == "Ink and Oil"
    assert of_several(["Ink"], 3, 4) == "Ink"


def test_a_list_without_and_has_semicolons_only_where_a_name_has_a_comma():
    assert separated(["Ink", "Oil"]) == "Ink, Oil"
    assert separated(["Ink, Basics", "Oil"]) == "Ink, Basics; Oil"


@pytest.mark.parametrize(
    ("text", "cause", "shown"),
    [
        ("después de {cause}", "el reembolso", "después del reembolso"),
        ("De {cause} a {cause}", "el curso", "Del curso al curso"),
        ("tras {cause}", "el reembolso", "tras el reembolso"),
        ("después de {cause}", "la cancelación", "después de la cancelación"),
        ("después de {cause}", "él", "después de él"),
        ("acceso a {cause}", "El arte de la luz", "acceso a El arte de la luz"),
    ],
)
def test_prepositions_and_the_article_are_one_word_in_spanish(text, cause, shown):
    written, facts = spanish.contracted(text, {"cause": cause})
    assert written.format_map(facts) == shown


def test_no_sentence_about_what_happened_has_de_el_in_spanish():
    causes = [each.wording.happening for each in Trigger]
    with translation.override("es"):
        for cause in causes:
            what = sentences.happening(cause, "1183", datetime(2026, 5, 3, tzinfo=UTC))
            text = say(
                "{name} has no access to {course}: {person} ended it on {day}, after {cause}.",
                name="Ana",
                course="Tinta",
                person="Sam",
                day="3 may",
                cause=what,
            )
            assert not re.search(r"\b(de|a) el\b", text), text


def test_a_sentence_that_ends_with_a_name_that_was_cut_has_no_full_stop():
    assert say("Not sent to {name}.", name="Dora Art Sch…") == "Not sent to Dora Art Sch…"
    assert say("Not sent to {name}.", name="Dora") == "Not sent to Dora."
