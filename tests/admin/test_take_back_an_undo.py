"""An undo can be taken back, and its row in Changes does not ask for that."""

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from config.staff import roles
from integrations.models import AuditEntry
from rules import changing
from rules.models import Rule
from tests.support.pages import markup, plain, press, signed_in, words
from tests.support.world import World

pytestmark = pytest.mark.first_database

GIVES, ENDS = "create_course_enrollment", "expire_course_enrollment"
LIST = "admin:integrations_auditentry_changelist"
LABEL = "Take back this undo"


@pytest.fixture
def manager(db) -> Client:
    return signed_in(roles.MANAGER)


def page_of(entry: AuditEntry) -> str:
    return reverse("admin:integrations_auditentry_change", args=[entry.pk])


def last() -> AuditEntry:
    return AuditEntry.objects.latest("pk")


def undone(manager: Client, rule: Rule, how: str) -> AuditEntry:
    """The entry that undid a change of the rule."""
    if how == "delete":
        changing.delete(Rule.objects.filter(pk=rule.pk))
    else:
        changing.switch(Rule.objects.filter(pk=rule.pk), on=False)
    press(manager, last(), "undo")
    return last()


def controls(page: Any) -> list[tuple[str, str]]:
    """The classes and the label of each button and link that looks like one."""
    found = re.findall(r'<(a|button)\b[^>]*class="(button[^"]*)"[^>]*>(.*?)</\1>', markup(page))
    return [(css, plain(label)) for _, css, label in found]


@pytest.mark.parametrize("how", ["off", "delete"])
def test_the_row_and_page_of_an_undo_name_it_and_ask_before_they_take_it_back(manager, world, how):
    rule = world.rule("product_purchased", GIVES, world.course("Ink"), product="77")
    undo = undone(manager, rule, how)
    rows = manager.get(reverse(LIST), {"kind": "rule"})
    shown = [each for each in controls(rows) if "ndo" in each[1]]
    assert [css for css, label in shown if label.startswith(LABEL)] == ["button small quiet"]
    assert not [label for _, label in shown if label.startswith("Undo")]
    page = manager.get(page_of(undo))
    shown = [each for each in controls(page) if "ndo" in each[1]]
    assert [css.split()[-1] for css, label in shown if label.startswith(LABEL)] == ["quiet"]
    assert "Undo this change" not in words(page)
    assert Rule.objects.get().enabled


@pytest.mark.parametrize(
    ("trigger", "action", "told", "not_told"),
    [
        ("product_purchased", GIVES, "Nobody gets access", "loses access"),
        ("product_refunded", ENDS, "Nobody loses access", "gets"),
    ],
)
def test_the_page_that_asks_says_what_does_not_happen_for_this_kind_of_rule(
    manager, world, trigger, action, told, not_told
):
    rule = world.rule(trigger, action, world.course("Ink"), product="77")
    undo = undone(manager, rule, "off")
    text = words(manager.get(f"{reverse('admin:undo-step')}?undoes={undo.pk}"))
    assert f"They are as before from the next event on. {told} for what came in meanwhile." in text
    assert not_told not in text


def test_of_rules_of_both_kinds_the_page_says_both(manager, world: World):
    ink = world.course("Ink")
    world.rule("product_purchased", GIVES, ink, product="77")
    world.rule("product_refunded", ENDS, ink, product="77")
    changing.delete(Rule.objects.all())
    text = words(manager.get(f"{reverse('admin:undo-step')}?undoes={last().pk}"))
    assert "Nobody gets or loses access for what came in meanwhile." in text


def test_a_list_offers_to_take_back_an_undo_that_deleted_rules_in_the_same_words(manager, world):
    rule = world.rule("product_purchased", GIVES, world.course("Ink"), product="77")
    rules = reverse("admin:rules_rule_changelist")
    manager.post(reverse("admin:rules_rule_delete", args=[rule.pk]), {"post": "yes"})
    offered = [each for each in controls(manager.get(rules)) if "ndo" in each[1]]
    assert [(css.split()[-1], label.split()[0]) for css, label in offered] == [("primary", "Undo")]
    # The same deletion, as the undo of adding the rule.
    deleted = last()
    deleted.pk, deleted.undoes, deleted._state.adding = None, 1, True
    deleted.save()
    ((css, label),) = [each for each in controls(manager.get(rules)) if "ndo" in each[1]]
    assert label.startswith(LABEL)
    assert "primary" not in css
