"""Repeats are linked and not run only if all four conditions hold, and never for good."""

import pytest

from events.deciding import inbox
from events.models import Delivery, EventLog
from integrations import credentials
from tests.support import shop as shops
from tests.support.samcart import changed, payload
from tests.support.shop import Shop

Status = EventLog.Status


@pytest.fixture
def shop(shop: Shop) -> Shop:
    shop.rule()
    return shop


def first_of(event: EventLog) -> Delivery | None:
    return Delivery.objects.get(events=event).repeat_of


@pytest.mark.parametrize("minutes", [0, 0.01, 5, 9.99, 10])
def test_the_same_within_ten_minutes_is_linked_and_not_run(shop, minutes):
    first = shop.sell("10_product")
    again = shop.sell("10_product", minutes=minutes)
    assert first.runs.count() == 1
    assert (again.status, again.runs.count()) == (Status.REPEAT, 0)
    assert again.reason == (
        "The same as what was received at 12:00:00 UTC; nothing was done again."
    )
    assert first_of(again) == first.delivery
    assert first_of(first) is None
    # It is explained like any other.
    assert (again.trigger, again.order_id) == ("product_purchased", first.order_id)
    assert (again.customer, again.product) == (first.customer, first.product)


def test_the_window_is_counted_from_the_first_and_not_from_the_last_repeat(shop):
    events = [shop.sell("10_product", minutes=minutes) for minutes in (0, 4, 8, 11, 15, 22)]
    statuses = [(event.status, first_of(event)) for event in events]
    first, _, _, second, _, third = [event.delivery for event in events]
    assert statuses == [
        (Status.WAITING, None),
        (Status.REPEAT, first),
        (Status.REPEAT, first),
        (Status.WAITING, None),
        (Status.REPEAT, second),
        (Status.WAITING, None),
    ]
    assert (first, second, third) == tuple(Delivery.objects.filter(repeat_of=None).order_by("pk"))


def test_twenty_at_once_are_carried_out_once(shop):
    for _ in range(20):
        shop.receive(payload("10_product"))
    assert inbox.process() == 20
    statuses = list(EventLog.objects.order_by("pk").values_list("status", flat=True))
    assert statuses == [Status.WAITING] + [Status.REPEAT] * 19


def test_every_line_of_a_repeat_is_linked(shop):
    shop.sell("02_order")
    again = shop.sell("02_order", minutes=1)
    statuses = again.delivery.events.values_list("status", flat=True)
    assert list(statuses) == [Status.REPEAT] * 3


# Each condition, the other way


def test_renewals_of_the_same_order_and_product_are_not_swallowed(shop):
    shop.rule("subscription_charged")
    month = 30 * 24 * 60
    events = [shop.sell("31_subscription", minutes=month * number) for number in range(3)]
    assert [event.runs.count() for event in events] == [1, 1, 1]
    assert len({event.order_id for event in events}) == 1


@pytest.mark.parametrize("minutes", [10.01, 60, 60 * 24])
def test_outside_the_window_it_is_run(shop, minutes):
    shop.sell("10_product")
    assert shop.sell("10_product", minutes=minutes).runs.count() == 1


def test_another_body_is_run_if_only_a_blank_differs(shop):
    shop.sell("10_product")
    again = shop.sell(changed("10_product", customer__phone_number=" "), minutes=1)
    assert (again.status, again.runs.count()) == (Status.WAITING, 1)


def test_another_trigger_in_the_address_is_run(shop):
    shop.rule("subscription_completed")
    shop.sell("10_product", trigger="product_purchased")
    other = shop.sell("10_product", minutes=1, trigger="subscription-completed")
    plain = shop.sell("10_product", minutes=2)
    assert [event.runs.count() for event in (other, plain)] == [1, 1]


def test_another_spelling_of_the_same_address_is_a_repeat(shop):
    shop.sell("10_product", trigger="product_purchased")
    assert shop.sell("10_product", minutes=1, trigger="PRODUCT-purchased").status == Status.REPEAT


def test_another_content_type_or_query_is_a_repeat(shop):
    shop.sell("10_product")
    again = shop.sell("10_product", minutes=1, content_type="text/plain", QUERY_STRING="a=1")
    assert again.status == Status.REPEAT


def test_the_second_address_of_the_account_makes_it_no_other(shop):
    newer = credentials.add_webhook_secret(shop.marketplace)
    shop.sell("10_product")
    assert shop.sell("10_product", minutes=1, secret=newer).status == Status.REPEAT


def test_another_account_is_run(shop):
    other = shops.another(shop)
    other.rule()
    shop.sell("10_product")
    assert other.sell("10_product", minutes=1).runs.count() == 1


@pytest.mark.parametrize(
    ("between", "runs"),
    [
        (changed("20_product"), 1),  # the order of things matters now
        (changed("10_product", product__id=2), 1),
        (changed("91_edge"), 1),  # nobody knows what it is, so it counts
        (changed("20_product", customer__email="other@example.com"), 1),  # of the same order
        (changed("20_product", customer__email=None), 1),
        (changed("20_product", customer__email="other@example.com", order__id=5), 0),
        (b"unreadable", 0),
    ],
)
def test_something_else_of_that_customer_or_order_in_between_makes_it_run(shop, between, runs):
    shop.sell("10_product", minutes=0)
    shop.sell(between, minutes=1)
    again = shop.sell("10_product", minutes=2)
    assert again.runs.count() == runs
    assert (again.status == Status.REPEAT) is (runs == 0)


def test_what_came_before_the_first_is_not_in_between(shop):
    shop.sell("20_product", minutes=0)
    shop.sell("10_product", minutes=1)
    assert shop.sell("10_product", minutes=2).status == Status.REPEAT


def test_repeats_in_between_do_not_count_as_something_else(shop):
    for minutes in (0, 1, 2, 3):
        event = shop.sell("10_product", minutes=minutes)
    assert event.status == Status.REPEAT


def test_a_first_without_a_run_is_nothing_to_repeat(db):
    shop = shops.build()
    assert shop.sell("10_product").status == Status.NO_RULE
    shop.rule()  # a person saw it and made the rule
    again = shop.sell("10_product", minutes=1)
    assert (again.status, again.runs.count()) == (Status.WAITING, 1)
    # and that one is now the first
    assert first_of(shop.sell("10_product", minutes=2)) == again.delivery


def test_what_came_by_a_withdrawn_address_is_no_first_for_a_valid_one(shop):
    newer = credentials.add_webhook_secret(shop.marketplace)
    older = shop.marketplace.webhook_secrets.order_by("pk").first()
    older.expires_at = shops.START
    older.save()
    held = shop.sell("10_product", minutes=1)
    valid = shop.sell("10_product", minutes=2, secret=newer)
    assert (held.status, held.runs.get().status) == (Status.HELD, "held")
    assert (valid.status, valid.runs.get().status) == (Status.WAITING, "waiting")


def test_what_came_by_a_valid_address_is_no_first_for_a_withdrawn_one(shop):
    shop.sell("10_product", minutes=1)
    shop.marketplace.webhook_secrets.update(expires_at=shops.START)
    assert shop.sell("10_product", minutes=2).status == Status.HELD


def test_two_that_nobody_can_read_are_no_repeats(shop):
    shop.sell(b"{", minutes=0)
    again = shop.sell(b"{", minutes=1)
    assert (again.status, first_of(again)) == (Status.UNREADABLE, None)


def test_of_two_at_one_moment_the_one_with_the_lower_number_is_the_first(shop):
    one, two = shop.receive(payload("10_product")), shop.receive(payload("10_product"))
    inbox.process()
    assert one.events.get().status == Status.WAITING
    assert two.events.get().status == Status.REPEAT
    # Read again, the first does not become a repeat of its own repeat.
    one.events.get().runs.all().delete()
    two.refresh_from_db()
    Delivery.objects.filter(pk=two.pk).update(repeat_of=None)
    Delivery.objects.filter(pk=one.pk).update(state=Delivery.State.NEW)
    inbox.process()
    assert one.events.get().status == Status.WAITING
