"""Changes says whom a rule did not reach since it was turned off or deleted."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from config.staff import roles
from integrations.models import AuditEntry, Destination
from rules import changing
from rules.models import Rule
from tests.support.pages import press, signed_in, words
from tests.support.world import World

pytestmark = pytest.mark.first_database

GIVES, ENDS = "create_course_enrollment", "expire_course_enrollment"
LIST = "admin:integrations_auditentry_changelist"


@pytest.fixture
def manager(db) -> Client:
    return signed_in(roles.MANAGER)


@pytest.fixture
def ink(world: World) -> Destination:
    """77 gives Ink, and its refund ends it."""
    ink = world.course("Ink")
    world.rule("product_purchased", GIVES, ink, product="77")
    world.rule("product_refunded", ENDS, ink, product="77")
    return ink


def buy(world: World, number: int, body: str = "10_product", product: int = 77) -> None:
    email = f"b{number}@example.com"
    world.sell(body, product__id=product, customer__email=email, order__id=number)
    world.settle()


def ending() -> Rule:
    return Rule.objects.get(trigger="product_refunded", product__external_id="77")


def turn_off() -> AuditEntry:
    changing.switch(Rule.objects.filter(pk=ending().pk), on=False)
    return AuditEntry.objects.latest("pk")


def shown(client: Client, entry: AuditEntry) -> list[str]:
    """The texts of the list and of the entry's page."""
    page = reverse("admin:integrations_auditentry_change", args=[entry.pk])
    return [words(client.get(each)) for each in (reverse(LIST), page)]


def test_changes_says_who_was_refunded_since_a_rule_for_refunds_was_off(manager, world, ink):
    for number in (1, 2, 3):
        buy(world, number)
    buy(world, 1, "20_product")
    entry = turn_off()
    assert not any("since then still" in text for text in shown(manager, entry))
    for number in (2, 3):
        buy(world, number, "20_product")
    told = "2 buyers refunded or canceled since then still have Ink. See the rule"
    assert all(told in text for text in shown(manager, entry))
    press(manager, entry, "undo")
    assert told not in shown(manager, entry)[0]


def test_changes_says_who_was_refunded_since_a_rule_for_refunds_was_deleted(manager, world, ink):
    for number in (1, 2):
        buy(world, number)
    buy(world, 1, "20_product")
    changing.delete(Rule.objects.filter(pk=ending().pk))
    entry = AuditEntry.objects.latest("pk")
    assert not any("since then still" in text for text in shown(manager, entry))
    buy(world, 2, "20_product")
    told = "1 buyer refunded or canceled since then still has Ink. See the product"
    assert all(told in text for text in shown(manager, entry))
    press(manager, entry, "undo")
    assert told not in shown(manager, entry)[0]


def test_changes_says_who_was_refunded_since_a_rule_for_refunds_ends_another_course(
    manager, world, ink
):
    for number in (1, 2):
        buy(world, number)
    buy(world, 1, "20_product")
    changing.point_to([ending()], world.course("Wash"), on=False)
    entry = AuditEntry.objects.latest("pk")
    assert not any("since then still" in text for text in shown(manager, entry))
    buy(world, 2, "20_product")
    told = "1 buyer refunded or canceled since then still has Ink. See the rule"
    assert all(told in text for text in shown(manager, entry))
    press(manager, entry, "undo")
    assert told not in shown(manager, entry)[0]


def test_a_refund_of_another_product_does_not_concern_the_rule(manager, world, ink):
    world.rule("product_purchased", GIVES, ink, product="78")
    buy(world, 1, product=78)
    entry = turn_off()
    buy(world, 1, "20_product", product=78)
    assert not any("since then still" in text for text in shown(manager, entry))


def test_changes_says_who_bought_since_a_rule_was_deleted_and_got_nothing(manager, world, ink):
    rule = Rule.objects.get(trigger="product_purchased")
    buy(world, 1)
    changing.delete(Rule.objects.filter(pk=rule.pk))
    entry = AuditEntry.objects.latest("pk")
    assert not any("got nothing" in text for text in shown(manager, entry))
    buy(world, 2)
    told = "1 buyer since then got nothing. See the product"
    assert all(told in text for text in shown(manager, entry))
    assert "got nothing" not in words(
        signed_in(roles.VIEWER).get(reverse(LIST), {"act": "rule_added"})
    )
    press(manager, entry, "undo")
    assert told not in shown(manager, entry)[0]


def test_a_deleted_rule_tells_of_its_buyers_after_its_course_is_forgotten(manager, world, ink):
    Rule.objects.filter(pk=ending().pk).delete()
    changing.delete(Rule.objects.filter(trigger="product_purchased"))
    entry = AuditEntry.objects.latest("pk")
    ink.delete()
    buy(world, 1)
    told = "1 buyer since then got nothing. See the product"
    assert all(told in text for text in shown(manager, entry))


def test_who_got_something_by_another_rule_since_then_is_not_told(manager, world, ink):
    rule = Rule.objects.get(trigger="product_purchased")
    changing.delete(Rule.objects.filter(pk=rule.pk))
    entry = AuditEntry.objects.latest("pk")
    world.rule("product_purchased", GIVES, world.course("Faces"), product="77")
    buy(world, 2)
    assert not any("got nothing" in text for text in shown(manager, entry))


def stop_both(world: World, ink: Destination, number: int) -> None:
    """A rule for refunds of one product is turned off, and the rule of another one is deleted.

    One buyer is refunded since then, and one buys since then.
    """
    refunded, bought = number, number + 500
    world.rule("product_purchased", GIVES, ink, product=str(refunded))
    ends = world.rule("product_refunded", ENDS, ink, product=str(refunded))
    gives = world.rule("product_purchased", GIVES, ink, product=str(bought))
    buy(world, refunded, product=refunded)
    changing.switch(Rule.objects.filter(pk=ends.pk), on=False)
    changing.delete(Rule.objects.filter(pk=gives.pk))
    buy(world, refunded, "20_product", product=refunded)
    buy(world, bought, product=bought)


def test_it_takes_the_same_queries_for_any_number_of_rows(manager, world, ink):
    def queries(rows: int) -> int:
        with CaptureQueriesContext(connection) as asked:
            text = words(manager.get(reverse(LIST)))
        assert text.count("since then got nothing") == rows
        assert text.count("since then still has Ink") == rows
        return len(asked)

    stop_both(world, ink, 101)
    queries(1)
    before = queries(1)
    for number in (102, 103, 104):
        stop_both(world, ink, number)
    assert queries(4) == before
