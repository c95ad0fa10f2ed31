"""A product with a history stays; one without goes with its rules, and comes back with them."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from config.staff import roles
from events.models import EventLog, Grant
from integrations import audit
from integrations.audit import Act
from integrations.models import AuditEntry, Marketplace, Product
from rules import pairing
from rules.history import steps
from rules.models import Rule
from tests.support.pages import markup, press, said, signed_in, words
from tests.support.world import World

pytestmark = pytest.mark.first_database

GIVES = "create_course_enrollment"
CHANGES = "admin:integrations_auditentry_changelist"
PRODUCTS = "admin:integrations_product_changelist"
SOLD = "1048001"


@pytest.fixture
def manager(db) -> Client:
    return signed_in(roles.MANAGER)


def with_rules(world: World, number: str) -> Product:
    """A product with a rule that gives a course and the four that belong to it."""
    rule = world.rule("product_purchased", GIVES, world.course("Ink"), product=number)
    pairing.add(pairing.companions([rule]))
    assert rule.product is not None
    return rule.product


@pytest.fixture
def unsold(world: World) -> Product:
    return with_rules(world, "77")


@pytest.fixture
def sold(world: World) -> Product:
    """One that two buyers bought."""
    product = with_rules(world, SOLD)
    for number in range(2):
        world.sell(customer__email=f"b{number}@example.com", order__id=1180 + number)
    world.settle()
    return product


def delete_page(product: Product) -> str:
    return reverse("admin:integrations_product_delete", args=[product.pk])


def product_page(product: Product) -> str:
    return reverse("admin:integrations_product_change", args=[product.pk])


def delete(client: Client, product: Product) -> Any:
    return client.post(delete_page(product), {"post": "yes"}, follow=True)


def deletion() -> AuditEntry:
    return AuditEntry.objects.get(act="product_deleted")


def of_rule() -> AuditEntry:
    return AuditEntry.objects.filter(act="rule_deleted").earliest("pk")


def undo_all(entry: AuditEntry) -> str:
    """The page that brings back all that was deleted in the step of this entry."""
    return f"{reverse('admin:undo-step')}?undoes={entry.pk}"


@pytest.mark.parametrize("at", ["10:29:58.000", "10:29:58.001", "10:29:57.999"])
def test_a_change_at_any_part_of_a_second_is_found_with_its_step(world, at):
    rule = world.rule("product_purchased", GIVES, world.course("Ink"), product="77")
    before = audit.values(rule)
    rule.enabled = False
    rule.save()
    audit.record_change(Act.RULE_CHANGED, rule, before)
    names = [str(each.column) for each in AuditEntry._meta.concrete_fields if not each.primary_key]
    values = ["%s" if name == "at" else name for name in names]
    sql = "INSERT INTO integrations_auditentry ({}) SELECT {} FROM integrations_auditentry"
    with connection.cursor() as cursor:
        cursor.execute(sql.format(", ".join(names), ", ".join(values)), [f"2026-11-30 {at}"])
    entry = AuditEntry.objects.latest("pk")
    assert steps.of_step(entry) == [entry]


def send_form(client: Client, page: Any, button: str) -> Any:
    """Press a button of a page that is alone in its form, as a browser would."""
    forms = re.findall(r"<form.*?</form>", markup(page), re.DOTALL)
    form = next(each for each in forms if f">{button}</button>" in each)
    data: dict[str, list[str]] = {}
    for name, value in re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form):
        data.setdefault(name, []).append(value)
    action = re.findall(r'action="([^"]+)"', form)
    return client.post(action[0] if action else page.request["PATH_INFO"], data, follow=True)


# One that has a history


def test_a_product_that_was_sold_is_not_deleted_and_says_what_needs_it(manager, sold):
    page = delete(manager, sold)
    assert "Example Course One cannot be deleted" in words(page)
    assert "It has 2 sales and 2 buyers with access." in words(page)
    assert "Yes, delete" not in words(page)
    assert Product.objects.filter(pk=sold.pk).exists()
    assert Rule.objects.count() == 5
    assert not AuditEntry.objects.filter(act__in=["product_deleted", "rule_deleted"]).exists()


def test_an_event_or_access_alone_keeps_it_too(manager, world):
    world.sell(trigger="ProductRefunded")
    product = Product.objects.get()
    assert "It has 1 event." in words(manager.get(delete_page(product)))
    assert "It has no rules of its own" in words(manager.get(delete_page(product)))


def test_access_outlives_the_events_of_a_product_and_keeps_it(manager, sold):
    EventLog.objects.all().delete()
    assert "It has 2 buyers with access." in words(manager.get(delete_page(sold)))
    Grant.objects.update(state="ended")
    assert "It has 2 buyers who had access." in words(delete(manager, sold))
    assert Product.objects.filter(pk=sold.pk).exists()


def test_its_rules_can_be_turned_off_from_there(manager, sold):
    page = send_form(manager, manager.get(delete_page(sold)), "Turn its 5 rules off")
    assert page.request["PATH_INFO"] == product_page(sold)
    assert "5 rules turned off, from the next event on." in said(page)
    assert not Rule.objects.filter(enabled=True).exists()
    assert "Turn its" not in words(manager.get(delete_page(sold)))


def test_its_rules_can_be_deleted_from_there_after_a_look_at_who_has_access(manager, sold):
    look = send_form(manager, manager.get(delete_page(sold)), "Delete its 5 rules")
    assert "Delete 5 rules?" in words(look)
    assert "2 buyers have access through these rules, and keep it until you end it." in words(look)
    assert f'href="{product_page(sold)}" class="button">No, keep them' in markup(look)
    page = send_form(manager, look, "Yes, delete them")
    assert page.request["PATH_INFO"] == product_page(sold)
    assert "2 buyers got Ink through a deleted rule, and keep it." in words(page)
    assert not Rule.objects.exists()


def test_who_may_not_change_rules_is_not_offered_it(manager, sold):
    Permission.objects.get(codename="delete_rule").group_set.clear()
    Permission.objects.get(codename="change_rule").group_set.clear()
    page = words(manager.get(delete_page(sold)))
    assert "cannot be deleted" in page
    assert "its 5 rules" not in page


# One without


def test_one_that_nobody_bought_goes_with_its_rules_and_can_be_undone_at_once(manager, unsold):
    Rule.objects.filter(trigger="product_refunded").update(enabled=False)  # which counts as well
    assert "This is deleted with it: 5 rules Nothing was sold yet" in words(
        manager.get(delete_page(unsold))
    )
    page = delete(manager, unsold)
    assert said(page) == []
    assert f"Deleted a moment ago: {unsold.name}, with 5 rules Undo" in words(page)
    assert not Product.objects.exists()
    assert not Rule.objects.exists()
    (undo,) = re.findall(r'<form method="post" action="([^"]+)" class="note">', markup(page))
    back = manager.post(undo, {"back": reverse(PRODUCTS)}, follow=True)
    assert said(back) == [f"Undone: {unsold.name} and 5 rules are back."]
    assert Product.objects.get() == unsold
    assert "Deleted a moment ago" not in words(manager.get(reverse(PRODUCTS)))


def test_while_undoing_is_offered_no_other_button_is_the_primary_one(manager, unsold):
    delete(manager, unsold)
    for page in (PRODUCTS, "admin:rules_rule_changelist", "admin:coverage"):
        shown = markup(manager.get(reverse(page)))
        assert re.findall(r'class="button[^"]* primary">([^<]*)<', shown) == ["Undo"], page


def test_who_may_not_undo_it_is_led_to_the_change(manager, unsold):
    Rule.objects.all().delete()
    Permission.objects.get(codename="add_rule").group_set.clear()
    page = delete(manager, unsold)
    assert said(page) == [f"{unsold.name} is deleted. See the change"]
    assert "Deleted a moment ago" not in words(page)
    link = reverse("admin:integrations_auditentry_change", args=[deletion().pk])
    assert link in page.content.decode()


@pytest.mark.parametrize("from_its_rules", [False, True])
def test_one_undo_brings_it_back_with_its_rules(manager, unsold, from_its_rules):
    rules = set(Rule.objects.values_list("pk", "product", "destination"))
    delete(manager, unsold)
    if from_its_rules:
        page = manager.post(undo_all(of_rule()), follow=True)
    else:
        page = press(manager, deletion(), "undo")
    assert said(page) == [f"Undone: {unsold.name} and 5 rules are back."]
    assert set(Rule.objects.values_list("pk", "product", "destination")) == rules
    back = Product.objects.get()
    assert (back.pk, back.external_id, back.name) == (unsold.pk, "77", unsold.name)
    added = AuditEntry.objects.get(act="product_added")
    assert added.undoes == deletion().pk
    text = words(manager.get(reverse(CHANGES)))
    assert text.count("Undone") >= 2
    # Of the rules that were added by this.
    assert (text.count("Take back this undo"), text.count("Undo all 5")) == (1, 0)
    assert "This cannot be undone" not in words(
        manager.get(reverse("admin:integrations_auditentry_change", args=[deletion().pk]))
    )


def test_after_the_undo_who_bought_meanwhile_is_named_with_the_button(manager, world, unsold):
    delete(manager, unsold)
    world.sell(product__id=77)
    page = press(manager, deletion(), "undo")
    offer = "1 buyer paid before and got nothing for it. See and enroll them"
    assert offer in said(page)
    assert reverse("admin:earlier") in page.content.decode()


def test_after_one_rule_is_restored_who_bought_meanwhile_is_named(manager, world, sold):
    rule = Rule.objects.get(trigger="product_purchased")
    manager.post(reverse("admin:rules_rule_delete", args=[rule.pk]), {"post": "yes"})
    world.sell(customer__email="late@example.com", order__id=2000)
    page = press(manager, of_rule(), "undo")
    assert "1 buyer paid before and got nothing for it. See and enroll them" in said(page)


def test_one_rule_that_is_restored_brings_its_product_with_it(manager, unsold):
    delete(manager, unsold)
    press(manager, of_rule(), "undo")
    assert Rule.objects.get().product == Product.objects.get()
    press(manager, deletion(), "undo")
    assert Rule.objects.count() == 5


def test_rules_come_back_to_the_product_that_has_the_samcart_id_now(manager, world, unsold):
    delete(manager, unsold)
    changes = reverse(CHANGES), {"act": "product_deleted"}
    assert "Undo this change" in words(manager.get(*changes))
    again = Product.objects.named(world.marketplace.pk, "product", "77", "Made meanwhile")
    page = press(manager, deletion(), "undo")
    assert said(page) == ["Undone: 5 rules are back."]
    assert again.pk != unsold.pk
    assert {rule.product for rule in Rule.objects.all()} == {again}
    told = said(press(manager, deletion(), "undo"))
    assert told == ["Not undone. Made meanwhile is there again."]
    page = words(manager.get(*changes))
    assert unsold.name in page
    assert "Undo this change" not in page


def test_what_an_older_admit_deleted_with_its_sales_comes_back_too(manager, world, sold):
    """It deleted products that had been sold; SamCart's next sale made them again."""
    number = sold.pk
    delete(manager, with_rules(world, "77"))
    manager.post(delete_page(sold), {"post": "yes"})
    for rule in Rule.objects.all():
        manager.post(reverse("admin:rules_rule_delete", args=[rule.pk]), {"post": "yes"})
    entry = deletion()
    entry.pk, entry._state.adding = None, True
    entry.number, entry.before = str(number), (entry.before or {}) | {"external_id": SOLD}
    entry.save()
    sold.delete()
    world.sell(customer__email="later@example.com", order__id=1190)
    again = Product.objects.get(external_id=SOLD)
    old = AuditEntry.objects.filter(act="rule_deleted", before__product__number=number)
    press(manager, old.latest("pk"), "undo")
    assert Rule.objects.get().product == again


def test_nothing_comes_back_where_its_account_is_gone(manager, unsold):
    delete(manager, unsold)
    Marketplace.objects.all().delete()
    page = press(manager, deletion(), "undo")
    assert said(page) == ["Not undone. Main shop no longer exists."]
    assert not Product.objects.exists()


def test_who_may_not_add_products_brings_none_back(manager, unsold):
    delete(manager, unsold)
    Permission.objects.get(codename="add_product").group_set.clear()
    for entry in (deletion(), of_rule()):
        assert press(manager, entry, "undo").status_code == 403
    assert manager.post(undo_all(of_rule())).status_code == 403
    assert not Product.objects.exists()
    assert not Rule.objects.exists()


def test_who_may_not_add_products_brings_none_back_by_undoing_a_rules_move_to_another(
    manager, world
):
    rule = world.rule("product_purchased", GIVES, world.course("Ink"), product="77")
    old = rule.product
    before = audit.values(rule)
    rule.product = Product.objects.named(world.marketplace.pk, "product", "78", "")
    rule.save()
    audit.record_change(Act.RULE_CHANGED, rule, before)
    moved = AuditEntry.objects.latest("pk")
    manager.post(delete_page(old), {"post": "yes"})
    assert not Product.objects.filter(external_id="77").exists()
    Permission.objects.get(codename="add_product").group_set.clear()
    assert press(manager, moved, "undo").status_code == 403
    assert manager.post(undo_all(moved)).status_code == 403
    assert not Product.objects.filter(external_id="77").exists()


def test_who_may_not_add_products_undoes_no_step_that_brings_one_back_by_another_entry(
    manager, world
):
    rules = [
        world.rule("product_purchased", GIVES, world.course("Ink"), product=number)
        for number in ("77", "78")
    ]
    chosen = {"action": "delete_selected", "_selected_action": [rule.pk for rule in rules]}
    manager.post(reverse("admin:rules_rule_changelist"), chosen | {"post": "yes"})
    gone, there = (
        AuditEntry.objects.get(act=Act.RULE_DELETED, number=str(rule.pk)) for rule in rules
    )
    assert rules[0].product is not None
    manager.post(delete_page(rules[0].product), {"post": "yes"})
    assert "Undo all 2" in words(manager.get(reverse(CHANGES)))
    Permission.objects.get(codename="add_product").group_set.clear()
    assert "Undo all 2" not in words(manager.get(reverse(CHANGES)))
    for entry in (gone, there):
        assert manager.post(undo_all(entry)).status_code == 403
        page = manager.get(reverse("admin:integrations_auditentry_change", args=[entry.pk]))
        assert "Undo all 2" not in words(page)
    assert not Rule.objects.exists()
    press(manager, there, "undo")  # its own product is there
    assert Rule.objects.get().product == rules[1].product


def test_the_products_that_a_page_of_changes_would_bring_back_are_looked_up_at_once(manager, world):
    def look() -> int:
        with CaptureQueriesContext(connection) as asked:
            manager.get(reverse(CHANGES))
        return len(asked)

    Permission.objects.get(codename="add_product").group_set.clear()
    numbers = []
    for number in ("77", "78", "79", "80"):
        delete(manager, with_rules(world, number))
        look()
        numbers.append(look())
    assert numbers[1:] == numbers[1:2] * 3
