"""Of the rules that match an earlier refund, those that have nothing to end do not run for it."""

import pytest
from django.test import Client
from django.urls import reverse

from config.staff import roles
from events.models import RuleRun
from events.reports.earlier import backfill
from integrations.models import Destination
from rules.models import Rule
from tests.support.pages import signed_in, words
from tests.support.world import World

pytestmark = pytest.mark.first_database

GAIL = "gail@example.com"
GIVES, ENDS = "create_course_enrollment", "expire_course_enrollment"
KIT, CLASS = "1048001", "77"


@pytest.fixture
def manager(db) -> Client:
    return signed_in(roles.MANAGER)


def sell(world: World, order: int, product: str, name: str = "10_product") -> None:
    world.sell(name, customer__email=GAIL, order__id=order, product__id=int(product))
    world.settle()


@pytest.fixture
def ink(world: World, manager: Client) -> Destination:
    """Gail has Ink by two orders. The first one was refunded, and a person ended its Selling."""
    selling, course = world.course("Selling"), world.course("Ink")
    for gives in (selling, course):
        world.rule("product_purchased", GIVES, gives, product=KIT)
    world.rule("product_purchased", GIVES, course, product=CLASS)
    sell(world, 1, KIT)
    sell(world, 2, CLASS)
    sell(world, 1, KIT, "20_product")
    page = reverse("admin:refunded")
    (row,) = manager.get(page).context["found"]
    assert [grant.name for grant in row.grants] == ["Selling"]
    manager.post(page, {"chosen": row.event.pk})
    world.settle()
    assert not world.access(GAIL, selling)
    world.rule("product_refunded", ENDS, selling, product=KIT)
    return course


def oil(world: World) -> Rule:
    """Somebody makes global rules for a course that nobody has yet."""
    course = world.course("Oil")
    world.rule("product_purchased", GIVES, course)
    return world.rule("product_refunded", ENDS, course)


def test_nobody_is_said_to_have_what_a_new_rule_ends_and_nobody_ever_had(manager, world, ink):
    world.rule("product_refunded", ENDS, ink, product=KIT)
    rule = oil(world)
    shown = words(manager.get(f"{reverse('admin:new-rule-added')}?rule={rule.pk}"))
    assert "Oil" in shown
    assert "refunded buyer still has" not in shown
    page = words(manager.get(reverse("admin:earlier"), {"rule": rule.pk}))
    assert "still has" not in page
    assert "Who loses it" not in page


def test_only_the_rules_that_end_something_run_for_the_refund(manager, world, ink):
    ending = world.rule("product_refunded", ENDS, ink, product=KIT)
    rule = oil(world)
    (row,) = backfill.preview(rule).unchanged
    assert (row.rules, row.event.order_id) == ([ending], "1")
    manager.post(reverse("admin:earlier"), {"rule": rule.pk})
    world.settle()
    runs = RuleRun.objects.filter(event=row.event, rule__isnull=False)
    assert [(run.rule, run.code) for run in runs] == [(ending, "kept")]
    assert world.access(GAIL, ink)


def test_where_no_rule_has_something_to_end_the_refund_is_left_out(world, ink):
    found = backfill.preview(oil(world))
    assert (found.run, found.unchanged) == ([], [])
    (left,) = found.left_out
    assert left.why_not == "nothing that the purchase gave is left to end"


def test_a_rule_that_gives_something_at_the_refund_runs_without_them(world, ink):
    gift = world.rule("product_refunded", GIVES, world.course("Gift"), product=KIT)
    (row,) = backfill.preview(oil(world)).run
    assert row.rules == [gift]
