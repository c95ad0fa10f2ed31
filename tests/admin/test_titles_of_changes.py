"""A folded row of Changes has a title that is true of all its entries."""

from typing import Any

from django.urls import reverse

from config.staff import roles
from events.access import by_hand
from events.models import EventLog
from events.reports.changed_rules import refunded
from tests.support.pages import signed_in, words
from tests.support.world import World

GIVES = "create_course_enrollment"
CHANGES = reverse("admin:integrations_auditentry_changelist")


def refunded_buyers(world: World) -> list[int]:
    """Three refunded buyers who are still in: a person let the last one in, a rule the others."""
    world.rule("product_purchased", GIVES, world.course("Ink"), product="77")
    for order, product in ((1, 77), (2, 77), (3, 78)):
        mail = f"p{order}@example.com"
        sale: Any = {"order__id": order, "customer__email": mail, "product__id": product}
        world.sell("10_product", **sale)
        world.settle()
        if product == 78:
            bought = EventLog.objects.latest("pk")
            assert bought.customer is not None
            me = by_hand.Author("mia", "No rule yet")
            by_hand.give(bought.customer, world.course("Oil"), me, purchase=bought)
            world.settle()
        world.sell("20_product", **sale)
        world.settle()
    return [each.event.pk for each in refunded.refunded_with_access()]


def test_what_rules_and_persons_had_given_is_ended_under_one_title(world):
    manager, chosen = signed_in(roles.MANAGER), refunded_buyers(world)
    assert len(chosen) == 3
    manager.post(reverse("admin:refunded"), {"chosen": chosen})
    shown = words(manager.get(CHANGES))
    assert "Ended access of 3 buyers p1@example.com, p2@example.com and 1 more" in shown


def test_what_is_alike_in_all_keeps_its_own_title(world):
    manager, chosen = signed_in(roles.MANAGER), sorted(refunded_buyers(world))
    manager.post(reverse("admin:refunded"), {"chosen": chosen[:2]})
    shown = words(manager.get(CHANGES))
    assert "Ended what was refunded, 2 times p1@example.com and p2@example.com" in shown
