"""Queries made for each event cost the same however long the history is: no scans."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef
from django.db.models.functions import Now
from django.test.utils import override_settings
from django.urls import reverse
from django.utils import timezone

from config.admin.parts.changelist import COUNTED
from config.staff import roles
from events.alerts import finding, silence
from events.alerts.problems import ProblemCode
from events.execution import wait_reasons
from events.models import Delivery, EventLog, Grant, RuleRun, Tidying
from events.reports import activity_search
from events.reports.changed_rules import left_behind, left_behind_summary, refunded
from events.reports.customers import customer_search
from events.reports.earlier import earlier, rule_preview
from events.reports.products import coverage
from events.retention import housekeeping
from integrations.models import Customer, Integration, Product, ThinkificUser
from integrations.thinkific.sandbox import Sandbox
from rules.models import Rule, Scope
from tests.support import world as worlds
from tests.support.pages import CUSTOMERS, signed_in, words
from tests.support.plans import explained, live_for_long
from tests.support.world import World


@pytest.fixture(scope="module")
def kept_shop(django_db_setup: None, django_db_blocker: Any) -> Iterator[World]:
    """A shop with a long history for all tests here, because making one takes seconds."""
    with django_db_blocker.unblock(), Sandbox() as sandbox:
        with override_settings(THINKIFIC_API_URL=sandbox.url):
            world = worlds.build(sandbox)
            live_for_long(world)
        yield world
        call_command("flush", interactive=False, verbosity=0)


@pytest.fixture
def old_shop(kept_shop: World, db: None) -> World:
    """The same, in a transaction: what a test changes is undone."""
    return kept_shop


def test_looking_for_problems_walks_through_nothing(old_shop: World):
    now = timezone.now()
    with explained() as plans:
        found = {problem.code for problem in finding.find(now)}
    assert {ProblemCode.NEEDS_A_PERSON, ProblemCode.NOTHING_GIVEN} <= found
    assert plans.walks() == []
    # The habit is read once the shop has been silent for long, and then of its last weeks alone.
    assert not [sql for sql in plans.asked if f"LIMIT {silence.MOST_SALES}" in sql]
    with explained() as plans:
        later = now + 2 * silence.WEEK
        (account,) = finding.silent_accounts(later)
        finding.silence_of(account, later)
    assert len(plans.asked) == 4
    assert plans.walks() == []


def test_tidying_walks_through_nothing_either(old_shop: World, settings):
    settings.KEEP_PAYLOADS_DAYS = settings.KEEP_EXCHANGES_DAYS = settings.KEEP_EVENTS_DAYS = 1090
    Tidying.objects.update_or_create(pk=Tidying.ONLY, defaults={"next_at": Now()})
    with explained() as plans:
        removed = housekeeping.go_on(leave=lambda seconds: None)
    assert {"payloads", "exchanges", "events", "grants"} <= set(removed)
    assert plans.walks() == []


def test_a_walk_would_be_noticed(old_shop: World):
    with explained() as plans, transaction.atomic():
        list(Delivery.objects.filter(query="x"))
        inside = Delivery.objects.filter(pk=OuterRef("delivery"), query="x").order_by()
        list(EventLog.objects.filter(Exists(inside), reason="x"))
        aliased = Delivery.objects.filter(query="x").values("pk")
        list(Delivery.objects.filter(pk__gte=0, pk__in=aliased, query="x"))
    assert len(plans.walks()) == 3


@pytest.mark.parametrize("log", ["eventlog", "rulerun"])
def test_what_was_done_at_a_site_is_found_from_the_newest(old_shop: World, log: str):
    owner = signed_in(roles.MANAGER, is_superuser=True)
    page = reverse(f"admin:events_{log}_changelist")
    with explained() as plans:
        shown = owner.get(f"{page}?integration={old_shop.integration.pk}")
    assert "1,050+" in shown.content.decode()
    assert plans.gathered() == []


def test_no_event_of_another_site_is_looked_at_that_is_newer_than_all_of_the_one_asked_for(
    old_shop: World,
):
    owner = signed_in(roles.MANAGER, is_superuser=True)
    page = reverse("admin:events_eventlog_changelist")
    former = Integration.objects.create(name="Former Academy", site="former")
    for number in (0, 3, COUNTED + 1):
        oldest = RuleRun.objects.order_by("received_at").values_list("pk", flat=True)[:number]
        RuleRun.objects.filter(pk__in=list(oldest)).update(integration=former)
        with explained() as plans:
            shown = owner.get(f"{page}?integration={former.pk}")
        assert shown.context["cl"].result_count == number
        asked = {sql: plan for sql, plan in plans.asked.items() if "events_rulerun" in sql}
        assert [sql for sql, plan in asked.items() if "SCAN events_eventlog" in plan] == []
        assert plans.walks() == []


def test_why_an_action_waits_is_not_looked_for_among_all_that_was_done_at_its_site(
    old_shop: World,
):
    run = RuleRun.objects.latest("pk")
    RuleRun.objects.filter(pk=run.pk).update(status="waiting")
    run.refresh_from_db()
    with explained() as plans:
        assert wait_reasons.reason(run) == "Enrolled."
    assert [sql for sql, plan in plans.asked.items() if "run_of_site" in plan] == []
    assert plans.walks() == []


def test_why_somebody_has_a_course_is_read_by_an_index(old_shop: World):
    viewer = signed_in(roles.VIEWER)
    first, last = Customer.objects.earliest("pk"), Grant.objects.latest("pk").customer
    ThinkificUser.objects.create(integration=old_shop.integration, customer=last, user_id=7)
    with explained() as plans:
        for customer in (first, last):
            page = reverse("admin:integrations_customer_change", args=[customer.pk])
            assert "has had Course" in viewer.get(page).content.decode()
    assert [sql for sql in plans.asked if '"events_grant"' in sql]
    assert plans.walks() == []
    assert plans.by_other_than_customers() == []


def test_who_is_not_in_is_listed_by_an_index(old_shop: World):
    viewer = signed_in(roles.VIEWER)
    few = EventLog.objects.filter(gave_nothing=True).order_by("-pk").values_list("pk", flat=True)
    EventLog.objects.exclude(pk__in=list(few[:9])).update(dealt_with_at=Now())
    Grant.objects.owed().update(seen_at=Now())
    with explained() as plans:
        viewer.get(reverse("admin:events_eventlog_changelist"), {"result": "not_in"})
    assert plans.walks() == []


@pytest.mark.parametrize(
    "typed",
    [
        "OLD4711@EXAMPLE.COM",
        "old4711@ex",
        "dana4711",
        "Dana47",
        "example.com",
        "reyes dana4711",
        "dana4711 example.com reyes",
    ],
)
def test_customers_are_searched_by_an_index(old_shop: World, typed: str):
    with explained() as plans:
        assert customer_search.find(typed).customers
        assert activity_search.people(typed)
    terms = [plan for sql, plan in plans.asked.items() if "integrations_searchterm" in sql]
    assert all("customer_by_term" in plan for plan in terms)
    assert len(terms) == (0 if typed.isupper() else 2)
    assert plans.walks() == []
    assert plans.gathered() == []


def test_similar_addresses_are_searched_by_an_index(old_shop: World):
    with explained() as plans:
        assert customer_search.find("old4711@exmaple.com").similar
    of_terms = {sql: plan for sql, plan in plans.asked.items() if "integrations_searchterm" in sql}
    # That nothing holds the address is known when all terms were read, and only then.
    by_index = [plan for sql, plan in of_terms.items() if not re.search("INSTR|position", sql)]
    assert len(by_index) == len(of_terms) - 1 == 2
    assert all("customer_by_term" in plan for plan in by_index)


def test_the_lists_of_customers_and_of_products_look_only_at_their_own_rows(old_shop: World):
    viewer = signed_in(roles.VIEWER)
    with explained() as plans:
        page = words(viewer.get(reverse(CUSTOMERS)))
        viewer.get(reverse("admin:integrations_product_changelist"), {"o": "-4"})
    assert "Course" in page.partition("Has now")[2]
    assert plans.walks() == []
    assert plans.by_other_than_customers() == []
    of_sales = [plan for sql, plan in plans.asked.items() if '"sold_lately"' in sql]
    assert of_sales
    assert not any("event_by_trigger" in plan for plan in of_sales)
    if connection.vendor == "sqlite":  # PostgreSQL looks at new rows in any case
        assert all("COVERING INDEX event_of_product" in plan for plan in of_sales)


def test_purchases_that_gave_nothing_are_found_by_their_own_index(old_shop: World):
    viewer = signed_in(roles.VIEWER)
    with explained() as plans:
        for page in ("index", "coverage", "compare", "alerts"):
            viewer.get(reverse(f"admin:{page}"))
    asked = [plan for sql, plan in plans.asked.items() if '"gave_nothing" AND' in sql]
    assert len(asked) > 3
    assert [plan for plan in asked if "event_gave_nothing" not in plan] == []


def test_refunds_that_left_access_open_are_found_by_their_own_index(old_shop: World):
    refunds = EventLog.objects.filter(trigger="product_refunded").order_by("-pk")
    EventLog.objects.filter(pk__in=list(refunds.values_list("pk", flat=True)[:20])).update(
        left_open=True
    )
    with explained() as plans:
        assert refunded.refunded_with_access() == []
        assert not refunded.may_be_kept()
    assert len(plans.asked) == 2
    for plan in plans.asked.values():
        assert [name in plan for name in ("event_left_open", "grant_of_order")] == [True, True]
        assert [name in plan for name in ("event_newest", "event_by_trigger")] == [False, False]
    assert plans.walks() == []


def test_the_refunds_of_many_buyers_who_are_still_in_are_read_by_indexes(old_shop: World):
    marked = EventLog.objects.filter(trigger="product_refunded").order_by("-received_at")[:40]
    marked = EventLog.objects.filter(pk__in=list(marked.values_list("pk", flat=True)))
    marked.update(left_open=True)
    Grant.objects.filter(order_id__in=list(marked.values_list("order_id", flat=True))).update(
        state="active", decided_at=F("opened_at")
    )
    RuleRun.objects.filter(event__in=marked).update(target="course:1")
    with explained() as plans:
        assert len(refunded.refunded_with_access()) > 10
    assert len(plans.asked) < 10
    assert plans.walks() == []


def test_only_the_events_of_a_rules_products_are_looked_at_for_it(old_shop: World):
    rule = Rule.objects.earliest("pk")
    rule.scope = Scope.PRODUCT
    rule.product = Product.objects.named(rule.marketplace_id, "product", "77", "Ink")
    rows = [row for row in coverage.judge_all() if row.number == rule.product_id]
    with explained() as plans:
        assert rule_preview.previews([rule])[0].events == 0
        assert not earlier.events([rule], None, 10)
        assert coverage.with_rules(rows)
    asked = [plan for sql, plan in plans.asked.items() if '"events_eventlog"."product_id"' in sql]
    assert len(asked) == 5
    own = "event_of_product", "event_gave_nothing_of_product"
    assert [plan for plan in asked if not any(index in plan for index in own)] == []


def test_cancellations_that_left_access_open_are_found_by_indexes(old_shop: World):
    rule = Rule.objects.earliest("pk")
    rule.scope, rule.trigger = Scope.PRODUCT, "subscription_canceled"
    rule.action = "expire_course_enrollment"
    rule.product = Product.objects.named(rule.marketplace_id, "product", "77", "Ink")
    rule.save()
    with explained() as plans:
        assert not earlier.not_run([rule]).exists()
    (asked,) = [plan for sql, plan in plans.asked.items() if '"events_grant"' in sql]
    assert "event_of_product" in asked
    assert plans.walks() == []


def test_the_events_of_a_product_are_read_once_for_all_triggers_of_its_rules(old_shop: World):
    rule = Rule.objects.earliest("pk")
    ink = Product.objects.named(rule.marketplace_id, "product", "77", "Ink")
    triggers = "product_purchased", "product_refunded", "subscription_canceled"
    rules = [Rule(marketplace=rule.marketplace, product=ink, trigger=each) for each in triggers]
    with explained() as plans:
        assert not earlier.gave_nothing(rules).exists()
    (plan,) = plans.asked.values()
    assert plan.count("event_gave_nothing_of_product") == 1


def test_what_deleted_rules_passed_on_is_not_looked_at_for_what_they_gave(old_shop: World):
    product = Product.objects.earliest("pk")
    RuleRun.objects.update(rule=None, grant=None)
    with explained() as plans:
        assert left_behind.by_deleted_rules([product.pk]).rows == []
    (plan,) = plans.asked.values()
    assert "run_of_deleted_rule" in plan


def test_who_has_what_no_rule_gives_any_more_is_found_by_an_index(old_shop: World):
    ink = Product.objects.named(old_shop.marketplace.pk, "product", "77", "Ink")
    other = Product.objects.named(old_shop.marketplace.pk, "product", "78", "Faces")
    Grant.objects.update(product=ink)
    Rule.objects.update(scope=Scope.PRODUCT, product=other)
    with explained() as plans:
        assert left_behind_summary.summarize().grants
    by_index = [plan for sql, plan in plans.asked.items() if sql.lstrip().startswith("WITH")]
    assert len(by_index) == 2
    assert [plan for plan in by_index if "grant_of_buyer" not in plan] == []
    assert plans.walks() == []


def test_gathering_a_history_would_be_noticed(old_shop: World):
    with explained() as plans:
        list(RuleRun.objects.filter(integration=old_shop.integration).order_by("message", "pk")[:9])
    assert len(plans.gathered()) == 1
