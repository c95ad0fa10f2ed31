"""Log, event, actions, customers and Overview, as people use them."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from config.models import Preference
from config.staff import roles
from events.models import EventLog, RuleRun, Worker
from integrations.audit import Act
from integrations.models import ApiCall, AuditEntry, Customer, Integration, Product, ThinkificUser
from integrations.sentences import format_day
from rules.models import Rule, Scope
from tests.support import factories, queued
from tests.support.pages import (
    ACTIONS,
    CUSTOMERS,
    LOG,
    bulk,
    client_of,
    markup,
    person,
    press,
    rows,
    said,
    signed_in,
    words,
)

pytestmark = pytest.mark.first_database


@pytest.fixture
def support(place) -> Client:
    return signed_in(roles.SUPPORT, first_name="Sam")


def event(status: str) -> EventLog:
    return EventLog.objects.filter(status=status).latest("pk")


# Log


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("result=failed", "failed"),
        ("result=held", "held"),
        ("result=unreadable", "unreadable"),
        ("result=paid_nothing", "no_rule"),
        ("q=marcus.oyelaran@example.com&result=failed", "failed"),
        ("q=MARCUS&result=failed", "failed"),
        ("q=Oyelaran&result=failed", "failed"),
        ("q=marcus+oyel&result=failed", "failed"),
        ("q=1183&trigger__exact=product_refunded", "done"),
        ("received=1&result=unknown_type", "unknown_type"),
    ],
)
def test_the_log_finds_what_is_asked_for(support, query, status):
    answer = support.get(f"{reverse(LOG)}?{query}")
    found = answer.context["cl"].result_list
    assert found
    assert {each.status for each in found} == {status}
    assert event(status).get_status_display() in words(answer) or "Paid, nothing given" in words(
        answer
    )


def test_what_was_refunded_is_not_listed_as_paid(support, place):
    Rule.objects.all().delete()
    EventLog.objects.all().delete()
    kept, gone = place.sell("1048001", 1), place.sell("1048001", 2)
    place.sell("1048001", 2, "20_product", order__id=gone.order_id)
    found = support.get(f"{reverse(LOG)}?result=paid_nothing").context["cl"].result_list
    assert list(found) == [kept]


@pytest.mark.parametrize("page", [LOG, ACTIONS])
def test_today_is_one_tap_away_and_begins_at_midnight(support, page, settings):
    settings.TIME_ZONE = "Pacific/Auckland"
    today = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    yesterday = today - timedelta(minutes=1)
    pks = list(EventLog.objects.order_by("pk").values_list("pk", flat=True))
    EventLog.objects.filter(pk__in=pks[:3]).update(received_at=yesterday)
    RuleRun.objects.filter(event__in=pks[:3]).update(received_at=yesterday)
    shown = support.get(reverse(page))
    link = '<a class="button small" href="?received=today">Today</a>'
    assert link in markup(shown)
    found = support.get(f"{reverse(page)}?received=today")
    assert link not in markup(found)
    rows = found.context["cl"].queryset
    assert rows.exists()
    assert not rows.filter(received_at__lt=today).exists()
    every = EventLog if page == LOG else RuleRun
    assert rows.count() == every.objects.filter(received_at__gte=today).count()


@pytest.mark.parametrize("page", [LOG, ACTIONS])
def test_one_day_is_chosen_by_its_date_and_other_filters_stay(support, page, settings):
    settings.TIME_ZONE = "Pacific/Auckland"
    midnight = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    begun, over = midnight - timedelta(days=3), midnight - timedelta(days=2)
    moments = [begun - timedelta(seconds=1), begun, over - timedelta(seconds=1), over]
    every = EventLog if page == LOG else RuleRun
    pks = list(every.objects.order_by("pk").values_list("pk", flat=True)[:4])
    for pk, moment in zip(pks, moments, strict=True):
        every.objects.filter(pk=pk).update(received_at=moment)
    day = begun.date().isoformat()
    shown = support.get(f"{reverse(page)}?received={day}&q=")
    rows = shown.context["cl"].queryset
    assert {row.pk for row in rows} & set(pks) == set(pks[1:3])
    assert all(begun <= row.received_at < over for row in rows)
    assert f"Received: {format_day(begun.date())}" in words(shown)
    source = shown.content.decode()
    assert f'<input type="date" name="received" value="{day}"' in source
    filtered = support.get(f"{reverse(page)}?received=7&integration=1").content.decode()
    (form,) = [
        part for part in re.findall("(?s)<form.*?</form>", filtered) if 'type="date"' in part
    ]
    assert '<input type="hidden" name="integration" value="1">' in form
    assert form.count('name="received"') == 1


def test_only_a_list_that_new_events_would_be_in_says_that_they_appear(support):
    told, log = "New events appear by themselves.", reverse(LOG)
    past = (timezone.localdate() - timedelta(days=3)).isoformat()
    assert told in words(support.get(log))
    assert told in words(support.get(log, {"received": "7"}))
    assert told in words(support.get(log, {"received": timezone.localdate().isoformat()}))
    assert told not in words(support.get(log, {"received": past}))


def test_the_overview_counts_what_samcart_sent_and_leads_to_these(support):
    EventLog.objects.all().delete()
    buyer = factories.CustomerFactory.create()
    queued.event(buyer)
    given = queued.event(buyer)
    EventLog.objects.update(received_at=timezone.now())
    EventLog.objects.filter(pk=given.pk).update(by_hand=EventLog.ByHand.GIVE, delivery=None)
    page = support.get(reverse("admin:index"))
    assert "1 Event in 24 hours" in words(page)
    (address,) = re.findall(r'<a class="figure" href="([^"]*eventlog[^"]*)"', page.content.decode())
    found = support.get(address.replace("&amp;", "&")).context["cl"].queryset
    assert [each.by_hand for each in found] == [""]


def test_what_fits_nothing_and_what_is_empty_say_so(support, db):
    answer = support.get(f"{reverse(LOG)}?q=nobody@example.com")
    assert "No events match. Clear all filters" in words(answer)
    EventLog.objects.all().delete()
    answer = support.get(reverse(LOG))
    assert "Nothing has come from SamCart yet." in words(answer)
    assert "it enrolls a real student" in words(answer)


def test_the_log_tells_each_action_in_place_and_what_is_not_read_yet(support, place):
    place.world.post({"type": "Order"})
    text = words(support.get(reverse(LOG)))
    assert "1 received, not read yet" in text
    assert "Urban Sketching is gone from Thinkific" in text


def test_the_log_filters_by_product_that_is_typed(support):
    answer = support.get(f"{reverse(LOG)}?product_name=gift")
    assert "Gift Card" in words(answer)
    kept = support.get(f"{reverse(LOG)}?product_name=gift&result=no_rule").content.decode()
    assert '<input type="hidden" name="result" value="no_rule">' in kept
    product = Product.objects.get(name="Gift Card")
    answer = support.get(f"{reverse(LOG)}?product={product.pk}")
    assert {each.product for each in answer.context["cl"].result_list} == {product}


ODD = [
    "q=%00",
    "p=x",
    "p=99999999999",
    "product=x",
    "received=x",
    "received=9999-12-31",
    "received=0001-01-01",
    "received=2026-02-30",
    "result=%27",
    "integration=x",
    "integration=%C2%B2",
]


@pytest.mark.parametrize("page", [LOG, ACTIONS, CUSTOMERS, "admin:index"])
def test_odd_addresses_break_no_page(support, page):
    answers = {query: support.get(f"{reverse(page)}?{query}").status_code for query in ODD}
    assert {query: code for query, code in answers.items() if code not in {200, 302}} == {}


def test_a_page_of_the_log_costs_the_same_however_long_it_is(support, place):
    def cost(query: str = "") -> int:
        with CaptureQueriesContext(connection) as asked:
            assert support.get(reverse(LOG) + query).status_code == 200
        return len(asked)

    few = cost("?result=failed")
    # With purchases that gave nothing, and a refund that left access open.
    assert cost() <= few + 9
    assert cost() <= 25


def test_a_page_of_actions_costs_the_same_however_many_were_skipped(support, place):
    def cost() -> int:
        with CaptureQueriesContext(connection) as asked:
            assert "Do it anyway" in words(support.get(reverse(ACTIONS)))
        return len(asked)

    RuleRun.objects.update(status="done")
    RuleRun.objects.filter(pk=RuleRun.objects.latest("pk").pk).update(status="skipped")
    few = cost()
    RuleRun.objects.update(status="skipped")
    assert cost() == few


# Event


@pytest.mark.parametrize(
    "status", ["done", "failed", "held", "waiting", "no_rule", "unknown_type", "unreadable"]
)
def test_the_page_of_an_event_opens_in_every_state(support, status):
    found = event(status)
    text = words(support.get(reverse("admin:events_eventlog_change", args=[found.pk])))
    assert "Received from SamCart and kept." in text
    assert "What SamCart sent" in text or "what SamCart sent" in text
    if status == "unreadable":
        assert "find the order in SamCart and enroll the customer in Thinkific by hand" in text
    if status == "failed":
        assert "Choose another course for its rules, and retry what failed" in text
        assert "It is for another product." in text
        assert "POST" in text


def test_rules_are_linked_for_who_may_see_them_as_long_as_they_exist(support):
    run = RuleRun.objects.filter(status="done", rule__isnull=False).latest("pk")
    pages = [
        reverse("admin:events_eventlog_change", args=[run.event_id]),
        reverse("admin:integrations_customer_change", args=[run.customer_id]),
    ]
    link = f'href="{reverse("admin:rules_rule_change", args=[run.rule_id])}?back='
    someone = person()
    for name in ("view_eventlog", "view_customer"):
        someone.user_permissions.add(Permission.objects.get(codename=name))
    nobody = client_of(someone)
    for page in pages:
        why = markup(support.get(page))
        assert link in why
        assert link not in markup(nobody.get(page))
    Rule.objects.all().delete()
    for page in pages:
        assert link not in markup(support.get(page))


def test_what_samcart_sent_is_downloaded_and_never_shown_as_a_page(support):
    found = event("unreadable")
    answer = support.get(reverse("admin:events_eventlog_download", args=[found.pk]))
    assert answer.content == b"{ this is no JSON"
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Disposition"].startswith("attachment")
    assert support.get(reverse("admin:events_eventlog_download", args=[0])).status_code == 404
    nobody = signed_in("")
    assert nobody.get(reverse("admin:events_eventlog_download", args=[found.pk])).status_code == 403


def test_a_purchase_that_gave_nothing_is_dealt_with(support):
    found = EventLog.objects.filter(product__name="Gift Card").latest("pk")
    address = reverse("admin:events_eventlog_change", args=[found.pk])
    assert "Somebody paid, and no rule gives anything for it." in words(support.get(address))
    assert said(press(support, found, "deal_with")) == ["1 event marked as dealt with."]
    text = words(support.get(address))
    assert "No rule" in text
    assert "Paid, nothing given" not in text
    assert "by Sam" in text
    assert said(press(support, found, "deal_with")) == [
        "Nothing was marked: only events for which nothing was done can be marked as dealt with."
    ]


def test_who_may_not_add_a_rule_reads_whom_to_ask_and_what_helps_until_then(support, place):
    Rule.objects.filter(product=None).delete()
    sold = place.sell("1048004", 8)
    place.world.settle()
    page = support.get(reverse("admin:integrations_customer_change", args=[sold.customer.pk]))
    assert "no rule gives anything for it. Ask Noor or Mia to add the rule." in words(page)
    give = f"{reverse('admin:give-access')}?customer={sold.customer.pk}&amp;purchase={sold.pk}"
    assert f'you can <a href="{give}">give access</a> by hand.' in page.content.decode()


def test_a_purchase_whose_rule_is_off_leads_to_it_instead_of_to_a_new_one(place):
    manager = signed_in(roles.MANAGER)
    course = place.world.course("Present")
    rule = place.world.rule(
        "product_purchased", "create_course_enrollment", course, product="1048004"
    )
    Rule.objects.filter(pk=rule.pk).update(enabled=False)
    place.world.sell("10_product", product__id=1048004, order__id=77)
    found = EventLog.objects.get(order_id="77")
    page = manager.get(reverse("admin:events_eventlog_change", args=[found.pk]))
    assert "The rules that match are turned off:" in words(page)
    assert "The rules that match this event were turned off" in words(page)
    answer = press(manager, found, "rerun")
    (text,) = said(answer)
    assert text.startswith(
        "0 actions queued, 1 event left out: no rule that is turned on matches it."
    )
    assert "The rules that match are turned off:" in text
    link = reverse("admin:rules_rule_change", args=[rule.pk])
    messages = answer.content.decode().partition("messagelist")[2].partition("</ul>")[0]
    assert f'href="{link}">Product Purchased, Example Course One →' in messages
    Rule.objects.filter(scope=Scope.GLOBAL).update(enabled=True)
    page = manager.get(reverse("admin:events_eventlog_change", args=[found.pk]))
    assert "The rules that match this event were turned off" not in words(page)
    assert "The rule was off then. It is on now." in words(page)
    assert (
        "This rule matches too, but is turned off: When Example Course One is purchased"
        in words(page)
    )
    assert reverse("admin:rules_rule_change", args=[rule.pk]) in page.content.decode()
    assert "New rule for this product" not in words(page)
    leads_to = reverse("admin:rules_rule_change", args=[rule.pk])
    Rule.objects.filter(scope=Scope.GLOBAL).update(enabled=False)
    page = manager.get(reverse("admin:events_eventlog_change", args=[found.pk]))
    assert "The rules that match are turned off:" in words(page)
    assert "Once a rule is on, this buyer can be enrolled here." in words(page)
    overview = manager.get(reverse("admin:index"))
    assert "See the rule (off) for" in words(overview)
    assert leads_to in overview.content.decode()
    switch = reverse("admin:rules_rule_do_switch_on", args=[rule.pk])
    assert f'action="{switch}"' in page.content.decode()
    manager.post(switch)
    page = manager.get(reverse("admin:events_eventlog_change", args=[found.pk]))
    assert "The rule was off then. It has been on since" in words(page)
    assert "Enroll this buyer now" in words(page)


def test_a_purchase_that_only_a_global_rule_fits_leads_to_that_one_while_it_is_off(place):
    manager = signed_in(roles.MANAGER)
    everything = Rule.objects.get(scope=Scope.GLOBAL, trigger="product_purchased", enabled=False)
    leads_to = reverse("admin:rules_rule_change", args=[everything.pk])
    assert leads_to in markup(manager.get(reverse("admin:index")))
    everything.delete()
    overview = manager.get(reverse("admin:index"))
    assert leads_to not in markup(overview)
    assert "New rule for Gift Card" in words(overview)


def test_running_the_rules_again_says_what_it_did(support, place):
    found = EventLog.objects.filter(product__name="Gift Card").latest("pk")
    course = place.world.course("Present")
    place.world.rule("product_purchased", "create_course_enrollment", course, product="1048004")
    assert said(press(support, found, "rerun")) == ["1 action queued."]
    assert said(press(support, found, "rerun")) == [
        "0 actions queued, 1 event left out: its action continues by itself."
    ]


def test_rules_are_run_again_only_where_that_does_something(support, place):
    found = EventLog.objects.filter(product__name="Gift Card").latest("pk")
    page = reverse("admin:events_eventlog_change", args=[found.pk])
    button = reverse("admin:events_eventlog_do_rerun", args=[found.pk])
    assert button in markup(support.get(page))
    assert found.customer is not None
    changes = {"customer__email": found.customer.email, "product__id": 1048004}
    place.world.sell("20_product", order__id=int(found.order_id), **changes)
    shown = support.get(page)
    assert button not in markup(shown)
    assert "was refunded on" in words(shown)


def test_an_unknown_type_is_named_on_the_page_of_its_event(place):
    manager = signed_in(roles.MANAGER)
    found = event("unknown_type")
    page = manager.get(reverse("admin:events_eventlog_change", args=[found.pk]))
    assert "It means" in words(page)
    # Nobody shall name it a purchase by pressing the button without a look.
    assert '<option value="">Choose a trigger</option>' in page.content.decode()
    (text,) = said(press(manager, found, "give_trigger", trigger="subscription_canceled"))
    assert "now means Subscription Canceled. 1 event that waited is read again" in text
    place.world.settle()
    found.refresh_from_db()
    assert found.trigger == "subscription_canceled"
    (text,) = said(press(manager, event("done"), "give_trigger", trigger="nonsense"))
    assert text


@pytest.mark.parametrize(
    ("action", "text"),
    [
        ("retry_chosen", "1 queued."),
        ("rerun_chosen", "1 action queued."),
        (
            "deal_with_chosen",
            "Nothing was marked: only events for which nothing was done can be marked as dealt "
            "with.",
        ),
    ],
)
def test_events_that_were_ticked(support, action, text):
    assert said(bulk(support, LOG, action, event("failed"))) == [text]


# Actions


def test_an_action_that_was_not_tried_yet_says_so_in_place_of_a_count(support):
    run = RuleRun.objects.get(status="failed")
    soon = timezone.now() + timedelta(hours=1)
    addresses = (
        reverse("admin:events_rulerun_change", args=[run.pk]),
        reverse("admin:events_eventlog_change", args=[run.event_id]),
    )
    for attempts, told in ((0, "Not tried yet; first attempt"), (1, "1 attempt, the next one")):
        waiting = {"status": "waiting", "next_attempt_at": soon, "attempts": attempts}
        RuleRun.objects.filter(pk=run.pk).update(**waiting)
        for address in addresses:
            assert told in words(support.get(address))


def test_an_action_whose_time_has_come_tells_what_it_waits_for_and_no_time_that_is_past(support):
    run = RuleRun.objects.get(status="failed")
    past = timezone.now() - timedelta(hours=1)
    addresses = (
        reverse("admin:events_rulerun_change", args=[run.pk]),
        reverse("admin:events_eventlog_change", args=[run.event_id]),
    )
    assert run.integration is not None
    for enabled, attempts, told in (
        (True, 0, "Not tried yet"),
        (True, 1, "1 attempt"),
        (False, 0, f"Not tried yet; waits until {run.integration} is turned on"),
        (False, 2, f"2 attempts, waits until {run.integration} is turned on"),
    ):
        waiting = {"status": "waiting", "next_attempt_at": past, "attempts": attempts}
        RuleRun.objects.filter(pk=run.pk).update(**waiting)
        Integration.objects.filter(pk=run.integration.pk).update(enabled=enabled)
        for address in addresses:
            text = words(support.get(address))
            assert told in text
            assert "first attempt" not in text
            assert "the next one" not in text


def test_actions_show_the_age_of_the_action_and_not_of_its_event(support):
    run, now = RuleRun.objects.filter(status="done").latest("pk"), timezone.now()
    assert run.customer
    RuleRun.objects.all().update(
        received_at=now - timedelta(minutes=12), finished_at=now - timedelta(minutes=3)
    )
    asked = {"q": run.customer.email, "status__exact": "done"}
    page = words(support.get(reverse("admin:events_rulerun_changelist"), asked))
    assert "3 min ago" in page
    assert "12 min ago" not in page
    # So the order of the list is not that of the ages, and the list says which it is.
    assert "Sorted by when their events came. Each action shows when it was done." in page
    assert "New actions appear by themselves." in page


def test_actions_tell_in_words_what_happened(support):
    text = words(support.get(reverse(ACTIONS)))
    assert "Urban Sketching is gone from Thinkific" in text
    assert "This e-mail is a Thinkific administrator" in text
    run = RuleRun.objects.get(status="failed")
    page = support.get(reverse("admin:events_rulerun_change", args=[run.pk]))
    text = words(page)
    assert "Attempts 1 attempt" in text
    assert "call" in text
    # It says what to refresh and edit, so it leads there.
    for name, pk in (
        ("integrations_integration", run.integration_id),
        ("rules_rule", run.rule_id),
    ):
        address = reverse(f"admin:{name}_change", args=[pk])
        assert f'href="{address}' in page.content.decode()


@pytest.mark.parametrize(
    ("button", "status", "then", "text"),
    [
        ("retry", "failed", "waiting", "1 queued."),
        ("release", "held", "waiting", "1 queued."),
        ("dismiss", "failed", "skipped", "1 action dismissed. No further action is needed."),
        (
            "dismiss",
            "done",
            "done",
            "Nothing was dismissed: only actions that failed or wait for you can be dismissed.",
        ),
        ("do_anyway", "done", "done", "0 queued, 1 skipped: it had succeeded."),
    ],
)
def test_the_buttons_of_an_action(support, button, status, then, text):
    run = RuleRun.objects.filter(status=status).latest("pk")
    assert said(press(support, run, button)) == [text]
    run.refresh_from_db()
    assert run.status == then


def test_an_action_leads_to_its_student_in_thinkific(support):
    run = queued.run(factories.DestinationFactory.create())
    page = reverse("admin:events_rulerun_change", args=[run.pk])
    assert "thinkific.com/manage/users/" not in support.get(page).content.decode()
    assert run.integration is not None
    assert run.customer is not None
    ThinkificUser.objects.create(integration=run.integration, customer=run.customer, user_id=10)
    link = f'href="https://{run.site}.thinkific.com/manage/users/10"'
    assert link in support.get(page).content.decode()


def test_actions_that_were_ticked_are_dismissed(support):
    chosen = [RuleRun.objects.filter(status=each).latest("pk") for each in ("failed", "done")]
    text = "1 action dismissed. No further action is needed."
    assert said(bulk(support, ACTIONS, "dismiss_chosen", *chosen)) == [text]


def test_actions_are_found_by_person_order_site_and_result(support):
    site = Integration.objects.get(name="Art Academy")
    for query in (
        "q=dana",
        "q=1183",
        f"integration={site.pk}",
        "status__exact=done",
        "received=30",
    ):
        assert rows(support.get(f"{reverse(ACTIONS)}?{query}")) > 0, query


# Customers


def test_a_customer_is_found_by_whatever_is_known(support):
    dana = Customer.objects.get(email="dana.whitfield@example.com")
    page = reverse("admin:integrations_customer_change", args=[dana.pk])
    for term in ("dana.whitfield@example.com", "DANA.WHITFIELD@example.com", "whitfield", "1199"):
        assert support.get(reverse(CUSTOMERS), {"q": term})["Location"] == page, term
    several = words(support.get(reverse(CUSTOMERS), {"q": "example.com"}))
    assert "dana.whitfield@example.com" in several


def test_who_is_not_found_is_said_with_addresses_that_look_alike(support):
    text = words(support.get(reverse(CUSTOMERS), {"q": "dana.whitfeld@example.com"}))
    assert "Nothing found for dana.whitfeld@example.com. 1 event could not be read" in text
    EventLog.objects.filter(status="unreadable").update(status="no_rule", gave_nothing=True)
    text = words(support.get(reverse(CUSTOMERS), {"q": "dana.whitfeld@example.com"}))
    assert "Nothing received for dana.whitfeld@example.com." in text
    assert "Did you mean dana.whitfield@example.com" in text
    assert "mistyped address, open that customer and press Move to another e-mail." in text
    assert "placed after SamCart got Admit's address" in text


def test_customers_begins_with_the_newest(support):
    newest = Customer.objects.latest("pk")
    page = words(support.get(reverse(CUSTOMERS)))
    assert f"Newest customers Customer Has now Last purchase Known since {newest.name}" in page
    assert "Newest customers" not in words(
        support.get(reverse(CUSTOMERS), {"q": "nobody-has-this"})
    )


def test_the_advice_about_signing_in_is_given_once(support):
    dana = Customer.objects.get(email="dana.whitfield@example.com")
    page = words(support.get(reverse("admin:integrations_customer_change", args=[dana.pk])))
    lines = page.partition("Check in Thinkific")[0]
    assert lines.count("Dana has ") >= 3
    assert lines.count("the problem is probably signing in") == 1


def test_a_row_tells_on_a_phone_only_what_there_is(support):
    page = markup(support.get(reverse(LOG), {"result": "unreadable"}))
    assert 'class="nothing field-sold' in page
    full = markup(support.get(reverse(LOG), {"q": "1199"}))
    assert 'class="field-sold' in full
    assert 'class="nothing field-sold' not in full


def test_the_customer_page_answers_first(support):
    dana = Customer.objects.get(email="dana.whitfield@example.com")
    text = words(support.get(reverse("admin:integrations_customer_change", args=[dana.pk])))
    assert "Dana has had Course Two since" in text
    assert "Dana has no access to Watercolor for Beginners: the refund of order 1183" in text
    assert text.index("Dana has had Course Two") < text.index("Everything that happened")


def test_thinkific_is_asked_and_differences_are_said(support, place):
    dana = Customer.objects.get(email="dana.whitfield@example.com")
    place.world.sandbox.clear_calls()
    answers = said(press(support, dana, "ask_thinkific"))
    assert answers[0].startswith("Art Academy says now: ")
    assert all(call.startswith("GET") for call in place.world.calls())
    user = place.world.school.user(dana.email)
    place.world.school.remove_user(user)
    assert said(press(support, dana, "ask_thinkific")) == [
        f"Art Academy has no student with {dana.email}."
    ]


def test_what_a_deleted_student_had_is_said_to_be_gone_and_given_again(support, place):
    dana = Customer.objects.get(email="dana.whitfield@example.com")
    page = reverse("admin:integrations_customer_change", args=[dana.pk])
    place.world.school.remove_user(place.world.school.user(dana.email))
    place.world.school.add_user(dana.email)
    press(support, dana, "ask_thinkific")
    shown = support.get(page)
    lost = "Dana has no access to Course Two: it was given on"
    assert lost in words(shown)
    line = next(each for each in shown.context["answer"].lines if lost in each.text)
    bought = EventLog.objects.get(pk=line.event)
    assert reverse("admin:events_eventlog_change", args=[bought.pk]) in markup(shown)
    assert said(press(support, bought, "rerun")) == ["2 actions queued."]
    place.world.settle()
    assert "Dana has had Course Two since" in words(support.get(page))


# Overview


def test_the_overview_says_what_needs_somebody(support):
    text = words(support.get(reverse("admin:index")))
    assert "Urban Sketching is gone from Thinkific" in text
    assert "Gift Card 2" in text
    assert "Add rules that end access and give it back" in text
    assert "SamCart has sent none of these yet" in text
    assert "Subscription Recovered: 1 rule waits for it." in text
    assert "Nothing is being carried out" not in text
    told = (
        "2 buyers paid and have no access. See them. Thinkific rejects the key of Studio Nord. 1 "
        "action failed. 1 action waits for you. 2 events were not understood. Rules give 1 course "
        "that Thinkific no longer has."
    )
    assert told in text
    assert "4 steps left" not in text
    manager = signed_in(roles.MANAGER)
    assert f"{told} 4 steps left" in words(manager.get(reverse("admin:index")))
    assert "Nothing needs your attention." not in text


def test_a_silent_worker_is_said_with_what_waits(support):
    Worker.objects.update(seen_at=timezone.now() - timedelta(minutes=3))
    text = words(support.get(reverse("admin:index")))
    assert "No worker has been seen for two minutes." in text
    assert "Nothing received is lost." in text


def test_the_overview_of_an_empty_installation_shows_what_to_do(db):
    text = words(signed_in(roles.MANAGER).get(reverse("admin:index")))
    assert "To set up" in text
    # Without a worker, and with nothing set up, it is not calm.
    assert "Nothing is being carried out: no worker is running. 8 steps left to set up." in text
    assert "Nothing needs your attention." not in text
    assert "All understood" not in text
    # Only the next step and its button; there is nothing else to look at yet.
    assert "Step 1 of 8 Connect Thinkific Connect Thinkific" in text
    for later in ("Today", "Integrations Name", "Actions done and failed, by day"):
        assert later not in text


@pytest.mark.parametrize("role", [roles.SUPPORT, roles.MANAGER])
def test_the_overview_costs_few_queries(support, role):
    someone = person(role)
    Preference.objects.create(user=someone, seen_at=timezone.now() - timedelta(hours=2))
    AuditEntry.objects.create(who="ben@example.com", act=Act.LETTER_CHANGED)
    client = client_of(someone)
    with CaptureQueriesContext(connection) as asked:
        client.get(reverse("admin:index"))
    # One of them is for the site that never connected, six are for a refunded buyer.
    assert len(asked) <= 72


def test_an_attempt_that_the_whole_site_refused_is_an_attempt_on_every_page(support, place):
    place.world.school.change_key("another")
    place.world.sell(customer__email="oz@example.com", order__id=700503)
    place.world.settle()
    run = RuleRun.objects.get(pk=ApiCall.objects.latest("pk").run_id or 0)
    assert (run.status, run.attempts) == ("waiting", 0)
    pages = {
        name: words(support.get(reverse(f"admin:{name}_change", args=[number])))
        for name, number in (
            ("integrations_customer", run.customer_id),
            ("events_rulerun", run.pk),
            ("events_eventlog", run.event_id),
        )
    }
    assert pages["integrations_customer"].count("Failed attempt") == 1
    assert re.search(r"Attempts 1 attempt\b", pages["events_rulerun"])
    assert "Not tried yet" not in pages["events_eventlog"]
