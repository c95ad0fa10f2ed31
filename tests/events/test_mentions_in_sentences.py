"""A person named in sentences that columns of JSON hold: exported as text, and erased."""

import json

import pytest
from django.utils import timezone

from events.alerts.problems import Code
from events.models import Alert, Batch, ComparisonRun
from events.reports import mentions
from integrations import sentences
from integrations.redaction import Redactor
from integrations.sentences import say
from tests.support import factories

pytestmark = pytest.mark.django_db
HER, NAME = "ana@example.com", 'Ana "Añil"'


def kept() -> str:
    return sentences.write(say("Not for {name}.", name=f"{NAME} <{HER}>"))


def batch() -> Batch:
    return Batch.objects.create(title="x", started_by="x", left_out={kept(): 2})


def comparison() -> ComparisonRun:
    site = factories.IntegrationFactory.create()
    return ComparisonRun.objects.create(integration=site, left_out=[[f"{HER}, Ink", kept()]])


def alert() -> Alert:
    now = timezone.now()
    about = {"began_at": now, "seen_at": now, "facts": {"what": kept()}}
    return Alert.objects.create(code=Code.DISK_LOW, subject="/", **about)


@pytest.mark.parametrize("make", [batch, comparison, alert])
def test_a_sentence_in_json_is_exported_as_text_and_stays_a_sentence_without_the_person(make):
    row = make()
    redactor = Redactor([HER], [NAME])

    (found,) = mentions.mentions(redactor)
    told = json.dumps(found.told, ensure_ascii=False)
    assert "Not for Ana" in told
    assert "say" not in told
    assert "with" not in told

    type(row)._default_manager.filter(pk=row.pk).update(**found.without)
    row.refresh_from_db()
    left = json.dumps(getattr(row, "facts", None) or row.left_out, ensure_ascii=False)
    assert "Ana" not in left
    assert HER not in left
    assert (
        json.dumps(sentences.write(say("Not for {name}.", name="(erased) <(erased)>")))[1:-1]
        in left
    )
    assert not list(mentions.mentions(redactor))
