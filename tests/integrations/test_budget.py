"""The site's budget: no minute holds more calls than allowed, and only a few less."""

import random
import time
from collections.abc import Callable

import pytest
from django.db.models import F

from integrations.calls import rate_limit
from integrations.models import CallBudget, Integration, SiteAnswer
from tests.support import factories, queued

RATES = [1, 2, 3, 5, 6, 20, 39, 40, 110, 120]
LONG = 1e9  # patience without an end: slots are computed, nobody waits for them


@pytest.fixture
def site(db) -> Integration:
    made: Integration = factories.IntegrationFactory.create()
    return made


class Clock:
    """Time that passes at will: what lies ahead comes nearer by as much."""

    def __init__(self, site: Integration) -> None:
        self.site = site
        self.passed = 0.0

    def advance(self, seconds: float) -> None:
        self.passed += seconds
        rows = CallBudget.objects.filter(pk=self.site.pk)
        rows.update(next_slot=F("next_slot") - seconds)

    def send(self) -> float:
        """When the next call goes out."""
        wait = rate_limit.take_slot(self.site.pk, max_wait=LONG)
        return self.passed + time.time() + wait


# Seconds from one caller to the next, drawn again each time.
ARRIVALS: dict[str, Callable[[random.Random, float], float]] = {
    "all at once": lambda dice, gap: 0.0,
    "at random": lambda dice, gap: dice.expovariate(1 / gap),
    "rarely": lambda dice, gap: dice.expovariate(0.3 / gap),
    "in bursts": lambda dice, gap: dice.choice([0.0] * 15 + [40 * gap]),
    "after long rests": lambda dice, gap: dice.choice([0.0] * 40 + [90.0]),
    "a little early": lambda dice, gap: gap * dice.uniform(0.8, 1.0),
}


def _no_minute_exceeds(calls: int, sends: list[float]) -> bool:
    # The call after `calls` others is at least a minute later, wherever the window begins.
    pairs = zip(sends, sends[calls:], strict=False)
    return all(later - earlier >= 60 for earlier, later in pairs)


@pytest.mark.parametrize("arrivals", ARRIVALS)
@pytest.mark.parametrize("calls", RATES)
def test_no_minute_holds_more_calls_than_allowed(site, settings, calls, arrivals):
    settings.THINKIFIC_CALLS_PER_MINUTE = calls
    clock, dice = Clock(site), random.Random(f"{calls} {arrivals}")
    sends = []
    for _ in range(calls * 2 + 10):
        clock.advance(ARRIVALS[arrivals](dice, 60 / calls))
        sends.append(clock.send())
    assert len(sends) > calls
    assert _no_minute_exceeds(calls, sorted(sends))


@pytest.mark.parametrize("calls", RATES)
def test_nearly_all_calls_are_used_while_work_waits(site, settings, calls):
    settings.THINKIFIC_CALLS_PER_MINUTE = calls
    clock = Clock(site)
    sends = [clock.send() for _ in range(calls * 3 + 1)]
    per_minute = 60 * (len(sends) - 1) / (sends[-1] - sends[0])
    assert 0.95 * calls <= per_minute <= calls


@pytest.mark.parametrize("calls", [5, 110])
def test_workers_at_once_share_one_budget(transactional_db, settings, calls):
    settings.THINKIFIC_CALLS_PER_MINUTE = calls
    site = factories.IntegrationFactory.create()
    clock = Clock(site)
    shares = queued.at_once(*[lambda: [clock.send() for _ in range(40)]] * 4)
    sends = sorted(send for share in shares for send in share)
    assert len(sends) == 160
    assert _no_minute_exceeds(calls, sends)
    gap, ahead = rate_limit.spacing()
    # One slot each: the last one is as far off as so many callers make it.
    assert sends[-1] - sends[0] == pytest.approx(159 * gap - ahead, abs=2)


def test_two_calls_of_a_rested_site_go_out_at_once_and_then_they_are_spaced(site, settings):
    settings.THINKIFIC_CALLS_PER_MINUTE = 110
    waits = [rate_limit.take_slot(site.pk, max_wait=LONG) for _ in range(6)]
    gap = 60 / 108
    assert waits == pytest.approx([0, 0, gap, 2 * gap, 3 * gap, 4 * gap], abs=0.2)


def test_a_long_rest_saves_nothing_up(site, settings):
    settings.THINKIFIC_CALLS_PER_MINUTE = 110
    clock = Clock(site)
    for _ in range(10):
        clock.send()
    clock.advance(3600)
    waits = [rate_limit.take_slot(site.pk, max_wait=LONG) for _ in range(4)]
    assert waits[:2] == [0, 0]
    assert waits[3] > waits[2] > 0


def test_without_a_limit_nobody_waits(site, settings):
    settings.THINKIFIC_CALLS_PER_MINUTE = 0
    assert {rate_limit.take_slot(site.pk, max_wait=0) for _ in range(300)} == {0.0}


def test_who_has_no_patience_takes_nothing(site, settings):
    settings.THINKIFIC_CALLS_PER_MINUTE = 6
    assert rate_limit.take_slot(site.pk, max_wait=0) == 0
    before = CallBudget.objects.get(pk=site.pk).next_slot
    with pytest.raises(rate_limit.NoSlot) as caught:
        rate_limit.take_slot(site.pk, max_wait=5)
    assert 5 < caught.value.seconds <= 10.2
    assert CallBudget.objects.get(pk=site.pk).next_slot == before
    assert 5 < rate_limit.take_slot(site.pk, max_wait=caught.value.seconds) <= 10.2


def test_two_sites_do_not_share_a_budget(site, settings):
    settings.THINKIFIC_CALLS_PER_MINUTE = 6
    other = factories.IntegrationFactory.create()
    for _ in range(5):
        rate_limit.take_slot(site.pk, max_wait=LONG)
    assert rate_limit.take_slot(other.pk, max_wait=0) == 0
    rate_limit.block(site.pk, CallBudget.Blocked.LIMIT, 100)
    assert rate_limit.open_sites() == {other.pk}


def test_a_site_without_a_row_gets_one_with_its_first_call(site):
    CallBudget.objects.all().delete()
    assert rate_limit.blocked_for(site.pk) == ("", 0.0)
    assert rate_limit.take_slot(site.pk, max_wait=0) == 0
    assert CallBudget.objects.filter(pk=site.pk).exists()


# Blocks


def test_a_blocked_site_gives_no_slot_and_says_for_how_long(site):
    rate_limit.block(site.pk, CallBudget.Blocked.LIMIT, 100)
    with pytest.raises(rate_limit.SiteBlocked) as caught:
        rate_limit.take_slot(site.pk, max_wait=LONG)
    assert caught.value.why == "limit"
    assert 98 < caught.value.seconds <= 100
    assert rate_limit.open_sites() == set()


@pytest.mark.parametrize("left", [0, 100])
def test_a_pause_lets_no_customer_through_even_when_its_time_is_over(site, left):
    rate_limit.block(site.pk, CallBudget.Blocked.LIMIT, left)
    with pytest.raises(rate_limit.SiteBlocked):
        rate_limit.take_slot(site.pk, max_wait=LONG)
    assert rate_limit.open_sites() == set()
    assert rate_limit.unblock(site.pk)
    assert rate_limit.take_slot(site.pk, max_wait=LONG) == 0
    assert not rate_limit.unblock(site.pk)


@pytest.mark.parametrize(
    ("left", "pause", "sent"),
    [(0, 0.0, True), (100, 0.0, False), (100, 101.0, True), (100, float("inf"), True)],
)
def test_a_call_that_concerns_no_customer_may_go_out_in_a_pause(site, left, pause, sent):
    rate_limit.block(site.pk, CallBudget.Blocked.KEY, left)
    if sent:
        assert rate_limit.take_slot(site.pk, max_wait=LONG, pause=pause) == 0
        return
    with pytest.raises(rate_limit.SiteBlocked):
        rate_limit.take_slot(site.pk, max_wait=LONG, pause=pause)


def test_a_pause_for_another_reason_goes_on(site):
    rate_limit.block(site.pk, CallBudget.Blocked.KEY, 600)
    assert not rate_limit.unblock(site.pk, why=CallBudget.Blocked.LIMIT)
    assert rate_limit.unblock(site.pk, why=CallBudget.Blocked.KEY)


# Asking whether a site is open


def test_a_site_is_asked_when_its_pause_is_over(site):
    assert rate_limit.sites_to_ask() == set()
    rate_limit.block(site.pk, CallBudget.Blocked.LIMIT, 100)
    assert rate_limit.sites_to_ask() == set()
    queued.end_pause(site)
    assert rate_limit.sites_to_ask() == {site.pk}


@pytest.mark.parametrize(
    ("answer", "asked_again"), [("", False), ("unknown", False), ("limited", True)]
)
def test_a_question_without_an_answer_is_not_repeated_at_once(site, answer, asked_again):
    token = rate_limit.begin_asking(site.pk, max_age=0)
    assert token is not None
    rate_limit.answered(site.pk, token, SiteAnswer(answer))
    rate_limit.block(site.pk, CallBudget.Blocked.LIMIT, 0)
    assert bool(rate_limit.sites_to_ask()) is asked_again
    CallBudget.objects.update(asked_at=F("asked_at") - 31)
    assert rate_limit.sites_to_ask() == {site.pk}


def test_of_many_at_once_one_asks(transactional_db):
    site = factories.IntegrationFactory.create()
    tokens = queued.at_once(*[lambda: rate_limit.begin_asking(site.pk, max_age=60)] * 6)
    assert len([token for token in tokens if token is not None]) == 1


@pytest.mark.parametrize("answer", ["open", "refused", "limited"])
def test_an_answer_is_believed_for_so_long_as_the_asker_says(site, answer):
    token = rate_limit.begin_asking(site.pk, max_age=60)
    assert token is not None
    assert rate_limit.answer(site.pk) == ""
    rate_limit.answered(site.pk, token, SiteAnswer(answer))
    assert rate_limit.begin_asking(site.pk, max_age=60) is None
    assert rate_limit.answer(site.pk) == answer
    CallBudget.objects.update(asked_at=F("asked_at") - 5)
    assert rate_limit.begin_asking(site.pk, max_age=60) is None
    assert rate_limit.begin_asking(site.pk, max_age=4) is not None


@pytest.mark.parametrize(("answer", "believed"), [("open", True), ("refused", False)])
def test_what_opens_a_site_ends_the_belief_that_it_is_closed(site, answer, believed):
    token = rate_limit.begin_asking(site.pk, max_age=60)
    assert token is not None
    rate_limit.answered(site.pk, token, SiteAnswer(answer))
    rate_limit.unblock(site.pk)
    assert (rate_limit.begin_asking(site.pk, max_age=60) is None) is believed


def test_a_question_that_was_not_sent_keeps_nobody_from_asking(site):
    token = rate_limit.begin_asking(site.pk, max_age=60)
    assert token is not None
    rate_limit.stop_asking(site.pk, token)
    assert rate_limit.begin_asking(site.pk, max_age=60) is not None


def test_the_answer_to_an_older_question_changes_nothing(site):
    first = rate_limit.begin_asking(site.pk, max_age=60)
    assert first is not None
    CallBudget.objects.update(asked_at=F("asked_at") - 1)
    first -= 1
    second = rate_limit.begin_asking(site.pk, max_age=60, asking=0)
    assert second is not None
    rate_limit.answered(site.pk, first, SiteAnswer.REFUSED)
    assert rate_limit.answer(site.pk) == ""


def test_what_was_found_out_with_a_former_key_is_not_believed(site):
    token = rate_limit.begin_asking(site.pk, max_age=60)
    assert token is not None
    rate_limit.start_over(site.pk)
    rate_limit.answered(site.pk, token, SiteAnswer.REFUSED)
    assert rate_limit.answer(site.pk) == ""
    assert rate_limit.begin_asking(site.pk, max_age=60) is not None


@pytest.mark.parametrize(("seconds", "left"), [(5, 600), (900, 900)])
def test_a_limit_does_not_shorten_a_pause_for_the_key(site, seconds, left):
    rate_limit.block(site.pk, CallBudget.Blocked.KEY, 600)
    rate_limit.block(site.pk, CallBudget.Blocked.LIMIT, seconds)
    why, remaining = rate_limit.blocked_for(site.pk)
    assert why == "key"
    assert remaining == pytest.approx(left, abs=2)


def test_a_rejected_key_takes_the_place_of_a_limit(site):
    rate_limit.block(site.pk, CallBudget.Blocked.LIMIT, 5)
    rate_limit.block(site.pk, CallBudget.Blocked.KEY, 600)
    assert rate_limit.blocked_for(site.pk)[0] == "key"


def test_a_site_that_is_off_or_blocked_is_not_open(site):
    off = factories.IntegrationFactory.create(enabled=False)
    blocked = factories.IntegrationFactory.create()
    rate_limit.block(blocked.pk, CallBudget.Blocked.KEY, 600)
    assert off.pk not in rate_limit.open_sites()
    assert rate_limit.open_sites() == {site.pk}


def test_calls_on_the_wire_keep_to_the_budget(world, settings):
    settings.THINKIFIC_CALLS_PER_MINUTE = 1002
    course = world.course()
    for _ in range(4):
        queued.run(course)
    queued.at_once(*[queued.drain] * 2)
    sent = [call.at for call in world.sandbox.calls]
    assert len(sent) == 8
    # 60 ms apart after the first two; half of that is left for how late a call may go out.
    assert sent[-1] - sent[0] >= 6 * 0.06 - 0.03
