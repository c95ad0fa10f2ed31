"""What Admit asks for each event costs the same however long its history is: no walk, ever."""

import itertools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from config.admin.parts.changelist import COUNTED
from config.staff import roles
from events.execution import retry_by_hand, wait_reasons
from events.models import Delivery, EventLog, Grant, RuleRun, Tidying
from events.reports import activity_search, customer_search, promise
from events.retention import housekeeping
from events.worker import scheduler, tasks
from integrations.models import Customer, Integration, ThinkificUser
from tests.bench import past
from tests.support.pages import signed_in
from tests.support.world import World

EVENTS = 20_000
# So many rows that were looked at for nothing are a part of the history.
MANY = EVENTS // 20


@dataclass
class Plans:
    """What the database would do for each statement, taken down just before it does it."""

    asked: dict[str, str] = field(default_factory=dict)

    def __call__(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        if sql not in self.asked and sql.startswith(("SELECT", "UPDATE", "DELETE")):
            self.asked[sql] = ""  # so that this very statement is not explained
            kept = type(context["cursor"].cursor).__name__ == "ServerBindingCursor"
            self.asked[sql] = _kept_plan(sql, params) if kept else _plan(sql, params)
        return execute(sql, params, many, context)

    def walks(self) -> list[str]:
        """Plans that go through the whole of a table that grows with history."""
        return [
            f"{sql}\n{plan}\n"
            for sql, plan in self.asked.items()
            if any(_walks(line, sql) for line in plan.splitlines())
        ]

    def gathered(self) -> list[str]:
        """Plans that fetch a long history and sort it, where only its newest rows are wanted."""
        return [
            f"{sql}\n{plan}\n"
            for sql, plan in self.asked.items()
            if " LIMIT " in sql
            and any(f'"{table}"' in sql for table in past.TABLES)
            and ("TEMP B-TREE FOR ORDER BY" in plan or _most_rows(plan) > 2 * MANY)
        ]

    def by_other_than_customers(self) -> list[str]:
        """Plans that look for what concerns some customers among that of all others too."""
        return [
            f"{sql}\n{plan}\n"
            for sql, plan in self.asked.items()
            if re.search(r'"events_\w+"."customer_id" IN \(', sql)
            and connection.vendor == "sqlite"
            and "(customer_id=?)" not in plan
        ]


def _most_rows(plan: str) -> int:
    return max(map(int, re.findall(r"actual rows=(\d+)", plan)), default=0)


def _plan(sql: str, params: Any) -> str:
    how = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else _explain(sql)
    with connection.cursor() as cursor:
        cursor.cursor.execute(f"{how} {sql}", params)
        return "\n".join(str(row[-1]) for row in cursor.fetchall())


def _explain(sql: str) -> str:
    # What only asks can be carried out as well, which tells what it looked at.
    return "EXPLAIN (ANALYZE, TIMING OFF)" if sql.startswith("SELECT") else "EXPLAIN"


def _kept_plan(sql: str, params: Any) -> str:
    """What PostgreSQL does once it has kept the plan, made without knowing what is given."""
    numbers = itertools.count(1)
    numbered = re.sub(r"%(?:[(]\w+[)])?s", lambda mark: f"${next(numbers)}", sql)
    marks = re.findall(r"%(?:[(]\w+[)])?s", sql)
    with connection.cursor() as cursor:
        cursor.cursor.execute("SET plan_cache_mode = force_generic_plan")
        cursor.cursor.execute(f"PREPARE hot AS {numbered}".replace("%%", "%"))
        try:
            values = f"({', '.join(marks)})" if marks else ""
            cursor.cursor.execute(f"{_explain(sql)} EXECUTE hot {values}", params)
            return "\n".join(str(row[-1]) for row in cursor.fetchall())
        finally:
            cursor.cursor.execute("DEALLOCATE hot")
            cursor.cursor.execute("RESET plan_cache_mode")


def _walks(line: str, sql: str) -> bool:
    for_nothing = re.search(r"Rows Removed by .*: (\d+)", line)
    if for_nothing and int(for_nothing[1]) > MANY:
        return True
    scan = re.match(r"[ ->]*(?:SCAN|(?:Parallel )?Seq Scan on) (\w+)", line)
    if scan is None:
        return False
    # PostgreSQL tells how many rows it went through: a scan that a LIMIT ends early is none.
    read = re.search(r"actual rows=(\d+) loops=(\d+)", line)
    if read and int(read[1]) * int(read[2]) <= MANY:
        return False
    aliases = re.findall(r'"(\w+)" ([A-Z]\w*\d)\b', sql)  # SQLite tells these alone
    table = {alias: name for name, alias in aliases}.get(scan[1], scan[1])
    # SQLite says SCAN as well of what is read in its order up to a LIMIT, and of an index that
    # holds only what is open.
    by = re.search(r" USING (?:COVERING )?INDEX (\w+)", line)
    ends = " LIMIT " in sql and (by or " WHERE " not in sql)
    return table in past.TABLES and not (ends or (by and by[1] in _partial()))


def _partial() -> set[str]:
    models = (Delivery, EventLog, Grant, RuleRun)
    found = (index for model in models for index in model._meta.indexes)
    return {index.name for index in found if index.condition}


@contextmanager
def explained() -> Iterator[Plans]:
    plans = Plans()
    with connection.execute_wrapper(plans):
        yield plans


@pytest.fixture
def old_shop(world: World) -> World:
    """A shop with two rules and a long history."""
    course = world.course()
    world.rule("product_purchased", "create_course_enrollment", course)
    world.rule("product_refunded", "expire_course_enrollment", course)
    world.sell("10_product", customer__email="first@example.com")
    world.settle()
    past.fill(EVENTS)
    return world


def test_no_hot_query_walks_through_history(old_shop: World, settings):
    world = old_shop
    settings.METRICS_TOKEN = "a-token-of-the-monitor-for-tests"
    monitor = {"Authorization": f"Bearer {settings.METRICS_TOKEN}"}
    with explained() as plans:
        world.sell("10_product", order__id=7001)
        world.sell("10_product", order__id=7001)  # a repeat
        world.sell("20_product", order__id=7001)
        world.sell("33_subscription", order__id=7002)
        tasks.work()
        scheduler.tick("nobody", beat_after=60.0)
        retry_by_hand.retry(RuleRun.objects.filter(pk=RuleRun.objects.latest("pk").pk))
        list(Grant.objects.stranded())
        scrape = world.client.get("/metrics", headers=monitor)
    assert 'admit_actions_open{state="failed"} 400.0' in scrape.content.decode()
    assert len(plans.asked) > 30
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


def test_the_overview_asks_no_more_of_a_long_history_and_walks_through_none_of_it(world: World):
    course = world.course()
    owner = signed_in(roles.MANAGER, is_superuser=True)
    world.sell("10_product", customer__email="first@example.com")
    world.sell("10_product", customer__email="second@example.com", order__id=2)
    world.rule("product_purchased", "create_course_enrollment", course)
    world.sell("10_product", customer__email="first@example.com", order__id=3)
    world.settle()
    with CaptureQueriesContext(connection) as young:
        owner.get(reverse("admin:index"))
    past.fill(EVENTS)
    with CaptureQueriesContext(connection) as old, explained() as plans:
        shown = owner.get(reverse("admin:index"))
    # The second one alone: the first has the course by another order.
    (row,) = shown.context["nothing_given"]
    long_ago = EventLog.objects.filter(status="no_rule", customer__email__startswith="old")
    lately = long_ago.filter(received_at__gte=timezone.now() - promise.LATELY)
    assert row.buyers == 1 + lately.values("customer").distinct().count() > 1
    assert len(old) == len(young)
    assert plans.walks() == []
    assert plans.by_other_than_customers() == []


def test_why_somebody_has_a_course_is_read_by_an_index(old_shop: World):
    viewer = signed_in(roles.VIEWER)
    first, last = Customer.objects.earliest("pk"), Grant.objects.latest("pk").customer
    ThinkificUser.objects.create(integration=old_shop.integration, customer=last, user_id=7)
    with explained() as plans:
        for customer in (first, last):
            page = reverse("admin:integrations_customer_change", args=[customer.pk])
            assert "has Course" in viewer.get(page).content.decode()
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


def test_gathering_a_history_would_be_noticed(old_shop: World):
    with explained() as plans:
        list(RuleRun.objects.filter(integration=old_shop.integration).order_by("message", "pk")[:9])
    assert len(plans.gathered()) == 1
