"""Takes a person out of JSON and out of sentences that are kept as JSON."""

import json

import pytest

from integrations import audit, audit_erasure, sentences
from integrations.models import AuditEntry
from integrations.models.audit import Act
from integrations.redaction import Redactor
from integrations.sentences import say

pytestmark = pytest.mark.django_db
HER = "ana@example.com"


@pytest.mark.parametrize("by", ["data", "text"])
def test_a_sentence_without_the_person_is_still_one_for_readers_of_each_language(by):
    sentence = say("Not carried out for {name}.", name=HER)
    without = getattr(Redactor([HER]), by)(sentence)
    assert without == "Not carried out for (erased)."
    assert sentences.write(without).startswith("{")


@pytest.mark.parametrize("word", ["name", "say", "Order", "{number}"])
def test_a_name_that_is_a_word_of_ours_is_taken_out_of_the_facts_alone(word):
    sentence = say("Order {name} is of {number}.", name=f"{word} <{HER}>", number="7")
    redactor = Redactor([HER], [word])
    assert redactor.data(sentence) == "Order (erased) <(erased)> is of 7."

    audit.record(Act.TIDIED, note=sentence)
    audit_erasure.forget([HER], beside=[word])

    entry = AuditEntry.objects.get()
    assert HER not in entry.note
    assert entry.note.startswith("Order ")
    assert entry.note.endswith(" is of 7.")


@pytest.mark.parametrize("name", ['Ana "Añil" B', "Añ\\il", "O'Neil <b>", "Łódź", 'q"ü'])
def test_a_name_is_found_however_json_writes_it(name):
    redactor = Redactor([HER], [name])
    for ascii_only in (True, False):
        inside = json.dumps({"with": f"{name} {HER}"}, ensure_ascii=ascii_only)
        assert redactor.data(f"Sent: {inside}") == 'Sent: {"with": "(erased) (erased)"}'


def test_an_address_that_is_a_key_of_json_is_taken_out():
    sent = {HER: 1, "about": {f"of {HER}": 2}, "of": 3}
    redactor = Redactor([HER])
    assert redactor.data(sent) == {"(erased)": 1, "about": {"of (erased)": 2}, "of": 3}
    assert redactor.parts({"about": {HER: 2}, "of": 3}) == [{HER: 2}]
