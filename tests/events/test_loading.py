"""What claimed actions need is read for all of them at once."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from events.execution import loading
from events.models import Delivery, RuleRun
from rules.actions import Action, ActionInput
from tests.support import factories, queued

pytestmark = pytest.mark.first_database


@pytest.fixture
def inputs(monkeypatch: pytest.MonkeyPatch) -> list[ActionInput]:
    """What the actions were begun with."""
    found: list[ActionInput] = []
    make = ActionInput

    def kept(**facts: Any) -> ActionInput:
        found.append(make(**facts))
        return found[-1]

    monkeypatch.setattr(loading, "ActionInput", kept)
    return found


def begun(runs: list[RuleRun]) -> int:
    """Begin these as after a claim, and return how many queries that takes."""
    claimed = RuleRun.objects.filter(pk__in=[run.pk for run in runs])
    with_rows = list(claimed.select_related("event", "integration", "customer").order_by("pk"))
    with CaptureQueriesContext(connection) as asked:
        assert len(loading.conversations(with_rows)) == len(runs)
    return len(asked)


def test_the_signup_fields_of_many_orders_are_read_at_once(db, inputs):
    """Each order fills the fields of its own site."""
    runs = []
    for number in range(4):
        field = factories.ProfileFieldFactory.create(external_id=31 + number % 2)
        factories.FieldMappingFactory.create(profile_field=field)
        course = factories.DestinationFactory.create(integration=field.integration)
        custom = [{"name": "Company", "slug": "custom_1", "value": f"Firm {number}"}]
        dana = factories.CustomerFactory.create()
        runs.append(queued.run(course, of=queued.event(dana, custom_fields=custom)))
    one = begun(runs[:1])
    assert begun(runs) == one
    assert [each.fields for each in inputs[1:]] == [
        {31: "Firm 0"},
        {32: "Firm 1"},
        {31: "Firm 2"},
        {32: "Firm 3"},
    ]


def test_the_bodies_that_many_actions_pass_on_are_read_at_once(db, inputs):
    site = factories.ReceiverFactory.create()
    course = factories.DestinationFactory.create(integration=site)
    runs = [queued.run(course, action=Action.SEND_HTTP_POST, at=number) for number in range(4)]
    RuleRun.objects.update(target="", destination_id=None)
    gone = Delivery.objects.get(events=runs[3].event)
    Delivery.objects.filter(pk=gone.pk).update(body_removed_at=gone.received_at)
    one = begun(runs[:1])
    assert begun(runs) == one
    messages = [each.message for each in inputs[1:]]
    assert [each and each.event for each in messages] == [
        *(run.event_id for run in runs[:3]),
        None,
    ]
