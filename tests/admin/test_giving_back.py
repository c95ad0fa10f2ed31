"""Giving back what a person ended, from the pages that Support can open."""

import re
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client
from django.urls import reverse

from config.staff import roles
from events.access import by_hand, holdings
from events.access.by_hand import Author
from events.models import EventLog, Grant, RuleRun
from integrations.models import Customer, Destination
from rules.models import Rule
from tests.support.pages import markup, said, signed_in, words
from tests.support.world import World

pytestmark = pytest.mark.first_database
MIA = Author("mia@school.example", "Wrong Lena")


@pytest.fixture
def support(db: None) -> Client:
    return signed_in(roles.SUPPORT)


@pytest.fixture
def course(world: World) -> Destination:
    return world.course("Drawing Faces")


@pytest.fixture
def lena(world: World, course: Destination) -> Customer:
    """A buyer whose access a person ended."""
    world.rule("product_purchased", "create_course_enrollment", course)
    world.rule("product_refunded", "expire_course_enrollment", course)
    world.sell("10_product")
    world.settle()
    buyer = Customer.objects.get()
    (holding,) = holdings.of_customer(buyer)
    by_hand.end(buyer, holding.key, MIA)
    world.settle()
    assert not world.access(buyer.email, course)
    return buyer


def page_of(customer: Customer) -> str:
    return reverse("admin:integrations_customer_change", args=[customer.pk])


def offers(page: Any) -> list[tuple[str, str]]:
    """The name and the address of each link of this page that gives access to a known course."""
    found = re.findall(r'<a href="([^"]+)"[^>]*>(Give it back|Give access)<', markup(page))
    return [(name, unescape(at)) for at, name in found if "run=" in at or "destination=" in at]


def test_support_gives_back_what_a_person_ended_and_a_refund_ends_it(world, support, lena, course):
    purchase = EventLog.objects.get(trigger="product_purchased")
    ((name, address),) = offers(support.get(page_of(lena)))
    assert name == "Give it back"
    event = reverse("admin:events_eventlog_change", args=[purchase.pk])
    assert offers(support.get(event)) == [(name, address)]
    assert "This opens Drawing Faces on Art Academy again" in words(support.get(address))
    for shown in (page_of(lena), address):  # nothing was refunded
        assert "Bought again?" not in words(support.get(shown))
    asked = {key: value for key, (value,) in parse_qs(urlsplit(address).query).items()}
    done = support.post(address, asked | {"reason": "By mistake"}, follow=True)
    assert done.redirect_chain == [(page_of(lena), 302)]
    assert said(done) == [f"Drawing Faces is given to {lena.email} now."]
    world.settle()
    assert world.access(lena.email, course)
    assert offers(support.get(page_of(lena))) == []
    world.sell("20_product")
    world.settle()
    assert not world.access(lena.email, course)
    ((name, address),) = offers(support.get(page_of(lena)))
    assert name == "Give it back"
    assert "the access counts as kept on purpose" in words(support.get(address))


def test_what_gave_nothing_because_a_person_had_ended_it_offers_to_give_it_back(
    world, support, lena, course
):
    world.rule("subscription_recovered", "create_course_enrollment", course)
    world.sell("10_product", "subscription_recovered")
    world.settle()
    run = RuleRun.objects.get(code="ended_by_hand")
    ((name, address),) = offers(support.get(page_of(lena)))
    assert name == "Give it back"
    page = reverse("admin:events_rulerun_change", args=[run.pk])
    ((same, link),) = offers(support.get(page))
    assert (same, link.partition("&back=")[0]) == (name, address)


@pytest.mark.parametrize("ruled", [True, False], ids=["a rule for refunds", "no rule for refunds"])
def test_what_was_refunded_since_a_person_ended_it_is_only_given_by_hand(
    world, support, lena, ruled
):
    ((_, address),) = offers(support.get(page_of(lena)))
    if not ruled:
        Rule.objects.filter(trigger="product_refunded").delete()
    world.sell("20_product")
    world.settle()
    assert [name for name, _ in offers(support.get(page_of(lena)))] == ["Give access"]
    assert "This access was given back since, or somebody decided about it." in words(
        support.get(address)
    )


@pytest.mark.parametrize("paid_again", [True, False])
def test_a_refund_that_was_paid_again_is_no_decision_to_keep_what_is_given_back(
    world, support, course, paid_again
):
    world.rule("product_purchased", "create_course_enrollment", course)
    world.sell("12_product")
    world.sell("12_product", "product_refunded")
    if paid_again:
        world.sell("31_subscription")
    world.settle()
    buyer = Customer.objects.get()
    (holding,) = holdings.of_customer(buyer)
    by_hand.end(buyer, holding.key, MIA)
    world.settle()
    ((_, address),) = offers(support.get(page_of(buyer)))
    asked = {key: value for key, (value,) in parse_qs(urlsplit(address).query).items()}
    support.post(address, asked | {"reason": "By mistake"})
    world.settle()
    assert world.access(buyer.email, course)
    assert (Grant.objects.get().kept_at is None) == paid_again


def test_who_may_not_give_access_is_offered_nothing(lena):
    viewer = signed_in(roles.VIEWER)
    assert "ended it on" in words(viewer.get(page_of(lena)))
    assert offers(viewer.get(page_of(lena))) == []
