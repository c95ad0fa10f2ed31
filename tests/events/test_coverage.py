"""What each product gives, what ends it and gives it back, and what is missing."""

from datetime import timedelta
from typing import Any, cast

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from events.models import EventLog, Grant
from events.reports.earlier import backfill
from events.reports.owed import promise
from events.reports.products.coverage import Coverage, State, coverage
from integrations.models import Customer, Destination, Product
from rules import pairing
from rules.models import Rule
from rules.triggers import TAKES_BACK, Trigger
from tests.support import factories
from tests.support.queued import event
from tests.support.shop import Shop

pytestmark = pytest.mark.first_database

EXPIRE = "expire_course_enrollment"
COVERED, INCLUDED, MISSING, OPEN = State.COVERED, State.INCLUDED, State.MISSING, State.OPEN


@pytest.fixture
def course(shop: Shop) -> Destination:
    facts = {"name": "Course Two", "integration": shop.integration}
    return cast(Destination, factories.DestinationFactory.create(**facts))


def product(shop: Shop, number: str = "1048001", name: str = "Watercolor") -> Product:
    return Product.objects.named(shop.marketplace.pk, "product", number, name)


def row(number: str = "1048001") -> Coverage:
    return next(each for each in coverage() if each.product and each.product.external_id == number)


def everywhere() -> Coverage:
    return next(each for each in coverage() if each.product is None)


def states(found: Coverage) -> list[State]:
    """On Refunded, Canceled, Delinquent, Recovered, Restarted."""
    return [state for _, state in (*found.ended_by, *found.given_back_by)]


def subscription(shop: Shop, of: Product) -> None:
    """The product was seen to be sold by subscription."""
    event(None, product=of, subscription_id="9001", trigger="subscription_charged")


# Rules


def test_a_product_without_a_rule_gives_nothing(shop):
    product(shop)
    found = row()
    assert found.gives_nothing
    assert not found.needs_a_person
    assert states(found) == [OPEN] * 5
    assert found.recommended() == []


def test_one_that_was_sold_and_gives_nothing_needs_a_person(shop):
    sell(shop, "a@example.com")
    assert row().gives_nothing_to_buyers
    assert row().needs_a_person


def test_one_that_is_sold_to_be_passed_on_needs_nobody(shop):
    receiver = factories.ReceiverFactory.create(name="My CRM")
    sell(shop, "a@example.com")
    facts: dict[str, Any] = {"action": "send_http_post", "destination": None}
    passing = shop.rule(product="1048001", integration=receiver, **facts)
    assert row().passed_on_to == ["My CRM"]
    assert not row().needs_a_person
    Rule.objects.filter(pk=passing.pk).update(enabled=False)
    assert row().needs_a_person


@pytest.mark.parametrize(
    ("by_subscription", "expected"),
    [(False, [MISSING, OPEN, OPEN, OPEN, OPEN]), (True, [MISSING] * 5)],
)
def test_what_a_product_gives_and_nothing_ends_is_a_hole(shop, course, by_subscription, expected):
    shop.rule(product="1048001", destination=course)
    if by_subscription:
        subscription(shop, product(shop))
    found = row()
    assert [str(rule.destination) for rule in found.given] == ["Course Two"]
    assert states(found) == expected
    assert found.needs_a_person


def test_canceled_covers_delinquent_and_a_rule_for_delinquent_alone_does_not_cover_canceled(
    shop, course
):
    shop.rule(product="1048001", destination=course)
    one = shop.rule("subscription_canceled", "1048001", destination=course, action=EXPIRE)
    assert states(row()) == [MISSING, COVERED, INCLUDED, MISSING, MISSING]
    Rule.objects.filter(pk=one.pk).update(trigger="subscription_delinquent")
    assert states(row()) == [MISSING, MISSING, COVERED, MISSING, MISSING]


def test_what_cannot_happen_to_a_product_that_is_paid_once_is_not_missing(shop, course):
    other = factories.DestinationFactory.create(integration=shop.integration)
    for each in (course, other):
        shop.rule(product="1048001", destination=each)
        shop.rule("product_refunded", "1048001", destination=each, action=EXPIRE)
    shop.rule("subscription_canceled", "1048001", destination=other, action=EXPIRE)
    assert states(row())[1] == MISSING  # nobody knows yet how it is sold
    event(None, product=product(shop))
    assert states(row()) == [COVERED, OPEN, OPEN, OPEN, OPEN]
    assert not row().holes
    subscription(shop, product(shop))
    assert states(row()) == [COVERED, *[MISSING] * 4]


def test_canceled_does_not_cover_delinquent_if_that_is_turned_off(shop, course, settings):
    settings.DELINQUENT_IS_CANCELED = False
    shop.rule(product="1048001", destination=course)
    shop.rule("subscription_canceled", "1048001", destination=course, action=EXPIRE)
    assert states(row()) == [MISSING, COVERED, OPEN, MISSING, MISSING]
    shop.rule("subscription_delinquent", "1048001", destination=course, action=EXPIRE)
    assert states(row()) == [MISSING, COVERED, COVERED, MISSING, MISSING]


@pytest.mark.parametrize(
    "change",
    [{"trigger": "product_partially_refunded"}, {"action": "another course"}],
)
def test_a_rule_that_ends_something_else_covers_nothing(shop, course, change):
    shop.rule(product="1048001", destination=course)
    one = shop.rule("product_refunded", "1048001", destination=course, action=EXPIRE)
    assert states(row())[0] == COVERED
    if "action" in change:
        other = factories.DestinationFactory.create(integration=shop.integration)
        change = {"destination": other}
    Rule.objects.filter(pk=one.pk).update(**change)
    assert states(row())[0] == MISSING


def test_a_rule_that_is_off_covers_nothing_and_is_not_missing(shop, course):
    shop.rule(product="1048001", destination=course)
    one = shop.rule("product_refunded", "1048001", destination=course, action=EXPIRE, enabled=False)
    found = row()
    assert states(found)[0] == State.OFF
    assert found.rules_off(Trigger.PRODUCT_REFUNDED) == [one]
    assert (found.off, found.holes) == ((Trigger.PRODUCT_REFUNDED,), ())
    assert found.needs_a_person
    assert not found.recommended()
    shop.rule("product_refunded", destination=course, action=EXPIRE)
    assert states(row())[0] == COVERED
    assert not row().off


def test_a_global_rule_that_is_off_is_not_missing_for_a_product(shop, course):
    shop.rule(product="1048001", destination=course)
    one = shop.rule("product_refunded", destination=course, action=EXPIRE, enabled=False)
    found = row()
    assert states(found)[0] == State.OFF
    assert found.rules_off(Trigger.PRODUCT_REFUNDED) == [one]
    assert (found.off, found.holes) == ((Trigger.PRODUCT_REFUNDED,), ())
    other = factories.DestinationFactory.create(integration=shop.integration)
    shop.rule(product="1048001", destination=other)
    assert states(row())[0] == MISSING
    added = row().recommended()
    assert {rule.destination_id for rule in added if rule.trigger == "product_refunded"} == {
        other.pk
    }


def test_of_several_courses_all_must_be_ended(shop, course):
    other = factories.DestinationFactory.create(integration=shop.integration)
    for each in (course, other):
        shop.rule(product="1048001", destination=each)
    shop.rule("product_refunded", "1048001", destination=course, action=EXPIRE)
    assert states(row())[0] == MISSING
    added = row().recommended()
    assert {rule.destination_id for rule in added if rule.trigger == "product_refunded"} == {
        other.pk
    }


def test_rules_that_are_off_or_whose_course_has_gone_are_shown_and_give_nothing(shop, course):
    one = shop.rule(product="1048001", destination=course, enabled=False)
    assert row().purchase_rules == [one]
    assert row().gives_nothing
    Rule.objects.update(enabled=True)
    assert not row().gives_nothing
    Destination.objects.update(gone_at=timezone.now())
    assert row().purchase_rules == [one]
    assert row().gives_nothing


def test_what_ends_the_access_is_there_while_the_rule_that_gives_it_is_off(shop, course):
    shop.rule(product="1048001", destination=course, enabled=False)
    assert COVERED not in states(row())
    pairing.add(pairing.companions(Rule.objects.all()))
    assert row().gives_nothing
    assert set(states(row())) == {COVERED, INCLUDED}


def test_global_rules_stand_in_a_row_of_their_own_and_give_to_every_product(shop, course):
    product(shop)
    giving = shop.rule(destination=course)
    assert row().given_everywhere == [giving]
    assert not row().gives_nothing
    assert row().holes == ()
    assert everywhere().given == [giving]
    assert everywhere().holes == (Trigger.PRODUCT_REFUNDED,)
    shop.rule("product_refunded", destination=course, action=EXPIRE)
    assert everywhere().holes == ()
    assert states(row())[0] == COVERED


def test_global_rules_of_another_account_say_nothing(shop, course):
    product(shop)
    factories.RuleFactory.create(destination=course)
    assert row().gives_nothing


def test_a_global_rule_closes_the_hole_of_a_product(shop, course):
    shop.rule(product="1048001", destination=course)
    shop.rule("product_refunded", destination=course, action=EXPIRE)
    assert row().holes == ()
    assert [each.key for each in coverage()] == [row().key]  # they give nothing: no row


# What is recommended


def test_what_is_recommended_closes_every_hole_and_is_nothing_else(shop, course):
    shop.rule(product="1048001", destination=course)
    shop.rule(destination=course)
    subscription(shop, product(shop))
    for each in (row(), everywhere()):
        assert pairing.add(each.recommended()) == 4
    assert row().holes == everywhere().holes == ()
    assert row().recommended() == everywhere().recommended() == []
    assert states(row()) == [COVERED, COVERED, INCLUDED, COVERED, COVERED]
    assert set(Rule.objects.values_list("trigger", flat=True)) == {
        "product_purchased",
        "product_refunded",
        "subscription_canceled",
        "subscription_recovered",
        "subscription_restarted",
    }


def test_what_is_ended_by_a_global_rule_is_not_recommended_twice(shop, course):
    shop.rule(product="1048001", destination=course)
    shop.rule("product_refunded", destination=course, action=EXPIRE)
    subscription(shop, product(shop))
    assert Trigger.PRODUCT_REFUNDED not in {rule.trigger for rule in row().recommended()}


# Sales, and who is without access


def sell(shop: Shop, email: str, *, days: float = 0, **facts: Any) -> EventLog:
    found = Customer.objects.filter(email=email).first()
    customer = found or factories.CustomerFactory.create(email=email)
    if "product" not in facts:
        facts["product"] = product(shop)
    sold = event(customer, **facts)
    received = timezone.now() - timedelta(days=days)
    EventLog.objects.filter(pk=sold.pk).update(received_at=received)
    return sold


def grant(shop: Shop, sold: EventLog, course: Destination, **facts: Any) -> Grant:
    assert sold.customer is not None
    return Grant.objects.create(
        marketplace=shop.marketplace,
        product=sold.product,
        order_id=str(sold.pk),
        customer=sold.customer,
        integration=course.integration,
        target=f"course:{course.external_id}",
        name=course.name,
        **{"state": "active", "decided_at": timezone.now()} | facts,
    )


def test_sales_are_purchases_of_thirty_days_without_repeats(shop):
    sell(shop, "a@example.com")
    sell(shop, "a@example.com", days=29)
    sell(shop, "b@example.com", days=31)
    sell(shop, "c@example.com", trigger="subscription_charged")
    again = sell(shop, "a@example.com")
    EventLog.objects.filter(pk=again.pk).update(status=EventLog.Status.REPEAT)
    assert row().sales == 2


def test_buyers_without_access_are_those_owed_and_those_who_got_nothing_each_once(shop, course):
    one = sell(shop, "a@example.com")
    grant(shop, one, course)
    grant(shop, sell(shop, "a@example.com"), course)  # the same person
    grant(shop, sell(shop, "b@example.com"), course, seen_at=timezone.now())
    grant(shop, sell(shop, "b@example.com"), course)  # who has it by the other purchase
    grant(shop, sell(shop, "c@example.com"), course, state="ended")
    grant(shop, sell(shop, "d@example.com"), course, state="waived")
    sell(shop, "a@example.com", gave_nothing=True)
    sell(shop, "e@example.com", gave_nothing=True)
    sell(shop, "f@example.com", gave_nothing=True, dealt_with_at=timezone.now())
    sell(shop, "g@example.com", gave_nothing=True, days=31)
    sell(shop, "h@example.com", gave_nothing=True, product=None)
    assert (row().without_access, row().paid_for_nothing) == (2, 2)


def test_who_was_refunded_since_is_owed_nothing(shop):
    sell(shop, "a@example.com", gave_nothing=True, order="77", days=2)
    sell(shop, "a@example.com", trigger="product_refunded", order="77", days=1)
    assert row().without_access == 0


def test_of_many_who_are_owed_access_the_same_refunds_are_found_as_for_the_overview(
    shop, course, monkeypatch
):
    for days, email in ((3, "a@example.com"), (2, "b@example.com")):
        decided = timezone.now() - timedelta(days=days)
        owed = grant(shop, sell(shop, email, days=days), course, decided_at=decided)
    sell(shop, "b@example.com", trigger="product_refunded", order=owed.order_id, days=1)
    monkeypatch.setattr(backfill, "MAX_EVENTS", 1)
    assert row().without_access == promise.promise(promise.unfulfilled()).not_in == 1


# All of them


def test_what_needs_a_person_stands_first_then_by_name(shop, course):
    for number, name in (("3", "Acrylics"), ("2", "watercolor"), ("1", "Zen Drawing")):
        product(shop, number, name)
    Product.objects.named(shop.marketplace.pk, "course", "9", "A SamCart course")
    shop.rule(product="1", destination=course)
    found = [each.product and each.product.name for each in coverage()]
    assert found == ["Zen Drawing", "Acrylics", "watercolor"]


def test_it_asks_the_same_few_questions_however_many_products_there_are(shop):
    def fill(numbers: range) -> None:
        for number in numbers:
            giving = shop.rule(product=str(number))
            assert giving.product is not None
            sold = sell(shop, f"{number}@example.com", product=giving.product, gave_nothing=True)
            assert giving.destination is not None
            grant(shop, sold, giving.destination)

    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            for each in coverage():
                assert each.ended_by[0] == (TAKES_BACK[0], MISSING)
                assert each.without_access == 1
        return len(queries)

    fill(range(2))
    few = asked()
    fill(range(2, 40))
    assert asked() == few
    assert few <= 15
