"""The frame of every page: menu, buttons, lists, badges, and what strangers sent."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.db.models import OuterRef, Subquery
from django.http import HttpRequest
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import mark_safe

from config.admin import menu
from config.admin.pages.overview import overview
from config.admin.parts import badges, event_result, times
from config.admin.parts.buttons import go_back
from config.admin.parts.changelist import CappedPaginator
from config.staff import roles
from config.templatetags.admit import labeled, labels, spoken_count
from events.models import EventLog, RuleRun
from integrations.models import Customer, Integration
from rules.triggers import Trigger
from tests.support import queued
from tests.support.pages import person, signed_in, words

pytestmark = pytest.mark.first_database


def asked_by(user, path: str = "/admin/", **data: str) -> HttpRequest:
    request = RequestFactory().post(path, data)
    request.user = user
    return request


# Menu


@pytest.mark.parametrize(
    ("role", "lacks"),
    [
        (roles.MANAGER, {"Queue", "People"}),
        (roles.SUPPORT, {"Queue", "People", "Changes", "Letter"}),
        (roles.VIEWER, {"Queue", "People", "Simulate", "Changes", "Letter"}),
        ("", {line.label for _, lines in menu.MENU for line in lines} - {"Overview", "Help"}),
    ],
)
def test_a_person_sees_the_pages_of_the_role(db, role: str, lacks: set[str]):
    every = {line.label for _, lines in menu.MENU for line in lines}
    shown = menu.for_person(asked_by(person(role)))
    assert {line["label"] for section in shown for line in section["lines"]} == every - lacks


def test_an_owner_sees_every_page_and_each_opens(db):
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("o"))
    answer = client.get("/admin/")
    for _, lines in menu.MENU:
        for line in lines:
            address = reverse(line.url) + line.query
            assert address in answer.content.decode()
            page = client.get(address)
            assert page.status_code == 200
            assert 'aria-current="page"' in page.content.decode(), line.label


def test_what_is_looked_at_every_day_stands_first_in_the_menu(db):
    shown = menu.for_person(asked_by(person(roles.SUPPORT)))
    first = [line["label"] for section in shown for line in section["lines"]][:4]
    assert first == ["Overview", "Customers", "Log", "Actions"]


@pytest.mark.parametrize(("failed", "shown"), [(0, ""), (1, "1"), (99, "99"), (100, "99+")])
def test_the_menu_counts_failed_actions_to_a_hundred(db, failed: int, shown: str):
    event = queued.event(None)
    RuleRun.objects.bulk_create(
        RuleRun(event=event, received_at=event.received_at, destination_id=1, status="failed")
        for _ in range(failed)
    )
    lines = [
        line for part in menu.for_person(asked_by(person(roles.VIEWER))) for line in part["lines"]
    ]
    assert [line["failed"] for line in lines if line["label"] == "Actions"] == [shown]


# Buttons


@pytest.mark.parametrize(
    ("back", "leads_to"),
    [
        ("/admin/events/eventlog/?p=2", "/admin/events/eventlog/?p=2"),
        ("", "/otherwise/"),
        ("https://evil.example/", "/otherwise/"),
        ("//evil.example/", "/otherwise/"),
        ("javascript:alert(1)", "/otherwise/"),
        ("evil", "/otherwise/"),
        ("\\\\evil.example", "/otherwise/"),
    ],
)
def test_a_button_leads_back_to_pages_of_ours_alone(back: str, leads_to: str):
    request = RequestFactory().post("/admin/", {"back": back})
    assert go_back(request, "/otherwise/").url == leads_to


@pytest.fixture
def run(world) -> RuleRun:
    """A failed action: its course has gone from the school."""
    course = world.course()
    world.rule("product_purchased", "create_course_enrollment", course)
    world.school.remove_course(world.school.courses[course.external_id])
    world.sell("10_product")
    world.settle()
    return RuleRun.objects.get(status="failed")


def test_a_button_acts_by_post_alone_and_only_for_whom_may(run):
    address = reverse("admin:events_rulerun_do_retry", args=[run.pk])
    client = Client()
    assert client.post(address)["Location"].startswith("/admin/login/")
    client.force_login(person(roles.VIEWER))
    assert client.post(address).status_code == 403
    run.refresh_from_db()
    assert run.status == "failed"
    client.force_login(get_user_model().objects.create_superuser("o"))
    assert client.get(address).status_code == 405
    assert client.post(reverse("admin:events_rulerun_do_retry", args=[0])).status_code == 404
    assert client.post(address, {"back": "/admin/events/rulerun/?p=3"})["Location"].endswith("?p=3")
    run.refresh_from_db()
    assert run.status == "waiting"


def test_a_button_needs_the_token_of_the_form(run):
    client = Client(enforce_csrf_checks=True)
    client.force_login(get_user_model().objects.create_superuser("o"))
    assert client.post(reverse("admin:events_rulerun_do_retry", args=[run.pk])).status_code == 403


def test_who_may_not_press_a_button_does_not_see_it(run):
    address = reverse("admin:events_rulerun_do_retry", args=[run.pk])
    for role, shown in ((roles.SUPPORT, True), (roles.VIEWER, False)):
        client = Client()
        get_user_model().objects.all().delete()
        client.force_login(person(role))
        page = client.get(reverse("admin:events_rulerun_changelist")).content.decode()
        assert (address in page) is shown, role


# Lists


@pytest.mark.parametrize(
    ("rows", "spoken", "pages"),
    [(0, "0", 1), (1, "1", 1), (100, "100", 1), (1000, "1,000", 10), (1001, "1,000+", 11)],
)
def test_a_list_counts_to_a_thousand_and_then_says_so(db, rows: int, spoken: str, pages: int):
    Customer.objects.bulk_create(Customer(email=f"{n}@example.com") for n in range(rows))
    found = CappedPaginator(Customer.objects.order_by("pk"), 100, most=1001)
    assert (found.spoken, found.num_pages) == (spoken, pages)


def test_no_list_counts_a_whole_table(db, django_assert_num_queries):
    Customer.objects.bulk_create(Customer(email=f"{n}@example.com") for n in range(30))
    with django_assert_num_queries(1) as asked:
        assert CappedPaginator(Customer.objects.order_by("pk"), 10, most=21).count == 21
    assert "LIMIT 21" in asked.captured_queries[0]["sql"]


def test_what_a_list_shows_of_each_row_is_not_looked_up_to_count_it(db, django_assert_num_queries):
    newest = EventLog.objects.filter(customer=OuterRef("pk")).values("received_at")[:1]
    shown = Customer.objects.order_by("pk").annotate(seen=Subquery(newest))
    with django_assert_num_queries(1) as asked:
        assert CappedPaginator(shown, 10, most=21).count == 0
    assert "events_eventlog" not in asked.captured_queries[0]["sql"]


def test_a_list_says_its_rows_by_name(db):
    class Keeper:
        one, many = "sale", "sales"

    class Changelist:
        opts = Customer._meta
        model_admin = Keeper()
        paginator = CappedPaginator([1], 10, most=5)

    assert spoken_count(Changelist()) == "1 sale"
    Changelist.paginator = CappedPaginator([1, 2], 10, most=5)
    assert spoken_count(Changelist()) == "2 sales"


def test_the_cells_of_a_card_tell_their_column_escaped():
    headers: list[dict[str, Any]] = [{"text": mark_safe("<input>")}, {"text": 'say "hi"'}]
    tick, cell = labeled(['<td class="a">1</td>', '<th class="b">2</th>'], labels(headers))
    assert tick == '<td data-label="" class="a">1</td>'
    assert cell == '<th data-label="Say &quot;hi&quot;" class="b">2</th>'


# Looks


def shown(badge: str) -> tuple[str, ...]:
    """The color and the text of a badge, whose icon is that of its color."""
    found = re.fullmatch(
        r'<span class="badge badge-(\w+)"><svg class="icon" aria-hidden="true">'
        r'<use href="/static/admit/icons.svg\?[0-9a-f]{8}#\1"></use></svg>(.*)</span>',
        badge,
    )
    assert found
    return found.groups()


def test_every_place_and_state_has_an_icon():
    drawn = set(
        re.findall(r'<symbol id="(\w+)"', Path("config/static/admit/icons.svg").read_text())
    )
    places = {line.icon for _, lines in menu.MENU for line in lines}
    assert drawn == places | {badges.GREEN, badges.AMBER, badges.RED, badges.GREY}


@pytest.mark.parametrize(
    ("path", "status", "title"),
    [
        ("/admin/nothing-here/", 404, "This page does not exist"),
        ("/admin/queue/", 403, "You may not open this page"),
    ],
)
def test_what_cannot_be_shown_is_said_in_the_frame_with_a_way_on(db, path, status, title):
    answer = signed_in(roles.VIEWER).get(path)
    assert answer.status_code == status
    assert f"<h1>{title}</h1>" in answer.content.decode()
    assert "Sign out" in words(answer)
    assert f'class="button primary" href="{reverse("admin:index")}"' in answer.content.decode()


def test_strangers_get_the_same_without_the_menu(db):
    answer = Client().get("/nothing-here/")
    assert answer.status_code == 404
    assert "Sign in" in words(answer)
    assert "SamCart" not in words(answer)


def test_a_form_that_was_open_for_too_long_is_refused_with_a_way_on(db):
    client = Client(enforce_csrf_checks=True)
    client.force_login(person(roles.MANAGER))
    answer = client.post(reverse("admin:coverage"))
    assert answer.status_code == 403
    assert "Go back, load the page again and repeat what you did." in words(answer)


def test_a_request_that_cannot_be_read_is_answered_in_the_frame(db):
    client = signed_in(roles.MANAGER)
    fields = {f"field{number}": "" for number in range(1001)}
    answer = client.post(reverse("admin:coverage"), fields)
    assert answer.status_code == 400
    assert "Nothing was changed." in words(answer)


def test_a_page_that_breaks_says_so_without_the_database(db, monkeypatch):
    def breaks(request: HttpRequest) -> None:
        raise RuntimeError

    client = signed_in(roles.VIEWER)
    client.raise_request_exception = False
    monkeypatch.setattr(overview, "show", breaks)
    with CaptureQueriesContext(connection) as asked:
        answer = client.get(reverse("admin:index"))
    assert answer.status_code == 500
    assert "Something broke" in words(answer)
    assert f"under {answer.headers['X-Request-ID']}" in words(answer)
    assert "rulerun" not in str(asked.captured_queries)  # which the menu would ask


def test_every_state_has_a_colour_and_a_word():
    assert set(event_result.COLORS) == set(EventLog.Status)
    assert set(badges.RUN_COLORS) == set(RuleRun.Status)
    assert set(badges.CONNECTION_COLORS) == set(Integration.Connection)


@pytest.mark.parametrize(
    ("trigger", "status", "dealt", "badge"),
    [
        ("product_purchased", "no_rule", False, ("wait", "Paid, nothing given")),
        ("product_purchased", "no_rule", True, ("quiet", "No rule")),
        ("subscription_charged", "no_rule", False, ("quiet", "No rule")),
        (None, "unreadable", False, ("bad", "Unreadable")),
        ("product_purchased", "done", False, ("good", "Succeeded")),
        ("product_purchased", "held", False, ("wait", "Waits for you")),
    ],
)
def test_a_paid_purchase_that_gave_nothing_is_never_grey(trigger, status, dealt, badge):
    moment = datetime(2026, 11, 23, 14, 2, tzinfo=UTC)
    event = EventLog(
        trigger=trigger,
        status=status,
        gave_nothing=status == "no_rule",
        dealt_with_at=moment if dealt else None,
    )
    assert shown(event_result.event_badge(event)) == badge


@pytest.mark.parametrize("holes", [(), (Trigger.SUBSCRIPTION_CANCELED,)])
def test_what_was_left_undone_for_want_of_a_rule_is_not_grey(holes):
    event = EventLog(trigger="subscription_canceled", status="no_rule", gave_nothing=True)
    badge = ("wait", "No rule") if holes else ("quiet", "No rule")
    assert shown(event_result.event_badge(event, holes)) == badge
    # A receiver was told of it, which fills no hole; and what failed is told first.
    event.status = EventLog.Status.DONE
    assert ("No rule" in event_result.event_badge(event, holes)) is bool(holes)
    event.status = EventLog.Status.FAILED
    assert "Failed" in event_result.event_badge(event, holes)
    event.status, event.gave_nothing = EventLog.Status.DONE, False
    assert "Succeeded" in event_result.event_badge(event, holes)


def test_an_action_that_was_tried_will_retry():
    assert "Waiting" in badges.run_badge(RuleRun(status="waiting"))
    assert "Will retry" in badges.run_badge(RuleRun(status="waiting", attempts=2))


def test_a_site_that_is_turned_off_says_so_before_anything_else():
    assert "Off" in badges.connection_badge(Integration(enabled=False, connection="connected"))
    rejected = Integration(connection="refused", refreshed_at=timezone.now())
    assert "Key rejected" in badges.connection_badge(rejected)


def test_times_are_short_and_tell_all_on_hover(settings):
    settings.TIME_ZONE = "America/New_York"
    shown = times.when(datetime(2020, 11, 23, 19, 2, 5, tzinfo=UTC))
    assert ">23 Nov 2020 14:02<" in shown
    assert 'title="23 November 2020, 14:02:05 EST"' in shown
    this_year = times.when(datetime.now(UTC))
    assert str(datetime.now(UTC).year) not in this_year.partition(">")[2]
    assert times.when(None) == "–"


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("Watercolor & Co", "Watercolor &amp; Co"),
        ("Counterrevolutionary thoughts", "Counterrevolutionary thoughts"),
        ("dana@example.com", "dana@example.com"),
        ("dana.whitfield@example.com", "dana.whitfield<wbr>@example.com"),
        (
            "dana.whitfield.of.boston@example.com",
            "dana.<wbr>whitfield.of.<wbr>boston<wbr>@example.com",
        ),
        ("SubscriptionCancelScheduled", "Subscription<wbr>Cancel<wbr>Scheduled"),
        ("<b>@" * 6, "&lt;b&gt;@<wbr>" * 5 + "&lt;b&gt;@"),
        ("x" * 30, f'<span class="break-anywhere">{"x" * 30}</span>'),
        (
            mark_safe("<a>an.address.that.is.long.enough</a>"),
            "<a>an.address.that.is.long.enough</a>",
        ),
    ],
)
def test_only_long_addresses_and_codes_may_go_on_in_the_next_line(text: str, html: str):
    assert badges.breakable(text) == html


def test_signs_that_hide_or_turn_text_are_spelled_out():
    assert badges.legible("a\u202egnp.exe\x00\tb\n") == "a\\u202egnp.exe\\u0000\tb\n"
    assert badges.legible("x" * 20, 5) == "xxxxx…"
    assert (
        badges.legible("enroll in Wash on Ruth's Art School", 30) == "enroll in Wash on Ruth's Art…"
    )
    assert len(badges.brief("word " * 500)) < 130
    assert shown(badges.badge("<b>", badges.RED)) == ("bad", "&lt;b&gt;")


# Style sheets


def test_type_and_spacing_come_from_one_scale():
    """But for what hangs over an edge or makes room for something of that size (over 40 px)."""
    size = re.compile(r"font-size: \d+px|(?:margin|padding|gap)[a-z-]*: [^;]*?(?<![-\d])\d+px")
    for sheet in Path("config/static/admit").glob("*.css"):
        if sheet.name == "sheet.css":  # for paper
            continue
        for found in size.findall(sheet.read_text()):
            pixels = int(found.split()[-1].removesuffix("px"))
            assert pixels in {0, 1, 2} or pixels > 40, f"{sheet.name}: {found}"
