"""A refund whose rule is off leads to the rule, and its page says what was done since."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from config.staff import roles
from events.models import EventLog
from integrations.models import Destination
from rules.models import Rule
from tests.support.flo import (
    ENDS,
    GIVES,
    SOLD,
    end_by_list,
    flo,
    give_back,
    page_of,
    refund,
    sell,
    undo,
)
from tests.support.pages import markup, press, signed_in, words
from tests.support.world import World

pytestmark = pytest.mark.first_database


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


def offers_rerun(page: Any, event: EventLog) -> bool:
    address = reverse("admin:events_eventlog_do_rerun", args=[event.pk])
    return f'action="{address}"' in markup(page)


def give_back_there(manager: Client, world: World) -> None:
    give_back(manager, world, page_of(refund()))


def header(page: Any) -> str:
    """What the page of an event says above its facts."""
    return words(page).partition("Received")[0]


def test_support_is_told_who_turns_on_the_rule_that_is_off(off, manager):
    for page in (page_of(refund()), reverse("admin:index"), page_of(flo())):
        assert "Ask Max to turn it on." in words(signed_in(roles.SUPPORT).get(page))
        assert "Ask Max" not in words(manager.get(page))


def test_the_page_of_a_refund_turns_on_the_rule_that_is_off(manager, off):
    page = manager.get(page_of(refund()))
    assert "turned off, so nothing was sent. The rule that matches is turned off: When " in header(
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
    assert "The rule that matches is turned off: When " in header(page)
    assert reverse("admin:rules_rule_do_switch_on", args=[off.pk]) not in markup(page)


def test_without_a_rule_that_can_be_turned_on_a_new_one_is_offered(manager, off):
    Rule.objects.filter(pk=off.pk).delete()
    assert "New rule for this product" in header(manager.get(page_of(refund())))


@pytest.mark.parametrize("back", [undo, give_back_there])
def test_what_was_ended_and_given_back_is_not_said_to_be_nothing(manager, world, off, back):
    end_by_list(manager, world)
    back(manager, world)
    assert "Kept on purpose" in header(manager.get(page_of(refund())))
    for on in (False, True):
        Rule.objects.filter(pk=off.pk).update(enabled=on)
        shown = manager.get(page_of(refund()))
        assert not offers_rerun(shown, refund())
        page = words(shown)
        assert "nothing was sent" not in page
        assert "A rule still matches it" not in page
        assert "Max gave the buyer Ink back on " in page


def test_what_is_mentioned_again_after_it_was_given_back_says_so(manager, world, off):
    end_by_list(manager, world)
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
