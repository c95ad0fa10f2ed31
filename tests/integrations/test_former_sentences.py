"""A sentence that an earlier version stored is read in the words and the language of now."""

import json
from typing import Any

import pytest
from django.utils import translation

from events.models import Batch
from integrations import sentences
from integrations.former_sentences import NOW
from tests.support import english

WAITS = {
    "say": "Waits because {site} could not be reached. It goes on by itself.",
    "with": {"site": "Art Academy"},
}
TITLE = {"say": "Admit: over: {problem}", "with": {"problem": {"say": "A key is refused"}}}
HELD = {
    "one": "More than 1 access was to end within an hour, so this one waits for a person. "
    "Release it if it is right.",
    "many": "More than {number} accesses were to end within an hour, so this one waits for a "
    "person. Release it if it is right.",
    "number": 20,
    "with": {},
}


@pytest.mark.parametrize(
    ("stored", "now", "spanish"),
    [
        (
            WAITS,
            "Waits because Art Academy could not be reached. It continues by itself.",
            "Espera porque no se pudo acceder a Art Academy. Sigue por sí solo.",
        ),
        (TITLE, "Admit: resolved: A key is rejected", "Admit: resuelto: Clave rechazada"),
        (
            HELD,
            "More than 20 actions were about to end access within an hour, so this one waits for "
            "a person. Release it if it is right.",
            "En una hora más de 20 acciones iban a quitar el acceso, así que esta espera una "
            "decisión. Libérela si es correcta.",
        ),
    ],
)
@pytest.mark.first_database
def test_a_sentence_of_an_earlier_version_is_read_in_the_words_of_now(
    db, stored: dict[str, Any], now: str, spanish: str
):
    batch = Batch.objects.create(title=sentences.read(json.dumps(stored)), started_by="Mia")
    for language, text in (("en", now), ("es", spanish)):
        with translation.override(language):
            assert Batch.objects.get(pk=batch.pk).title == text


def test_each_former_sentence_has_words_of_now_with_the_same_facts():
    said = {form for message in english.catalog() for form in message.english}
    used = {form for _, _, forms in english.source() for form in forms}
    for former, now in NOW.items():
        assert now in said, now
        assert former not in used, f"it is said again: {former}"
        found = [set(english.PLACEHOLDER.findall(text)) for text in (former, now)]
        assert found[0] == found[1], former
