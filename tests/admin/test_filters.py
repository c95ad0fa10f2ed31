"""The filters of lists: the number of rows of each result, and the filter row on a phone."""

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Page, expect

from config.admin.parts import filters
from config.staff import roles
from events.models import EventLog
from tests.support import browsing, factories
from tests.support.pages import markup, signed_in, words
from tests.support.queued import event

LOG = "/admin/events/eventlog/"


@pytest.fixture
def support(db: None) -> Client:
    return signed_in(roles.SUPPORT)


def numbers(page: str) -> dict[str, str]:
    """Each choice of a chip that a number stands beside."""
    return dict(
        re.findall(r'<a href="[^"]*"[^>]*>([^<]+) <span class="soft">([^<]+)</span></a>', page)
    )


def make(status: str, number: int) -> None:
    for _ in range(number):
        made = event(factories.CustomerFactory.create())
        EventLog.objects.filter(pk=made.pk).update(status=status)


def test_each_result_of_the_log_tells_how_many_events_it_is_of(support):
    make("failed", 2)
    make("done", 1)
    for asked in ("", "?result=failed", "?p=1"):
        found = numbers(markup(support.get(LOG + asked)))
        assert (found["Failed"], found["Succeeded"], found["Unreadable"]) == ("2", "1", "0")
        assert "Paid, no access" not in found


@pytest.mark.first_database
def test_yesterday_is_a_choice_beside_today(support):
    day = timezone.localdate() - timedelta(days=1)
    made, *_ = (event(factories.CustomerFactory.create()) for _ in range(2))
    EventLog.objects.update(received_at=timezone.now())
    EventLog.objects.filter(pk=made.pk).update(received_at=timezone.now() - timedelta(days=1))
    choice = f'<a href="?received={day.isoformat()}">Yesterday</a>'
    assert choice in markup(support.get(LOG))
    found = support.get(LOG, {"received": day.isoformat()})
    assert [each.pk for each in found.context["cl"].result_list] == [made.pk]
    assert "Received: Yesterday" in words(found)


def test_so_does_the_list_of_actions(support):
    assert numbers(markup(support.get("/admin/events/rulerun/")))["Failed"] == "0"


def test_beyond_what_matters_nothing_is_counted(support, monkeypatch):
    monkeypatch.setattr(filters, "MAX_COUNT", 2)
    make("failed", 3)
    make("done", 2)
    found = numbers(markup(support.get(LOG)))
    assert (found["Failed"], found["Succeeded"]) == ("2+", "2")


@pytest.mark.parametrize("asked", ["?q=dana", "?received=7", "?trigger__exact=product_refunded"])
def test_no_number_is_told_of_another_list_than_the_one_that_is_shown(support, asked: str):
    make("failed", 1)
    assert numbers(support.get(LOG + asked).content.decode()) == {}


@pytest.fixture
def page(place, address, browser) -> Iterator[Page]:
    """Somebody with a phone, who has signed in."""
    with browsing.window(browser, browsing.Look((360, 740), script=False)) as context:
        found = context.new_page()
        browsing.let_in(found, address, place.people["Owner"])
        yield found


@pytest.mark.browser
def test_on_a_phone_the_filters_are_one_row_that_opens_without_script(page, address):
    page.goto(f"{address}{LOG}?result=failed")
    button = page.locator(".filters > summary")
    chosen = page.locator("a.chosen")
    expect(page.locator(".chip").first).to_be_hidden()
    expect(chosen).to_have_text(re.compile("Failed"))
    places = [each.bounding_box() for each in (button, chosen)]
    assert all(places)
    assert places[0]["y"] == places[1]["y"]
    button.click()
    expect(page.locator(".chip").first).to_be_visible()
    expect(chosen).to_be_hidden()
    page.goto(f"{address}{LOG}?result=failed")
    chosen.click()
    page.wait_for_url(re.compile(r"eventlog/\??$"))
    page.goto(f"{address}{LOG}?product_name=water")
    expect(page.get_by_role("link", name="Watercolor").first).to_be_visible()


@pytest.mark.browser
def test_where_there_is_room_all_filters_stand_there(page, address):
    page.set_viewport_size({"width": 1024, "height": 800})
    page.goto(f"{address}{LOG}?result=failed")
    expect(page.locator(".filters > summary")).to_be_hidden()
    expect(page.locator("a.chosen")).to_be_hidden()
    page.locator(".chip summary", has_text="Trigger").click()
    expect(page.get_by_role("link", name="Product Refunded")).to_be_visible()
