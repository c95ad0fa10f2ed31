"""When the days of a rule are changed, pages lead to the endings that wait by its former days."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from config.staff import roles
from events.execution import delayed, former_days
from events.models import Batch, RuleRun
from integrations.audit import Act
from integrations.models import AuditEntry
from rules.models import Rule
from tests.support import queued
from tests.support.pages import press, said, signed_in, words
from tests.support.world import World

pytestmark = pytest.mark.first_database

GIVES, ENDS = "create_course_enrollment", "expire_course_enrollment"
OVERVIEW = reverse("admin:index")
CHANGES = reverse("admin:integrations_auditentry_changelist")
LINK = re.compile(r'href="(/admin/events/rulerun/\?status__exact=former_days[^"]*)"')


@pytest.fixture
def manager(db) -> Client:
    return signed_in(roles.MANAGER)


@pytest.fixture
def rule(world: World) -> Rule:
    """A cancellation of 77 ends Ink at once; the page then lets it wait 30 days."""
    ink = world.course("Ink")
    world.rule("product_purchased", GIVES, ink, product="77")
    return world.rule("subscription_canceled", ENDS, ink, product="77")


def save_days(client: Client, rule: Rule, days: int) -> Any:
    names = ("scope", "product", "trigger", "integration", "action", "destination")
    sent = {name: getattr(rule, f"{name}_id", None) or getattr(rule, name) for name in names}
    page = reverse("admin:rules_rule_change", args=[rule.pk])
    return client.post(page, sent | {"enabled": "1", "delay_days": str(days)}, follow=True)


def cancel(world: World, order: str = "12") -> RuleRun:
    facts: dict[str, Any] = {
        "product__id": 77,
        "order__id": order,
        "order__subscription_id": f"9{order}",
        "customer__email": f"b{order}@example.com",
    }
    world.sell("12_product", **facts)
    world.settle()
    world.sell("30_subscription", **facts)
    world.settle()
    return RuleRun.objects.filter(action=ENDS).latest("pk")


def told(page: Any) -> str:
    (text,) = [each for each in said(page) if "days that the rule had before" in each]
    return text


def test_undoing_the_days_leads_to_whose_access_still_waits(manager, world, rule):
    save_days(manager, rule, 30)
    run = cancel(world)
    assert (run.code, run.next_attempt_at) == ("delayed", run.received_at + timedelta(days=30))
    entry = AuditEntry.objects.filter(act=Act.RULE_CHANGED).latest("pk")
    page = press(manager, entry, "undo")
    assert told(page).startswith("1 buyer's access ends on ")
    assert "See and change" in told(page)
    assert former_days.waiting().get() == run


def test_the_rules_page_leads_to_them_also_later_and_the_overview_does(manager, world, rule):
    save_days(manager, rule, 30)
    cancel(world)
    assert "days that the rule had before" in told(save_days(manager, rule, 0))
    entry = AuditEntry.objects.filter(act=Act.RULE_CHANGED).latest("pk")
    changes = manager.get(reverse("admin:integrations_auditentry_change", args=[entry.pk]))
    assert "See the endings by former days" in words(changes)
    assert LINK.search(changes.content.decode())
    for where in (reverse("admin:rules_rule_change", args=[rule.pk]), OVERVIEW):
        assert "1 buyer's access ends on" in words(manager.get(where)), where
    assert "ends on" not in words(manager.get(reverse("admin:rules_rule_changelist")))


def test_those_chosen_end_now_where_the_rule_has_no_days_any_more(manager, world, rule):
    save_days(manager, rule, 30)
    run, other = cancel(world), cancel(world, "13")
    save_days(manager, rule, 0)
    found = LINK.search(manager.get(OVERVIEW).content.decode())
    assert found
    address = found[1].replace("&amp;", "&")
    listed = manager.get(address)
    assert "2 actions" in words(listed)
    chosen = {"action": "end_on_rules_day", "_selected_action": [run.pk]}
    assert "Ink ends now" in words(manager.post(address, chosen))
    done = manager.post(reverse("admin:many-days"), {"chosen": run.pk}, follow=True)
    assert "1 access ends now." in said(done)
    delayed.decide_due()
    world.settle()
    assert (queued.again(run).code, queued.again(other).code) == ("ended", "delayed")
    assert "1 action" in words(manager.get(address))


def test_those_chosen_wait_for_the_new_day_where_the_rule_has_other_days(manager, world, rule):
    save_days(manager, rule, 30)
    run = cancel(world)
    save_days(manager, rule, 60)
    done = manager.post(reverse("admin:many-days"), {"chosen": run.pk}, follow=True)
    assert said(done) == ["End on the rule's day: done for 1."]
    again = queued.again(run)
    assert again.next_attempt_at == run.received_at + timedelta(days=60)
    assert again.message != run.message
    assert AuditEntry.objects.latest("pk").act == Act.LAST_DAY_CHANGED
    assert not former_days.by_rule()
    assert "days that the rule had before" not in words(manager.get(OVERVIEW))


def test_what_still_waits_by_the_rules_own_days_is_left_alone(manager, world, rule):
    save_days(manager, rule, 30)
    run = cancel(world)
    assert not former_days.waiting().exists()
    batch = Batch(title="", started_by="")
    assert former_days.apply([run], batch=batch, by="") == 0
    assert not batch.run_ids
    assert queued.again(run).next_attempt_at == run.next_attempt_at


def test_a_viewer_is_told_without_a_link(manager, world, rule):
    save_days(manager, rule, 30)
    cancel(world)
    save_days(manager, rule, 0)
    page = signed_in(roles.VIEWER).get(OVERVIEW)
    assert "1 buyer's access ends on" in words(page)
    assert not LINK.search(page.content.decode())


def test_changes_and_the_overview_say_at_once_whose_access_waits_by_new_days(manager, world, rule):
    other = signed_in(roles.MANAGER)
    save_days(other, rule, 14)
    entry = AuditEntry.objects.filter(act=Act.RULE_CHANGED).latest("pk")
    assert "changed days" not in words(manager.get(CHANGES))
    cancel(world)
    page = reverse("admin:integrations_auditentry_change", args=[entry.pk])
    for where in (CHANGES, page, OVERVIEW):
        shown = manager.get(where)
        assert "1 buyer's access ends on" in words(shown), where
        assert "by the changed days. " in words(shown), where
    assert (
        f'href="{page}?back=%2Fadmin%2F">See the change by '
        in manager.get(OVERVIEW).content.decode()
    )
    assert "changed days" not in words(other.get(OVERVIEW))
    press(manager, entry, "undo")
    assert "changed days" not in words(manager.get(OVERVIEW))


def test_the_list_of_these_endings_leads_back_to_changes_as_it_was_filtered(manager, world, rule):
    save_days(manager, rule, 14)
    cancel(world)
    save_days(manager, rule, 0)
    entry = AuditEntry.objects.filter(act=Act.RULE_CHANGED).latest("pk")
    page = reverse("admin:integrations_auditentry_change", args=[entry.pk])
    page += "?_changelist_filters=kind%3Drule"
    found = LINK.search(manager.get(page).content.decode())
    assert found
    listed = manager.get(found[1].replace("&amp;", "&"))
    assert "1 action" in words(listed)
    assert f'<p class="way"><a href="{page}">Back</a></p>' in listed.content.decode()
