"""How far something is shows by itself, in a real Chromium."""

import pytest
from playwright.sync_api import Browser, expect

from events.models import Batch, RuleRun
from tests.support import browsing, scenery

pytestmark = pytest.mark.browser


def test_the_page_of_a_batch_follows_it_and_ends_with_what_came_of_it(
    place, address: str, browser: Browser
):
    runs = RuleRun.objects.filter(code="enrolled")[:2]
    batch = Batch.objects.create(title="Retry", started_by="Mia", run_ids=[run.pk for run in runs])
    RuleRun.objects.filter(pk__in=batch.run_ids).update(status="waiting")
    with browsing.window(browser, browsing.LOOKS[0]) as context:
        page = context.new_page()
        browsing.sign_in(page, address, place.people["Owner"], scenery.PASSWORD)
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
