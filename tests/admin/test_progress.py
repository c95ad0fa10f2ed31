"""Progress shows by itself, in a real Chromium."""

import re

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect

from config.admin.parts.buttons import address as button_address
from events.access import by_hand
from events.models import Batch, ComparisonRun, EventLog, Grant, RuleRun
from integrations.models import ApiCall, Customer, Destination
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


def test_an_open_letter_is_put_right_when_the_action_ends(place, address: str, browser: Browser):
    customer = Customer.objects.create(email="gina@example.com", first_name="Gina")
    course = Destination.objects.filter(integration__enabled=True, gone_at=None)[0]
    given = by_hand.give(customer, course, by_hand.Author("Sam", "She called"))
    with browsing.window(browser, browsing.LOOKS[0]) as context:
        page = context.new_page()
        browsing.let_in(page, address, place.people["Owner"])
        page.clock.install()
        page.goto(address + reverse("admin:integrations_customer_change", args=[customer.pk]))
        page.get_by_text("Letter to the customer").click()
        letter, said = page.locator("#reply"), page.locator("#reply-said")
        expect(letter).to_have_value(re.compile("We are sorting out your access"))
        page.locator("[data-copy]").click()
        expect(letter).to_be_focused()
        expect(said).to_have_text("Copied.")
        at = page.evaluate("scrollY")
        given.runs.update(status="done", code="enrolled")
        Grant.objects.filter(customer=customer).update(seen_at=timezone.now())
        page.clock.run_for(6_000)
        expect(letter).not_to_have_value(re.compile("We are sorting out your access"))
        expect(letter).to_have_value(re.compile("You have access to"))
        expect(letter).to_be_visible()
        expect(letter).to_be_focused()
        expect(said).to_have_text("The letter was updated.")
        expect(page.locator("#progress")).to_have_attribute("data-running", "")
        expect(page.locator("main")).not_to_contain_text("Look again")
        assert page.evaluate("scrollY") <= at


def test_a_fold_that_a_person_opened_stays_open_and_its_page_is_put_right(
    place, address: str, browser: Browser
):
    run = RuleRun.objects.filter(code="enrolled").latest("pk")
    ApiCall.objects.create(
        run_id=run.pk, method="GET", url="/", milliseconds=5, sent_at=timezone.now()
    )
    RuleRun.objects.filter(pk=run.pk).update(status="running")
    with browsing.window(browser, browsing.LOOKS[0]) as context:
        page = context.new_page()
        browsing.let_in(page, address, place.people["Owner"])
        page.clock.install()
        page.goto(address + reverse("admin:events_rulerun_change", args=[run.pk]))
        page.locator("#progress summary").click()
        page.locator("#progress summary").evaluate("each => { each.dataset.mine = 'yes' }")
        expect(page.get_by_role("link", name="Look again")).to_be_visible()
        RuleRun.objects.filter(pk=run.pk).update(status="done")
        page.clock.run_for(6_000)
        expect(page.get_by_role("link", name="Look again")).to_have_count(0)
        expect(page.locator("#progress details")).to_have_attribute("open", "")
        expect(page.locator("#progress summary")).to_be_focused()


def test_a_new_event_leaves_the_open_fold_with_its_own_event(place, address: str, browser: Browser):
    """The parts that stay the same are matched by what they say, and not by their place."""
    with browsing.window(browser, browsing.LOOKS[0]) as context:
        page = context.new_page()
        browsing.let_in(page, address, place.people["Owner"])
        customer = Customer.objects.filter(runs__code="enrolled").latest("pk")
        page.goto(address + reverse("admin:integrations_customer_change", args=[customer.pk]))
        found = page.evaluate(
            """() => {
                const list = (...days) => {
                    const made = document.createElement("ol");
                    for (const day of days) {
                        made.innerHTML +=
                            `<li><p>${day}</p><details><summary>Calls</summary></details></li>`;
                    }
                    return made;
                };
                const now = list("Monday", "Sunday");
                now.children[1].querySelector("details").open = true;
                morph(now, list("Tuesday", "Monday, done", "Sunday"));
                return [...now.children].map((each) => [
                    each.querySelector("p").textContent, each.querySelector("details").open]);
            }"""
        )
        assert found == [["Tuesday", False], ["Monday, done", False], ["Sunday", True]]


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


def test_the_message_that_access_is_given_goes_when_it_was_given(
    place, address: str, browser: Browser
):
    customer = Customer.objects.create(email="gina@example.com", first_name="Gina")
    course = Destination.objects.filter(integration__enabled=True, gone_at=None)[0]
    with browsing.window(browser, browsing.LOOKS[0]) as context:
        page = context.new_page()
        browsing.let_in(page, address, place.people["Owner"])
        page.clock.install()
        asked = f"customer={customer.pk}&destination={course.pk}"
        page.goto(f"{address}{reverse('admin:give-access')}?{asked}")
        page.locator("#id_reason").fill("She called")
        page.locator("#content button[type=submit]", has_text="Give access").click()
        message = page.locator(".messagelist li")
        expect(message).to_contain_text("is given to gina@example.com now.")
        expect(page.get_by_role("link", name="Look again")).to_be_visible()
        page.get_by_text("Letter to the customer").click()
        RuleRun.objects.filter(customer=customer).update(status="done", code="enrolled")
        Grant.objects.filter(customer=customer).update(seen_at=timezone.now())
        page.clock.run_for(6_000)
        expect(page.locator("main")).to_contain_text("Gina has had Watercolor")
        expect(page.locator(".messagelist")).to_have_count(0)


def test_the_message_that_a_comparison_started_goes_when_it_is_over(
    place, address: str, browser: Browser
):
    with browsing.window(browser, browsing.LOOKS[0]) as context:
        page = context.new_page()
        browsing.let_in(page, address, place.people["Owner"])
        page.clock.install()
        page.goto(address + reverse("admin:compare"))
        page.get_by_role("button", name="Compare now").click()
        message = page.locator(".messagelist li")
        expect(message).to_contain_text("is being compared.")
        ComparisonRun.objects.update(finished_at=timezone.now())
        page.clock.run_for(6_000)
        expect(page.locator("#progress")).to_contain_text("Last compared")
        expect(message).to_have_count(0)


def test_the_message_that_actions_are_queued_goes_when_they_are_done(
    place, address: str, browser: Browser
):
    runs = RuleRun.objects.filter(code="enrolled").order_by("-pk")[:2]
    batch = Batch.objects.create(title="Retry", started_by="Mia", run_ids=[run.pk for run in runs])
    of_batch = RuleRun.objects.filter(pk__in=batch.run_ids)
    of_batch.update(status="failed", code="rejected", message="No such student.")
    with browsing.window(browser, browsing.LOOKS[0]) as context:
        page = context.new_page()
        browsing.let_in(page, address, place.people["Owner"])
        page.clock.install()
        page.goto(f"{address}/admin/many/?number={batch.pk}")
        page.get_by_role("button", name="Retry all 2").click()
        message = page.locator(".messagelist li")
        expect(message).to_contain_text("2 queued.")
        of_batch.update(status="done", code="enrolled")
        page.clock.run_for(6_000)
        expect(page.get_by_text("2 enrolled")).to_be_visible()
        expect(message).to_have_count(0)


def test_pages_look_soon_at_first_and_then_every_five_seconds(
    place, address: str, browser: Browser
):
    with browsing.window(browser, browsing.LOOKS[0]) as context:
        page = context.new_page()
        browsing.let_in(page, address, place.people["Owner"])
        page.clock.install(time=0)
        page.goto(address + reverse("admin:index"))
        page.clock.pause_at(60_000)
        page.evaluate(
            """() => {
                const start = Date.now();
                window.looks = [];
                window.stop = Fresh.often(async () => { looks.push(Date.now() - start) });
            }"""
        )
        page.clock.run_for(15_000)
        page.evaluate("stop()")
        page.clock.run_for(15_000)
        assert page.evaluate("looks") == [1_000, 2_000, 4_000, 9_000, 14_000]
