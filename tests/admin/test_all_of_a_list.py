"""Bulk actions on everything that a list finds, on every page, a thousand rows at a time."""

import re
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from config.admin.pages import bulk_actions as pages
from config.staff import roles
from events.models import RuleRun
from events.reports.earlier import batch_preview
from tests.support import factories, queued
from tests.support.pages import ACTIONS, LOG, markup, signed_in, words

pytestmark = [pytest.mark.django_db, pytest.mark.first_database]


@pytest.fixture
def support() -> Client:
    return signed_in(roles.SUPPORT)


@pytest.fixture(autouse=True)
def _three_at_once(monkeypatch) -> None:
    for module in (batch_preview, pages):
        monkeypatch.setattr(module, "MAX_LINES", 3)


def failed(number: int) -> list[RuleRun]:
    course = factories.DestinationFactory.create(name="Course Two")
    return [queued.run(course, status="failed") for _ in range(number)]


def choose_all(client: Client, page: str, action: str) -> Any:
    """Tick "All 142" and no line, and press Go."""
    data = {"action": action, "index": "0", "select_across": "1"}
    return client.post(f"{reverse(page)}?q=", data)


def press(client: Client, page: Any, label: str) -> Any:
    """Press the button of the page that begins with this label."""
    for address, inside in re.findall(
        r'<form method="post" action="([^"]*)">(.*?)</form>', markup(page), re.S
    ):
        if re.search(rf"<button[^>]*>{label}", inside):
            hidden = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', inside)
            sent = {name: unescape(value) for name, value in hidden}
            return client.post(unescape(address), sent, follow=True)
    raise AssertionError(label)


@pytest.mark.parametrize("count", [50, 51])
def test_all_is_offered_where_a_list_has_more_than_a_page(support, count):
    run = failed(1)[0]
    RuleRun.objects.bulk_create(
        RuleRun(
            event=run.event,
            received_at=run.received_at,
            action=run.action,
            destination_id=number,
            status="failed",
        )
        for number in range(1000, 1000 + count - 1)
    )
    page = support.get(reverse(ACTIONS))
    assert ("All 51 actions" in words(page)) is (count == 51)
    assert ('type="checkbox" name="select_across"' in page.content.decode()) is (count == 51)


def test_all_are_retried_a_look_after_the_other_and_each_once(support):
    runs = failed(7)
    page = choose_all(support, ACTIONS, "retry_chosen")
    for expected in (3, 3, 1):
        assert f"Retry for {expected}" in words(page)
        assert len(re.findall(r"\d+", _chosen(page))) == expected
        page = press(support, page, "Retry for")
        if expected == 3:
            page = press(support, page, "Look at the next ones")
    assert "Look at the next ones" not in words(page)
    assert {each.status for each in RuleRun.objects.all()} == {"waiting"}
    assert len(runs) == 7


def _chosen(page: Any) -> str:
    (found,) = re.findall(r'name="chosen" value="([^"]*)"', markup(page))
    return str(found)


def test_those_of_a_look_can_be_left_out(support):
    runs = failed(4)
    page = choose_all(support, LOG, "retry_chosen")
    page = press(support, page, "Leave these out")
    press(support, page, "Retry for 1")
    assert [each.status for each in RuleRun.objects.order_by("pk")] == ["failed"] * 3 + ["waiting"]
    assert len(runs) == 4


def test_all_are_dismissed_by_a_look_as_well(support):
    failed(4)
    page = choose_all(support, ACTIONS, "dismiss_chosen")
    assert set(RuleRun.objects.values_list("status", flat=True)) == {"failed"}
    page = press(support, page, "Dismiss for 3")
    page = press(support, page, "Look at the next ones")
    press(support, page, "Dismiss for 1")
    assert set(RuleRun.objects.values_list("status", flat=True)) == {"skipped"}


def test_all_takes_only_what_the_filters_find(support):
    failed(2)
    RuleRun.objects.filter(pk=RuleRun.objects.earliest("pk").pk).update(status="held")
    data = {"action": "dismiss_chosen", "index": "0", "select_across": "1"}
    page = support.post(f"{reverse(ACTIONS)}?status__exact=held", data)
    assert "Dismiss for 1" in words(page)
