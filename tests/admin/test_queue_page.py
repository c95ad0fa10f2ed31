"""The queue page: owners can look at it, and nobody can change it."""

from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_q.models import OrmQ

from config.staff import roles
from events.models import Delivery, RuleRun, Worker
from events.models.runs import DELAYED
from events.queue import wake
from events.reports import counting
from events.reports.system import queue
from integrations.calls import rate_limit
from integrations.models import ApiCall, CallBudget
from tests.support import factories
from tests.support import shop as shops
from tests.support.pages import markup, plain, signed_in
from tests.support.postgres import free_port
from tests.support.queued import run

pytestmark = pytest.mark.first_database

NOTHING = "Everything that came has been read."


@pytest.fixture
def boss(shop) -> Client:
    return signed_in(is_superuser=True)


def look(client: Client) -> str:
    answer = client.get(reverse("admin:queue"))
    assert answer.status_code == 200
    text = markup(answer).partition('<div class="page">')[2]
    return plain(text)


def test_an_empty_queue_says_so_everywhere(boss):
    page = look(boss)
    for sentence in (
        NOTHING,
        "No action waits for a worker.",
        "No action waits for another attempt.",
        "No wake-up is waiting.",
        "No worker. Nothing is carried out until one is started",
        "No action is running.",
    ):
        assert sentence in page


def test_wake_ups_are_counted_and_their_payload_stays_closed(boss, monkeypatch):
    def opened(_: OrmQ) -> None:
        raise AssertionError("a pickle was opened")

    monkeypatch.setattr(OrmQ, "task", property(opened))
    wake.wake()
    OrmQ.objects.create(key="admit", payload="x", lock=timezone.now() - timedelta(hours=2))
    OrmQ.objects.create(key="admit", payload="x", lock=timezone.now() + timedelta(minutes=4))
    found = queue.wake_ups()
    assert found is not None
    assert found.count == 2
    assert found.oldest is not None
    assert timezone.now() - found.oldest > timedelta(hours=1)
    assert "Wake-ups 2 Queued since" in look(boss)


def test_a_redis_that_does_not_answer_is_said(boss, settings, monkeypatch):
    from django_q.conf import Conf

    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    monkeypatch.setattr(Conf, "BROKER_CLASS", None)
    monkeypatch.setattr(Conf, "ORM", None)
    monkeypatch.setattr(Conf, "REDIS", settings.REDIS_URL)
    assert queue.wake_ups() is None
    assert "Redis does not answer" in look(boss)


def test_deliveries_that_were_not_read_are_counted(boss, shop):
    shop.receive({"type": "Order"}, minutes=5)
    shop.receive({"type": "Order"}, minutes=1)
    found = queue.unread()
    assert (found.count, found.oldest) == (2, shops.START + timedelta(minutes=1))
    assert NOTHING not in look(boss)
    Delivery.objects.update(state=Delivery.State.READ)
    assert queue.unread() == queue.QueueDepth(0, None)


def test_due_and_later_actions_are_told_apart(boss):
    course = factories.DestinationFactory.create()
    run(course)
    run(course, next_attempt_at=timezone.now() + timedelta(hours=3))
    run(course, next_attempt_at=timezone.now() + timedelta(hours=1))
    run(course, next_attempt_at=timezone.now() + timedelta(minutes=9), code=DELAYED)
    run(course, status="failed")
    assert queue.due().count == 1
    later = queue.later()
    assert later.count == 2
    assert later.oldest is not None
    assert timedelta(minutes=30) < later.oldest - timezone.now() < timedelta(hours=2)
    text = look(boss)
    assert "Actions due now 1" in text
    assert "1 more is planned: access ends " in text


def test_counts_end_at_a_limit_and_say_so(boss, monkeypatch):
    monkeypatch.setattr(counting, "MAX_COUNT", 2)
    course = factories.DestinationFactory.create()
    for _ in range(3):
        run(course)
    assert queue.due().spoken == "2+"
    assert queue.QueueDepth(1).spoken == "1"


def test_running_actions_are_shown_with_their_leases(boss):
    course = factories.DestinationFactory.create(name="Course Two")
    facts: dict[str, Any] = {"status": "running", "started_at": timezone.now(), "attempts": 3}
    run(course, lease_until=timezone.now() + timedelta(minutes=1), **facts)
    assert "Over" not in look(boss).partition("Actions running")[2]
    run(course, lease_until=timezone.now() - timedelta(minutes=1), **facts)
    page = look(boss).partition("Actions running")[2]
    assert page.count("Create Course Enrollment: Course Two") == 2
    assert page.count(" Over ") == 1


@pytest.mark.parametrize(
    ("seen", "stopping", "says"),
    [(1, False, "Working"), (1, True, "Stopping"), (3600, False, "Silent"), (None, False, "Start")],
)
def test_each_worker_tells_when_it_was_seen(boss, seen, stopping, says: str):
    at = timezone.now() - timedelta(seconds=seen) if seen else None
    Worker.objects.create(name="studio-1", seen_at=at, stopping=stopping)
    page = look(boss)
    assert f"studio-1 {says}" in page
    assert ("Never" in page) == (seen is None)


def test_a_site_tells_its_pause_its_slot_and_its_calls(boss, shop, settings):
    settings.THINKIFIC_CALLS_PER_MINUTE = 110
    site = shop.integration
    (found,) = queue.sites()
    assert (found.integration, found.why, found.asks_at, found.next_call) == (
        site,
        "",
        None,
        None,
    )
    for seconds in (1, 2, 90):
        ApiCall.objects.create(
            integration=site,
            method="GET",
            url="/",
            milliseconds=1,
            sent_at=timezone.now() - timedelta(seconds=seconds),
        )
    for _ in range(8):
        rate_limit.take_slot(site.pk, max_wait=60)
    rate_limit.block(site.pk, CallBudget.Blocked.LIMIT, 600)
    (found,) = queue.sites()
    assert found.calls_last_minute == 2
    assert found.why == "Limit reached"
    assert found.asks_at is not None
    assert found.next_call is not None
    assert timedelta(minutes=9) < found.asks_at - timezone.now() <= timedelta(minutes=10)
    assert timedelta(0) < found.next_call - timezone.now() < timedelta(seconds=10)
    page = look(boss)
    assert "Art Academy Paused Limit reached" in page
    assert ": checks whether it is open, if an action waits 2 of 110" in page
    assert "2 of 110" in page


def test_a_pause_that_is_over_is_none_until_the_site_was_asked(boss, shop):
    rate_limit.block(shop.integration.pk, CallBudget.Blocked.KEY, 0)
    page = look(boss)
    assert "Art Academy Paused Key rejected Checks whether it is open as soon as an action" in page
    assert "At once" not in page
    rate_limit.unblock(shop.integration.pk)
    assert "Art Academy Open At once" in look(boss)


def test_a_site_that_is_off_says_so(boss, shop):
    shop.integration.enabled = False
    shop.integration.save()
    assert "Art Academy Off None until it is turned on" in look(boss)


def test_the_page_has_no_button_and_takes_no_post(boss):
    answer = boss.get(reverse("admin:queue"))
    page = markup(answer).partition('<div class="page">')[2]
    assert "<button" not in page
    assert "<form" not in page
    before = OrmQ.objects.count()
    boss.post(reverse("admin:queue"))
    assert OrmQ.objects.count() == before


@pytest.mark.parametrize("role", ["", *roles.ROLES])
def test_only_owners_see_the_queue(shop, role: str):
    assert signed_in(role).get(reverse("admin:queue")).status_code == 403


def test_the_page_asks_few_questions_however_much_waits(boss, django_assert_max_num_queries):
    for _ in range(20):
        course = factories.DestinationFactory.create()
        run(course, status="running", lease_until=timezone.now())
        run(course)
        Worker.objects.create(name=course.name, seen_at=Now())
    assert RuleRun.objects.count() == 40
    with django_assert_max_num_queries(18):
        look(boss)
