"""Joins names into a list, as each language does."""

import pytest
from django.utils import translation

from integrations import spanish
from rules.listing import listed


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
