"""The page Changes shows and finds its sentences in the reader's language."""

import pytest
from django.urls import reverse
from django.utils import translation

from config.staff import roles
from integrations.audit import Act, Subject, record
from integrations.sentences import say
from rules.triggers import Trigger
from tests.support.pages import signed_in, words

pytestmark = [pytest.mark.django_db, pytest.mark.first_database]
LIST = reverse("admin:integrations_auditentry_changelist")


def test_what_differs_is_read_in_the_language_of_who_reads_it():
    with translation.override("es"):
        given = {"access": [say("{course} on {site}", course="Ink", site="Art Academy")]}
        entry = record(Act.ACCESS_GIVEN, after=given)
    page = signed_in(roles.MANAGER).get(
        reverse("admin:integrations_auditentry_change", args=[entry.pk])
    )
    assert "Ink on Art Academy" in words(page)


@pytest.mark.parametrize(
    ("language", "typed", "found"),
    [
        ("en", "PURCHASED", 1),
        ("en", "purchased somebody@", 0),
        ("en", "comprado", 0),
        ("es", "comprado", 1),
        ("en", "with", 0),  # a word of the form in which sentences are kept
        ("en", "{", 0),
        ("en", "dana", 1),
        ("en", "", 2),
    ],
)
def test_the_search_looks_through_names_as_they_are_shown(language, typed, found):
    sold = say("{what} of {product}", what=Trigger.PRODUCT_PURCHASED.label, product="Ink")
    record(Act.EVENT_RERUN, Subject("eventlog", "7", sold))
    record(Act.EXPORTED, Subject("customer", "1", "Dana@example.com"))
    reader = signed_in(roles.MANAGER)
    page = reader.get(LIST, {"q": typed, "kind": ""}, HTTP_ACCEPT_LANGUAGE=language)
    assert len(page.context["cl"].result_list) == found


def test_a_chosen_language_is_called_by_its_name():
    record(Act.PERSON_CHANGED, before={"language": ""}, after={"language": "es"})
    assert "Language: – → Español" in words(signed_in(roles.MANAGER).get(LIST, {"kind": ""}))
