"""Sentences in JSON are exported as text and erased; the audit names rows by sentences."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import timezone, translation

from events.alerts.problems import ProblemCode
from events.models import Alert, Batch, ComparisonRun, EventLog, RuleRun
from events.reports.personal_data import mentions
from integrations import audit
from integrations.audit import Act
from integrations.models import AuditEntry
from integrations.redaction import Redactor
from integrations.sentences import Said, say
from rules.actions import Action
from rules.triggers import Trigger
from tests.support import factories

pytestmark = pytest.mark.django_db
HER, NAME = "ana@example.com", 'Ana "Añil"'


def kept() -> str:
    return say("Not for {name}.", name=f"{NAME} <{HER}>")


def batch() -> Batch:
    return Batch.objects.create(title="x", started_by="x", left_out={kept(): 2})


def comparison() -> ComparisonRun:
    site = factories.IntegrationFactory.create()
    return ComparisonRun.objects.create(integration=site, left_out=[[f"{HER}, Ink", kept()]])


def alert() -> Alert:
    now = timezone.now()
    about = {"began_at": now, "seen_at": now, "facts": {"what": kept()}}
    return Alert.objects.create(code=ProblemCode.DISK_LOW, subject="/", **about)


def texts(value: Any) -> Iterator[Said]:
    """The texts of the JSON, also those that name a value."""
    if isinstance(value, Said):
        yield value
    elif isinstance(value, list | dict):
        for each in [*value, *value.values()] if isinstance(value, dict) else value:
            yield from texts(each)


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
    kept_now = getattr(row, "facts", None) or row.left_out
    left = json.dumps(kept_now, ensure_ascii=False)
    assert "Ana" not in left
    assert HER not in left
    (sentence,) = (each for each in texts(kept_now) if "Not for" in each)
    assert sentence.source == say("Not for {name}.", name="(erased) <(erased)>").source
    assert not list(mentions.mentions(redactor))


def test_the_audit_names_events_and_actions_in_the_language_of_who_reads_it():
    run = RuleRun(pk=7, action=next(iter(Action)).value, destination_name="Ink")
    event = EventLog(pk=8, trigger=Trigger.PRODUCT_PURCHASED)
    with translation.override("es"):
        spanish = [str(run), str(event)]
        entries = [audit.record(Act.TIDIED, row).pk for row in (run, event)]
    english = [AuditEntry.objects.get(pk=pk).name for pk in entries]
    assert english == [str(run), str(event)]
    assert [one != other for one, other in zip(english, spanish, strict=True)] == [True, True]
