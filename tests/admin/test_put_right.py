"""Buyers who lack something can be helped on the page that names them."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from django.test import Client
from django.urls import reverse

from config.staff import roles
from events.models import RuleRun
from integrations.models import ApiCall, Customer, Destination
from integrations.thinkific.sandbox.faults import Fault
from tests.support.pages import CUSTOMERS, markup, said, signed_in, words
from tests.support.world import World

# Forms and what they say; who gets what, the stories try on each database.
pytestmark = pytest.mark.first_database

FRIEND = "friend@example.com"


@pytest.fixture
def support(db: None) -> Client:
    return signed_in(roles.SUPPORT)


@pytest.fixture
def course(world: World) -> Destination:
    return world.course("Course Two")


def page_of(customer: Customer) -> str:
    return reverse("admin:integrations_customer_change", args=[customer.pk])


def press(client: Client, page: Any, label: str) -> Any:
    """Press the first button of this name on the page, as a browser does."""
    form = rf'<form method="post" action="([^"]+)">((?:(?!</form>).)*)>{label}</button></form>'
    found = re.search(form, markup(page), re.S)
    assert found, words(page)
    fields = dict(re.findall(r'name="(back)" value="([^"]*)"', found[2]))
    return client.post(found[1], fields, follow=True)


# Waiting


def test_who_waits_for_the_next_attempt_is_let_in_from_the_customers_page(support, world, course):
    world.rule("product_purchased", "create_course_enrollment", course)
    world.sandbox.faults.add(Fault("status", status=500))
    world.sell("10_product")
    world.settle()
    customer = Customer.objects.get()
    page = support.get(page_of(customer))
    assert "The next attempt is at" in words(page)
    page = press(support, page, "Try now")
    assert said(page) == ["1 queued."]
    assert page.redirect_chain[-1][0] == page_of(customer)
    world.settle()
    page = support.get(page_of(customer))
    assert "Dana has had Course Two since" in words(page)
    assert "Try now" not in words(page)


def test_what_failed_is_retried_from_the_banner_of_the_customer(support, world, course):
    world.rule("product_purchased", "create_course_enrollment", course)
    world.sandbox.faults.add(Fault("status", status=400, method="POST", path="^/users$"))
    world.sell("10_product")
    world.settle()
    customer = Customer.objects.get()
    page = press(support, support.get(page_of(customer)), "Retry")
    assert page.redirect_chain[-1][0] == page_of(customer)
    world.settle()
    assert world.access("dana@example.com", course)


def test_a_retry_that_failed_again_says_so_with_the_time_and_whether_the_answer_was_the_same(
    support, world, course
):
    world.rule("product_purchased", "create_course_enrollment", course)
    event = world.sell("10_product")
    customer = page_of(Customer.objects.get())
    pages = [customer, reverse("admin:events_eventlog_change", args=[event.pk])]
    for number, (status, says) in enumerate(
        ((400, ""), (400, "the same answer."), (422, "Tried again"))
    ):
        world.sandbox.faults.add(Fault("status", status=status, method="POST", path="^/users$"))
        if number:
            ApiCall.objects.update(sent_at=F("sent_at") - timedelta(minutes=1))
            press(support, support.get(customer), "Retry")
        world.settle()
        assert RuleRun.objects.get().status == "failed"
        for page in pages:
            top = words(support.get(page)).partition("Everything that happened")[0]
            assert ("Tried again" in top) == bool(number)
            assert says in top


# A gift


def test_a_friend_who_never_bought_is_given_a_course(support, world, course):
    page = support.get(reverse(CUSTOMERS), {"q": FRIEND})
    assert "If it is a gift, give access without an order." in words(page)
    (address,) = set(re.findall(r'href="([^"]*give-to-anyone[^"]*)"', page.content.decode()))
    form = support.get(address)
    assert f'value="{FRIEND}"' in form.content.decode()
    assert "Customers Give access The person gets" in words(form)
    gift = {"destination": course.pk, "reason": "A gift.", "first_name": "Kim"}
    page = support.post(address, gift | {"email": " Friend@Example.com"}, follow=True)
    customer = Customer.objects.get()
    assert (customer.email, customer.first_name) == (FRIEND, "Kim")
    assert page.redirect_chain[-1][0] == page_of(customer)
    world.settle()
    assert world.access(FRIEND, course)


def test_who_is_known_already_keeps_the_name(support, world, course):
    known = Customer.objects.create(email=FRIEND, email_as_sent=FRIEND, first_name="Kim")
    gift = {"destination": course.pk, "reason": "A gift.", "first_name": "Other"}
    support.post(reverse("admin:give-to-anyone"), gift | {"email": FRIEND})
    assert list(Customer.objects.values_list("pk", "first_name")) == [(known.pk, "Kim")]


@pytest.mark.parametrize("email", ["", "no address", "a@b"])
def test_an_address_that_cannot_be_used_makes_nobody(support, course, email):
    gift = {"destination": course.pk, "reason": "A gift.", "email": email}
    assert support.post(reverse("admin:give-to-anyone"), gift).status_code == 200
    assert not Customer.objects.exists()


def test_everything_that_happened_tells_each_failed_attempt_and_what_was_answered(
    support, world, course
):
    world.rule("product_purchased", "create_course_enrollment", course)
    world.school.add_user("dana@example.com")  # so the first call is refused, and leads on
    event = world.sell("10_product", customer__email="dana@example.com")
    customer = page_of(Customer.objects.get())
    pages = [customer, reverse("admin:events_eventlog_change", args=[event.pk])]
    for status, label in ((500, "Try now"), (400, "Retry")):
        fault = Fault("status", status=status, path="^/enrollments$", method="POST")
        world.sandbox.faults.add(fault)
        world.settle()
        press(support, support.get(customer), label)
    (run,) = world.settle()
    assert run.status == "done"
    for page in pages:
        told = words(support.get(page)).partition("For your technician")[0]
        assert len(re.findall(r"\d ?: Thinkific answered with an error of its own\.", told)) == 1
        assert len(re.findall(r"\d ?: Thinkific refused the request\.", told)) == 1
        assert "failed attempts" not in told
    call = ApiCall.objects.get(status=500)
    for _ in range(3):  # after the last of them it went well
        call.pk, call.sent_at = None, call.sent_at + timedelta(minutes=1)
        call.save(force_insert=True)
    for page in pages:
        assert "4 failed attempts" in words(support.get(page))
