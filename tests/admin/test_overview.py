"""The checklist of the Overview ticks only what is really true."""

import re
from datetime import UTC, date, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from config.admin.pages.overview import overview_chart
from config.admin.parts import checklist, checklist_pairs
from config.admin.parts.buttons import address
from config.admin.parts.checklist_task import Task
from config.staff import roles
from events.models import AlertChannel, RuleRun, Worker
from events.reports import counting, days
from integrations.calls import rate_limit
from integrations.models import CallBudget, Destination, Integration, Product
from integrations.sentences import say
from rules import pairing
from rules.facts import by_place
from rules.models import Rule
from tests.support import factories
from tests.support.pages import markup, person, said, signed_in, words
from tests.support.queued import event, run

pytestmark = pytest.mark.first_database


@pytest.fixture
def sold(db) -> Destination:
    """A course that a product gives, Private as it should be."""
    product = factories.ProductFactory.create()
    course: Destination = factories.DestinationFactory.create(private=True)
    factories.RuleFactory.create(product=product, destination=course)
    return course


def private() -> Task:
    return checklist.private(list(Integration.objects.all()))


def test_a_course_that_is_not_private_is_named(sold):
    assert private().done
    Destination.objects.update(private=False)
    assert (private().done, f"Not Private yet: {sold.name}." in private().how) == (False, True)


@pytest.mark.parametrize("connection", ["connected", "refused"])
def test_courses_that_need_not_be_private_are_not_asked_for(sold, connection):
    Destination.objects.update(private=False)
    Integration.objects.update(connection=connection, private_not_wanted=True)
    assert private().done
    Rule.objects.all().delete()
    assert private().done
    Integration.objects.update(private_not_wanted=False)
    assert not private().done


def test_all_courses_that_are_not_private_are_named_and_the_site_is_read_again_there(
    sold, client: Client, admin_user, monkeypatch
):
    Destination.objects.update(private=False)
    for number in range(6):
        course = factories.DestinationFactory.create(
            name=f"Course {number}", private=False, integration=sold.integration
        )
        factories.RuleFactory.create(destination=course)
    assert all(f"Course {number}" in private().how for number in range(6))
    monkeypatch.setattr(checklist, "tasks", lambda *_: [private()])
    client.force_login(admin_user)
    page = client.get(reverse("admin:index")).content.decode()
    assert f'<form method="post" action="{private().refresh}">' in page
    assert f'<form method="post" action="{private().decline}">' in page
    assert private().refresh == address(sold.integration, "refresh")


def test_how_to_make_a_course_private_is_said_in_place_and_only_to_those_who_can(sold, monkeypatch):
    Destination.objects.update(private=False)
    monkeypatch.setattr(checklist, "tasks", lambda *_: [private()])
    overview = reverse("admin:index")
    page = signed_in(roles.MANAGER).get(overview)
    text = words(page)
    assert "See how to make them Private Make the course Private: in Thinkific open" in text
    assert f"{reverse('admin:help')}#cancel" not in page.content.decode()
    for role in (roles.SUPPORT, roles.VIEWER):
        text = words(signed_in(role).get(overview))
        assert (
            "so that customers cannot cancel inside Thinkific. This is for a manager to do." in text
        )
        assert "press Refresh" not in text
        assert "left to set up" not in text
    assert "1 step left to set up." in words(signed_in(roles.MANAGER).get(overview))


def test_a_course_inside_a_bundle_that_is_sold_must_be_private_too(sold):
    site = sold.integration
    inside = factories.DestinationFactory.create(name="Inside", private=False, integration=site)
    assert private().done
    bundle = factories.DestinationFactory.create(
        kind="bundle", integration=site, course_ids=[inside.external_id]
    )
    factories.RuleFactory.create(action="create_bundle_enrollment", destination=bundle)
    assert "Not Private yet: Inside." in private().how


def test_what_is_given_by_a_rule_that_is_off_is_not_sold(sold):
    Destination.objects.update(private=False)
    Rule.objects.update(enabled=False)
    assert (private().done, private().how) == (False, "")


def test_the_step_of_private_courses_ends_by_itself_or_because_a_person_does_without(
    sold, client: Client, admin_user
):
    Integration.objects.update(app="thinkific")
    assert (private().done, private().text) == (True, "The courses you sell are Private")
    Destination.objects.update(private=False)
    client.force_login(admin_user)
    answer = client.post(private().decline, {"back": reverse("admin:index")}, follow=True)
    assert said(answer)[0].startswith(f"Noted: the courses of {sold.integration} need not be")
    assert (private().done, private().text) == (True, "The courses you sell need not be Private")


def pairs() -> tuple[bool, str]:
    """Whether the line is ticked, and its words."""
    task = checklist_pairs.pairs(by_place())
    return task.done, task.text


def ending(trigger: str, course: Destination, **facts: Any) -> Rule:
    gives = trigger in pairing.GIVES_BACK
    action = "create_course_enrollment" if gives else "expire_course_enrollment"
    rule: Rule = factories.RuleFactory.create(
        trigger=trigger, action=action, destination=course, **facts
    )
    return rule


def test_a_rule_that_is_off_ends_nothing(sold):
    product = Rule.objects.get().product
    rule = ending("product_refunded", sold, product=product)
    assert pairs()[0]
    Rule.objects.filter(pk=rule.pk).update(enabled=False)
    done, text = pairs()
    assert not done
    assert f"(off for {product}: Product Refunded)" in text
    Rule.objects.filter(action="create_course_enrollment").update(enabled=False)
    assert not pairs()[0]


def test_several_products_without_a_rule_are_set_up_at_once(shop):
    for number in range(2):
        bought = Product.objects.named(shop.marketplace.pk, "product", str(number), f"P{number}")
        assert "at once" not in words(signed_in(roles.MANAGER).get(reverse("admin:index")))
        buyer = factories.CustomerFactory.create()
        event(buyer, product=bought, gave_nothing=True)
    page = signed_in(roles.MANAGER).get(reverse("admin:index"))
    assert "Set them all up at once" in words(page)
    assert page.context["path"] is not None
    assert len(re.findall(r'class="button[^"]*\bprimary\b', page.content.decode())) == 1
    assert "at once" not in words(signed_in(roles.SUPPORT).get(reverse("admin:index")))


def test_what_is_sold_by_subscription_needs_all_four(sold):
    product = Rule.objects.get().product
    ending("product_refunded", sold, product=product)
    assert pairs()[0]
    event(None, product=product, subscription_id="9")
    for trigger in pairing.ENDS[1:] + pairing.GIVES_BACK:
        done, text = pairs()
        assert (done, str(trigger.label) in text) == (False, True)
        ending(trigger, sold, product=product)
    assert pairs()[0]


def test_a_subscription_rule_asks_for_the_others_before_any_subscription_was_seen(sold):
    product = Rule.objects.get().product
    for trigger in pairing.ENDS:
        ending(trigger, sold, product=product)
    done, text = pairs()
    assert not done
    assert f"(not yet for {product}: Subscription Recovered, Subscription Restarted)" in text
    for trigger in pairing.GIVES_BACK:
        ending(trigger, sold, product=product)
    assert pairs()[0]


def test_the_sites_that_need_a_person_come_first_each_kind_by_name(client: Client, admin_user):
    today = timezone.localdate()
    states: list[dict[str, Any]] = [
        {"connection": "connected"},
        {"connection": "refused", "enabled": False},
        {"connection": "unknown"},
        {"connection": "connected", "secret_expires_on": today},
        {"connection": "unreachable", "connection_message": "Why"},
        {"connection": "refused", "connection_message": "Why"},
        {"connection": "connected"},
        {"connection": "refused", "connection_message": "Why"},
    ]
    for number, state in enumerate(states):
        factories.IntegrationFactory.create(name=f"Site {number}", **state)
    client.force_login(admin_user)
    answer = client.get("/admin/")
    need, order = (
        [each.integration.name for each in answer.context[which]]
        for which in ("sites_in_need", "sites_in_order")
    )
    assert need == [f"Site {number}" for number in (5, 7, 4, 3)]
    assert order == [f"Site {number}" for number in (1, 2, 0, 6)]
    page = answer.content.decode()
    assert page.index('id="sites-in-need"') < page.index('id="sites"')


def test_of_many_integrations_those_in_order_are_cut_short_with_a_way_to_all(
    client: Client, admin_user
):
    every = reverse("admin:integrations_integration_changelist")
    client.force_login(admin_user)
    factories.IntegrationFactory.create(connection="refused", connection_message="Why")
    factories.IntegrationFactory.create_batch(10, connection="connected")
    assert "See all" not in markup(client.get("/admin/"))
    factories.IntegrationFactory.create(connection="connected", name="The last one")
    page = markup(client.get("/admin/"))
    assert page.count(f'<a href="{every}">See all 12 integrations</a>') == 1
    assert "The last one" not in page


def test_no_product_is_left_out_however_many_there_are(sold):
    ending("product_refunded", sold, product=Rule.objects.get().product)
    for number in range(60):
        product = factories.ProductFactory.create(name=f"A {number:02}")
        for trigger in pairing.ENDS + pairing.GIVES_BACK:
            ending(trigger, sold, product=product)
        last = factories.RuleFactory.create(product=product, destination=sold)
    assert pairs()[0]
    Rule.objects.filter(product=last.product, trigger="product_refunded").delete()
    assert not pairs()[0]


def test_what_a_global_rule_gives_must_be_ended_too_and_the_rule_for_it_is_one_click_away(
    db, client: Client, admin_user
):
    course = factories.DestinationFactory.create()
    giving = factories.RuleFactory.create(destination=course)
    task = checklist_pairs.pairs(by_place())
    assert not task.done
    assert "not yet for what global rules give: Product Refunded" in task.text
    client.force_login(admin_user)
    shown = " ".join(client.get(task.url).content.decode().split())
    assert f"When any product is refunded, end the customer&#x27;s access to {course}" in shown
    ending("product_refunded", course, marketplace=giving.marketplace)
    assert pairs()[0]
    event(None, subscription_id="9")
    assert "Subscription Canceled" in pairs()[1]


def test_nothing_is_ticked_where_nothing_is_given(db):
    ending("product_refunded", factories.DestinationFactory.create())
    assert not pairs()[0]


def test_the_share_of_what_succeeded_is_written_without_a_blank(sold, client: Client, admin_user):
    run(sold, status="done")
    client.force_login(admin_user)
    assert "100% succeeded" in client.get("/admin/").content.decode()


def test_of_many_that_succeeded_and_one_that_failed_not_all_succeeded(
    sold, client: Client, admin_user
):
    for _ in range(200):
        run(sold, status="done")
    run(sold, status="failed")
    client.force_login(admin_user)
    assert "99% succeeded" in client.get("/admin/").content.decode()


# The path


def test_what_needs_a_person_stands_before_what_is_left_to_set_up(place):
    page = words(signed_in(roles.MANAGER).get(reverse("admin:index")))
    sections = [
        "Needs your attention",
        "Integrations that need your attention",
        "Paid, nothing given",
        "Never sent by SamCart",
        "To set up",
        "Actions done and failed, by day",
    ]
    found = [page.index(f" {section} ") for section in sections]
    assert found == sorted(found)


def test_the_path_goes_one_step_at_a_time_and_what_admit_cannot_see_is_ticked_there(
    db, client: Client, admin_user
):
    client.force_login(admin_user)
    school = factories.IntegrationFactory.create(connection="connected", welcome_emails_on=False)
    home = reverse("admin:index")

    def now() -> Task:
        task: Task = client.get(home).context["path"].now
        return task

    assert "Welcome Emails" in now().text
    page = words(client.get(home))
    assert "1 of 8 done ✓ Connect Thinkific" in page
    assert "Step 2 of 8 Turn on the Welcome Emails" in page
    assert "See where" not in page, "one button a step"
    answer = client.post(now().tick, {"back": home}, follow=True)
    assert said(answer) == [f"Noted: the Welcome Emails of {school} are on in Thinkific."]
    school.refresh_from_db()
    assert school.welcome_emails_on
    assert now().text == "Give SamCart the address of Admit, and let it send something"


def test_a_school_whose_key_is_rejected_is_led_to_its_key_and_nowhere_called_paused(
    sold, client: Client, admin_user
):
    client.force_login(admin_user)
    school = sold.integration
    refused = {"connection": "refused", "connection_message": "Rejected."}
    Integration.objects.update(**refused, refreshed_at=None)
    rate_limit.block(school.pk, CallBudget.Blocked.KEY, 100)
    run(sold)
    now = client.get("/admin/").context["path"].now
    assert now.text == "Connect Thinkific", "it never was connected"
    Integration.objects.update(refreshed_at=timezone.now())
    now = client.get("/admin/").context["path"].now
    assert (now.text, now.button) == (f"Enter another key of {school}", "Enter the key")
    assert (
        now.url == f"{reverse('admin:integrations_integration_change', args=[school.pk])}#id_secret"
    )
    for role in (roles.SUPPORT, roles.VIEWER):
        shown = markup(signed_in(role).get("/admin/"))
        assert f"Enter another key of {school}" in shown
        assert "This is for a manager to do." in shown
        assert f'href="{now.url}"' not in shown
    queue = words(client.get(reverse("admin:queue")))
    assert "Key rejected" in queue
    for page in ("/admin/", reverse("admin:queue")):
        assert "paused" not in words(client.get(page)).casefold(), page


def test_samcarts_own_rules_are_ticked_on_the_path_and_it_ends_by_itself(
    db, client: Client, admin_user, monkeypatch
):
    client.force_login(admin_user)
    account = factories.MarketplaceFactory.create()
    done = Task("Done", True, "/", "See")
    own = checklist._own_rules([account], "/admin/samcart/")
    monkeypatch.setattr(checklist, "tasks", lambda *_: [done, own])
    home = reverse("admin:index")
    assert "1 of 2 done" in words(client.get(home))
    answer = client.post(own.tick, {"own_rules_off": "on", "back": home}, follow=True)
    assert answer.redirect_chain[-1][0] == home
    account.refresh_from_db()
    assert account.own_rules_off
    assert checklist.path([done]) is None


# What it shows when all is set up


def test_that_nobody_is_notified_of_what_goes_wrong_is_said_once_all_else_is_set_up(
    db, client: Client, admin_user, monkeypatch, settings
):
    told = "Nobody is notified when something goes wrong"
    client.force_login(admin_user)
    settings.EMAIL_HOST = ""
    assert told not in words(client.get("/admin/"))
    monkeypatch.setattr(checklist, "tasks", lambda *_: [Task("Done", True, "/", "See")])
    page = client.get("/admin/")
    assert told in words(page)
    assert f'<a href="{reverse("admin:alerts")}">See how you are notified' in markup(page)
    kind = AlertChannel.Kind.SLACK
    channel = AlertChannel.objects.create(person=admin_user, kind=kind, enabled=False)
    assert told in words(client.get("/admin/"))
    channel.enabled = True
    channel.save()
    assert told not in words(client.get("/admin/"))
    channel.delete()
    settings.EMAIL_HOST = "mail.example.com"
    assert told not in words(client.get("/admin/"))
    AlertChannel.objects.update_or_create(
        person=admin_user, kind=AlertChannel.Kind.EMAIL, defaults={"enabled": False}
    )
    assert told in words(client.get("/admin/"))


def test_it_is_calm_only_where_no_box_needs_a_person(sold, client: Client, admin_user):
    client.force_login(admin_user)
    Worker.objects.create(name="studio", seen_at=timezone.now())
    run(sold, status="done")
    page = words(client.get("/admin/"))
    for empty in ("Needs your attention", "No action failed", "Paid, nothing given"):
        assert empty not in page
    run(sold, status="failed")
    assert "Needs your attention" in words(client.get("/admin/"))


def test_a_count_that_stopped_at_its_limit_says_that_there_may_be_more(
    sold, client: Client, admin_user, monkeypatch
):
    monkeypatch.setattr(counting, "MAX_COUNT", 3)
    client.force_login(admin_user)
    for number, shown in ((2, "2"), (2, "3+")):
        for _ in range(number):
            run(sold, status="waiting")
            run(sold, status="failed")
        figures = client.get("/admin/").context
        assert (figures["waiting"], figures["failed"]) == (shown, shown)


@pytest.mark.parametrize(
    ("most", "lines"),
    [
        (0, [0, 1]),
        (1, [0, 1]),
        (4, [0, 1, 2, 3, 4]),
        (5, [0, 2, 4, 6]),
        (43, [0, 20, 40, 60]),
        (80, [0, 20, 40, 60, 80]),
        (99_999, [0, 50_000, 100_000]),
    ],
)
def test_the_lines_of_the_chart_are_at_round_numbers(most: int, lines: list[int]):
    assert overview_chart.gridlines(most) == lines


def test_the_chart_shows_what_succeeded_and_failed_by_day_and_says_it_in_words(
    sold, client: Client, admin_user
):
    for status in ("done", "done", "failed", "held"):
        run(sold, status=status)
    RuleRun.objects.update(received_at=timezone.now())
    client.force_login(admin_user)
    answer = client.get("/admin/")
    today = answer.context["chart"].days[-1]
    assert [(bar.kind, bar.height) for bar in today.bars] == [("good", 120.0), ("bad", 60.0)]
    day = timezone.localdate()
    assert f"<title>{day.day} {day:%b}: 2 succeeded, 1 failed</title>" in answer.content.decode()
    assert f"{day.day} {day:%b} 2 1" in words(answer)


def done_on(course: Destination, *ago: int) -> None:
    """An action that succeeded, so many days ago each, at this time of day."""
    for back in ago:
        at = timezone.now() - timedelta(days=back)
        RuleRun.objects.filter(pk=run(course, status="done").pk).update(received_at=at)


def test_the_figure_of_today_leads_to_as_many_actions(sold, client: Client, admin_user):
    run(sold, status="done")
    midnight = days.start_of(timezone.localdate())
    RuleRun.objects.update(received_at=midnight)
    evening = run(sold, status="done")
    RuleRun.objects.filter(pk=evening.pk).update(received_at=midnight - timedelta(seconds=1))
    client.force_login(admin_user)
    page = client.get("/admin/")
    assert "1 Action done today" in words(page)
    found = re.search(r'<a class="figure"\s+href="([^"]*rulerun[^"]*done[^"]*)"', markup(page))
    assert found
    assert client.get(unescape(found[1])).context["cl"].result_count == 1


def test_where_nothing_succeeded_nothing_is_compared(sold, client: Client, admin_user):
    done_on(sold, 15)
    client.force_login(admin_user)
    assert "days before" not in words(client.get("/admin/?days=7"))


@pytest.mark.parametrize(
    ("ago", "says"),
    [
        ((0, 6), "2 actions succeeded, 2 more than in the 7 days before."),
        ((0, 8, 9, 10), "1 action succeeded, 2 fewer than in the 7 days before."),
        ((3, 13), "1 action succeeded, the same as in the 7 days before."),
    ],
)
def test_what_succeeded_is_compared_with_as_many_days_before(
    sold, client: Client, admin_user, ago: tuple[int, ...], says: str
):
    done_on(sold, *ago)
    client.force_login(admin_user)
    assert says in words(client.get("/admin/?days=7"))


def test_the_time_before_ends_at_this_time_of_day(sold, monkeypatch):
    now = datetime(2026, 3, 10, 12, tzinfo=UTC)
    monkeypatch.setattr(timezone, "now", lambda: now)
    for hours in (-1, 1):
        at = now - timedelta(days=7) + timedelta(hours=hours)
        RuleRun.objects.filter(pk=run(sold, status="done").pk).update(received_at=at)
    period = days.until_now(7)
    assert (period.done, period.done_before) == (0, 1)


@pytest.mark.parametrize(
    ("asked", "shown"),
    [("", 30), ("?days=7", 7), ("?days=90", 90), ("?days=8", 30), ("?days=x", 30)],
)
def test_the_address_says_of_how_many_days_the_chart_is(
    sold, client: Client, admin_user, asked: str, shown: int
):
    run(sold, status="done")
    client.force_login(admin_user)
    answer = client.get(f"/admin/{asked}")
    assert len(answer.context["chart"].days) == shown
    chosen = re.findall(r'<a href="\?days=(\d+)#bars" aria-current="true">', markup(answer))
    assert chosen == [str(shown)]
    # Nothing of it is kept.
    assert len(client.get("/admin/").context["chart"].days) == 30


@pytest.mark.parametrize(("number", "dates", "main"), [(7, 7, 7), (30, 15, 5), (90, 15, 5)])
def test_no_more_dates_stand_below_the_chart_than_have_room(number: int, dates: int, main: int):
    first = date(2026, 1, 31)
    totals = [days.DayTotals(first + timedelta(days=n), 1, 0) for n in range(number)]
    shown = overview_chart.draw(totals).days
    assert sum(day.dated for day in shown) == dates
    assert sum(day.dated and day.main for day in shown) == main
    assert shown[-1].dated
    months = [day.day.month for day in shown if day.new_month]
    # The first is left out where the next begins right beside it.
    assert months == ([1, 2] if number < 8 else sorted({day.day.month for day in shown} - {1}))


def test_the_places_in_the_chart_have_a_decimal_point_in_every_language(
    sold, client: Client, admin_user
):
    run(sold, status="done")
    client.force_login(admin_user)
    page = markup(client.get("/admin/", headers={"accept-language": "es"}))
    bars = re.search(r'<svg class="bars".*?</svg>', page, re.S)
    assert bars is not None
    places = re.findall(r' (?:x|x1|x2|y|y1|y2|width|height)="([^"]*)"', bars[0])
    assert any("." in each for each in places)
    assert not [each for each in places if not re.fullmatch(r"-?\d+(\.\d+)?%?", each)]


@pytest.mark.parametrize(
    ("facts", "run_facts", "offers"),
    [
        ({"connection": "refused"}, {"status": "waiting"}, {"Enter the key"}),
        (
            {"connection": "unreachable", "connection_message": "Down."},
            {"status": "waiting"},
            set(),
        ),
        ({"connection": "refused", "enabled": False}, {"status": "waiting"}, set()),
        ({}, {"status": "failed"}, set()),
    ],
)
def test_an_action_offers_in_its_row_what_its_reason_says_to_do(
    sold, client: Client, admin_user, facts: dict[str, Any], run_facts, offers: set[str]
):
    Integration.objects.update(**facts)
    run(sold, **run_facts)
    client.force_login(admin_user)
    page = reverse("admin:integrations_integration_change", args=[sold.integration_id])
    shown = client.get(reverse("admin:events_rulerun_changelist")).content.decode()
    assert set(re.findall(rf'href="{page}#id_secret"[^>]*>([^<]*)', shown)) == offers
    overview = client.get("/admin/").content.decode()
    refresh = reverse("admin:integrations_integration_do_refresh", args=[sold.integration_id])
    assert (refresh in overview) == (facts.get("connection") == "unreachable")


@pytest.mark.parametrize(
    ("facts", "tells"),
    [
        ({"connection": "refused", "connection_message": "Why."}, "look at the integration."),
        ({"enabled": False}, "turn it on."),
    ],
)
def test_who_may_not_put_an_integration_right_reads_whom_to_ask(sold, facts: dict[str, Any], tells):
    Integration.objects.update(**facts)
    run(sold, status="waiting")
    pages = [reverse("admin:index")]
    if "connection" in facts:
        pages.append(reverse("admin:integrations_integration_change", args=[sold.integration_id]))
    for page in pages:
        assert f"Ask a manager to {tells}" in words(signed_in(roles.SUPPORT).get(page))
        assert "Ask a manager" not in words(signed_in(roles.MANAGER).get(page))
    person(roles.MANAGER, first_name="Max")
    for page in pages:
        assert f"Ask Max to {tells}" in words(signed_in(roles.SUPPORT).get(page))


def test_only_who_may_enter_a_key_reads_what_to_do_about_a_rejected_one(sold):
    stored = say(  # by version 0.24
        "Thinkific does not accept the key: the key or the subdomain is wrong, or the site's plan "
        "may not include the API (Grow or higher is required). Check both, and enter the key again."
    )
    refused = {"connection": "refused", "connection_message": stored}
    Integration.objects.update(refreshed_at=timezone.now(), **refused)
    waits = run(sold, status="waiting", message=stored)
    pages = [
        reverse("admin:index"),
        reverse("admin:integrations_integration_change", args=[sold.integration_id]),
    ]
    for page in pages:
        assert "Check both, and enter the key again." in words(signed_in(roles.MANAGER).get(page))
    pages.append(reverse("admin:integrations_customer_change", args=[waits.customer_id]))
    pages.append(reverse("admin:events_rulerun_change", args=[waits.pk]))
    for page in pages:
        shown = words(signed_in(roles.SUPPORT).get(page))
        assert "does not accept the key" in shown
        assert "enter the key again" not in shown


def test_nobody_is_asked_about_a_site_that_is_down_for_a_while(sold):
    Integration.objects.update(connection="unreachable", connection_message="Down.")
    page = words(signed_in(roles.SUPPORT).get("/admin/"))
    assert "Down." in page
    assert "Ask a manager" not in page
