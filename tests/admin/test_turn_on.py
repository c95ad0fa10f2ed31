"""What waits for an integration that is turned off, what would happen, and the button for it."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from config.staff import roles
from events.models import Batch, EventLog, RuleRun
from events.reports.system import backlog
from integrations.models import Customer, Integration
from rules.actions import Action
from tests.support.pages import ACTIONS, LOG, bulk, press, said, signed_in, words
from tests.support.world import World

pytestmark = pytest.mark.first_database

GIVES, ENDS = Action.CREATE_COURSE_ENROLLMENT, Action.EXPIRE_COURSE_ENROLLMENT
WAITS = "Art Academy is turned off. When it is on, 2 buyers get access, 1 action ends access."


@pytest.fixture
def manager(db) -> Client:
    return signed_in(roles.MANAGER)


@pytest.fixture
def off(world: World) -> Integration:
    """Two buyers and a refund wait for the school."""
    course = world.course()
    world.rule("product_purchased", GIVES, course)
    world.rule("product_refunded", ENDS, course)
    world.sell(customer__email="old@example.com", order__id=1179)
    world.settle()
    Integration.objects.update(enabled=False)
    for number in range(2):
        world.sell(customer__email=f"b{number}@example.com", order__id=1180 + number)
    world.sell("20_product", customer__email="old@example.com", order__id=1179)
    return Integration.objects.get()


def places() -> dict[str, str]:
    """The pages that say of an action that it waits for the school."""
    run = RuleRun.objects.filter(status="waiting").earliest("pk")
    batch = Batch.objects.create(title="Retry", started_by="Mia", run_ids=[run.pk])
    return {
        "action": reverse("admin:events_rulerun_change", args=[run.pk]),
        "actions": reverse(ACTIONS),
        "event": reverse("admin:events_eventlog_change", args=[run.event_id]),
        "customer": reverse("admin:integrations_customer_change", args=[run.customer_id]),
        "batch": f"{reverse('admin:batch')}?number={batch.pk}",
    }


def offers(page: Any, site: Integration) -> bool:
    address = reverse("admin:integrations_integration_do_turn_on", args=[site.pk])
    return f'action="{address}"' in page.content.decode()


@pytest.mark.parametrize(
    ("page", "action", "path"), [(LOG, "rerun_chosen", "event"), (ACTIONS, "retry_chosen", "pk")]
)
def test_the_look_before_many_are_done_offers_it_for_those_it_leaves_out(
    manager, off, page, action, path
):
    runs = RuleRun.objects.filter(status="waiting")
    chosen = (EventLog if page == LOG else RuleRun).objects.filter(pk__in=runs.values(path))
    look = bulk(manager, page, action, *chosen)
    assert look.status_code == 200
    assert "There is nothing to do for any of these." in words(look)
    assert WAITS in words(look)
    assert offers(look, off)


@pytest.mark.parametrize("place", ["action", "actions", "event", "customer", "batch"])
def test_a_page_that_says_what_waits_for_it_turns_it_on(world, manager, off, place):
    address = places()[place]
    page = manager.get(address)
    assert WAITS in words(page)
    assert offers(page, off)
    viewer = signed_in(roles.VIEWER).get(address)
    assert WAITS in words(viewer)
    assert not offers(viewer, off)
    on = press(manager, off, "turn_on", back=address)
    assert on.request["PATH_INFO"] == address.partition("?")[0]
    assert said(on)[0].startswith("Art Academy is on. 3 waiting actions continue")
    assert "is turned off" not in words(manager.get(address))
    world.settle()
    assert world.access("b0@example.com", world.marketplace.rules.first().destination)


def test_the_overview_says_what_to_do_about_it(manager, off):
    page = manager.get(reverse("admin:index"))
    text = words(page)
    assert "When it is on, 2 buyers get access, 1 action ends access. Turn on Art Academy" in text
    assert 'href="#sites-in-need"' in page.content.decode()
    assert 'id="sites-in-need"' in page.content.decode()
    press(manager, off, "turn_on")
    assert "When it is on" not in words(manager.get(reverse("admin:index")))


def test_what_waits_for_nothing_but_its_turn_offers_nothing(world, manager, off):
    Integration.objects.update(enabled=True)
    for address in places().values():
        assert not offers(manager.get(address), off)


def test_one_with_a_refused_key_says_so_when_it_is_turned_on(manager, off):
    Integration.objects.update(connection=Integration.Connection.REFUSED)
    text = "Art Academy is on. Nothing is sent yet: its API key does not work."
    assert said(press(manager, off, "turn_on")) == [text]


def test_endings_on_a_day_and_messages_are_told_apart(world, off):
    RuleRun.objects.filter(action=ENDS, status="waiting").update(code="delayed")
    world.notify_rule("product_purchased")
    assert backlog.when_on_sentence(off) == (
        "When it is on, 2 buyers get access, 1 action ends access on a later day."
    )
    receiver = Integration.objects.get(app="notify_url")
    world.sell(customer__email="b3@example.com", order__id=1190)
    assert backlog.when_on_sentence(receiver) == "When it is on, 1 message is sent."
    RuleRun.objects.filter(integration=receiver).update(status="done")
    assert backlog.when_on_sentence(receiver) == ""
    assert Customer.objects.count() == 4
