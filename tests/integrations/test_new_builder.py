"""A school whose courses Thinkific does not list sells, refunds and sells again."""

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from config.staff import roles
from events.reports import simulation
from integrations.models import Customer, Destination, Integration, Product
from integrations.thinkific import catalog, student_check
from integrations.thinkific.sandbox import Course, Switches
from rules.models import Rule
from rules.triggers import Trigger
from tests.support.pages import markup, said, signed_in, words
from tests.support.scenery import PUBLIC_URL
from tests.support.world import World

pytestmark = pytest.mark.first_database

EMAIL = "dana@example.com"
EMPTY = (
    "Thinkific lists no courses. Courses of its new course builder are not listed: enter them by "
    "number."
)


@pytest.fixture
def manager(world, settings) -> Client:
    settings.PUBLIC_URL = PUBLIC_URL
    Product.objects.named(world.marketplace.pk, "product", "1048001", "Watercolor")
    return signed_in(roles.MANAGER)


@pytest.fixture
def course(world) -> Course:
    """A course of a school that lists nothing at all."""
    world.school.switches = Switches(new_builder=True)
    found: Course = world.school.add_course("Its name in Thinkific")
    catalog.refresh(world.integration)
    world.sandbox.clear_calls()
    return found


def answers(world: World, action: str = "create_course_enrollment", **more: Any) -> dict[str, Any]:
    product = Product.objects.get(external_id="1048001")
    known = {"product": product.pk, "integration": world.integration.pk, "action": action}
    return known | {"trigger": "product_purchased"} | more


def step(client: Client, world: World, **more: Any) -> Any:
    return client.get(reverse("admin:new-rule"), answers(world, **more))


def opens(world: World, course: Course) -> bool:
    row = world.school.enrollment(EMAIL, course.id)
    return row is not None and row.active


def test_it_sells_refunds_and_sells_again(world: World, manager: Client, course: Course):
    assert EMPTY in words(step(manager, world))
    pasted = f"https://acme.thinkific.com/manage/courses/{course.id}/settings?tab=drip"
    page = step(manager, world, number=pasted, name="Watercolor, the new one")
    text = words(page)
    assert (
        "When Watercolor is purchased, enroll the customer in Watercolor, the new one on Art "
        "Academy."
    ) in text
    assert "In the last 90 days: No event matches it." in text
    assert f"Entered by hand: course {course.id}." in text
    assert not Destination.objects.exists()  # looking changes nothing
    ticked = re.findall(r'name="pair" value="(\w+)"', page.content.decode())
    sent = answers(world, number=pasted, name="Watercolor, the new one", pair=ticked)
    added = manager.post(reverse("admin:new-rule"), sent, follow=True)
    assert "5 rules added" in words(added)
    entered = Destination.objects.get()
    assert (entered.external_id, entered.by_hand) == (course.id, True)
    for order in (1, 2):
        world.sell(customer__email=EMAIL, order__id=order)
        assert world.settle()[-1].message == "Enrolled in Watercolor, the new one."
        assert opens(world, course)
        catalog.refresh(world.integration)
        world.sell("20_product", customer__email=EMAIL, order__id=order)
        assert world.settle()[-1].message == "Access to Watercolor, the new one ended."
        assert not opens(world, course)
    assert {run.status for run in world.settle()} == {"done"}
    assert not [call for call in world.calls() if call.startswith("GET /courses")]
    entered.refresh_from_db()
    assert (entered.name, entered.standing) == ("Watercolor, the new one", "entered by hand")


def test_a_bundle_by_its_number_sells_each_of_its_courses(world: World, manager: Client, course):
    second = world.school.add_course("Second")
    bundle = world.school.add_bundle("Both", [course, second])
    how = answers(world, "create_bundle_enrollment", number=str(bundle.id), name="Both of them")
    manager.post(reverse("admin:new-rule"), how)
    for order in (1, 2):
        world.sell(customer__email=EMAIL, order__id=order)
        world.settle()
    assert [run.message for run in world.settle()] == [
        "Enrolled in Both of them.",
        "Was already enrolled in Both of them.",
    ]
    assert opens(world, course)
    assert opens(world, second)


def test_a_number_that_thinkific_does_not_have_fails_the_sale_in_true_words(
    world: World, manager: Client, course: Course
):
    manager.post(reverse("admin:new-rule"), answers(world, number="999", name="Wrong"))
    world.sell(customer__email=EMAIL)
    run = world.settle()[-1]
    assert (run.status, run.attempts) == ("failed", 1)
    assert run.message.startswith("Thinkific has no course with the number 999, entered as Wrong.")
    assert "POST /enrollments" in world.calls()
    assert Destination.objects.get().standing == "no such number"
    assert "Wrong" not in words(step(manager, world)).partition("4. Course")[2]
    # The right number goes into the rule.
    save(manager, Rule.objects.get(), number=str(course.id), name="Right")
    world.sell(customer__email=EMAIL, order__id=2)
    assert world.settle()[-1].message == "Enrolled in Right."


def test_the_empty_school_is_no_fault_and_the_page_leads_on(world: World, manager: Client, course):
    page = reverse("admin:integrations_integration_change", args=[world.integration.pk])
    press = reverse("admin:integrations_integration_do_refresh", args=[world.integration.pk])
    assert said(manager.post(press, follow=True)) == [
        f"Art Academy: refreshed. 0 courses, 0 bundles, 0 signup fields. {EMPTY} New rule"
    ]
    link = f"{reverse('admin:new-rule')}?integration={world.integration.pk}"
    shown = manager.get(page)
    assert EMPTY in words(shown)
    assert f'<a href="{link}">' in markup(shown)
    assert "1. Product" in words(manager.get(link))
    assert "New rule" not in words(signed_in(roles.VIEWER).get(page)).partition(EMPTY)[2][:20]
    world.school.switches.new_builder = False
    manager.post(press)
    assert EMPTY not in words(manager.get(page))
    assert EMPTY not in words(step(manager, world))


def test_before_the_first_refresh_nobody_says_that_nothing_is_listed(world: World, manager: Client):
    text = words(step(manager, world))
    assert EMPTY not in text
    assert "What Art Academy has is not read yet: press Refresh below." in text
    assert "Enter a course by its number" in text


def test_a_refused_key_is_called_the_reason_why_nothing_is_read(world: World, manager: Client):
    Integration.objects.update(connection="refused")
    page = step(manager, world)
    told = "What Art Academy has cannot be read until Thinkific lets Admit in. Edit the integration"
    assert told in words(page)
    where = reverse("admin:integrations_integration_change", args=[world.integration.pk])
    assert f'href="{where}#id_secret"' in page.content.decode()


# Half the way: some are listed, and some are not


def test_a_course_that_leaves_the_list_is_still_sold_and_offered(world: World, manager: Client):
    moved, stays = world.course("Moved"), world.course("Stays")
    world.rule("product_purchased", "create_course_enrollment", moved)
    world.school.courses[moved.external_id].new_builder = True
    told = catalog.refresh(world.integration).sentence()
    assert told == "1 course, 0 bundles, 0 signup fields (1 course no longer listed)."
    world.sell(customer__email=EMAIL)
    assert world.settle()[-1].message == "Enrolled in Moved."
    moved.refresh_from_db()
    assert (moved.standing, moved.gone_at) == ("not listed by Thinkific", None)
    offered = words(step(manager, world)).partition("4. Course")[2]
    assert "Stays Moved not listed by Thinkific" in offered
    made = answers(world, destination=moved.pk)
    assert "Rule added" in words(manager.post(reverse("admin:new-rule"), made, follow=True))
    rules = manager.get(reverse("admin:rules_rule_changelist"))
    assert "Moved (not listed by Thinkific)" in words(rules)
    assert "badge-bad" not in rules.content.decode()
    assert stays.standing == ""


def test_a_course_that_is_listed_again_is_an_ordinary_one(world: World):
    course = world.course("Moved")
    world.school.courses[course.external_id].new_builder = True
    catalog.refresh(world.integration)
    assert catalog.refresh(world.integration).unlisted == {"signup field": 0}
    Destination.objects.update(gone_at=timezone.now())
    world.school.courses[course.external_id].new_builder = False
    assert catalog.refresh(world.integration).new["course"] == 1
    assert Destination.objects.get().standing == ""


def test_one_entered_by_hand_that_is_listed_later_takes_the_listed_name(world: World, course):
    catalog.enter(catalog.by_number(world.integration, "course", course.id, "By hand"))
    changes = catalog.refresh(world.integration)
    assert (changes.found, changes.new, changes.unlisted) == (
        {"signup field": 0},
        {"signup field": 0},
        {"signup field": 0},
    )
    assert Destination.objects.get().name == "By hand"
    world.school.switches.new_builder = False
    assert catalog.refresh(world.integration).new["course"] == 1
    found = Destination.objects.get()
    assert (found.name, found.by_hand, found.standing) == ("Its name in Thinkific", False, "")
    world.school.switches.new_builder = True
    catalog.refresh(world.integration)
    assert Destination.objects.get().standing == "not listed by Thinkific"


def test_the_courses_of_a_bundle_that_is_not_listed_are_asked_for_each_time(world: World):
    one = world.course("One")
    bundle = world.bundle(one)
    world.school.bundles[bundle.external_id].new_builder = True
    catalog.refresh(world.integration)
    bundle.refresh_from_db()
    assert (bundle.listed, bundle.course_ids) == (False, [one.external_id])
    world.rule("product_purchased", "create_bundle_enrollment", bundle)
    world.sell(customer__email=EMAIL, order__id=1)
    world.settle()
    later = world.school.add_course("Two")
    world.school.bundles[bundle.external_id].courses.append(later)
    world.sell(customer__email=EMAIL, order__id=2)
    world.settle()
    assert opens(world, later)


# By its number


@pytest.mark.parametrize(
    ("number", "name", "says"),
    [
        ("0", "New", "No course has the number 0."),
        ("9" * 30, "New", "This number is too long for a course."),
        ("Watercolor", "New", "This is not a number."),
        ("https://acme.thinkific.com/courses/take/x", "New", "This is a page for students"),
        ("https://zoo.thinkific.com/manage/courses/5", "New", "Paste an address of that school."),
        ("https://acme.thinkific.com/manage/bundles/5", "New", "the action is for a course"),
        ("77", " ", "Enter the name of the course too."),
        ("77\0", "New", "Null characters are not allowed."),
        ("77", "N" * 256, "at most 255 characters"),
    ],
)
def test_a_wrong_entry_is_said_at_its_field_and_kept_in_it(
    world: World, manager: Client, course, number, name, says
):
    page = step(manager, world, number=number, name=name)
    text = words(page)
    assert "4. Course" in text
    assert says in text
    answer = manager.post(reverse("admin:new-rule"), answers(world, number=number, name=name))
    assert answer.status_code == 302
    assert not Destination.objects.exists()
    assert not Rule.objects.exists()
    if "\0" not in number:
        assert f'value="{number}"' in page.content.decode()


def test_the_number_of_a_listed_course_is_that_course(world: World, manager: Client):
    listed = world.course("As listed")
    page = step(manager, world, number=str(listed.external_id), name="As listed")
    assert "enroll the customer in As listed on Art Academy." in words(page)
    assert "Entered by hand" not in words(page)
    more = {"number": str(listed.external_id), "name": "As listed"}
    manager.post(reverse("admin:new-rule"), answers(world, **more))
    assert Rule.objects.get().destination == listed
    assert Destination.objects.get().standing == ""


def test_entering_the_number_of_one_that_is_gone_says_that_it_is_there(
    world: World, manager: Client, course: Course
):
    how = {"number": str(course.id), "name": "First"}
    manager.post(reverse("admin:new-rule"), answers(world, **how))
    Destination.objects.update(gone_at=timezone.now())
    again = answers(world) | {"number": str(course.id), "trigger": "subscription_restarted"}
    page = manager.post(reverse("admin:new-rule"), again | {"name": "Second"}, follow=True)
    assert "which no longer exists. Enter another number." in words(page)
    manager.post(reverse("admin:new-rule"), again | {"name": ""})
    assert Rule.objects.count() == 2
    assert (str(Destination.objects.get()), Destination.objects.get().gone_at) == ("First", None)


def test_two_people_may_enter_the_same_number_at_once(world: World):
    one, other = (
        catalog.by_number(world.integration, "course", 77, name) for name in ("One", "Other")
    )
    catalog.enter(one)
    catalog.enter(other)
    assert one.pk == other.pk == Destination.objects.get(name="Other").pk


def test_a_simulation_tells_what_thinkific_said_and_that_it_is_asked_again(world: World):
    course = world.course("Doubtful")
    rule = world.rule("product_purchased", "create_course_enrollment", course)
    (would,) = simulation.simulate(world.marketplace, Trigger.PRODUCT_PURCHASED, email=EMAIL).runs
    assert would.notes == []
    Destination.objects.update(unlisted_at=timezone.now())
    (would,) = simulation.simulate(world.marketplace, Trigger.PRODUCT_PURCHASED, email=EMAIL).runs
    assert would.notes == []
    Destination.objects.update(gone_at=timezone.now())
    (again,) = simulation.simulate(world.marketplace, Trigger.PRODUCT_PURCHASED, email=EMAIL).runs
    assert again.calls == would.calls != []
    assert again.rule == rule
    assert again.notes == [
        "Doubtful is gone from Thinkific. Admit would ask Thinkific again, and the action would "
        "fail if that is still so."
    ]


# The page of a rule


def save(client: Client, rule: Rule, **changes: Any) -> Any:
    names = ("marketplace", "scope", "product", "trigger", "integration", "action", "destination")
    data = {name: getattr(rule, f"{name}_id", None) or getattr(rule, name) for name in names}
    found = {name: value for name, value in (data | changes).items() if value is not None}
    page = reverse("admin:rules_rule_change", args=[rule.pk])
    return client.post(page, found | {"enabled": "on"}, follow=True)


def test_a_rule_is_given_another_course_by_its_number(world: World, manager: Client):
    rule = world.rule("product_purchased", "create_course_enrollment", world.course("Old"))
    save(manager, rule, number="/manage/courses/77", name="New")
    entered = Rule.objects.get().destination
    assert entered is not None
    assert (entered.external_id, entered.name, entered.by_hand) == (77, "New", True)
    page = manager.get(reverse("admin:rules_rule_change", args=[rule.pk]))
    assert "New entered by hand" in words(page)
    save(manager, Rule.objects.get())
    assert Rule.objects.get().destination == entered
    viewer = signed_in(roles.VIEWER).get(reverse("admin:rules_rule_change", args=[rule.pk]))
    assert "by its number" not in words(viewer)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"number": "0", "name": "New"}, "No course has the number 0."),
        ({"number": "77"}, "Enter the name of the course too."),
        ({"number": "/manage/bundles/77", "name": "New"}, "the action is for a course"),
        ({"number": "77", "name": "New", "trigger": "course_started"}, "carry no product"),
    ],
)
def test_nothing_is_entered_for_a_rule_that_is_refused(world: World, manager, changes, says):
    old = world.course("Old")
    rule = world.rule("product_purchased", "create_course_enrollment", old, product="1048001")
    assert says in words(save(manager, rule, **changes))
    assert Destination.objects.get() == Rule.objects.get().destination == old


def test_a_list_says_what_is_special_about_a_course(world: World, manager: Client):
    listed, moved = world.course("Listed"), world.course("Moved")
    Destination.objects.filter(pk=moved.pk).update(unlisted_at=timezone.now())
    catalog.enter(catalog.by_number(world.integration, "course", 77, "New"))
    listing = words(manager.get(reverse("admin:integrations_destination_changelist")))
    assert "New (entered by hand)" in listing
    assert "Moved (not listed by Thinkific)" in listing
    assert f"{listed.name} (" not in listing


def test_a_check_in_thinkific_shows_the_name_that_was_entered(world: World, course: Course):
    catalog.enter(catalog.by_number(world.integration, "course", course.id, "By hand"))
    user = world.school.add_user(EMAIL)
    world.school.enroll(user, course)
    world.school.enroll(user, world.school.add_course("Unknown to Admit"))
    customer = Customer.objects.create(email=EMAIL, email_as_sent=EMAIL)
    found = student_check.check(world.integration, customer)
    assert [each.name for each in found.enrolled] == ["By hand", "Unknown to Admit"]
