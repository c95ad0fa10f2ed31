"""Events that a person decides on later: released, retried, or done anyway."""

from datetime import timedelta
from importlib import import_module

import pytest
from django.apps import apps
from django.db.models.functions import Now
from django.utils import timezone

from events.access import by_hand, decisions
from events.access.by_hand import Author
from events.execution import delayed, email_correction, retry_by_hand
from events.models import EventLog, Grant, RuleRun
from events.models.runs import DELAYED
from integrations import credentials
from integrations.models import Destination
from rules.actions import Action
from tests.support import factories, queued
from tests.support.samcart import changed
from tests.support.shop import START
from tests.support.world import World

pytestmark = pytest.mark.first_database

EMAIL = "dana@example.com"
GIVE, END = Action.CREATE_COURSE_ENROLLMENT, Action.EXPIRE_COURSE_ENROLLMENT


@pytest.fixture
def course(world: World) -> Destination:
    """A course that a purchase gives and a refund ends."""
    course = world.course()
    world.rule("product_purchased", GIVE, course)
    world.rule("product_refunded", END, course)
    return course


def _enroll(world: World, *emails: str) -> None:
    """The school itself gives the course."""
    (course,) = world.school.courses.values()
    for email in emails:
        world.school.enroll(world.school.add_user(email), course)


# Done anyway


def test_the_refund_of_a_sale_that_admit_never_saw_is_done_anyway(world, course):
    _enroll(world, EMAIL, "b@example.com")
    # Of a line that SamCart reports as charged: it waits for a person.
    world.sell("20_product", order__id=1, product__status="Charged")
    world.sell(
        "20_product", order__id=2, product__status="Charged", customer__email="b@example.com"
    )
    held = list(RuleRun.objects.filter(status="held"))
    assert retry_by_hand.dismiss(held, by="Sam") == 2
    assert retry_by_hand.retry(RuleRun.objects.all(), anyway=True) == (2, {})
    assert [run.code for run in world.settle()] == ["ended", "ended"]
    assert not world.access(EMAIL, course)
    assert {row.state for row in Grant.objects.all()} == {Grant.State.ENDED}


def test_a_cancellation_that_was_kept_is_done_anyway(world, course):
    world.rule("subscription_canceled", END, course, delay_days=3)
    _enroll(world, EMAIL)
    world.sell("30_subscription")
    run = RuleRun.objects.delayed().get()
    assert retry_by_hand.dismiss([run], by="Sam") == 1
    assert retry_by_hand.retry([queued.again(run)], anyway=True) == (1, {})
    world.settle()
    assert queued.again(run).code == "ended"
    assert not world.access(EMAIL, course)


def test_what_is_done_anyway_ends_the_parts_of_a_bundle_with_it(world, course):
    bundle = world.bundle(course)
    world.rule("subscription_canceled", Action.EXPIRE_BUNDLE_ENROLLMENT, bundle, delay_days=3)
    world.sell("12_product")
    world.settle()
    world.sell("30_subscription")
    run = RuleRun.objects.delayed().get()
    retry_by_hand.dismiss([run], by="Sam")
    assert retry_by_hand.retry([queued.again(run)], anyway=True) == (1, {})
    world.settle()
    assert not world.access(EMAIL, course)
    assert not Grant.objects.active().exists()


# What waits for its day


def _withdraw_the_address(world: World) -> None:
    credentials.add_webhook_secret(world.marketplace)
    oldest = world.marketplace.webhook_secrets.order_by("pk")[0]
    oldest.expires_at = START
    oldest.save()


def _cancel_by_a_withdrawn_address(world: World, course: Destination) -> None:
    """Buy, and cancel with three days' grace: it waits for you."""
    world.rule("subscription_canceled", END, course, delay_days=3)
    world.sell("12_product")
    world.settle()
    _withdraw_the_address(world)
    world.sell("30_subscription")


def _on_its_day(world: World) -> None:
    RuleRun.objects.delayed().update(next_attempt_at=Now() - timedelta(seconds=1))
    _decide_and_settle(world)


def test_a_cancellation_that_a_person_releases_waits_for_its_day_all_the_same(world, course):
    _cancel_by_a_withdrawn_address(world, course)
    run = RuleRun.objects.get(status="held")
    assert retry_by_hand.retry([run]) == (1, {})
    _decide_and_settle(world)
    run = queued.again(run)
    assert (run.status, run.code, run.event.status) == ("waiting", DELAYED, "waiting")
    assert run.next_attempt_at == run.received_at + timedelta(days=3)
    assert world.access(EMAIL, course)
    _on_its_day(world)
    assert queued.again(run).code == "ended"
    assert not world.access(EMAIL, course)


def test_one_that_is_released_after_its_day_ends_at_once(world, course):
    _cancel_by_a_withdrawn_address(world, course)
    EventLog.objects.filter(trigger="subscription_canceled").update(
        received_at=Now() - timedelta(days=4)
    )
    EventLog.objects.filter(trigger="product_purchased").update(
        received_at=Now() - timedelta(days=5)
    )
    Grant.objects.update(decided_at=Now() - timedelta(days=5))
    assert retry_by_hand.retry(RuleRun.objects.filter(status="held")) == (1, {})
    _decide_and_settle(world)
    assert RuleRun.objects.get(action=END).code == "ended"


def _without_order(name: str, **changes: str) -> dict[str, object]:
    body = changed(name, **changes)
    for key in ("id", "subscription_id"):
        body["order"].pop(key, None)
    return body


def _buy_twice(world: World, sample: str) -> None:
    world.sell(sample)
    world.sell(sample, order__id=77, order__subscription_id=78)
    world.settle()


def test_a_person_is_asked_once_which_purchase_an_ending_is_about(world, course):
    world.rule("subscription_canceled", END, course, delay_days=3)
    _buy_twice(world, "12_product")
    world.post(_without_order("30_subscription"))
    world.settle()
    run = RuleRun.objects.get(status="held")
    assert run.code == "ambiguous"
    assert retry_by_hand.retry([run]) == (1, {})
    assert queued.again(run).code == DELAYED
    _on_its_day(world)
    assert queued.again(run).code == "ended"
    assert not world.access(EMAIL, course)


def test_an_ending_that_names_no_order_leaves_what_is_bought_before_its_day(world, course):
    world.rule("subscription_canceled", END, course, delay_days=3)
    world.sell("12_product")
    world.settle()
    world.post(_without_order("30_subscription"))
    world.settle()
    world.sell("12_product", order__id=77, order__subscription_id=78)
    world.settle()
    _on_its_day(world)
    assert RuleRun.objects.get(action=END).code == "kept"
    assert dict(Grant.objects.values_list("order_id", "state")) == {
        "23300011": "ended",
        "77": "active",
    }
    assert world.access(EMAIL, course)


# What a person has given an address for

BAD = "dana@@example.com"


def _give_email(event: EventLog, email: str = EMAIL) -> tuple[int, list[tuple[str, str]]]:
    """How many actions are carried out for it, and how they all stand."""
    number = email_correction.give_email(event, email, by="Mia")
    return number, list(event.runs.order_by("pk").values_list("status", "code"))


def test_an_ending_with_a_given_address_waits_for_its_day(world, course):
    world.rule("subscription_canceled", END, course, delay_days=3)
    _enroll(world, EMAIL)
    event = world.sell("30_subscription", customer__email=BAD)
    assert _give_email(event) == (0, [("waiting", DELAYED)])
    run = RuleRun.objects.get()
    assert run.next_attempt_at == run.received_at + timedelta(days=3)
    world.settle()
    assert world.access(EMAIL, course)
    _on_its_day(world)
    assert not world.access(EMAIL, course)


def test_an_ending_with_a_given_address_is_held_where_its_purchase_is_unclear(world, course):
    _buy_twice(world, "10_product")
    world.post(_without_order("20_product", customer__email=BAD))
    world.read()
    event = EventLog.objects.get(trigger="product_refunded")
    assert _give_email(event) == (0, [("held", "ambiguous")])
    world.settle()
    assert world.access(EMAIL, course)


@pytest.mark.parametrize(
    ("refunded", "comes_to"), [(1, (1, [("waiting", "queued")])), (2, (0, [("held", "braked")]))]
)
def test_endings_with_given_addresses_count_as_all_others_do(
    world, course, settings, refunded, comes_to
):
    settings.ENDINGS_AN_HOUR = 2
    for number in range(refunded):
        world.sell("20_product", order__id=number + 1, customer__email=f"b{number}@example.com")
    for number in (8, 9):  # of these nothing has ended
        event = world.sell("20_product", order__id=number, customer__email=BAD)
    assert _give_email(event) == comes_to


def test_what_one_event_ends_with_a_given_address_is_not_one_too_many_by_itself(
    world, course, settings
):
    settings.ENDINGS_AN_HOUR = 2
    world.rule("product_refunded", END, world.course("Another"))
    event = world.sell("20_product", customer__email=BAD)
    assert _give_email(event) == (2, [("waiting", "queued")] * 2)


# An ending that broke on its day


@pytest.fixture
def broken(world, course, monkeypatch) -> RuleRun:
    """A cancellation that ends the course three days later, and on whose day our code failed."""
    world.rule("subscription_canceled", END, course, delay_days=3)
    world.sell("12_product")
    world.settle()
    world.sell("30_subscription")
    run = RuleRun.objects.delayed().get()
    return _break(run, monkeypatch)


def _break(run: RuleRun, monkeypatch) -> RuleRun:
    RuleRun.objects.filter(pk=run.pk).update(next_attempt_at=Now() - timedelta(seconds=1))

    def decide_alone(run: RuleRun, settled: decisions.Settled) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(decisions, "decide_alone", decide_alone)
        assert delayed.decide_due() == 1
    run = queued.again(run)
    assert (run.status, run.event.status) == ("failed", "failed")
    assert run.message.startswith("Admit itself failed (ZeroDivisionError).")
    return run


def _decide_and_settle(world: World) -> None:
    delayed.decide_due()
    world.settle()


def test_an_ending_that_broke_on_its_day_ends_the_access_when_it_is_retried(world, course, broken):
    assert retry_by_hand.retry([broken]) == (1, {})
    _decide_and_settle(world)
    assert queued.again(broken).code == "ended"
    assert not world.access(EMAIL, course)
    assert not Grant.objects.active().exists()


def test_one_that_broke_before_0_9_0_ends_the_access_too(world, course, broken):
    other = world.sell("10_product", order__id=77).runs.get()
    codes = {broken: {}, other: {"status": "failed", "started_at": Now()}}
    for run, facts in codes.items():
        RuleRun.objects.filter(pk=run.pk).update(code="broken", **facts)
    migration = import_module("events.migrations.0030_undecided_endings")
    migration.rename(apps, None)
    assert queued.again(other).code == "broken"  # it broke while it was carried out
    assert retry_by_hand.retry([queued.again(broken)]) == (1, {})
    _decide_and_settle(world)
    assert not Grant.objects.active().filter(subscription_id=broken.event.subscription_id).exists()


def test_when_it_is_retried_it_falls_away_if_the_subscription_was_paid_for_since(
    world, course, broken
):
    world.sell("34a_subscription")
    assert retry_by_hand.retry([broken]) == (1, {})
    _decide_and_settle(world)
    assert queued.again(broken).code == "paid_again"
    assert world.access(EMAIL, course)


def test_when_it_is_done_anyway_it_ends_the_access(world, course, broken):
    world.sell("34a_subscription")
    assert retry_by_hand.retry([broken], anyway=True) == (1, {})
    _decide_and_settle(world)
    assert queued.again(broken).code == "ended"
    assert not world.access(EMAIL, course)


def test_a_gift_whose_last_day_broke_ends_when_it_is_retried(world, course, monkeypatch):
    dana = factories.CustomerFactory.create(email=EMAIL)
    by_hand.give(dana, course, Author("Sam", "A prize"), timezone.localdate())
    world.settle()
    assert world.access(EMAIL, course)
    run = _break(RuleRun.objects.delayed().get(), monkeypatch)
    assert retry_by_hand.retry([run]) == (1, {})
    _decide_and_settle(world)
    assert queued.again(run).code == "ended"
    assert not world.access(EMAIL, course)
