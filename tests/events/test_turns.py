"""If one thing goes wrong in a turn of the worker's loop, the other runs go on."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError
from django.utils import timezone

from events.execution import claiming
from events.execution.loop import Loop
from events.execution.senders import Senders
from events.models import Delivery, RuleRun
from integrations import app_registry
from integrations.calls import rate_limit
from integrations.models import CallBudget, Integration, Intent, SiteAnswer
from integrations.notify_url import signature
from integrations.thinkific.calls import Get, Post
from rules.actions import ACTIONS, Action, ActionOutcome
from tests.support import factories, queued
from tests.support.queued import claim
from tests.support.receiver import Receiver
from tests.support.wire import Peer
from tests.support.world import World

CREATE = Action.CREATE_COURSE_ENROLLMENT
SECRET = signature.new_secret()


@pytest.fixture(autouse=True)
def log_lines() -> Iterator[list[str]]:
    with queued.nothing_personal() as lines:
        yield lines


@pytest.fixture
def crm(settings: Any) -> Iterator[Receiver]:
    """A receiver on loopback."""
    settings.ALLOW_PRIVATE_NOTIFY_URLS = True
    with Receiver(SECRET) as running:
        yield running


def _act(monkeypatch: pytest.MonkeyPatch, function: Any) -> None:
    monkeypatch.setitem(ACTIONS, CREATE, replace(ACTIONS[CREATE], run=function))


def _message(site: Integration) -> RuleRun:
    of = queued.event(factories.CustomerFactory.create())
    Delivery.objects.filter(events=of).update(sealed_body=b'{"a": 1}')
    return RuleRun.objects.create(
        event=of,
        customer=of.customer,
        integration=site,
        received_at=of.received_at,
        action=Action.SEND_HTTP_POST,
        destination_name=site.name,
        site=site.site,
        rule_sentence="",
        next_attempt_at=queued.START,
    )


def _second_site(world: World, name: str) -> Any:
    school = world.sandbox.add_school(name, key=factories.KEY)
    return factories.DestinationFactory.create(
        integration=factories.connected(name, name=name), external_id=school.add_course("One").id
    )


def _slow(peer: Peer) -> None:
    time.sleep(0.5)
    peer.answer(200, "", None)


def _until(worker: Loop, when: Any) -> None:
    give_up = time.monotonic() + 10
    while not when():
        assert time.monotonic() < give_up
        worker.turn(wait=0.01)


# Threads


def test_no_call_is_handed_out_that_no_thread_is_free_for(world: World, crm: Receiver, settings):
    settings.WORKER_PROCESSES, settings.WORKER_THREADS = 1, 16
    first, second = world.course(), _second_site(world, "bay")
    for course in (first, second):
        for _ in range(8):
            queued.run(course)
    for number in range(2):
        site = world.receiver(crm.url, SECRET, name=f"CRM {number}")
        for _ in range(2):
            _message(site)
    world.sandbox.switches.latency = 0.5
    crm.behavior = _slow
    worker = Loop(Senders(16))
    most = 0
    while worker.turn(wait=0.01):
        most = max(most, worker.senders.under_way)
    assert most == 16
    assert set(RuleRun.objects.values_list("status", flat=True)) == {"done"}


# A site that is deleted


def test_a_site_that_is_deleted_while_it_is_to_be_asked_stops_no_other(world: World):
    other = _second_site(world, "bay")
    gone, made = queued.run(world.course()), queued.run(other)
    world.school.change_key("f" * 32)
    worker = queued.loop()
    world.sandbox.switches.latency = 0.3
    worker.claimed += claim(2)
    _until(worker, lambda: worker.senders.under_way == 2)
    world.integration.delete()
    worker.finish()
    assert queued.again(made).status == "done"
    assert queued.again(gone).status == "waiting"


# Pauses


def test_no_call_goes_out_in_the_turn_in_which_a_question_pauses_the_site(world: World, settings):
    settings.THINKIFIC_CALLS_PER_MINUTE = 100
    course = world.course()
    for at in range(2):
        queued.run(course, at=at)
    first, second = claim(2)
    world.school.change_key("f" * 32)
    worker = queued.loop()
    worker.claimed = [first]
    CallBudget.objects.update(next_slot=0)
    _until(worker, lambda: any(each.run is None and each.under_way for each in worker.here))
    worker.claimed = [second]
    worker._begin()
    time.sleep(1.0)  # the question is answered, and the next slot is there
    worker.finish()
    assert world.calls() == ["POST /users", "GET /courses"]


def test_an_answer_to_a_call_of_before_ends_no_pause(world: World):
    run = queued.run(world.course())
    Integration.objects.update(connection="unknown")  # as after a new key
    world.sandbox.switches.latency = 0.3
    worker = queued.loop()
    worker.claimed += claim(1)
    _until(worker, lambda: worker.senders.under_way)
    rate_limit.block(world.integration.pk, CallBudget.Blocked.LIMIT, 60)
    worker.finish()
    assert rate_limit.blocked_for(world.integration.pk)[0] == "limit"
    assert Integration.objects.get().connection == "connected"
    assert queued.again(run).attempts == 0


def test_what_a_site_said_to_an_old_key_is_not_believed_of_the_new_one(world: World):
    from integrations import credentials

    queued.run(world.course())
    world.school.change_key("f" * 32)
    world.sandbox.switches.latency = 0.3
    worker = queued.loop()
    worker.claimed += claim(1)
    _until(worker, lambda: worker.senders.under_way)
    credentials.save(Integration.objects.get(), "f" * 32)
    worker.finish()
    assert rate_limit.answer(world.integration.pk) != SiteAnswer.REFUSED


# What cannot be written


@pytest.mark.parametrize("outcome", [ActionOutcome("done", "\ud800"), None])
def test_an_outcome_that_cannot_be_written_ends_its_own_run_and_no_other(
    world: World, monkeypatch, outcome
):
    run = ACTIONS[CREATE].run

    def act(attempt, order):
        if attempt.person.email == unlucky.email:
            yield Get("/users")
            return outcome
        return (yield from run(attempt, order))

    _act(monkeypatch, act)
    course = world.course()
    bad, good = queued.run(course, at=0), queued.run(course, at=1)
    unlucky = factories.CustomerFactory.create()
    RuleRun.objects.filter(pk=bad.pk).update(customer=unlucky)
    queued.carry_out(*claim(2))
    assert queued.again(good).status == "done"
    assert (queued.again(bad).status, queued.again(bad).code) == ("waiting", "broken")


def test_a_question_that_breaks_is_not_asked_again_and_again(world: World, monkeypatch):
    asked = []

    def broken():
        asked.append(1)
        yield Get("/courses")
        raise RuntimeError("A fault of ours.")

    spec = app_registry.of(world.integration)
    monkeypatch.setitem(app_registry.APPS, spec.key, replace(spec, question=broken))
    made = queued.run(world.course())
    world.school.change_key("f" * 32)
    worker = queued.loop(until=time.monotonic() + 3)
    worker.claimed += claim(1)
    worker.finish()
    assert len(asked) == 1
    stored = queued.again(made)
    assert (stored.status, stored.attempts) == ("waiting", 1)


def test_runs_that_were_claimed_before_the_database_went_away_are_carried_out(
    world: World, monkeypatch
):
    queued.run(world.course())
    queued.run(_second_site(world, "bay"))
    one, failures = claiming._claim_at, iter([False, True])

    def away(*args: Any) -> Any:
        if next(failures, False):
            raise OperationalError("the database is away")
        return one(*args)

    monkeypatch.setattr(claiming, "_claim_at", away)
    worker = Loop(Senders(16))
    _until(worker, lambda: not RuleRun.objects.filter(status="waiting").exists())
    worker.finish()
    assert set(RuleRun.objects.values_list("status", flat=True)) == {"done"}


def test_a_run_that_cannot_be_begun_stops_no_other(world: World, crm: Receiver):
    lost = _message(world.receiver(crm.url, SECRET))
    made = queued.run(world.course())
    claimed = claim(2)
    assert len(claimed) == 2
    Delivery.objects.get(events=lost.event).delete()
    queued.carry_out(*claimed)
    assert queued.again(made).status == "done"


# Another worker's run


def test_what_a_late_worker_learned_settles_no_doubt_of_the_next_one(world: World, monkeypatch):
    def act(attempt, order):
        yield Post("/nothing", {}, "user")
        return ActionOutcome("done", "Done.")

    _act(monkeypatch, act)
    made = queued.run(world.course())
    world.sandbox.switches.latency = 0.3
    worker = queued.loop()
    worker.claimed += claim(1)
    _until(worker, lambda: worker.senders.under_way)
    # Another worker has it now, and is about to send its own POST.
    RuleRun.objects.update(lease_token=uuid4())
    Intent.objects.update(sent_at=timezone.now())
    worker.finish()
    assert Intent.objects.get().target == "user"
    assert queued.again(made).status == "running"


def test_a_run_that_this_process_took_again_is_not_ended_by_its_first_try(
    world: World, monkeypatch
):
    def act(attempt, order):
        yield Get("/users")
        return ActionOutcome("done", "Done.")

    _act(monkeypatch, act)
    made = queued.run(world.course())
    worker = queued.loop()
    worker.claimed += claim(1)
    _until(worker, lambda: worker.senders.under_way)
    RuleRun.objects.update(status="waiting", lease_token=None)
    worker.claimed += claim(1)
    worker._begin()
    time.sleep(0.2)
    worker.turn()
    assert queued.again(made).status == "running"
    worker.finish()
    assert queued.again(made).status == "done"


def test_a_site_that_cannot_be_asked_in_time_is_not_tried_to_be_asked_again_and_again(
    world: World, settings, monkeypatch
):
    settings.THINKIFIC_CALLS_PER_MINUTE = 12  # a slot each 5 seconds
    made = queued.run(world.course())
    world.school.change_key("f" * 32)
    begin, asked = rate_limit.begin_asking, []

    def counted(*args: Any, **how: Any) -> Any:
        asked.append(begin(*args, **how))
        return asked[-1]

    monkeypatch.setattr(rate_limit, "begin_asking", counted)
    CallBudget.objects.update(next_slot=0)
    worker = queued.loop(until=time.monotonic() + 3)
    worker.claimed += claim(1)
    worker.finish()
    assert len(asked) == 1
    stored = queued.again(made)
    assert (stored.status, stored.attempts) == ("waiting", 0)
