"""Endings that wait: for their day, or for a person if there are too many at once."""

from datetime import timedelta

import pytest
from django.db.models import F
from django.db.models.functions import Now

from events.access import decisions
from events.execution import delayed, retry_by_hand, wait_reasons
from events.models import Delivery, EventLog, Grant, RuleRun
from events.models.runs import DELAYED
from integrations import credentials
from integrations.models import Destination, Integration
from rules.actions import Action
from rules.models import Rule
from tests.support import queued
from tests.support.samcart import changed
from tests.support.shop import START
from tests.support.world import World

pytestmark = pytest.mark.first_database

EMAIL = "dana@example.com"
GIVE, END = Action.CREATE_COURSE_ENROLLMENT, Action.EXPIRE_COURSE_ENROLLMENT


@pytest.fixture
def shop(world: World) -> World:
    """A membership that gives a course until three days after it was canceled."""
    course = world.course()
    world.rule("product_purchased", GIVE, course)
    world.rule("subscription_recovered", GIVE, course)
    world.rule("subscription_canceled", END, course, delay_days=3)
    return world


def _buy_and_cancel(shop: World) -> RuleRun:
    shop.sell("12_product")
    shop.settle()
    shop.sell("30_subscription")
    shop.settle()
    return RuleRun.objects.get(action=END)


def _enrolled(shop: World) -> bool:
    return any(row.active for row in shop.school.enrollments)


def _let_the_day_come() -> None:
    RuleRun.objects.delayed().update(next_attempt_at=Now() - timedelta(seconds=1))


def test_a_delayed_ending_waits_for_its_day_and_leaves_the_course_open(shop):
    run = _buy_and_cancel(shop)
    assert (run.status, run.code) == ("waiting", DELAYED)
    assert run.next_attempt_at == run.received_at + timedelta(days=3)
    assert run.message.startswith("The access ends on ")
    assert _enrolled(shop)
    assert Grant.objects.get().is_active


def test_on_its_day_the_access_ends(shop):
    run = _buy_and_cancel(shop)
    _let_the_day_come()
    assert delayed.decide_due() == 1
    shop.settle()
    assert queued.again(run).code == "ended"
    assert not _enrolled(shop)


def test_no_worker_takes_it_before_it_was_decided(shop):
    _buy_and_cancel(shop)
    _let_the_day_come()
    assert queued.claim(8) == []


def test_one_that_is_not_decided_yet_holds_no_purchase_up(shop):
    _buy_and_cancel(shop)
    shop.sell("12_product", order__id=77, order__subscription_id=78)
    _let_the_day_come()
    (claimed,) = queued.claim(8)
    assert claimed.event.order_id == "77"


def test_it_names_its_day_whatever_else_waits_at_the_site(shop):
    run = _buy_and_cancel(shop)
    shop.sell("12_product", order__id=77, order__subscription_id=78)
    assert len(queued.claim(8)) == 1
    assert wait_reasons.reason(queued.again(run)) == run.message
    Integration.objects.update(enabled=False)
    assert wait_reasons.reason(queued.again(run)) == run.message


def test_it_falls_away_when_the_subscription_recovers(shop):
    run = _buy_and_cancel(shop)
    shop.sell("34a_subscription")
    assert delayed.decide_due() == 1
    shop.settle()
    run = queued.again(run)
    assert (run.status, run.code, run.event.status) == ("skipped", "paid_again", "skipped")
    assert run.message.startswith("Nothing was ended: the recovered payment on ")
    assert _enrolled(shop)


@pytest.mark.parametrize("paid", ["31_subscription", "34a_subscription", "35_subscription"])
def test_it_falls_away_whether_a_rule_gives_for_what_was_paid_or_not(shop, paid):
    Rule.objects.filter(trigger="subscription_recovered").delete()
    run = _buy_and_cancel(shop)
    shop.sell(paid)
    assert delayed.decide_due() == 1
    shop.settle()
    assert queued.again(run).code == "paid_again"
    assert _enrolled(shop)


@pytest.mark.parametrize("paid", ["31_subscription", "34a_subscription", "35_subscription"])
def test_it_falls_away_at_once_also_if_what_was_paid_is_read_together_with_the_end(shop, paid):
    shop.sell("12_product")
    shop.settle()
    shop.post(changed("30_subscription"))
    # SQLite's clock has milliseconds, and both posts may fall into one.
    Delivery.objects.update(received_at=F("received_at") - timedelta(seconds=1))
    shop.post(changed(paid))
    shop.read()
    assert delayed.decide_due() == 1
    assert RuleRun.objects.get(action=END).code == "paid_again"


def test_the_payment_for_another_subscription_changes_nothing(shop):
    run = _buy_and_cancel(shop)
    shop.sell("31_subscription", order__id=77, order__subscription_id=78)
    assert delayed.decide_due() == 0
    _let_the_day_come()
    delayed.decide_due()
    shop.settle()
    assert queued.again(run).code == "ended"


def test_a_payment_from_before_the_cancellation_does_not_bring_it_forward(shop):
    run = _buy_and_cancel(shop)
    RuleRun.objects.filter(pk=run.pk).update(received_at=Now() + timedelta(hours=1))
    shop.sell("31_subscription")
    assert delayed.decide_due() == 0
    assert _enrolled(shop)


def test_someone_who_knows_a_withdrawn_address_cannot_bring_it_forward(shop):
    run = _buy_and_cancel(shop)
    credentials.add_webhook_secret(shop.marketplace)
    oldest = shop.marketplace.webhook_secrets.order_by("pk")[0]
    oldest.expires_at = START
    oldest.save()
    shop.sell("31_subscription")
    assert EventLog.objects.order_by("-pk")[0].withdrawn
    assert delayed.decide_due() == 0
    assert queued.again(run).code == DELAYED


def test_another_purchase_keeps_the_course_on_the_day(shop):
    run = _buy_and_cancel(shop)
    shop.sell("12_product", order__id=77, order__subscription_id=78)
    _let_the_day_come()
    delayed.decide_due()
    shop.settle()
    assert queued.again(run).code == "kept"
    assert _enrolled(shop)


def test_a_person_brings_it_forward_or_drops_it(shop):
    run = _buy_and_cancel(shop)
    assert delayed.bring_forward(run, by="Ada")
    assert delayed.decide_due() == 1
    shop.settle()
    assert queued.again(run).code == "ended"
    assert not delayed.bring_forward(run, by="Ada")

    shop.sell("12_product", order__id=77, order__subscription_id=78)
    shop.sell("30_subscription", order__id=77, order__subscription_id=78)
    shop.settle()
    dropped = RuleRun.objects.delayed().get()
    assert retry_by_hand.dismiss([dropped], by="Sam") == 1
    _let_the_day_come()
    assert delayed.decide_due() == 0
    assert queued.again(dropped).code == "dismissed"
    assert _enrolled(shop)


def test_a_rule_that_was_deleted_meanwhile_ends_it_nevertheless(shop):
    run = _buy_and_cancel(shop)
    Rule.objects.filter(trigger="subscription_canceled").delete()
    _let_the_day_come()
    delayed.decide_due()
    shop.settle()
    assert queued.again(run).code == "ended"


@pytest.mark.parametrize(("change", "days"), [("deleted", 3), ("edited", 9), ("", 3)])
def test_one_that_a_person_releases_keeps_the_delay_of_its_rule(shop, change, days):
    rule = shop.rule("product_refunded", END, Destination.objects.get(), delay_days=3)
    shop.sell("12_product")
    shop.settle()
    facts = {"product__id": 1048010, "order__id": 23300011, "product__status": "Charged"}
    shop.sell("20_product", **facts)
    held = RuleRun.objects.get(status="held")
    if change == "deleted":
        rule.delete()
    elif change == "edited":
        Rule.objects.filter(pk=rule.pk).update(delay_days=9)
    assert retry_by_hand.retry([held]) == (1, {})
    shop.settle()
    run = queued.again(held)
    assert (run.status, run.code) == ("waiting", DELAYED)
    assert run.next_attempt_at == run.received_at + timedelta(days=days)
    assert _enrolled(shop)


def test_one_that_breaks_our_code_ends_alone_and_the_others_go_on(shop, monkeypatch):
    broken = _buy_and_cancel(shop)
    shop.sell(
        "12_product", order__id=77, order__subscription_id=78, customer__email="b@example.com"
    )
    shop.sell("30_subscription", order__id=77, order__subscription_id=78)
    shop.settle()
    real = decisions.decide_alone

    def decide_alone(run: RuleRun, settled: decisions.Settled) -> None:
        if run.pk == broken.pk:
            raise ZeroDivisionError
        real(run, settled)

    monkeypatch.setattr(decisions, "decide_alone", decide_alone)
    _let_the_day_come()
    assert delayed.decide_due() == 2
    shop.settle()
    codes = RuleRun.objects.filter(action=END).order_by("pk").values_list("status", "code")
    assert list(codes) == [("failed", "undecided"), ("done", "ended")]


# The brake


@pytest.fixture
def refunds(world: World, settings) -> World:
    settings.ENDINGS_AN_HOUR = 2
    course = world.course()
    world.rule("product_purchased", GIVE, course)
    world.rule("product_refunded", END, course)
    for number in range(4):
        world.sell("10_product", customer__email=f"b{number}@example.com", order__id=100 + number)
    world.settle()
    return world


def _refund(world: World, *numbers: int) -> None:
    for number in numbers:
        world.sell("20_product", customer__email=f"b{number}@example.com", order__id=100 + number)
    world.settle()


def _post_unknown_refunds(world: World, *, hours_ago: list[float]) -> None:
    """Post refunds of sales that Admit never saw, received so long ago, without reading them."""
    for hours in hours_ago:
        number = 900 + Delivery.objects.count()
        body = changed("20_product", customer__email=f"b{number}@example.com", order__id=number)
        assert world.post(body).status_code == 200
        newest = Delivery.objects.order_by("-pk")[:1].values("pk")
        Delivery.objects.filter(pk__in=newest).update(received_at=Now() - timedelta(hours=hours))


def _open(world: World) -> int:
    return sum(row.active for row in world.school.enrollments)


def test_more_endings_than_allowed_in_an_hour_wait_for_a_person(refunds):
    _refund(refunds, 0, 1, 2, 3)
    held = RuleRun.objects.filter(status="held")
    assert [run.code for run in held] == ["braked", "braked"]
    assert held[0].message.startswith("More than 2 actions were about to end access within an hour")
    assert _open(refunds) == 2
    assert retry_by_hand.retry(held) == (2, {})
    refunds.settle()
    assert _open(refunds) == 0


def test_endings_that_came_at_once_are_braked_however_late_they_are_read(refunds):
    _post_unknown_refunds(refunds, hours_ago=[2] * 6)
    refunds.read()
    assert RuleRun.objects.filter(status="held", code="braked").count() == 4


def test_endings_that_came_in_different_hours_are_not_braked_when_they_are_read_together(refunds):
    _post_unknown_refunds(refunds, hours_ago=[9, 7, 5, 3, 1])
    refunds.read()
    assert not RuleRun.objects.filter(status="held").exists()


def test_an_ending_that_is_read_after_later_ones_counts_with_them(refunds):
    _post_unknown_refunds(refunds, hours_ago=[2, 2])
    refunds.read()
    _post_unknown_refunds(refunds, hours_ago=[2.5])
    refunds.read()
    assert RuleRun.objects.filter(status="held", code="braked").count() == 1


def test_a_braked_ending_ends_when_it_is_released_whatever_its_rule_says_by_then(refunds):
    _refund(refunds, 0, 1, 2)
    Rule.objects.update(delay_days=3)
    assert retry_by_hand.retry(RuleRun.objects.filter(status="held")) == (1, {})
    refunds.settle()
    assert _open(refunds) == 1


def test_a_braked_ending_keeps_what_its_student_bought_before_it_is_released(refunds):
    _refund(refunds, 0, 1, 2)
    (braked,) = RuleRun.objects.filter(status="held")
    refunds.sell("10_product", customer__email="b2@example.com", order__id=110)
    assert refunds.settle()[-1].code == "already_enrolled"
    assert _open(refunds) == 2
    assert retry_by_hand.retry([braked]) == (1, {})
    refunds.settle()
    braked.refresh_from_db()
    assert (braked.code, _open(refunds)) == ("kept", 2)


def test_the_brake_never_holds_what_gives_access_or_ends_nothing(refunds):
    _refund(refunds, 0, 1)
    refunds.sell("20_product", customer__email="b0@example.com", order__id=100, order__total="1")
    refunds.sell("10_product", customer__email="b9@example.com", order__id=109)
    refunds.settle()
    assert not RuleRun.objects.filter(status="held").exists()
    assert _open(refunds) == 3


@pytest.mark.parametrize("allowed", [0, 100])
def test_without_a_brake_or_below_it_all_of_them_end(refunds, settings, allowed):
    settings.ENDINGS_AN_HOUR = allowed
    _refund(refunds, 0, 1, 2, 3)
    assert _open(refunds) == 0
