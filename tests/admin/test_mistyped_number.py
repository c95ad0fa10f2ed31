"""A mistyped number entered by hand: Admit asks about it, corrects it, and reports it once."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.http import QueryDict
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Browser, expect

from config.staff import roles
from events.models import RuleRun
from integrations.models import Customer, Destination, Product
from integrations.thinkific import catalog
from rules.models import Rule
from tests.support import browsing, queued
from tests.support.pages import markup, said, signed_in, words
from tests.support.world import World

# A form asks, and what became of the buyer is told in words.
pytestmark = pytest.mark.first_database

DANA = "dana@example.com"
NEW_RULE, ANOTHER = "admin:new-rule", "admin:another-course"


@pytest.fixture
def manager(db: None) -> Client:
    return signed_in(roles.MANAGER)


@pytest.fixture
def faces(world: World) -> Destination:
    """The listed course whose number is typed by mistake."""
    return world.course("Drawing Faces")


def question(course: Destination) -> str:
    return f"Number {course.external_id} is {course.name}. Is that the one?"


def answers(world: World, course: Destination, name: str = "Watercolor") -> dict[str, Any]:
    """What is chosen on the page of a new rule, with the number of this course."""
    product, _ = Product.objects.get_or_create(
        external_id="1048001", marketplace=world.marketplace, defaults={"name": "Gift"}
    )
    return {
        "product": product.pk,
        "integration": world.integration.pk,
        "action": "create_course_enrollment",
        "trigger": "product_purchased",
        "number": str(course.external_id),
        "name": name,
    }


def entered(world: World, number: int, name: str = "Watercolor") -> Destination:
    course = catalog.by_number(world.integration, "course", number, name)
    catalog.enter(course)
    return course


def mistyped(world: World, *buyers: str, trigger: str = "product_purchased") -> Destination:
    """A course entered with a number that Thinkific does not have, and what failed by that."""
    wrong = entered(world, 987654)
    world.rule(trigger, "create_course_enrollment", wrong)
    for buyer in buyers:
        world.sell("10_product", customer__email=buyer)
    world.settle()
    return wrong


def correction(gone: Destination, number: object = "", **more: Any) -> dict[str, Any]:
    """What is posted to correct the number for all rules."""
    rules = [rule.pk for rule in gone.rules.all()]
    return {
        "course": gone.pk,
        "rule": rules,
        "destination": "by_number",
        "number": str(number),
    } | more


# The number of another course is asked about


@pytest.mark.parametrize("name", ["", "Watercolor"])
def test_a_new_rule_asks_whether_the_course_that_has_the_number_is_meant(
    world, manager, faces, name
):
    sent = answers(world, faces, name)
    page = manager.get(reverse(NEW_RULE), sent)
    assert question(faces) in words(page)
    assert "Use Drawing Faces Correct the number" in words(page)
    assert "enroll the customer in …" in words(page)
    answer = manager.post(reverse(NEW_RULE), sent, follow=True)
    assert said(answer) == [f"Nothing was added yet. {question(faces)}"]
    assert question(faces) in words(answer).partition("4. Course")[2]
    assert not Rule.objects.exists()


def test_the_listed_course_is_used_beside_those_that_were_chosen(world, manager, faces):
    ink = world.course("Ink")
    sent = answers(world, faces) | {"destination": ink.pk}
    page = manager.post(reverse(NEW_RULE), sent | {"use": faces.pk}, follow=True)
    assert "enroll the customer in Drawing Faces and Ink on Art Academy" in words(page)
    assert "Is that the one?" not in words(page)
    assert f'value="{faces.external_id}"' not in markup(page)
    assert not Rule.objects.exists()  # it was only chosen
    (query,) = {address.partition("?")[2] for address, _ in page.redirect_chain}
    manager.post(reverse(NEW_RULE), dict(QueryDict(query).lists()))
    assert {rule.destination for rule in Rule.objects.all()} == {faces, ink}
    assert Destination.objects.count() == 2


@pytest.mark.parametrize("name", ["Drawing Faces", " drawing faces "])
def test_the_right_name_beside_the_number_needs_no_question(world, manager, faces, name):
    manager.post(reverse(NEW_RULE), answers(world, faces, name))
    assert Rule.objects.get().destination == faces
    assert Destination.objects.get().name == "Drawing Faces"


def test_what_was_entered_by_hand_is_not_renamed_by_another_who_types_its_number(world, manager):
    first = entered(world, 77, "First")
    answer = manager.post(reverse(NEW_RULE), answers(world, first, "Second"), follow=True)
    assert said(answer) == [f"Nothing was added yet. {question(first)}"]
    assert Destination.objects.get().name == "First"


def test_the_page_of_a_rule_asks_the_same(world, manager, faces):
    rule = world.rule("product_purchased", "create_course_enrollment", world.course("Ink"))
    address = reverse("admin:rules_rule_change", args=[rule.pk])
    sent = {
        "marketplace": rule.marketplace_id,
        "scope": rule.scope,
        "trigger": rule.trigger,
        "integration": rule.integration_id,
        "action": rule.action,
        "destination": rule.destination_id,
        "enabled": "on",
        "number": faces.external_id,
        "name": "Watercolor",
    }
    page = manager.post(address, sent)
    assert question(faces) in words(page)
    assert Rule.objects.get().destination == rule.destination
    page = manager.post(address, sent | {"use": faces.pk}, follow=True)
    assert "enroll the customer in Drawing Faces on Art Academy" in words(page)
    assert f'id="d{faces.pk}" checked' in markup(page)
    manager.post(address, sent | {"destination": faces.pk, "number": "", "name": ""})
    assert Rule.objects.get().destination == faces


def test_a_correction_to_the_number_of_another_course_enrolls_nobody_before_it_is_said(
    world, manager, faces
):
    gone = mistyped(world, DANA, "olga@example.com")
    sent = correction(gone, faces.external_id)
    page = manager.post(reverse(ANOTHER), sent)
    assert question(faces) in words(page)
    assert "Use Drawing Faces Correct the number" in words(page)
    assert 'href="#number"' in page.content.decode()
    assert f'value="{faces.external_id}"' in page.content.decode()  # to be corrected
    world.settle()
    assert {run.status for run in RuleRun.objects.all()} == {"failed"}
    assert {rule.destination_id for rule in Rule.objects.all()} == {gone.pk}
    manager.post(reverse(ANOTHER), sent | {"use": faces.pk})
    world.settle()
    assert {run.status for run in RuleRun.objects.all()} == {"done"}
    assert world.access(DANA, faces)


def test_a_correction_never_takes_or_renames_a_course_that_is_gone(world, manager):
    wrong, clay = mistyped(world, DANA), entered(world, 777002, "Clay")
    Destination.objects.filter(pk=clay.pk).update(gone_at=timezone.now())
    page = manager.post(reverse(ANOTHER), correction(wrong, 777002))
    expected = "Number 777002 is Clay, which no longer exists. Enter another number."
    assert expected in words(page)
    assert "Use Clay" not in words(page)
    assert Rule.objects.get().destination == wrong
    clay.refresh_from_db()
    assert clay.name == "Clay"
    assert clay.gone_at


def test_the_number_is_named_and_marked_where_it_is_missing(world, manager):
    gone = mistyped(world, DANA)
    page = manager.post(reverse(ANOTHER), correction(gone))
    assert "Nothing was changed: correct what is marked below" in words(page)
    assert "Enter the number of the course." in words(page)
    assert "This field is required" not in words(page)
    assert re.search(r'name="number"[^>]*aria-invalid="true"', page.content.decode())


# After the correction


def test_the_customers_page_tells_once_what_was_corrected_and_that_she_is_in(world, manager):
    right = world.course()
    world.school.courses[right.external_id].new_builder = True
    catalog.refresh(world.integration)
    gone = mistyped(world, DANA)
    world.rule("subscription_restarted", "create_course_enrollment", gone)
    manager.post(reverse(ANOTHER), correction(gone, 876543), follow=True)
    world.settle()
    second = Destination.objects.get(external_id=876543)
    sent = correction(second, right.external_id, use=right.pk)
    manager.post(reverse(ANOTHER), sent, follow=True)  # its message is read there
    world.settle()
    page = manager.get(_customer())
    first = words(page).partition("Everything that happened")[0]
    assert "was not given" not in first
    assert first.count("Dana has had Course Two since") == 1
    told = rf"Its number was corrected to {right.external_id} on \d"
    assert len(re.findall(told, first)) == 1
    assert len(re.findall(rf"\b{right.external_id}\b", first)) == 1
    assert "876543" not in first
    history = words(page).partition("Everything that happened")[2]
    assert "Failed attempt " in history


def test_what_failed_and_was_dismissed_is_told_as_before(world, manager):
    mistyped(world, DANA)
    run = RuleRun.objects.get()
    manager.post(reverse("admin:events_rulerun_do_dismiss", args=[run.pk]))
    assert "Dana: Watercolor was not given." in words(manager.get(_customer()))


def _customer() -> str:
    customer = Customer.objects.get(email=DANA)
    return reverse("admin:integrations_customer_change", args=[customer.pk])


def test_what_was_typed_and_ticked_stays_when_the_courses_are_read_again(world, manager):
    wrong = mistyped(world, DANA)
    rule = wrong.rules.get()
    kept = world.rule("subscription_recovered", "create_course_enrollment", wrong)
    world.course("New since")
    Destination.objects.filter(name="New since").delete()
    sent = correction(wrong, "98765x", rule=[kept.pk], refresh="1", back="/admin/")
    page = manager.post(reverse(ANOTHER), sent)
    shown = markup(page)
    assert 'id="number" value="98765x"' in shown
    assert 'id="by-number" checked' in shown
    assert f'id="r{kept.pk}" checked' in shown
    assert f'id="r{rule.pk}" checked' not in shown
    assert '<a href="/admin/">Back</a>' in shown
    assert "Art Academy: refreshed." in words(page)
    assert "New since" in words(page)
    assert {each.destination for each in Rule.objects.all()} == {wrong}


def test_who_may_not_set_up_has_nothing_read_again_from_a_correction(world):
    wrong = mistyped(world, DANA)
    client = signed_in(roles.MANAGER)
    Permission.objects.get(codename="change_integration").group_set.clear()
    assert "Not there?" not in words(client.get(reverse(ANOTHER), {"course": wrong.pk}))
    assert client.post(reverse(ANOTHER), correction(wrong, refresh="1")).status_code == 403


def test_the_mistyped_entry_goes_with_the_correction_and_that_is_said(world, manager):
    right = world.course("Watercolor")
    gone = mistyped(world, DANA)
    page = manager.post(reverse(ANOTHER), correction(gone, right.external_id), follow=True)
    assert said(page) == [
        f"1 rule uses Watercolor, number {right.external_id} from now on. "
        "Watercolor, number 987654, is not in the list anymore."
    ]
    assert Destination.objects.get() == right
    world.settle()
    assert RuleRun.objects.get().status == "done"


@pytest.mark.parametrize("left", ["rule", "failed"])
def test_the_mistyped_entry_stays_while_something_names_it(world, manager, left):
    right = world.course("Watercolor")
    gone = mistyped(world, DANA)
    if left == "failed":
        queued.run(gone, status="failed")  # of a rule that was deleted
        sent = correction(gone, right.external_id)
    else:
        sent = correction(gone, right.external_id)
        world.rule("subscription_recovered", "create_course_enrollment", gone)
    page = manager.post(reverse(ANOTHER), sent, follow=True)
    assert said(page) == [f"1 rule uses Watercolor, number {right.external_id} from now on."]
    assert Destination.objects.filter(pk=gone.pk).exists()


# Where it is offered


def test_the_overview_offers_to_correct_the_number_before_a_retry_that_would_fail_again(
    world, manager
):
    mistyped(world, DANA)
    run = RuleRun.objects.get()
    for page in (reverse("admin:index"), f"{reverse('admin:events_rulerun_changelist')}"):
        row = words(manager.get(page))
        name = f" {run} "
        assert f"Correct the number{name}Retry" in row
    assert "Correct the number Retry" in words(manager.get(_customer()))


def test_many_rows_cost_one_question_for_what_is_gone(world, manager):
    mistyped(world, DANA)
    page = reverse("admin:events_rulerun_changelist")
    manager.get(page)
    with CaptureQueriesContext(connection) as one:
        manager.get(page)
    for number in range(4):
        world.sell("10_product", customer__email=f"b{number}@example.com", order__id=number + 5)
    world.settle()
    with CaptureQueriesContext(connection) as five:
        text = words(manager.get(page))
    assert text.count(f"Correct the number {RuleRun.objects.earliest('pk')} ") == 5
    assert len(five) == len(one)


# By hand, in a browser


@pytest.mark.browser
@pytest.mark.parametrize("script", [True, False])
def test_the_question_is_answered_with_and_without_script(
    place, address: str, browser: Browser, script: bool
):
    course = Destination.objects.filter(kind="course", gone_at=None, by_hand=False).earliest("pk")
    product = Product.objects.earliest("pk")
    with browsing.window(browser, browsing.Look(script=script)) as context:
        page = context.new_page()
        browsing.let_in(page, address, place.people["Owner"])
        chosen = f"product={product.pk}&integration={course.integration_id}"
        page.goto(f"{address}{reverse(NEW_RULE)}?{chosen}&trigger=subscription_charged")
        page.locator("#by-number > summary").click()
        page.locator("#by-number-number").fill(str(course.external_id))
        page.locator("#by-number-name").fill("Another name")
        if not script:
            page.locator("#by-number [name=go_on]").click()
        asked = page.get_by_text("Is that the one?")
        expect(asked).to_be_visible()
        page.get_by_role("link", name="Correct the number").click()
        expect(page.locator("#by-number-number")).to_be_focused()
        page.get_by_role("button", name=f"Use {course.name}").click()
        expect(page.locator("#sentence")).to_contain_text(course.name)
        expect(asked).to_have_count(0)
        expect(page.locator("#by-number-number")).to_have_value("")
