"""A Notify URL from its first field to a receiver that is gone, in a real Chromium."""

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from config.staff import roles
from integrations.models import Integration
from rules.models import Rule
from tests.support import browsing, fitting
from tests.support.pages import person
from tests.support.receiver import Receiver, answers
from tests.support.world import World

pytestmark = pytest.mark.browser
PASSWORD = "only-for-walking"
RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}}


@pytest.fixture
def receiver(settings) -> Iterator[Receiver]:
    settings.ALLOW_PRIVATE_NOTIFY_URLS = True
    with Receiver() as serving:
        yield serving


def menu(page: Page, name: str) -> None:
    page.locator(".menu-side").get_by_role("link", name=name).click()


def test_a_receiver_is_connected_tested_given_a_rule_and_let_go(
    world: World, receiver: Receiver, browser: Browser
):
    someone = person(roles.MANAGER)
    someone.set_password(PASSWORD)
    someone.save()
    with browsing.serving() as address, browsing.window(browser, browsing.LOOKS[0]) as context:
        page = context.new_page()
        troubles: list[str] = []
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on(
            "console", lambda line: troubles.append(line.text) if line.type == "error" else None
        )
        browsing.sign_in(page, address, someone.username, PASSWORD)
        _connect(page, receiver)
        _send_a_test(page, receiver)
        _guided_rule(page)
        _message_arrives(page, world, receiver)
        _receiver_is_gone(page, world, receiver)
    assert troubles == []


def _connect(page: Page, receiver: Receiver) -> None:
    menu(page, "Integrations")
    page.get_by_role("link", name="New integration").click()
    page.get_by_role("link", name="Notify URL").click()
    page.get_by_label("Name").fill("My CRM")
    page.get_by_label("Address").fill(receiver.url)
    page.get_by_role("button", name="Save, and make the secret").click()
    secret = page.get_by_label("Signing secret").input_value()
    assert secret == Integration.objects.get(name="My CRM").secret()
    page.get_by_role("button", name="Copy").click()
    expect(page.locator("#secret-said")).not_to_be_empty()
    receiver.secret = secret
    # A page that no address opens, so test_every_page cannot look at it.
    assert fitting.misfits(page, (320, 768, 1440)) == []
    assert Axe().run(page, options=RULES).response["violations"] == []
    page.get_by_role("link", name="Done").click()
    expect(page.get_by_text(f"ends in …{secret[-4:]}")).to_be_visible()
    assert secret not in page.content()


def _send_a_test(page: Page, receiver: Receiver) -> None:
    page.get_by_role("button", name="Send a test").click()
    expect(page.locator(".messagelist")).to_contain_text("the receiver accepted the test")
    assert len(receiver.verified()) == 1
    receiver.requests.clear()


def _guided_rule(page: Page) -> None:
    menu(page, "Global rules")
    page.get_by_role("link", name="New global rule").click()
    expect(page.get_by_label("Every product")).to_be_checked()
    page.locator("summary", has_text="3. What").click()
    page.locator("#what").get_by_label("My CRM").check()
    expect(page.get_by_label("Send HTTP POST")).to_be_checked()
    page.locator("summary", has_text="2. When").click()
    page.locator("#when").get_by_label("Product Refunded").check()
    expect(page.locator(".sentence")).to_have_text(
        "When any product is refunded, send an HTTP POST to My CRM."
    )
    page.get_by_role("button", name="Add rule").click()
    expect(page.get_by_role("heading", name="Rule added")).to_be_visible()


def _message_arrives(page: Page, world: World, receiver: Receiver) -> None:
    world.sell("20_product")
    world.settle()
    assert len(receiver.verified()) == 1
    menu(page, "Log")
    page.locator("#result_list tbody th a").first.click()
    expect(page.locator(".timeline")).to_contain_text("Sent to My CRM.")


def _receiver_is_gone(page: Page, world: World, receiver: Receiver) -> None:
    receiver.behavior = answers(410)
    world.sell("20_product", order__id=1190)
    world.settle()
    menu(page, "Actions")
    row = page.locator("#result_list tbody tr").first
    expect(row).to_contain_text("it does not want these messages anymore")
    row.get_by_role("link", name="Send HTTP POST").first.click()
    expect(page.get_by_role("link", name="Edit the address")).to_be_visible()
    expect(page.get_by_text("receiver_gone")).to_be_visible()
    page.get_by_role("button", name="Turn the rule off").click()
    expect(page.locator(".messagelist")).to_contain_text("1 rule turned off")
    assert not Rule.objects.get().enabled
