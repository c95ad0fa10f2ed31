"""What was given before a course was renamed in Thinkific has its present name."""

import pytest

from events.access import holdings
from events.models import Grant
from events.reports.customers import customer_access
from events.reports.customers.glance import glances
from integrations.models import Customer, Destination
from integrations.thinkific import catalog, renaming
from tests.support.world import World

pytestmark = pytest.mark.first_database

OLD, NEW = "The Loose Landscape", "Loose Landscapes 2026"


def bought(world: World, target: Destination, kind: str = "course") -> Customer:
    world.rule("product_purchased", f"create_{kind}_enrollment", target)
    world.sell("10_product")
    world.settle()
    return Customer.objects.get()


def rename(world: World, target: Destination) -> None:
    school = world.school
    known = school.courses if target.kind == "course" else school.bundles
    known[target.external_id].name = NEW
    catalog.refresh(world.integration)


@pytest.mark.parametrize("kind", ["course", "bundle"])
def test_the_page_the_letter_and_the_lists_call_it_by_its_present_name(world, kind):
    target = world.course(OLD) if kind == "course" else world.bundle(world.course(), name=OLD)
    customer = bought(world, target, kind)
    rename(world, target)
    told = customer_access.describe(customer)
    assert f"has had {NEW} since" in told.lines[0].text
    assert f"You have access to {NEW}." in told.reply
    assert OLD not in told.reply + "".join(line.text for line in told.lines)
    assert glances([customer])[customer.pk].names == [NEW]
    assert [each.grants[0].name for each in holdings.of_customer(customer)] == [NEW]


def test_what_was_renamed_before_and_given_under_its_old_name_since_follows(world):
    target = world.course(OLD)
    customer = bought(world, target)
    rename(world, target)
    Grant.objects.update(name=OLD)
    catalog.refresh(world.integration)
    assert customer.grants.get().name == NEW


def test_an_entered_course_that_is_given_another_name_is_called_by_it(world):
    target = world.course(OLD)
    customer = bought(world, target)
    Destination.objects.update(by_hand=True)
    catalog.enter(catalog.by_number(world.integration, "course", target.external_id, NEW))
    assert customer.grants.get().name == NEW


def test_a_course_that_is_gone_keeps_the_name_under_which_it_was_given(world):
    target = world.course(OLD)
    customer = bought(world, target)
    Destination.objects.update(gone_at=customer.created_at, name=NEW)
    renaming.rename_grants(world.integration)
    assert customer.grants.get().name == OLD
