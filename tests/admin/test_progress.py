"""Progress shows by itself, in a real Chromium."""

import re

import pytest
from django.urls import reverse
from playwright.sync_api import Browser, Page, expect

from config.admin.parts.buttons import address as button_address
from events.models import Batch, EventLog, RuleRun
from integrations.models import Customer
from tests.support import browsing

pytestmark = pytest.mark.browser


def test_the_page_of_a_batch_follows_it_and_ends_with_what_came_of_it(
    place, address: str, browser: Browser
):
    runs = RuleRun.objects.filter(code="enrolled")[:2]
    batch = Batch.objects.create(title="Retry", started_by="Mia", run_ids=[run.pk for run in runs])
    RuleRun.objects.filter(pk__in=batch.run_ids).update(status="waiting")
    with browsing.window(browser, browsing.LOOKS[0]) as context:
        page = context.new_page()
        browsing.let_in(page, address, place.people["Owner"])
        page.clock.install()
        page.goto(f"{address}/admin/many/?number={batch.pk}")
        expect(page.get_by_text("0 of 2 done.")).to_be_visible()
        RuleRun.objects.filter(pk=batch.run_ids[0]).update(status="done")
        page.clock.run_for(6_000)
        expect(page.get_by_text("1 of 2 done. 1 enrolled")).to_be_visible()
        RuleRun.objects.filter(pk=batch.run_ids[1]).update(status="done")
        page.locator("#find-all").fill("dana")
        page.clock.run_for(6_000)
        expect(page.locator("#find-all")).to_have_value("dana")
        expect(page.locator("progress")).to_have_count(1)
        page.keyboard.press("Escape")  # closes the hits below the field
        page.locator("#find-all").blur()
        page.clock.run_for(6_000)
        expect(page.get_by_text("2 enrolled")).to_be_visible()
        expect(page.locator("progress")).to_have_count(0)


def follow(page: Page) -> None:
    """Let the page fetch its part again once."""
    page.evaluate("document.getElementById('progress').dataset.before = 'yes'")
    page.clock.run_for(6_000)
    expect(page.locator("#progress[data-before]")).to_have_count(0)


def test_a_customers_page_is_printed_and_copied_from_while_it_follows_an_action(
    place, address: str, browser: Browser
):
    customer = Customer.objects.filter(runs__code="enrolled").latest("pk")
    RuleRun.objects.filter(customer=customer, code="enrolled").update(status="running")
    with browsing.window(browser, browsing.LOOKS[0]) as context:
        page = context.new_page()
        browsing.let_in(page, address, place.people["Owner"])
        page.clock.install()
        page.goto(address + reverse("admin:integrations_customer_change", args=[customer.pk]))
        page.evaluate("() => { window.print = () => { document.title = 'printed' } }")
        follow(page)
        page.locator("[data-print]").click()
        assert page.title() == "printed"
        page.get_by_text("Letter to the customer").click()
        page.locator("[data-copy]").click()
        expect(page.locator("#reply-said")).not_to_be_empty()


def test_what_is_typed_on_an_events_page_stays_while_it_follows_an_action(
    place, address: str, browser: Browser
):
    run, other = RuleRun.objects.filter(code="enrolled").order_by("-pk")[:2]
    event = run.event
    RuleRun.objects.filter(pk=run.pk).update(status="failed", code="no_email", customer=None)
    RuleRun.objects.filter(pk=other.pk).update(status="running", event=event)
    EventLog.objects.filter(pk=event.pk).update(customer=None)
    with browsing.window(browser, browsing.LOOKS[0]) as context:
        page = context.new_page()
        browsing.let_in(page, address, place.people["Owner"])
        page.clock.install()
        page.goto(address + reverse("admin:events_eventlog_change", args=[event.pk]))
        page.locator("#id_email").fill("dana@example.com")
        page.locator("#id_email").blur()
        page.clock.run_for(6_000)
        page.wait_for_timeout(500)
        expect(page.locator("#id_email")).to_have_value("dana@example.com")


@pytest.mark.parametrize("where", ["index", "events_rulerun_changelist"])
def test_a_retry_that_fails_again_says_so_where_it_was_pressed(
    place, address: str, browser: Browser, where: str
):
    run = RuleRun.objects.filter(code="enrolled").latest("pk")
    failed = RuleRun.objects.filter(pk=run.pk)
    failed.update(status="failed", code="rejected", message="No such student.")
    with browsing.window(browser, browsing.LOOKS[0]) as context:
        page = context.new_page()
        browsing.let_in(page, address, place.people["Owner"])
        page.clock.install()
        page.goto(address + reverse(f"admin:{where}"))
        page.locator(f"[formaction='{button_address(run, 'retry')}']").first.click()
        message = page.locator(".messagelist li")
        expect(message).to_contain_text("1 queued.")
        page.clock.run_for(6_000)
        expect(message).to_contain_text("See the results")
        expect(message).not_to_contain_text("1 queued.")
        failed.update(status="failed", message="There is still no such student.")
        page.clock.run_for(6_000)
        expect(message).to_contain_text("Retry: 1 failed.")
        expect(message).to_contain_text("There is still no such student.")
        expect(message).not_to_contain_text("queued")
        expect(message).to_have_class(re.compile("error"))
