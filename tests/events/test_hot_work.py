"""The work for each event, and its first page, cost the same however long the history is."""

from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from config.staff import roles
from events.execution import retry_by_hand
from events.models import EventLog, Grant, RuleRun
from events.reports.owed import promise
from events.worker import scheduler, tasks
from tests.support import past
from tests.support.pages import signed_in
from tests.support.plans import EVENTS, explained, live_for_long
from tests.support.world import World


def test_no_hot_query_walks_through_history(world: World, settings):
    live_for_long(world)
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


def test_the_overview_asks_no_more_of_a_long_history_and_walks_through_none_of_it(world: World):
    course = world.course()
    owner = signed_in(roles.MANAGER, is_superuser=True)
    world.sell("10_product", customer__email="first@example.com")
    world.sell("10_product", customer__email="second@example.com", order__id=2)
    world.rule("product_purchased", "create_course_enrollment", course)
    world.sell("10_product", customer__email="first@example.com", order__id=3)
    world.settle()
    world.sell("10_product", customer__email="third@example.com", order__id=4)
    owner.get(reverse("admin:index"))  # the first visit makes the person's row
    with CaptureQueriesContext(connection) as young:
        owner.get(reverse("admin:index"))
    past.fill(EVENTS)
    # What so few are owed is looked up one by one; for hundreds a look at all takes less.
    few = Grant.objects.owed().order_by("pk")[:10]
    Grant.objects.owed().exclude(pk__in=[row.pk for row in few]).update(seen_at=timezone.now())
    with CaptureQueriesContext(connection) as old, explained() as plans:
        shown = owner.get(reverse("admin:index"))
    # The second one alone: the first has the course by another order.
    ((row, _),) = shown.context["nothing_given"]
    long_ago = EventLog.objects.filter(status="no_rule", customer__email__startswith="old")
    lately = long_ago.filter(received_at__gte=timezone.now() - promise.LATELY)
    assert row.buyers == 1 + lately.values("customer").distinct().count() > 1
    assert len(old) == len(young)
    assert plans.walks() == []
    assert plans.by_other_than_customers() == []
