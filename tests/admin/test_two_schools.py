"""Two schools have a course of the same name: pages and files say which one is meant."""

import csv
import io
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from config.staff import roles
from events.models import EventLog
from integrations.models import Customer, Destination
from integrations.thinkific import catalog
from tests.support import factories
from tests.support.pages import signed_in, words
from tests.support.world import World

pytestmark = pytest.mark.first_database

GIVES = "create_course_enrollment"
DANA = "dana@example.com"


@pytest.fixture
def manager(db) -> Client:
    return signed_in(roles.MANAGER)


@pytest.fixture
def other(world: World) -> Destination:
    """Dana bought 77, which gives Ink of Art Academy. Ink of Dora Art School is there, too."""
    world.rule("product_purchased", GIVES, world.course("Ink"), product="77")
    school = world.sandbox.add_school("dora", key=factories.KEY)
    number = school.add_course("Ink").id
    school.add_course("Oil")
    site = factories.connected("dora", name="Dora Art School")
    catalog.refresh(site)
    world.sell(product__id=77, customer__email=DANA, order__id=5411)
    world.settle()
    return Destination.objects.get(integration=site, kind="course", external_id=number)


def lines(client: Any, name: str) -> list[dict[str, str]]:
    answer: Any = client.post(reverse(f"admin:csv-{name}"))
    text = b"".join(answer.streaming_content).decode()
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))


def page(client: Client) -> str:
    customer = Customer.objects.get(email=DANA)
    return words(client.get(reverse("admin:integrations_customer_change", args=[customer.pk])))


def test_what_rules_give_now_too_is_named_with_its_school(manager, world, other):
    world.rule("product_purchased", GIVES, other, product="77")
    assert "Its rules give Ink on Dora Art School now, too" in page(manager)


def test_a_name_that_only_one_school_has_goes_without_it(manager, world, other):
    oil = Destination.objects.get(name="Oil")
    world.rule("product_purchased", GIVES, oil, product="77")
    assert "Its rules give Oil now, too" in page(manager)


def test_files_name_the_school_of_each_of_two_courses_of_one_name(manager, world, other):
    world.rule("product_purchased", GIVES, other, product="77")
    world.sell(product__id=77, customer__email=DANA, order__id=5412)
    world.settle()
    row = next(each for each in lines(manager, "customers") if DANA in each.values())
    assert "Ink on Art Academy; Ink on Dora Art School" in row.values()
    assert EventLog.objects.count() == 2
    newest = next(each for each in lines(manager, "log") if each["Order"] == "5412")
    told = "; ".join(newest.values())
    assert "Ink on Art Academy: " in told
    assert "Ink on Dora Art School: " in told
    given = "; ".join("; ".join(each.values()) for each in lines(manager, "coverage"))
    assert "Ink on Art Academy; Ink on Dora Art School" in given
