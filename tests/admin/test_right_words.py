"""Words and counts that a reader can take at their word."""

import csv
from io import StringIO

import pytest
from django.test import Client
from django.urls import reverse

from config.admin.pages.rules.rules import RuleAdmin
from config.staff import roles
from events.models import EventLog, RuleRun
from tests.support.pages import ACTIONS, markup, rows, signed_in, words
from tests.support.world import World

pytestmark = pytest.mark.first_database

GIVES, ENDS = "create_course_enrollment", "expire_course_enrollment"


@pytest.fixture
def manager(db: None) -> Client:
    return signed_in(roles.MANAGER)


@pytest.fixture
def kept(world: World) -> RuleRun:
    """The action of a refund that ended nothing, because another order gives the course too."""
    ink = world.course("Ink")
    world.rule("product_purchased", GIVES, ink)
    world.rule("product_refunded", ENDS, ink)
    for order in (1183, 1184):
        world.sell("10_product", customer__email="eva@example.com", order__id=order)
        world.settle()
    refund = world.sell("20_product", customer__email="eva@example.com", order__id=1183)
    world.settle()
    assert world.access("eva@example.com", ink)
    return refund.runs.get()


@pytest.mark.parametrize("page", ["integrations_customer", "events_eventlog", "events_rulerun"])
def test_access_that_stays_is_not_shown_as_ended(manager, kept, page):
    number = {
        "integrations_customer": kept.customer_id,
        "events_eventlog": kept.event_id,
        "events_rulerun": kept.pk,
    }[page]
    shown = words(manager.get(reverse(f"admin:{page}_change", args=[number])))
    assert "Kept" in shown
    assert "End access to Ink Done" not in shown


def test_a_file_of_the_log_does_not_say_that_access_ended_which_stays(manager, kept):
    sent = b"".join(manager.post(reverse("admin:csv-log")).streaming_content).decode("utf-8-sig")
    lines = [*csv.reader(StringIO(sent))]
    done = [cell for line in lines for cell in line if "Ink: " in cell]
    assert sorted(done) == ["End access to Ink: Kept", "Enroll in Ink: Done", "Enroll in Ink: Done"]


def test_the_filter_by_result_finds_it_as_kept_and_not_among_what_is_done(manager, kept):
    done = manager.get(reverse(ACTIONS), {"status__exact": "done"})
    assert "End access to Ink" not in words(done)
    assert rows(done) == 2
    page = manager.get(reverse(ACTIONS), {"status__exact": "kept"})
    assert "End access to Ink" in words(page)
    assert rows(page) == 1


def test_rules_are_not_called_other_rules_where_none_matched(manager, world):
    for name in ("Ink", "Oil"):
        world.rule("product_refunded", ENDS, world.course(name))
    event = world.sell("10_product")
    page = words(manager.get(reverse("admin:events_eventlog_change", args=[event.pk])))
    assert "There are 2 rules, and none is about this event" in page
    assert "other rules are not about this event" not in page
    assert EventLog.objects.count() == 1


def test_help_says_how_long_events_are_kept(manager, settings):
    settings.KEEP_EVENTS_DAYS = 1000
    assert "Admit keeps events for 1000 days" in words(manager.get(reverse("admin:help")))
    settings.KEEP_EVENTS_DAYS = 0
    assert "Admit keeps every event" in words(manager.get(reverse("admin:help")))


def test_doing_it_anyway_is_in_the_menu_where_there_was_nothing_to_end(manager, world):
    world.rule("product_refunded", ENDS, world.course("Ink"))
    world.sell("10_product", customer__email="eva@example.com", order__id=1183)
    refund = world.sell("20_product", customer__email="eva@example.com", order__id=1183)
    world.settle()
    run = refund.runs.get()
    assert (run.status, run.code) == ("skipped", "gave_nothing")
    page = markup(manager.get(reverse("admin:events_rulerun_change", args=[run.pk])))
    before, _, menu = page.partition(">More</button>")
    assert "Do it anyway" in menu
    assert "Do it anyway" not in before
    RuleRun.objects.update(code="dismissed")
    page = markup(manager.get(reverse("admin:events_rulerun_change", args=[run.pk])))
    assert "Do it anyway" in page
    assert ">More</button>" not in page


def test_a_product_whose_rules_go_on_on_the_next_page_says_so(manager, world, monkeypatch):
    world.sell("10_product")
    courses = [world.course(name) for name in ("Ink", "Oil", "Wash")]
    for course in courses:
        world.rule("product_purchased", GIVES, course, product="1048001")
    rules = reverse("admin:rules_rule_changelist")
    page = words(manager.get(rules))
    assert "· 3 rules" in page
    assert "on this page" not in page
    monkeypatch.setattr(RuleAdmin, "list_per_page", 2)
    assert "· 3 rules · 2 on this page" in words(manager.get(rules))
    assert "· 3 rules · 1 on this page" in words(manager.get(rules, {"p": 2}))
