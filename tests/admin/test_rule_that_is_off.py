"""A refund whose rule is off leads to the rule, and its page says what was done since."""

import re
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from django.test import Client
from django.urls import reverse

from config.staff import roles
from events.models import Batch, EventLog
from events.reports import refunded
from integrations.models import Destination
from rules.models import Rule
from tests.support.pages import press, signed_in, words
from tests.support.world import World

pytestmark = pytest.mark.first_database

GIVES, ENDS = "create_course_enrollment", "expire_course_enrollment"
SOLD = "1048001"


@pytest.fixture
def manager(db) -> Client:
    return signed_in(roles.MANAGER, first_name="Max")


@pytest.fixture
def off(world: World) -> Rule:
    """The rule that ends Ink on a refund, which is off. Flo bought Ink and was refunded."""
    course = world.course("Ink")
    world.rule("product_purchased", GIVES, course, product=SOLD)
    rule = world.rule("product_refunded", ENDS, course, product=SOLD, enabled=False)
    for what in ("10_product", "20_product"):
        sell(world, what)
    return rule


def sell(world: World, what: str) -> None:
    flo = {"customer__email": "flo@example.com", "customer__first_name": "Flo"}
    world.sell(what, order__id=1180, **flo)
    world.settle()


def refund() -> EventLog:
    return EventLog.objects.get(trigger="product_refunded")


def page_of(event: EventLog) -> str:
    return reverse("admin:events_eventlog_change", args=[event.pk])


def offers_rerun(page: Any, event: EventLog) -> bool:
    address = reverse("admin:events_eventlog_do_rerun", args=[event.pk])
    return f'action="{address}"' in page.content.decode()


def end(manager: Client, world: World) -> None:
    (found,) = refunded.refunded_with_access()
    manager.post(reverse("admin:refunded"), {"chosen": found.event.pk})
    world.settle()


def undo(manager: Client, world: World) -> None:
    page = f"{reverse('admin:undo-batch')}?number={Batch.objects.get().pk}"
    shown = manager.get(page).content.decode()
    manager.post(page, {"chosen": re.findall(r'name="chosen" value="([^"]+)"', shown)})
    world.settle()


def give_back(manager: Client, world: World) -> None:
    shown = manager.get(page_of(refund())).content.decode()
    (link,) = set(re.findall(r'href="([^"]+)">Give it back<', shown))
    asked = dict(parse_qsl(urlsplit(unescape(link)).query))
    manager.post(reverse("admin:give-back"), asked | {"reason": "The money did not go back"})
    world.settle()


def header(page: Any) -> str:
    """What the page of an event says above its facts."""
    return words(page).partition("Received")[0]


def test_the_page_of_a_refund_turns_on_the_rule_that_is_off(manager, off):
    page = manager.get(page_of(refund()))
    assert "turned off, so nothing was sent. The rule that fits is turned off: When " in header(
        page
    )
    assert "New rule for this product" not in words(page)
    address = reverse("admin:rules_rule_do_switch_on", args=[off.pk])
    assert f'action="{address}"' in page.content.decode()
    again = manager.post(address, {"back": page_of(refund())}, follow=True)
    assert again.request["PATH_INFO"] == page_of(refund())
    assert Rule.objects.get(pk=off.pk).enabled
    assert "is turned off" not in header(again)


def test_who_may_not_change_rules_reads_which_is_off(off):
    page = signed_in(roles.SUPPORT).get(page_of(refund()))
    assert "The rule that fits is turned off: When " in header(page)
    assert reverse("admin:rules_rule_do_switch_on", args=[off.pk]) not in page.content.decode()


def test_without_a_rule_that_can_be_turned_on_a_new_one_is_offered(manager, off):
    Rule.objects.filter(pk=off.pk).delete()
    assert "New rule for this product" in header(manager.get(page_of(refund())))


@pytest.mark.parametrize("back", [undo, give_back])
def test_what_was_ended_and_given_back_is_not_said_to_be_nothing(manager, world, off, back):
    end(manager, world)
    back(manager, world)
    assert "Kept on purpose" in header(manager.get(page_of(refund())))
    for on in (False, True):
        Rule.objects.filter(pk=off.pk).update(enabled=on)
        shown = manager.get(page_of(refund()))
        assert not offers_rerun(shown, refund())
        page = words(shown)
        assert "nothing was sent" not in page
        assert "A rule still fits it" not in page
        assert "Max gave the buyer Ink back on " in page


def test_what_is_mentioned_again_after_it_was_given_back_says_so(manager, world, off):
    end(manager, world)
    undo(manager, world)
    bought = EventLog.objects.get(trigger="product_purchased")
    manager.post(reverse("admin:refunded"), {"again": bought.pk})
    Rule.objects.filter(pk=off.pk).update(enabled=True)
    page = words(manager.get(page_of(refund())))
    assert "What was ended for this event was given back " in page
    assert "they end it again" not in page
    assert "See and end it" in page


def test_rules_that_have_all_run_are_not_offered_to_run_again(manager, world):
    world.rule("product_purchased", GIVES, world.course("Ink"), product=SOLD)
    sell(world, "10_product")
    bought = EventLog.objects.get()
    assert not offers_rerun(manager.get(page_of(bought)), bought)
    more: Destination = world.course("Faces")
    world.rule("product_purchased", GIVES, more, product=SOLD)
    assert offers_rerun(manager.get(page_of(bought)), bought)
    press(manager, bought, "rerun")
    world.settle()
    assert world.access("flo@example.com", more)
    assert not offers_rerun(manager.get(page_of(bought)), bought)
