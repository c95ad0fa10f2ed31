"""Earlier buyers for whom a person did something by hand are still offered what they lack."""

import pytest
from django.urls import reverse

from config.staff import roles
from events.access import by_hand
from events.access.by_hand import Author
from events.execution import reviewing
from events.models import EventLog, Grant
from events.reports.earlier import backfill, rule_preview
from events.reports.earlier.rule_preview import PreviewEffect
from events.reports.owed import promise
from integrations.models import Customer, Destination
from rules.models import Rule
from tests.support.pages import signed_in, words
from tests.support.world import World

pytestmark = pytest.mark.first_database

YVES, YARA, NEW = "yves@example.com", "yara@example.com", "yara@new.example.com"
GIVES = "create_course_enrollment"
SUPPORT = Author("mia@example.com", "Paid, and no rule")


@pytest.fixture
def faces(world: World) -> Destination:
    return world.course("Drawing Faces")


@pytest.fixture
def ink(world: World) -> Destination:
    return world.course("Ink and Wash")


def buy(world: World, email: str, order: int) -> EventLog:
    return world.sell("10_product", customer__email=email, order__id=order)


def customer(email: str) -> Customer:
    return Customer.objects.get(email=email)


@pytest.fixture
def sold(world: World, faces: Destination, ink: Destination) -> None:
    """Two buy a product without a rule, and Yara is given one course of two by hand."""
    buy(world, YVES, 1)
    bought = buy(world, YARA, 2)
    by_hand.give(customer(YARA), faces, SUPPORT, purchase=bought)
    world.settle()


def rules_for_both(world: World, faces: Destination, ink: Destination) -> list[Rule]:
    return [
        world.rule("product_purchased", GIVES, each, product="1048001") for each in (faces, ink)
    ]


def would_enroll(*rules: Rule) -> dict[str, list[str]]:
    """By student, the courses that the rules would add."""
    return {
        row.student.email: [str(rule.destination) for rule in row.changing]
        for row in backfill.preview(*rules).changing
        if row.student
    }


def in_preview(rule: Rule) -> set[str]:
    people = rule_preview.previews([rule])[0].people[PreviewEffect.GIVEN]
    return set(Customer.objects.filter(pk__in=people).values_list("email", flat=True))


@pytest.mark.usefixtures("sold")
def test_who_was_given_one_course_by_hand_is_offered_the_other_one(world, faces, ink):
    rules = rules_for_both(world, faces, ink)
    assert would_enroll(*rules) == {
        YVES: ["Drawing Faces", "Ink and Wash"],
        YARA: ["Ink and Wash"],
    }
    query = "&".join(f"rule={rule.pk}" for rule in rules)
    shown = words(signed_in(roles.MANAGER).get(f"{reverse('admin:new-rule-added')}?{query}"))
    told = "2 earlier buyers do not have all of this: Drawing Faces and Ink and Wash."
    assert told in shown


@pytest.mark.usefixtures("sold")
def test_the_preview_of_a_rule_and_the_offer_name_the_same_people(world, faces, ink):
    for_all = world.rule("product_purchased", GIVES, ink)
    assert in_preview(for_all) == {*would_enroll(for_all)} == {YVES, YARA}


@pytest.mark.usefixtures("sold")
def test_who_has_all_of_it_by_hand_is_named_among_those_left_out(world, faces):
    rule = world.rule("product_purchased", GIVES, faces, product="1048001")
    found = backfill.preview(rule)
    assert [row.event.order_id for row in found.run] == ["1"]
    assert [(row.event.order_id, row.why_not) for row in found.left_out] == [
        ("2", "has Drawing Faces already")
    ]


@pytest.mark.usefixtures("sold")
def test_once_enrolled_she_is_offered_a_later_course_too(world, faces, ink):
    rules = rules_for_both(world, faces, ink)
    signed_in(roles.MANAGER).post(reverse("admin:earlier"), {"rule": [rule.pk for rule in rules]})
    world.settle()
    assert world.access(YARA, ink)
    assert would_enroll(*rules) == {}
    third = world.rule("product_purchased", GIVES, world.course("Third"), product="1048001")
    assert would_enroll(third) == {YVES: ["Third"], YARA: ["Third"]}


@pytest.mark.usefixtures("sold")
def test_a_purchase_dealt_with_by_hand_raises_no_alarm(world):
    assert [event.order_id for event in promise.unfulfilled()] == ["1"]


@pytest.mark.usefixtures("sold")
def test_for_whom_a_person_ended_it_again_nothing_is_offered(world, faces, ink):
    Grant.objects.update(state=Grant.State.ENDED)
    assert would_enroll(*rules_for_both(world, faces, ink)) == {
        YVES: ["Drawing Faces", "Ink and Wash"]
    }


def test_what_is_marked_as_dealt_with_is_in_neither_the_preview_nor_the_offer(world, ink):
    bought = buy(world, YVES, 1)
    reviewing.mark_reviewed(EventLog.objects.filter(pk=bought.pk), by="Mia")
    rule = world.rule("product_purchased", GIVES, ink, product="1048001")
    assert in_preview(rule) == {*would_enroll(rule)} == set()
    (found,) = rule_preview.previews([rule])
    assert found.sentences()[0].startswith("Marked as dealt with, so not counted: ")


# Moved to another address


@pytest.fixture
def moved(world: World, sold: None) -> None:
    """A person has moved all that Yara has to another address."""
    by_hand.move(customer(YARA), NEW, SUPPORT)
    world.settle()


@pytest.mark.usefixtures("moved")
def test_the_offer_shows_the_address_to_which_she_was_moved(world, faces, ink):
    rules = rules_for_both(world, faces, ink)
    assert would_enroll(*rules)[NEW] == ["Ink and Wash"]
    admin = signed_in(roles.MANAGER)
    shown = words(admin.get(reverse("admin:earlier"), {"rule": rules[1].pk}))
    assert f"{NEW} moved from {YARA}" in shown
    admin.post(reverse("admin:earlier"), {"rule": [rule.pk for rule in rules]})
    world.settle()
    assert (world.access(NEW, ink), world.access(YARA, ink)) == (True, False)
    page = reverse("admin:integrations_customer_change", args=[customer(YARA).pk])
    old = words(admin.get(page))
    assert f"mia@example.com moved what was bought (order 2) to {NEW} on " in old
    assert "Bought for" not in old
