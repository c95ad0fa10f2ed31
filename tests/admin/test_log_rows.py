"""The rows of the log with the longest names, in a real Chromium."""

import pytest
from django.urls import reverse

from tests.support import browsing, crowd, fitting

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("language", ["en", "es"])
def test_nothing_in_a_wide_log_is_cut_off_folded_up_or_not(place, address, browser, language: str):
    crowd.fill(place)
    with browsing.window(browser, browsing.LOOKS[0]) as context:
        page = context.new_page()
        page.context.set_extra_http_headers({"Accept-Language": language})
        browsing.let_in(page, address, place.people["Owner"])
        page.goto(f"{address}{reverse('admin:events_eventlog_changelist')}")
        assert fitting.misfits(page, (1280, 1440, 1920)) == []
