"""A creator's first day, in a real Chromium: from signing in to a customer's page."""

import django.apps
import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from playwright.sync_api import Browser, Page, expect

from config.staff import roles
from events.models import EventLog, RuleRun
from integrations import credentials
from integrations.models import Integration, Marketplace
from integrations.thinkific.sandbox import Sandbox
from tests.support import browsing, factories
from tests.support.scenery import PUBLIC_URL
from tests.support.world import World

pytestmark = pytest.mark.browser
PASSWORD = "only-for-walking"


@pytest.fixture
def walk(sandbox: Sandbox, transactional_db, settings) -> World:
    """A school in Thinkific, a SamCart account with an address, and nothing else."""
    settings.PUBLIC_URL = PUBLIC_URL
    roles.grant(django.apps.apps)
    person = get_user_model().objects.create_user("noor@example.com", password=PASSWORD)
    person.is_staff = True
    person.save()
    person.groups.set(Group.objects.filter(name=roles.MANAGER))
    school = sandbox.add_school("acme", key=factories.KEY)
    school.add_course("Watercolor", private=True)
    school.add_field("Company")
    shop = Marketplace.objects.create(name="Main shop")
    return World(
        sandbox=sandbox,
        school=school,
        integration=Integration(),
        marketplace=shop,
        secret=credentials.add_webhook_secret(shop),
    )


def menu(page: Page, name: str) -> None:
    page.locator(".menu-side").get_by_role("link", name=name).click()


def test_a_creator_connects_decides_and_understands_everything(walk: World, browser: Browser):
    with browsing.serving() as address, browsing.window(browser, browsing.LOOKS[0]) as context:
        page = context.new_page()
        troubles: list[str] = []
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on(
            "console", lambda line: troubles.append(line.text) if line.type == "error" else None
        )
        browsing.sign_in(page, address, "noor@example.com", PASSWORD)
        expect(page.get_by_role("heading", name="To set up")).to_be_visible()
        _connect(page, walk)
        _copy_the_address(page, walk)
        _first_event(page, walk)
        _guided_rule(page)
        _purchase_appears_live(page, walk)
        _refund(page, walk)
        _failed_and_mended(page, walk)
        _customer(page)
    assert troubles == []


def _connect(page: Page, walk: World) -> None:
    menu(page, "Integrations")
    page.get_by_role("link", name="New integration").first.click()
    page.get_by_role("link", name="Thinkific").click()
    page.get_by_label("Name").fill("Art Academy")
    page.get_by_label("Site URL").fill("https://acme.thinkific.com/")
    page.get_by_label("API key or access token").fill(factories.KEY)
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".messagelist")).to_contain_text("1 course, 0 bundles, 1 signup field")
    walk.school.add_course("Urban Sketching", private=True)
    menu(page, "Integrations")
    page.get_by_role("button", name="Actions for Art Academy").click()
    page.get_by_role("button", name="Refresh Art Academy").click()
    expect(page.locator(".messagelist")).to_contain_text("2 courses")
    expect(page.locator(".messagelist")).to_contain_text("1 new course")
    page.get_by_role("link", name="Art Academy", exact=True).click()
    page.locator("input[name$=samcart_field]").first.fill("Company")
    page.locator("select[name$=profile_field]").first.select_option(label="Company")
    page.get_by_role("button", name="Save").click()
    assert Integration.objects.get().field_mappings.get().samcart_field == "Company"


def _copy_the_address(page: Page, walk: World) -> None:
    menu(page, "SamCart")
    page.get_by_role("button", name="Show").click()
    wanted = f"{PUBLIC_URL}/hooks/samcart/{walk.secret}/"
    field = page.get_by_label("Notify URL of Main shop")
    expect(field).to_have_value(wanted)
    page.get_by_role("button", name="Copy").first.click()


def _first_event(page: Page, walk: World) -> None:
    walk.sell("10_product", product__name="Watercolor for Beginners")
    walk.settle()
    menu(page, "Products")
    page.get_by_role("link", name="Watercolor for Beginners").click()


def _guided_rule(page: Page) -> None:
    page.get_by_role("link", name="New rule").click()
    page.wait_for_load_state("load")  # a script listens to what is typed from then on
    page.get_by_label("Part of the name of a course").fill("water")  # type-ahead
    expect(page.get_by_label("Urban Sketching")).to_have_count(0)
    page.locator("#courses").get_by_label("Watercolor").check()
    expect(page.locator(".sentence")).to_have_text(
        "When Watercolor for Beginners is purchased, enroll the customer in Watercolor "
        "on Art Academy."
    )
    page.get_by_label("Yes, or I am not sure").check()
    expect(page.locator("input[name=pair]:checked")).to_have_count(4)
    page.get_by_role("button", name="Add the rule and what is selected").click()
    expect(page.get_by_role("heading", name="5 rules added")).to_be_visible()
    expect(page.get_by_text("1 buyer paid before and got nothing for it.")).to_be_visible()


def _purchase_appears_live(page: Page, walk: World) -> None:
    menu(page, "Log")
    expect(page.locator("#result_list tbody tr")).to_have_count(1)
    walk.sell("10_product", customer__email="joel@example.com", order__id=1190)
    walk.settle()
    # By itself, without a click.
    expect(page.locator("#result_list tbody tr")).to_have_count(2, timeout=25_000)
    row = page.locator("#result_list tbody tr").first
    expect(row).to_contain_text("joel@example.com")
    expect(row).to_contain_text("Succeeded")
    row.locator("th a").click()
    expect(page.locator(".timeline")).to_contain_text("Enrolled in Watercolor.")
    expect(page.get_by_role("heading", name="Why")).to_be_visible()
    expect(page.locator("table")).to_contain_text("It matches: its trigger and product are those")


def _refund(page: Page, walk: World) -> None:
    walk.sell("20_product", customer__email="joel@example.com", order__id=1190)
    walk.settle()
    menu(page, "Log")
    expect(page.locator("#result_list tbody tr").first).to_contain_text("Product Refunded")
    assert RuleRun.objects.filter(action="expire_course_enrollment", status="done").count() == 1


def _failed_and_mended(page: Page, walk: World) -> None:
    course = next(each for each in walk.school.courses.values() if each.name == "Watercolor")
    walk.school.remove_course(course)
    walk.sell("10_product", customer__email="priya@example.com", order__id=1191)
    walk.settle()
    menu(page, "Actions")
    row = page.locator("#result_list tbody tr").first
    expect(row).to_contain_text("Watercolor is gone from Thinkific")
    walk.school.courses[course.id] = course  # the creator brings it back
    walk.school.products[course.product_id] = course
    row.get_by_role("button", name="Retry").click()
    expect(page.locator(".messagelist")).to_contain_text("1 queued.")
    walk.settle()
    page.reload()
    expect(page.locator("#result_list tbody tr").first).to_contain_text("Done")
    assert EventLog.objects.latest("pk").status == "done"


def _customer(page: Page) -> None:
    menu(page, "Customers")
    page.locator("main").get_by_role("searchbox").fill("priya")
    page.get_by_role("button", name="Search").click()
    expect(page.locator(".note").first).to_contain_text("has had Watercolor since")
    page.get_by_role("button", name="Check in Thinkific").click()
    expect(page.locator(".messagelist")).to_contain_text("Watercolor: full access")


COUNT = "addEventListener('pointerdown', () => window.pressed(), true)"


def test_from_signing_in_to_the_first_enrollment_it_takes_ten_clicks(walk: World, browser: Browser):
    with browsing.serving() as address, browsing.window(browser, browsing.LOOKS[0]) as context:
        page = context.new_page()
        clicks: list[int] = []
        page.expose_function("pressed", lambda: clicks.append(1))
        page.add_init_script(COUNT)
        browsing.sign_in(page, address, "noor@example.com", PASSWORD)
        page.locator("a[href*='integration/add/?app=thinkific']").first.click()
        page.get_by_label("Name").fill("Art Academy")
        page.get_by_label("Site URL").fill("https://acme.thinkific.com/")
        page.get_by_label("API key or access token").fill(factories.KEY)
        page.get_by_role("button", name="Save").click()
        expect(page.locator(".messagelist")).to_contain_text("1 course")
        _copy_the_address(page, walk)
        walk.sell("10_product", product__name="Watercolor for Beginners")
        walk.settle()
        menu(page, "All rules")
        page.get_by_role("link", name="New rule").click()
        page.locator("#courses").get_by_label("Watercolor").click()
        expect(page.locator(".sentence")).to_contain_text("in Watercolor on Art Academy")
        page.get_by_role("button", name="Add the rule").click()
        expect(page.get_by_role("heading", name="rules added")).to_be_visible()
        walk.sell("10_product", customer__email="joel@example.com", order__id=1190)
        walk.settle()
        assert RuleRun.objects.get().message == "Enrolled in Watercolor."
    assert 5 < len(clicks) <= 10
