"""The rows of long lists on a wide screen, in a real Chromium."""

import pytest
from django.urls import reverse

from tests.support import browsing, crowd, fitting

pytestmark = pytest.mark.browser

LOG, ACTIONS = "admin:events_eventlog_changelist", "admin:events_rulerun_changelist"
LISTS = [LOG, ACTIONS, "admin:integrations_auditentry_changelist", "admin:rules_rule_changelist"]


@pytest.mark.parametrize("language", ["en", "es"])
def test_nothing_in_a_wide_list_is_cut_off_folded_up_or_not(place, address, browser, language: str):
    crowd.fill(place)
    with browsing.window(browser, browsing.LOOKS[0]) as context:
        page = context.new_page()
        page.context.set_extra_http_headers({"Accept-Language": language})
        browsing.let_in(page, address, place.people["Owner"])
        for each in (LOG, ACTIONS):
            page.goto(f"{address}{reverse(each)}")
            assert fitting.misfits(page, (1280, 1440, 1920)) == [], each


HEIGHTS = """() => [...document.querySelectorAll("#result_list tbody tr")].map(
  (row) => Math.round(row.getBoundingClientRect().height)
)"""


@pytest.mark.parametrize("width", [1280, 1440, 1920])
def test_rows_with_usual_names_have_one_height(place, address, browser, width: int):
    with browsing.window(browser, browsing.LOOKS[0]) as context:
        page = context.new_page()
        page.set_viewport_size({"width": width, "height": 900})
        browsing.let_in(page, address, place.people["Owner"])
        for each in LISTS:
            page.goto(f"{address}{reverse(each)}")
            heights = page.evaluate(HEIGHTS)
            # A name that takes two lines is two pixels higher than a name above a smaller line.
            assert max(heights) - min(heights) <= 2, (each, heights)
