"""What both customers' pages, the list and the letter say of an order that was moved."""

import re
from csv import DictReader
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from config.staff import roles
from events.access import by_hand, holdings
from events.access.by_hand import Author
from events.execution import moving
from events.models import Batch, Grant, RuleRun
from events.reports.changed_rules.left_behind import left_behind
from events.reports.customers import customer_access
from integrations import audit
from integrations.audit import Actor
from integrations.models import Customer, Destination, Product
from integrations.sentences import LONG, format_day, format_time
from rules.models import Rule
from tests.support.pages import CUSTOMERS, markup, plain, signed_in
from tests.support.world import World

pytestmark = pytest.mark.first_database

WRONG, RIGHT = "tess@gmial.example", "tess@gmail.example"
MIA = Author("mia@example.com", "Mistyped")
PRODUCT = {"product__id": 1048001}


@pytest.fixture
def support(db: None) -> Client:
    return signed_in(roles.SUPPORT)


@pytest.fixture
def moved(world: World) -> Customer:
    """The right customer, to whom order 1183 was moved."""
    course = world.course()
    world.rule("product_purchased", "create_course_enrollment", course, product="1048001")
    world.rule("product_refunded", "expire_course_enrollment", course, product="1048001")
    buy(world)
    right = by_hand.move(wrong(), RIGHT, MIA)
    world.settle()
    return right


def buy(world: World, order: int = 1183, email: str = WRONG, trigger: str = "") -> None:
    world.sell("10_product", trigger, customer__email=email, order__id=order, **PRODUCT)
    world.settle()


def refund(world: World) -> None:
    buy(world, trigger="product_refunded")


def wrong() -> Customer:
    return Customer.objects.get(email=WRONG)


def address(customer: Customer) -> str:
    return reverse("admin:integrations_customer_change", args=[customer.pk])


def page_of(client: Client, customer: Customer) -> str:
    answer = client.get(address(customer))
    text: str = markup(answer)
    return text


def today() -> str:
    return format_day(timezone.now())


def row_of(client: Client, email: str) -> list[str]:
    """Return the customer's rows in the list of customers."""
    text = markup(client.get(reverse(CUSTOMERS)))
    return [
        row
        for row in re.findall(r"<tr>\s*<th data-label.*?</tr>", text, re.DOTALL)
        if f">{email}<" in row.partition("</th>")[0]
    ]


def letter(customer: Customer) -> str:
    return customer_access.describe(customer).reply


def test_the_letter_of_the_old_address_says_that_the_refund_ended_it_there(world, moved):
    assert "is under your other e-mail address now. Please sign in" in letter(wrong())
    refund(world)
    told = letter(wrong())
    assert "under your other e-mail address now" not in told
    assert (
        "Your access to Course Two was moved to your other e-mail address. "
        "It ended there with the refund of order 1183 on "
    ) in told


def test_the_letter_of_the_old_address_says_when_a_person_ended_it_there(world, moved):
    (holding,) = holdings.of_customer(moved)
    event = by_hand.end(moved, holding.key, MIA)
    world.settle()
    day = format_day(event.received_at, LONG)
    assert f"moved to your other e-mail address. It ended there on {day}." in letter(wrong())


def test_the_letter_of_the_right_address_names_the_address_that_the_order_had(world, moved):
    told = letter(moved)
    assert f"Your order had the e-mail address {WRONG}. We moved your access to {RIGHT}." in told
    assert "You have access to Course Two. Please sign in at " in told
    assert f" with {RIGHT}. " in told
    by_hand.move(moved, WRONG, MIA)
    world.settle()
    assert "Your order had" not in letter(wrong())


def test_the_letter_of_a_mistyped_address_names_the_mistake_and_the_address_to_sign_in_with(world):
    world.rule("product_purchased", "create_course_enrollment", world.course())
    buy(world, email="lou.lund@hotmial.com")
    lou = Customer.objects.get()
    right = by_hand.move(lou, "lou.lund@hotmail.com", MIA)
    world.settle()
    had = "Your order had the e-mail address lou.lund@hotmial.com."
    assert (
        f"{had} Your access to Course Two is under lou.lund@hotmail.com now. "
        "Please sign in with that one."
    ) in letter(lou)
    assert f"{had} We moved your access to lou.lund@hotmail.com." in letter(right)


def test_the_letter_to_a_student_whom_the_payer_named_names_no_other_address(world):
    world.integration.student_field = "Student e-mail"
    world.integration.save()
    world.rule("product_purchased", "create_course_enrollment", world.course())
    field = {"name": "Student e-mail", "value": "ann@example.com"}
    world.sell("10_product", customer__email="pat@example.com", order__custom_fields=[field])
    world.settle()
    student = Customer.objects.get(email="ann@example.com")
    told = letter(student)
    assert "You have access to Course Two." in told
    assert "Your order had" not in told


def test_what_was_moved_on_again_is_still_under_another_address(world, moved):
    by_hand.move(moved, "tess@third.example", MIA)
    world.settle()
    assert "is under your other e-mail address now. Please sign in" in letter(wrong())


def test_the_right_address_counts_and_names_the_order_that_was_moved_to_it(world, support, moved):
    assert "1 order moved here (1183) · 1 course now" in plain(page_of(support, moved))
    refund(world)
    told = plain(page_of(support, moved))
    assert "the refund of order 1183" in told
    assert "1 order moved here (1183) · no course now" in told
    assert "no order" not in told
    buy(world, 1190, RIGHT)
    told = plain(page_of(support, moved))
    assert "1 order · 1 order moved here (1183) · 1 course now" in told


def test_the_samcart_number_is_that_of_the_customers_own_orders_before_that_of_moved_ones(
    world, support
):
    world.rule("product_purchased", "create_course_enrollment", world.course())
    world.sell("10_product", customer__email=RIGHT, customer__customer_id=7001, order__id=1182)
    world.sell("10_product", customer__email=WRONG, customer__customer_id=7002, order__id=1183)
    world.settle()
    right = by_hand.move(wrong(), RIGHT, MIA)
    world.settle()
    assert "SamCart customer 7001" in plain(page_of(support, right))
    assert "SamCart customer 7002" in plain(page_of(support, wrong()))


def test_an_order_that_its_buyer_has_back_is_no_moved_order(world, support, moved):
    by_hand.move(moved, WRONG, MIA)
    world.settle()
    assert "moved here (" not in plain(page_of(support, wrong()))
    assert "moved here (" not in plain(page_of(support, moved))


def test_the_page_of_the_old_address_names_who_moved_it_and_what_ended_it_there(
    world, support, moved
):
    told = plain(page_of(support, wrong()))
    assert f"mia@example.com moved it on {today()}. Moved to {RIGHT}. See the event" in told
    refund(world)
    told = plain(page_of(support, wrong()))
    assert f"{RIGHT}. It ended there with the refund of order 1183 on {today()}." in told


def test_the_page_of_the_old_address_says_when_a_person_ended_it_there(world, support, moved):
    (holding,) = holdings.of_customer(moved)
    by_hand.end(moved, holding.key, MIA)
    world.settle()
    told = plain(page_of(support, wrong()))
    assert f"Moved to {RIGHT}. It ended there on {today()}." in told


def test_the_list_names_the_moved_order_in_place_of_a_last_purchase(world, support, moved):
    (row,) = row_of(support, RIGHT)
    assert "Example Course One 1 order moved here (1183)" in plain(row)
    Product.objects.update(name="Example, Renamed")
    (row,) = row_of(support, RIGHT)
    assert "Example, Renamed 1 order moved here (1183)" in plain(row)


def test_the_list_says_where_all_access_of_the_old_address_is(world, support, moved):
    (row,) = row_of(support, WRONG)
    assert f'Moved to <a href="{address(moved)}">{RIGHT}</a>' in row
    buy(world, 1190)
    (row,) = row_of(support, WRONG)
    assert "Moved to" not in row


def test_the_list_does_not_say_moved_after_the_access_came_back_and_ended(world, support, moved):
    by_hand.move(moved, WRONG, MIA)
    world.settle()
    refund(world)
    assert "Moved to" not in row_of(support, WRONG)[0]
    assert f"Moved to {WRONG}" in plain(row_of(support, RIGHT)[0])


def test_the_file_of_customers_says_where_the_access_is(world, moved):
    answer: Any = signed_in(roles.MANAGER).post(reverse("admin:csv-customers"))
    text = b"".join(answer.streaming_content).decode().removeprefix("\ufeff")
    told = {row["E-mail"]: (row["Has now"], row["Moved to"]) for row in DictReader(StringIO(text))}
    assert told == {WRONG: ("", RIGHT), RIGHT: ("Course Two", "")}


def test_the_list_takes_no_more_queries_for_more_moved_orders(world, support, moved):
    def queries() -> int:
        with CaptureQueriesContext(connection) as seen:
            support.get(reverse(CUSTOMERS))
        return len(seen)

    queries()
    before = queries()
    for number in range(3):
        buy(world, 2000 + number, f"a{number}@old.example")
        by_hand.move(
            Customer.objects.get(email=f"a{number}@old.example"), f"a{number}@new.example", MIA
        )
    world.settle()
    assert queries() <= before


def test_moved_from_leads_to_the_customer_from_whom_it_was_moved(world, support, moved):
    told = page_of(support, moved)
    assert f'Moved from {WRONG}. <a href="{address(wrong())}">See the customer</a>' in told


# Its buyers are moved to another course since


@pytest.fixture
def replaced(world: World, moved: Customer) -> Customer:
    """The right customer, after a person moved the buyers of the rule to another course."""
    faces = world.course("Drawing Faces")
    Rule.objects.filter(trigger="product_refunded").update(destination=faces)
    move_buyers(world, Rule.objects.get(trigger="product_purchased"), faces)
    return moved


def move_buyers(world: World, rule: Rule, course: Destination) -> None:
    """Nora points the rule to this course, and moves its buyers."""
    rule.destination = course
    rule.save()
    rows = left_behind(rule.pk).rows
    purchases = [(row.event, [each.pk for each in row.grants], row.gives) for row in rows]
    with audit.acting(lambda: Actor("nora@example.com")):
        moving.move(purchases, Batch.objects.create(title="Move"))
    world.settle()


def test_the_old_address_is_told_what_the_new_one_has_in_place_of_the_moved_course(
    world, support, replaced
):
    assert (
        "Your access to Course Two was moved to your other e-mail address, where you have "
        "Drawing Faces in its place. Please sign in with that one."
    ) in letter(wrong())
    told = plain(page_of(support, wrong()))
    assert (
        f"Moved to {RIGHT}. That address has Drawing Faces in its place now. See the event" in told
    )


def test_the_old_address_is_told_that_nothing_of_it_is_open_any_more(world, support, replaced):
    refund(world)
    assert (
        "Your access to Course Two was moved to your other e-mail address, and is no longer open "
        "there."
    ) in letter(wrong())
    told = plain(page_of(support, wrong()))
    assert f"Moved to {RIGHT}. Nothing of it is open there anymore. See the event" in told


def test_the_old_address_is_told_of_the_refund_that_ended_what_had_been_replaced(
    world, support, replaced
):
    course = Destination.objects.get(name="Course Two")
    world.rule("product_refunded", "expire_course_enrollment", course, product="1048001")
    refund(world)
    assert "It ended there with the refund of order 1183 on " in letter(wrong())


def test_a_mistyped_address_is_told_what_the_right_one_has_in_place_of_the_moved_course(world):
    rule = world.rule("product_purchased", "create_course_enrollment", world.course())
    buy(world, email="lou.lund@hotmial.com")
    lou = Customer.objects.get()
    by_hand.move(lou, "lou.lund@hotmail.com", MIA)
    world.settle()
    move_buyers(world, rule, world.course("Drawing Faces"))
    told = letter(lou)
    assert "Your access to Drawing Faces is under lou.lund@hotmail.com now." in told
    assert "Course Two" not in told


def test_the_new_address_names_who_moved_the_buyers_to_another_course(world, support, replaced):
    told = plain(page_of(support, replaced))
    assert (
        f"Dana has no access to Course Two: nora@example.com ended it on {today()}, after its rule "
        "had changed."
    ) in told


def test_an_action_for_another_address_says_for_whom_it_was(world, support, replaced):
    told = plain(page_of(support, wrong()))
    assert f"Enroll in Drawing Faces Done for {RIGHT}" in told
    assert "Enroll in Course Two Done for" not in told


def test_what_was_moved_itself_is_not_said_to_be_in_the_place_of_another_course(world, support):
    theory = world.course("Color Theory")
    rule = world.rule("product_purchased", "create_course_enrollment", world.course(), "1048001")
    world.rule("product_purchased", "create_course_enrollment", theory, product="1048001")
    buy(world)
    by_hand.move(wrong(), RIGHT, MIA)
    world.settle()
    move_buyers(world, rule, world.course("Drawing Faces"))
    told = plain(page_of(support, wrong()))
    assert "That address has Drawing Faces in its place now." in told
    text = letter(wrong())
    assert "where you have Drawing Faces in its place." in text
    assert "Your access to Color Theory is under your other e-mail address now." in text


def both_and_water(world: World) -> None:
    """The wrong address buys a bundle with a course, and the right one the course; both move.

    The bundle is moved to the right address, where the course is refunded, and then back.
    """
    water = world.course("Watercolor")
    both = world.bundle(water, world.course("Oil"), name="Both")
    gives, ends = "create_course_enrollment", "expire_course_enrollment"
    world.rule("product_purchased", "create_bundle_enrollment", both, product="70")
    world.rule("product_purchased", gives, water, product="77")
    world.rule("product_refunded", ends, water, product="77")
    for product, order, email in ((70, 5701, WRONG), (77, 5702, RIGHT)):
        world.sell("10_product", customer__email=email, order__id=order, product__id=product)
        world.settle()


def test_what_a_moved_purchase_kept_open_is_said_to_be_moved_with_it(world, support):
    both_and_water(world)
    right = by_hand.move(wrong(), RIGHT, MIA)
    world.settle()
    world.sell("20_product", customer__email=RIGHT, order__id=5702, product__id=77)
    world.settle()
    by_hand.move(right, WRONG, MIA)
    world.settle()
    told = plain(page_of(support, right))
    day = today()
    assert f"Dana has no access to Watercolor: mia@example.com moved it on {day}." in told
    assert "no access to Watercolor. The refund" not in told
    text = letter(right)
    assert "Both" in text
    assert "Watercolor" in text
    assert "is under your other e-mail address now." in text
    told = plain(page_of(support, wrong()))
    assert "Dana has had Watercolor since " in told
    assert "order 5702" not in told.partition("Everything that happened")[0]


def test_since_names_when_the_first_of_several_purchases_opened_it(world, support):
    both_and_water(world)
    opened = timezone.now() - timedelta(hours=3)
    water = Destination.objects.get(name="Watercolor")
    Grant.objects.filter(target=f"course:{water.external_id}").update(opened_at=opened)
    RuleRun.objects.filter(target=f"course:{water.external_id}").update(finished_at=opened)
    right = by_hand.move(wrong(), RIGHT, MIA)
    Grant.objects.filter(target__startswith="bundle").update(opened_at=opened - timedelta(hours=1))
    world.settle()
    told = plain(page_of(support, right))
    since = format_time(opened)
    assert f"Dana has had Watercolor since {since} through order 5701 and order 5702." in told
