"""An action under way when workers die again and again is carried out alone before it ends."""

import pytest

from events.execution import recovery
from events.execution.loop import Loop
from events.execution.senders import Senders
from events.models import RuleRun
from integrations.thinkific.sandbox.faults import Fault
from tests.support import factories, queued
from tests.support.queued import claim


@pytest.fixture
def course(world):
    return world.course()


def _die_over(*claimed: RuleRun) -> None:
    queued.let_lapse(*claimed)
    recovery.revive()


def test_who_is_claimed_beside_what_kills_the_workers_is_not_blamed(world, course):
    runs = [queued.run(course, at=second) for second in range(6)]
    killer = runs[2]
    deaths = 0
    while claimed := claim(8):
        if killer in claimed:
            _die_over(*claimed)
            deaths += 1
        else:
            queued.carry_out(*claimed)
    assert deaths == 5
    assert [queued.again(run).status for run in runs if run != killer] == ["done"] * 5
    ended = queued.again(killer)
    assert (ended.status, ended.code, ended.crashes) == ("failed", "worker_stopped", 5)


def test_the_first_two_deaths_let_it_go_on_beside_others(course):
    made = {queued.run(course).pk, queued.run(course).pk}
    for _ in range(2):
        claimed = claim(8)
        assert {run.pk for run in claimed} == made
        _die_over(*claimed)
    assert len(claim(8)) == 1


def test_it_waits_until_nothing_is_under_way_in_the_process(course):
    stopped_often = queued.run(course, crashes=2)
    other = queued.run(course, at=1)
    busy = {("thinkific", course.integration_id): 1}
    assert [run.pk for run in claim(8, busy=busy)] == [other.pk]
    assert claim(8, busy=busy) == []
    assert [run.pk for run in claim(8, busy={})] == [stopped_often.pk]


def test_a_loop_claims_nothing_beside_it_and_goes_on_after_it(world, course):
    stopped_often = queued.run(course, at=1, crashes=2)
    others = [queued.run(course), queued.run(world.course())]
    world.sandbox.faults.add(Fault("delay", delay=0.3, applied=True))
    worker = Loop(Senders(16))
    beside = set()
    while worker.turn():
        under_way = {each.run.pk for each in worker.here if each.run}
        if stopped_often.pk in under_way:
            beside |= under_way
            worker.look_now()
    assert beside == {stopped_often.pk}
    assert {queued.again(run).status for run in (stopped_often, *others)} == {"done"}
    assert queued.again(stopped_often).crashes == 0


def test_the_sites_of_other_schools_wait_for_it_too(world, course):
    elsewhere = factories.DestinationFactory.create()
    queued.run(elsewhere)
    stopped_often = queued.run(course, at=1, crashes=2)
    assert [run.pk for run in claim(8)] == [stopped_often.pk]


def test_one_of_a_paused_site_holds_up_nobody(world, course):
    queued.run(course, crashes=2)
    course.integration.enabled = False
    course.integration.save()
    other = queued.run(factories.DestinationFactory.create())
    assert [run.pk for run in claim(8)] == [other.pk]


def test_it_keeps_its_place_among_the_actions_of_its_customer(course):
    customer = factories.CustomerFactory.create()
    first = queued.run(course, customer)
    stopped_often = queued.run(course, customer, at=1, crashes=2)
    assert [run.pk for run in claim(8)] == [first.pk]
    queued.carry_out(queued.again(first))
    assert [run.pk for run in claim(8)] == [stopped_often.pk]
