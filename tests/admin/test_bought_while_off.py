"""After a global rule was off: who bought then is offered first, and others can be left out."""

import re

import pytest
from django.urls import reverse

from config.staff import roles
from events.reports.owed import off_everywhere
from integrations.models import AuditEntry, Destination
from rules import changing
from rules.facts import by_place
from rules.models import Rule, Scope
from tests.support.pages import markup, press, said, signed_in, words
from tests.support.world import World

pytestmark = pytest.mark.first_database

GIVES = "create_course_enrollment"
MISSED = "1 buyer did not get Bonus because the rule was off."
OTHERS = "2 other earlier buyers do not have it either."
CHANGES = reverse("admin:integrations_auditentry_changelist")


@pytest.fixture
def rule(world: World) -> Rule:
    """Ann and Bo bought before the rule; Dana bought while it was off, and it is on again."""
    world.rule("product_purchased", GIVES, world.course("First"), product="77")
    buy(world, 1, "ann")
    buy(world, 2, "bo")
    made = world.rule("product_purchased", GIVES, world.course("Bonus"))
    turn(made, on=False)
    buy(world, 3, "dana")
    return made


def turn(rule: Rule, *, on: bool) -> None:
    changing.switch(Rule.objects.filter(pk=rule.pk), on=on)


def buy(world: World, order: int, who: str) -> None:
    email = f"{who}@example.com"
    world.sell("10_product", order__id=order, customer__email=email, product__id=77)
    world.settle()


def new_rule(world: World, destination: Destination, **facts: bool) -> Rule:
    """A global rule that gives this, as a configuration file adds it; not saved."""
    return Rule(
        marketplace=world.marketplace,
        scope=Scope.GLOBAL,
        trigger="product_purchased",
        integration=destination.integration,
        action=GIVES,
        destination=destination,
        **facts,
    )


def page(rule: Rule, **asked: str) -> str:
    client = signed_in(roles.MANAGER)
    text: str = markup(client.get(reverse("admin:earlier"), {"rule": str(rule.pk)} | asked))
    return text


def boxes(shown: str) -> list[bool]:
    """Whether each box is ticked, in the order of the page."""
    return ["checked" in tag for tag in re.findall(r'<input[^>]* name="chosen"[^>]*>', shown)]


def who_has(world: World, rule: Rule) -> set[str]:
    bonus = Destination.objects.get(name="Bonus")
    return {who for who in ("ann", "bo", "dana") if world.access(f"{who}@example.com", bonus)}


def test_the_undo_and_changes_count_those_whom_the_overview_counted(world, rule):
    (told,) = off_everywhere.found(by_place())
    assert told.buyers == 1
    manager, off = signed_in(roles.MANAGER), AuditEntry.objects.filter(number=rule.pk).latest("pk")
    expected = f"{MISSED} {OTHERS} See and enroll them"
    assert any(expected in each for each in said(press(manager, off, "undo")))
    assert expected in words(manager.get(CHANGES))
    assert MISSED in words(manager.get(reverse("admin:rules_rule_change", args=[rule.pk])))


def test_those_who_bought_while_it_was_off_come_first_and_alone_are_chosen(world, rule):
    turn(rule, on=True)
    shown = page(rule)
    assert shown.index("Bought while the rule was off") < shown.index("dana@example.com")
    assert shown.index("dana@example.com") < shown.index("Bought at another time")
    assert shown.index("Bought at another time") < shown.index("ann@example.com")
    assert boxes(shown) == [True, False, False]
    assert boxes(page(rule, every="1")) == [True, True, True]
    assert "Enroll the chosen" in shown


def test_only_the_chosen_are_enrolled(world, rule):
    turn(rule, on=True)
    chosen = re.findall(r'name="chosen" value="(\d+)"[^>]* checked', page(rule))
    client = signed_in(roles.MANAGER)
    data = {"rule": rule.pk, "choose": "1", "chosen": chosen}
    client.post(reverse("admin:earlier"), data)
    world.settle()
    assert who_has(world, rule) == {"dana"}
    assert "2 earlier buyers do not have Bonus." in words(client.get(CHANGES))


def test_those_who_bought_after_a_rule_was_added_off_missed_it_too(world, rule):
    bonus = Destination.objects.get(name="Bonus")
    Rule.objects.filter(pk=rule.pk).delete()
    changing.add_all([new_rule(world, bonus, enabled=False)])
    added = Rule.objects.get(destination=bonus)
    buy(world, 4, "eve")
    turn(added, on=True)
    shown = page(added)
    assert shown.index("Bought while the rule was off") < shown.index("eve@example.com")
    assert shown.index("eve@example.com") < shown.index("Bought at another time")
    assert boxes(shown) == [True, False, False, False]


def test_a_rule_that_nobody_missed_is_run_for_all_as_before(world, rule):
    new = world.rule("product_purchased", GIVES, world.course("Ink"))
    turn(new, on=False)
    turn(new, on=True)
    shown = page(new)
    assert boxes(shown) == []
    assert "Enroll these 3 customers now" in shown
