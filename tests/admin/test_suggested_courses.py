"""New rule and Give access suggest the course whose name is like the product's."""

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from config.staff import roles
from events.models import EventLog, Grant
from integrations.models import Customer, Destination, Product
from tests.support.pages import markup, signed_in, words
from tests.support.world import World

pytestmark = pytest.mark.first_database
SUGGESTED = "suggested by its name"
BY_HAND = "given by hand to a buyer"
GIVES = "create_course_enrollment"


@pytest.fixture
def manager(world: World) -> Client:
    """At a school whose last course is about what was sold."""
    for name in ("Anatomy", "Drawing Faces", "Watercolor for Beginners"):
        world.course(name)
    world.sell(product__name="Watercolors for Beginners")
    return signed_in(roles.MANAGER)


def choices(page: Any) -> list[str]:
    """The labels of the courses, in order."""
    labels = re.findall(r'<label for="d\d+">(.*?)</label>', markup(page))
    return [re.sub("<[^>]+>", "", each) for each in labels]


def new_rule(client: Client, **asked: Any) -> Any:
    product = Product.objects.get()
    return client.get(reverse("admin:new-rule"), {"product": product.pk} | asked)


def give_access(client: Client, **asked: Any) -> Any:
    customer = Customer.objects.get()
    return client.get(reverse("admin:give-access"), {"customer": customer.pk} | asked)


@pytest.mark.parametrize(
    ("opened", "search"), [(new_rule, "courses_like"), (give_access, "q")], ids=["rule", "access"]
)
def test_the_course_of_a_like_name_stands_first_and_is_not_chosen(manager, opened, search):
    page = opened(manager)
    first, *others = choices(page)
    assert first.startswith("Watercolor for Beginners")
    assert SUGGESTED in first
    assert [each.split()[0] for each in others] == ["Anatomy", "Drawing"]
    assert SUGGESTED not in " ".join(others)
    assert not re.search(r'name="destination"[^>]* checked', markup(page))
    (found,) = choices(opened(manager, **{search: "drawing"}))
    assert SUGGESTED not in found
    (found,) = choices(opened(manager, **{search: "watercolor"}))
    assert SUGGESTED in found


@pytest.mark.parametrize("opened", [new_rule, give_access])
def test_what_is_chosen_stays_chosen_and_is_listed_once(manager, opened):
    faces = Destination.objects.get(name="Drawing Faces")
    page = opened(manager, destination=faces.pk)
    assert sorted(each.split()[0] for each in choices(page)) == ["Anatomy", "Drawing", "Watercolor"]
    (chosen,) = re.findall(r'name="destination" value="(\d+)"[^>]* checked', markup(page))
    assert chosen == str(faces.pk)


def test_what_a_person_gave_a_buyer_by_hand_stands_first_while_it_is_open(manager, world):
    anatomy = Destination.objects.get(name="Anatomy")
    buyer, sale = Customer.objects.get(), EventLog.objects.get()
    sent = {"customer": buyer.pk, "destination": anatomy.pk, "reason": "No rule yet"}
    manager.post(reverse("admin:give-access"), sent | {"purchase": sale.pk})
    world.settle()
    first, second, last = choices(new_rule(manager))
    assert first.split()[0] == "Anatomy"
    assert BY_HAND in first
    assert SUGGESTED in second
    assert BY_HAND not in second + last
    Grant.objects.update(state=Grant.State.ENDED)
    assert BY_HAND not in words(new_rule(manager))


def test_a_gift_is_not_suggested_for_what_its_owner_bought(manager, world):
    anatomy = Destination.objects.get(name="Anatomy")
    sent = {"customer": Customer.objects.get().pk, "destination": anatomy.pk, "reason": "A gift"}
    manager.post(reverse("admin:give-access"), sent | {"purchase": "gift"})
    world.settle()
    assert Grant.objects.get().source == Grant.Source.HAND
    assert BY_HAND not in words(new_rule(manager))


def test_the_page_of_a_rule_suggests_another_course_first_and_keeps_its_own(manager, world):
    faces = Destination.objects.get(name="Drawing Faces")
    product = Product.objects.get()
    rule = world.rule("product_purchased", GIVES, faces, product=product.external_id)
    page = manager.get(reverse("admin:rules_rule_change", args=[rule.pk]))
    first, *others = choices(page)
    assert first.split()[0] == "Watercolor"
    assert SUGGESTED in first
    assert SUGGESTED not in " ".join(others)
    (chosen,) = re.findall(r'name="destination" value="(\d+)"[^>]* checked', markup(page))
    assert chosen == str(faces.pk)


def test_nothing_is_suggested_without_a_product(manager):
    assert SUGGESTED not in words(new_rule(manager, scope="global"))
    assert SUGGESTED not in words(manager.get(reverse("admin:give-to-anyone")))


def chosen(page: Any) -> list[int]:
    """The numbers of the courses that are ticked."""
    return [
        int(pk) for pk in re.findall(r'name="destination" value="(\d+)"[^>]* checked', markup(page))
    ]


def test_beside_a_purchase_that_gave_nothing_the_course_of_the_same_name_is_chosen(manager, world):
    same = world.course("watercolors for beginners")
    page = new_rule(manager, trigger="product_purchased")
    assert chosen(page) == [same.pk]
    assert "enroll the customer in watercolors for beginners" in words(page)
    assert chosen(new_rule(manager)) == []
    assert chosen(new_rule(manager, trigger="product_purchased", action=GIVES)) == []
    assert chosen(new_rule(manager, trigger="product_refunded")) == []


def test_of_several_courses_of_the_same_name_none_is_chosen(manager, world):
    world.course("Watercolors for Beginners")
    world.course("watercolors for beginners")
    assert chosen(new_rule(manager, trigger="product_purchased")) == []


def test_a_course_that_a_rule_gives_already_is_not_chosen_again(manager, world):
    same = world.course("Watercolors for Beginners")
    product = Product.objects.get()
    world.rule("product_purchased", GIVES, same, product=product.external_id)
    assert chosen(new_rule(manager, trigger="product_purchased")) == []
