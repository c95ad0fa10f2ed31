"""Links to changes say what was changed, and a change of one's own needs no link."""

import re
from html import unescape
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.test import Client
from django.urls import reverse

from config.admin.parts.buttons import page_of
from config.staff import roles
from integrations import audit
from integrations.models import AuditEntry, Destination, Product
from rules import changing, pairing
from rules.models import Rule
from tests.support.pages import client_of, markup, person, plain, press, signed_in, words
from tests.support.world import World

pytestmark = pytest.mark.first_database

GIVES = "create_course_enrollment"
OVERVIEW = "admin:index"
FOLDED = "See these 4 rules, and what nothing does anymore"


@pytest.fixture
def manager(db) -> Client:
    return signed_in(roles.MANAGER)


@pytest.fixture
def max_berg(db) -> Any:
    return person(roles.MANAGER, first_name="Max", last_name="Berg")


@pytest.fixture
def rule(world: World) -> Rule:
    found = world.rule("product_purchased", GIVES, world.course("Ink"), product="77")
    world.course("Faces")
    Product.objects.update(name="Watercolor")
    pairing.add(pairing.companions([found]))
    return found


def point(who: Any, *rules: Rule, to: str) -> None:
    """Let this person bring each of these rules to a course, in steps of their own."""
    for each in rules:
        with audit.acting(lambda: audit.Actor(who.username)):
            changing.point_to([each], Destination.objects.get(name=to), on=False)


def change_links(page: Any) -> list[tuple[str, str]]:
    """Return (path, text) of each link to a change."""
    found = re.findall(r'<a\b[^>]*href="([^"]+)"[^>]*>(See the change.*?)</a>', markup(page), re.S)
    return [(urlsplit(unescape(where)).path, plain(label)) for where, label in found]


def buy(world: World, order: int, name: str) -> None:
    world.sell(product__id=77, order__id=order, customer__email=f"{name}@example.com")
    world.settle()


# What each link is about


def test_no_two_links_to_different_changes_have_the_same_text(manager, max_berg, world, rule):
    world.rule("product_purchased", GIVES, world.course("Wash"), product="77")
    buy(world, 1, "ada")
    giving = Rule.objects.filter(trigger="product_purchased")
    point(max_berg, *Rule.objects.exclude(pk__in=giving), to="Faces")
    for each, course in zip(giving, (world.course("Oil"), world.course("Clay")), strict=True):
        point(max_berg, each, to=course.name)
    for page in (reverse(OVERVIEW), reverse("admin:left-over"), page_of(rule.product)):
        links = change_links(manager.get(page))
        assert len({where for where, _ in links}) > 1, page
        assert len({text for _, text in links}) == len({where for where, _ in links}), page


def test_links_side_by_side_say_which_rule_was_changed(manager, max_berg, rule):
    point(max_berg, *Rule.objects.exclude(pk=rule.pk), to="Faces")
    page = manager.get(reverse(OVERVIEW))
    first, second = (text for _, text in change_links(page))
    assert first.endswith(": Product Refunded, Watercolor")
    assert second.endswith(": Subscription Canceled, Watercolor")
    assert markup(page).count(": Product Refunded, Watercolor</a>") == 1


def test_rules_for_the_same_trigger_and_product_are_named_with_their_course(
    manager, max_berg, world, rule
):
    Rule.objects.exclude(pk=rule.pk).delete()
    ending = [
        world.rule("product_refunded", "expire_course_enrollment", course, product="77")
        for course in (rule.destination, world.course("Wash"))
    ]
    world.rule("product_purchased", GIVES, Destination.objects.get(name="Wash"), product="77")
    world.course("Oil")
    point(max_berg, ending[0], to="Faces")
    point(max_berg, ending[1], to="Oil")
    found = sorted(text for _, text in change_links(manager.get(reverse(OVERVIEW))))
    assert [text.partition("→ ")[2] for text in found] == [
        "end access to Faces · Art Academy",
        "end access to Oil · Art Academy",
    ]


# The product's page


def test_a_change_of_ones_own_is_not_linked_on_the_products_page(max_berg, world, rule):
    buy(world, 1, "ada")
    point(max_berg, rule, to="Faces")
    mine, other = client_of(max_berg), signed_in(roles.MANAGER)
    for page in (page_of(rule.product), reverse("admin:left-over")):
        assert "no purchase of this product gives anymore" in words(mine.get(page))
        assert not change_links(mine.get(page))
        assert "Max Berg changed the rule" not in words(mine.get(page))
        assert change_links(other.get(page))


def test_several_changes_are_counted_on_the_products_page_and_folded_with_their_rules(
    manager, max_berg, rule
):
    left = Rule.objects.exclude(pk=rule.pk)
    point(max_berg, *left, to="Faces")
    page = markup(manager.get(page_of(rule.product)))
    box = page.partition('id="left-over"')[2]
    told, _, folded = box.partition("<details")
    assert "This comes from 4 changes by Max Berg." in plain(told)
    assert "Nothing ends" not in plain(told)
    assert "See the change" not in plain(told)
    folded = folded.partition("</details>")[0]
    text = plain(folded)
    assert FOLDED in text
    assert "Nothing ends the access of buyers of Watercolor to Ink on Art Academy on" in text
    assert "on Product Refunded and Subscription Canceled anymore." in text
    assert "on Subscription Recovered and Subscription Restarted anymore." in text
    lines = re.findall(r"<li>(.*?)</li>", folded, re.S)
    assert len(lines) == left.count() == 4
    assert all("See the change by Max Berg" in plain(line) for line in lines)


def test_more_than_two_rules_that_left_buyers_behind_are_folded_in_one_box(
    manager, max_berg, world, rule
):
    Rule.objects.exclude(pk=rule.pk).delete()
    for name in ("Wash", "Oil", "Clay"):
        world.rule("product_purchased", GIVES, world.course(name), product="77")
    buy(world, 1, "ada")
    for number, each in enumerate(Rule.objects.order_by("pk")):
        world.course(f"Other {number}")
        point(max_berg, each, to=f"Other {number}")
    page = markup(manager.get(page_of(rule.product)))
    (box,) = [
        each
        for each in page.split('<div class="note note-wait">')
        if "through this rule, and keeps it." in each
    ]
    told, _, folded = box.partition("<details")
    assert told.count("through this rule, and keeps it.") == 2
    folded = folded.partition("</details>")[0]
    assert "And 2 more rules" in plain(folded)
    assert folded.count("through this rule, and keeps it.") == 2


# Who bought since the change


def test_the_overview_says_in_which_order_a_mistake_is_put_right(manager, max_berg, world, rule):
    Rule.objects.exclude(pk=rule.pk).delete()
    buy(world, 1, "ada")
    point(max_berg, rule, to="Faces")
    hint = "If the change was a mistake, undo it first: then Admit offers to move"
    assert hint not in words(manager.get(reverse(OVERVIEW)))
    for order, name in ((2, "ben"), (3, "cleo")):
        buy(world, order, name)
    text = words(manager.get(reverse(OVERVIEW)))
    assert "2 buyers since the change got Faces." in text
    assert f"{hint} these 2." in text
    assert text.index("See the change by Max Berg") < text.index(hint)
    assert text.index(hint) < text.index("See and move them")
    assert hint not in words(client_of(max_berg).get(reverse(OVERVIEW)))
    for role in (roles.SUPPORT, roles.VIEWER):
        assert hint not in words(signed_in(role).get(reverse(OVERVIEW)))
    press(manager, AuditEntry.objects.filter(act="rule_changed").latest("pk"), "undo")
    text = words(manager.get(reverse(OVERVIEW)))
    assert "2 buyers got Faces through this rule, and keep it." in text
    assert "See and move them" in text
    assert hint not in text
