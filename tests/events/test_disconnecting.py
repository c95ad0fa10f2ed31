"""Deleting an integration: pages count what stops, and the history stays."""

import time

import pytest

from events.execution import recovery
from events.models import EventLog, Grant, RuleRun
from events.retention import delete_integration
from integrations.models import ApiCall, Customer, Destination, Integration, Intent, ThinkificUser
from integrations.thinkific.sandbox.faults import Fault
from rules.models import Rule
from tests.support import factories, queued


@pytest.fixture
def busy(world) -> Integration:
    """A site with a past: a purchase that was carried out, one that waits, and a mapping."""
    course = world.course()
    world.rule("product_purchased", "create_course_enrollment", course)
    world.sell("10_product")
    world.settle()
    factories.FieldMappingFactory(
        profile_field=factories.ProfileFieldFactory(integration=world.integration)
    )
    Intent.objects.create(
        integration=world.integration, customer=Customer.objects.get(), target="course:9"
    )
    queued.run(course)
    found: Integration = world.integration
    return found


def test_what_stops_is_counted(busy):
    found = delete_integration.summarize(busy)
    assert (found.rules, found.waiting, found.mappings) == (1, 1, 1)
    assert found.lines() == [
        "1 rule is deleted: it does nothing anymore.",
        "1 waiting action fails: do it by hand if it is still wanted.",
        "1 field mapping is deleted.",
    ]
    assert delete_integration.IntegrationDeletion(rules=2, waiting=37, mappings=0).lines() == [
        "2 rules are deleted: they do nothing anymore.",
        "37 waiting actions fail: do them by hand if they are still wanted.",
    ]


def test_of_a_site_that_nothing_depends_on_nothing_is_said(db):
    site = factories.IntegrationFactory.create()
    assert delete_integration.summarize(site).lines() == []


def test_the_site_goes_with_its_rules_and_the_history_stays(busy, world):
    runs, events = RuleRun.objects.count(), EventLog.objects.count()
    calls = ApiCall.objects.count()
    assert calls > 0
    assert Grant.objects.exists()
    assert delete_integration.delete(busy)
    for model in (Integration, Rule, Destination, ThinkificUser, Intent, Grant):
        assert not model._default_manager.exists(), model
    assert (RuleRun.objects.count(), EventLog.objects.count()) == (runs, events)
    assert ApiCall.objects.count() == calls
    assert RuleRun.objects.filter(status="done").get().destination_name == "Course Two"
    assert not any("enrollments" in call for call in world.calls()[2:])


def test_what_waited_ends_as_failed_in_words(busy):
    delete_integration.delete(busy)
    recovery.revive()
    (run,) = RuleRun.objects.filter(status="failed")
    assert "The integration was deleted before this could be carried out." in run.message
    assert not RuleRun.objects.filter(status="waiting").exists()


def test_another_site_keeps_everything(busy):
    other = factories.RuleFactory.create()
    kept = queued.run(other.destination)
    delete_integration.delete(busy)
    assert list(Integration.objects.all()) == [other.integration]
    assert Rule.objects.get().enabled
    assert queued.again(kept).integration == other.integration


def test_where_the_time_is_over_the_site_is_off_and_the_next_press_goes_on(busy, monkeypatch):
    monkeypatch.setattr(delete_integration, "SECONDS", -1.0)
    assert not delete_integration.delete(busy)
    assert not Integration.objects.get().enabled
    assert not Rule.objects.get().enabled
    monkeypatch.undo()
    assert delete_integration.delete(Integration.objects.get())
    assert not Integration.objects.exists()


def test_many_rows_go_in_batches(world, monkeypatch):
    monkeypatch.setattr(delete_integration, "BATCH", 3)
    course = world.course()
    for _ in range(7):
        queued.run(course, status="done")
    assert delete_integration.delete(world.integration)
    assert RuleRun.objects.filter(integration=None, status="done").count() == 7


def test_an_action_that_was_carried_out_while_its_site_was_deleted_ends_as_done(world):
    run = queued.run(world.course())
    world.sandbox.faults.add(Fault("delay", delay=0.5, path="/enrollments"))

    def delete() -> int:
        give_up = time.monotonic() + 5
        while "POST /enrollments" not in world.calls():
            assert time.monotonic() < give_up
            time.sleep(0.005)
        return int(delete_integration.delete(world.integration))

    queued.at_once(queued.drain, delete)
    ended = queued.again(run)
    assert (ended.status, ended.message) == ("done", "Enrolled in Course Two.")
    assert not ThinkificUser.objects.exists()
