"""After a Retry, the message and the first line of a page say the same."""

from collections.abc import Callable

import pytest
from django.urls import reverse
from playwright.sync_api import Browser, expect

from config.admin.parts.buttons import address as button_address
from config.staff import roles
from events.execution import wait_reasons
from events.models import RuleRun
from tests.support import browsing, scenery
from tests.support.pages import signed_in, words

pytestmark = pytest.mark.first_database

Page = Callable[[RuleRun], str]
PAGES = pytest.mark.parametrize(
    "page_of",
    [
        lambda run: reverse("admin:events_rulerun_change", args=[run.pk]),
        lambda run: reverse("admin:integrations_customer_change", args=[run.customer_id]),
        lambda run: reverse("admin:index"),
    ],
    ids=["action", "customer", "overview"],
)
NO_STUDENT, STILL_NONE = "No such student.", "There is still no such student."


@pytest.fixture
def failed(place: scenery.Scenery) -> RuleRun:
    run = RuleRun.objects.filter(code="enrolled").latest("pk")
    RuleRun.objects.filter(pk=run.pk).update(status="failed", code="rejected", message=NO_STUDENT)
    return run


@PAGES
def test_what_had_failed_again_before_the_page_was_drawn_is_not_called_queued(
    failed: RuleRun, page_of: Page
):
    manager = signed_in(roles.MANAGER)
    manager.post(button_address(failed, "retry"), {"back": page_of(failed)})
    RuleRun.objects.filter(pk=failed.pk).update(status="failed", message=STILL_NONE)
    page = manager.get(page_of(failed))
    assert "Retry: 1 failed." in words(page)
    assert STILL_NONE in words(page)
    assert "queued" not in words(page).partition("Everything that happened")[0]
    assert "data-follow" not in page.content.decode()


def test_the_message_does_not_say_that_it_is_over_while_the_page_still_shows_it_waiting(
    failed: RuleRun, monkeypatch
):
    """It ends after the page has read it, and before the message is drawn."""
    manager = signed_in(roles.MANAGER)
    page_of = reverse("admin:events_eventlog_change", args=[failed.event_id])
    manager.post(button_address(failed, "retry"), {"back": page_of})
    under_way = wait_reasons.under_way

    def ends_now(runs: list[RuleRun]) -> bool:
        found = under_way(runs)
        RuleRun.objects.filter(pk=failed.pk).update(status="done", message="Enrolled.")
        return found

    monkeypatch.setattr(wait_reasons, "under_way", ends_now)
    page = manager.get(page_of)
    assert "Retry: 1 done." not in words(page)
    assert "data-follow" in page.content.decode()


@pytest.mark.browser
@PAGES
def test_the_first_line_changes_with_the_message(
    place, address: str, browser: Browser, failed: RuleRun, page_of: Page
):
    # What waits for its next attempt is not under way, so the page alone does not follow it.
    again = RuleRun.objects.filter(pk=failed.pk)
    with browsing.window(browser, browsing.LOOKS[0]) as context:
        page = context.new_page()
        browsing.let_in(page, address, place.people["Owner"])
        page.clock.install()
        page.goto(address + page_of(failed))
        at = button_address(failed, "retry")
        page.locator(f"[formaction='{at}'], [action='{at}'] button").first.click()
        expect(page.locator(".messagelist li")).to_contain_text("1 queued.")
        again.update(status="failed", message=STILL_NONE)
        page.clock.run_for(6_000)
        expect(page.locator("main")).to_contain_text(STILL_NONE)
        expect(page.locator("main")).not_to_contain_text("1 queued.")


@pytest.mark.browser
def test_a_list_within_a_message_stays_in_one_piece_when_it_is_said_again(
    place, address: str, browser: Browser
):
    with browsing.window(browser, browsing.LOOKS[0]) as context:
        page = context.new_page()
        browsing.let_in(page, address, place.people["Owner"])
        page.goto(address + reverse("admin:events_rulerun_changelist"))
        page.evaluate(
            "() => { const said = '<li id=outer>2 left: <ul><li>one</li><li>two</li></ul></li>';"
            "history.replaceState({ said }, ''); location.reload(); }"
        )
        expect(page.locator(".messagelist > #outer > ul > li")).to_have_count(2)
        expect(page.locator(".messagelist > li")).to_have_count(1)


@pytest.mark.browser
@PAGES
def test_what_came_of_it_is_still_said_once_the_page_was_loaded_again(
    place, address: str, browser: Browser, failed: RuleRun, page_of: Page
):
    again = RuleRun.objects.filter(pk=failed.pk)
    with browsing.window(browser, browsing.LOOKS[0]) as context:
        page = context.new_page()
        browsing.sign_in(page, address, place.people["Owner"], scenery.PASSWORD)
        page.clock.install()
        page.goto(address + page_of(failed))
        at = button_address(failed, "retry")
        page.locator(f"[formaction='{at}'], [action='{at}'] button").first.click()
        message = page.locator(".messagelist li")
        expect(message).to_contain_text("1 queued.")
        page.evaluate("document.body.dataset.before = 'yes'")
        again.update(status="failed", message=STILL_NONE)
        page.clock.run_for(6_000)
        if page.locator("#progress").count():  # else it changes nothing but the message
            expect(page.locator("body[data-before]")).to_have_count(0)
        expect(message).to_have_count(1)
        page.clock.run_for(6_000)
        expect(message).to_contain_text("Retry: 1 failed.")
        expect(message).to_contain_text(STILL_NONE)
        page.reload()
        expect(page.locator("main h1")).to_be_visible()
        expect(message).to_have_count(0)
