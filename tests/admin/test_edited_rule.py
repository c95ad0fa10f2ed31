"""After a rule was edited, pages say what is left to do, and offer to do it, until it is done."""

import html
import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from config.admin.pages.rules.given import given_by_rule, given_parts
from config.staff import roles
from events.models import EventLog, RuleRun
from integrations.models import AuditEntry, Destination, Product
from rules.models import Rule
from tests.support.pages import client_of, markup, person, plain, press, said, signed_in, words
from tests.support.world import World

pytestmark = pytest.mark.first_database

GIVES, ENDS = "create_course_enrollment", "expire_course_enrollment"


@pytest.fixture
def manager(db) -> Client:
    return signed_in(roles.MANAGER)


@pytest.fixture
def rule(world: World) -> Rule:
    """A purchase of 77 gives Ink, and its refund ends it."""
    ink = world.course("Ink")
    world.course("Faces")
    world.rule("product_refunded", ENDS, ink, product="77")
    return world.rule("product_purchased", GIVES, ink, product="77")


def page_of(thing: Any) -> str:
    meta = thing._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[thing.pk])


def save(client: Client, rule: Rule, course: str, **more: Any) -> Any:
    """Choose another course on the rule's page, and press Save; the page that follows."""
    names = ("scope", "product", "trigger", "integration", "action")
    sent = {name: getattr(rule, f"{name}_id", None) or getattr(rule, name) for name in names}
    sent |= {"destination": Destination.objects.get(name=course).pk, "enabled": "1"} | more
    return client.post(page_of(rule), sent, follow=True)


def test_the_last_run_of_a_rule_that_gave_another_course_names_it(manager, world, rule):
    world.sell(product__id=77)
    world.settle()
    pages = (reverse("admin:rules_rule_changelist"), page_of(rule.product))
    for page in pages:
        assert "still for" not in words(manager.get(page))
    save(manager, rule, "Faces")
    for page in pages:
        assert "still for Ink" in words(manager.get(page))


def ending() -> Rule:
    return Rule.objects.get(trigger="product_refunded")


def settle(client: Client, how: str = "change", page: Any = None) -> Any:
    """Press a button below the rules that are left over; the page that follows."""
    page = page or client.get(page_of(Product.objects.get()))
    found = re.search(r'name="left" value="([^"]+)"', shown(page))
    keys = found[1] if found else "1-"
    back = page_of(Product.objects.get())
    return client.post(
        reverse("admin:left-over"), {"left": keys, how: "1", "back": back}, follow=True
    )


def test_a_rule_that_ends_the_old_course_is_named_and_changed_from_the_products_page(manager, rule):
    product = Product.objects.get()
    save(manager, rule, "Faces")
    page = manager.get(page_of(product))
    text = words(page)
    assert (
        "1 rule here is still about Ink, which no purchase of this product gives anymore." in text
    )
    assert "Change 1 rule to Faces Delete this rule" in text
    assert "Nothing takes access away on" not in text
    assert "Or keep it, and add rules" in text
    done = settle(manager, page=page)
    assert said(done) == ["1 rule uses Faces from now on."]
    assert ending().destination == Destination.objects.get(name="Faces")
    assert "no purchase of this product gives anymore" not in words(done)
    again = settle(manager, page=page)
    assert said(again) == ["Nothing was changed: look again at what is said below."]


@pytest.mark.parametrize("how", ["changed", "deleted"])
def test_rules_that_are_left_over_lead_to_the_change_that_left_them(admin_user, rule, how):
    User.objects.update(first_name="Dana")
    owner, product = client_of(admin_user), rule.product
    if how == "changed":
        save(owner, rule, "Faces")
    else:
        page = reverse("admin:rules_rule_delete", args=[rule.pk])
        owner.post(page, {"post": "yes", "action": "delete_selected"})
    entry = AuditEntry.objects.latest("pk")
    other = client_of(person(roles.MANAGER))
    for page in (page_of(product), reverse("admin:left-over")):
        assert "See the change" not in shown(owner.get(page))
        found = shown(other.get(page))
        link = re.search(r'href="([^"?]+)[^"]*">(See the change by Dana on [^<]+)<', found)
        assert link is not None, page
        assert link[1] == page_of(entry)
        assert found.index(link[0]) < found.index('name="delete"')
    assert "See the change" not in shown(signed_in(roles.VIEWER).get(page_of(product)))
    press(owner, entry, "undo")
    assert "See the change" not in shown(other.get(page_of(product)))


def test_of_two_rules_that_would_become_the_same_one_is_changed_and_the_other_deleted(
    manager, world, rule
):
    world.rule("product_refunded", ENDS, world.course("Pastel"), product="77")
    save(manager, rule, "Faces")
    text = words(manager.get(page_of(Product.objects.get())))
    assert "2 rules here are still about Ink and Pastel" in text
    assert "Change 1 rule to Faces, delete 1" in text
    done = settle(manager)
    assert said(done) == ["1 rule uses Faces from now on. 1 rule deleted."]
    ends = Rule.objects.filter(trigger="product_refunded")
    assert list(ends.values_list("destination__name", flat=True)) == ["Faces"]
    assert "no purchase of this product gives anymore" not in words(done)


def test_who_has_the_old_course_is_named_where_the_rule_that_ends_it_is_changed(
    manager, world, rule
):
    world.sell(product__id=77)
    world.settle()
    save(manager, rule, "Faces")
    text = words(manager.get(reverse("admin:left-over")))
    assert "1 rule here is still about Ink" in text
    assert "1 buyer got Ink through this rule, and keeps it. See and move them" in text
    assert "Without this rule a refund does not end what they have." in text


def test_which_course_a_rule_should_be_about_is_not_guessed_among_several(manager, world, rule):
    save(manager, rule, "Faces")
    world.rule("product_purchased", GIVES, world.course("Pastel"), product="77")
    text = words(manager.get(page_of(Product.objects.get())))
    assert "Nothing takes access away on: Product Refunded." in text
    assert "1 rule here is still about Ink" in text
    assert "Change 1 rule" not in text


def test_what_a_global_rule_still_gives_is_not_said_to_be_left(manager, world, rule):
    world.rule("product_purchased", GIVES, Destination.objects.get(name="Ink"))
    save(manager, rule, "Faces")
    text = words(manager.get(page_of(Product.objects.get())))
    assert "Nothing takes access away on: Product Refunded." in text
    assert "no purchase of this product gives anymore" not in text


def test_what_is_left_is_one_message_and_stays_on_the_products_page(manager, world, rule):
    world.sell(product__id=77)
    world.settle()
    saved, message = said(save(manager, rule, "Faces"))
    assert saved.startswith("Saved: ")
    assert saved.endswith(" Undo")
    buyers = "1 buyer got Ink through this rule, and keeps it."
    assert (
        message == f"1 other rule of Example Course One still names Ink. {buyers} See the product"
    )
    for _ in range(2):
        text = words(manager.get(page_of(Product.objects.get())))
        assert f"{buyers} See and move them" in text
        assert "1 rule here is still about Ink" in text
        first, _, behind = text.partition("Change or delete this rule anyway")
        assert "First move these buyers, or end it for them." in first
        assert "Change 1 rule to Faces" not in first
        assert "Change 1 rule to Faces Delete this rule" in behind


def test_what_is_next_for_the_buyers_is_the_first_message_and_its_button_the_primary_one(
    manager, world, rule
):
    world.sell(product__id=77)
    world.settle()
    page = markup(save(manager, rule, "Faces")).partition('<ul class="messagelist">')[2]
    todo = page.partition('<li class="warning">')[2].partition("</li>")[0]
    assert "1 buyer got Ink through this rule, and keeps it." in plain(todo)
    assert re.search(r'<a class="button primary small" href="[^"]+">See the product</a>', todo)


def test_who_keeps_what_a_rule_gave_on_another_trigger_is_told_on_the_products_page(
    manager, world, rule
):
    world.sell(product__id=77)
    world.settle()
    product = page_of(rule.product)
    page = save(manager, rule, "Ink", trigger="subscription_charged", back=product)
    assert page.request["PATH_INFO"] == product
    assert "1 buyer got Ink through this rule, and keeps it." in words(page)


def test_only_who_may_move_the_buyers_is_led_to_them(manager, world, rule):
    world.sell(product__id=77)
    world.settle()
    save(manager, rule, "Faces")
    for role, shown in ((roles.SUPPORT, True), (roles.VIEWER, False)):
        page = signed_in(role).get(page_of(rule.product)).content.decode()
        assert (reverse("admin:given-by-rule") in page) is shown


def test_saving_leads_back_to_the_products_page_which_says_what_is_left(manager, world, rule):
    page = page_of(rule.product)
    (link,) = set(re.findall(rf'href="({page_of(rule)}\?[^"]+)"', markup(manager.get(page))))
    opened = manager.get(html.unescape(link))
    assert f'<a href="{page}" class="button">Cancel' in markup(opened)
    (back,) = re.findall(r'type="hidden" name="back" value="([^"]+)"', markup(opened))
    later = manager.post(page_of(rule), {"go_on": "1", "back": back, "trigger": rule.trigger})
    assert "back=" in later["Location"]
    after = save(manager, rule, "Faces", back=back)
    assert after.request["PATH_INFO"] == page
    (saved,) = said(after)
    assert saved.startswith("Saved: ")
    elsewhere = save(manager, rule, "Ink", back="https://evil.example/")
    assert elsewhere.request["PATH_INFO"] == reverse("admin:rules_rule_changelist")


def test_the_button_that_moves_buyers_says_where_to_and_what_ends(manager, world, rule):
    for number, email in enumerate(("ann@example.com", "bob@example.com"), 1):
        world.sell(product__id=77, customer__email=email, order__id=number)
    world.settle()
    save(manager, rule, "Faces")
    text = words(manager.get(reverse("admin:given-by-rule"), {"rule": rule.pk}))
    assert "Move buyers to Faces" in text
    assert "Their access to Ink ends, unless another purchase gives it." in text
    assert "Move 2 buyers to Faces Cancel" in text


def test_after_moving_the_way_leads_to_the_product_and_the_rules_left_are_told(
    manager, world, rule
):
    event = world.sell(product__id=77)
    world.settle()
    save(manager, rule, "Faces")
    page = f"{reverse('admin:given-by-rule')}?rule={rule.pk}"
    moved = manager.post(page, {"chosen": event.pk, "back": page_of(rule)}, follow=True)
    assert "1 other rule of Example Course One still names Ink. See it" in said(moved)
    shown = moved.content.decode()
    assert f'<p class="way"><a href="{page_of(rule.product)}">' in shown


def test_the_page_of_its_buyers_leads_back_to_the_product_from_which_it_was_opened(
    manager, world, rule
):
    world.sell(product__id=77)
    world.settle()
    save(manager, rule, "Faces")
    product = page_of(rule.product)
    links = re.findall(r'href="(/admin/given-by-rule/[^"]+)"', shown(manager.get(product)))
    page = shown(manager.get(html.unescape(links[0])))
    assert f'<a class="button" href="{product}">' in page
    assert f'name="back" value="{product}"' in page


def test_the_log_names_what_a_moved_buyer_has_now_before_what_was_ended(manager, world, rule):
    event = world.sell(product__id=77)
    world.settle()
    save(manager, rule, "Faces")
    manager.post(f"{reverse('admin:given-by-rule')}?rule={rule.pk}", {"chosen": event.pk})
    world.settle()
    log = shown(manager.get(reverse("admin:events_eventlog_changelist")))
    assert "<summary>Faces +1</summary>" in log


def sold_by_a_deleted_rule(world: World, rule: Rule, course: str = "Faces") -> Rule:
    """Ann and Bob bought 77 and got Ink by a rule that was deleted; 77 gives this course now."""
    for number, email in enumerate(("ann@example.com", "bob@example.com"), 1):
        world.sell(product__id=77, customer__email=email, order__id=number)
    world.settle()
    rule.delete()
    return world.rule("product_purchased", GIVES, Destination.objects.get(name=course), "77")


def link_to_move(page: Any) -> str:
    (address,) = set(re.findall(r'href="(/admin/given-by-rule/\?product=[^"]+)"', shown(page)))
    return html.unescape(address)


def shown(page: Any) -> str:
    return str(markup(page))


@pytest.mark.parametrize("where", ["added", "product"])
def test_after_a_wrong_rule_was_deleted_and_a_right_one_added_its_buyers_are_moved(
    manager, world, rule, where
):
    new = sold_by_a_deleted_rule(world, rule)
    added = f"{reverse('admin:new-rule-added')}?rule={new.pk}"
    page = manager.get(added if where == "added" else page_of(new.product))
    told = "2 buyers got Ink through a deleted rule, and keep it. See and move them"
    assert told in words(page)
    address = link_to_move(page)
    look = manager.get(address)
    assert "Move 2 buyers to Faces End Ink for 2 buyers Cancel" in words(look)
    (chosen,) = re.findall(r'name="chosen" value="([\d,]+)"', shown(look))
    done = manager.post(address, {"chosen": chosen}, follow=True)
    assert f'href="{page_of(new.product)}"' in shown(done)
    world.settle()
    faces, ink = (Destination.objects.get(name=name) for name in ("Faces", "Ink"))
    for email in ("ann@example.com", "bob@example.com"):
        assert (world.access(email, faces), world.access(email, ink)) == (True, False)
    ended = RuleRun.objects.filter(rule=None, action=ENDS)
    assert all(run.rule_sentence.startswith("Because the rule was deleted: ") for run in ended)
    assert told not in words(manager.get(page_of(new.product)))
    assert "No buyer still has what a deleted rule gave." in words(manager.get(address))


def test_the_page_says_how_many_products_its_address_left_out(manager, world, rule, monkeypatch):
    new = sold_by_a_deleted_rule(world, rule)
    assert new.product is not None
    assert "not on this page" not in words(
        manager.get(link_to_move(manager.get(page_of(new.product))))
    )
    monkeypatch.setattr(given_parts, "PRODUCTS", 1)
    cut = given_by_rule.address_of([new.product.pk, 98, 99])
    text = words(manager.get(cut))
    assert "2 more products are not on this page." in text
    assert "the Overview leads to their buyers." in text
    assert "Move 2 buyers to Faces" in text


def test_what_a_deleted_rule_gave_can_be_ended_without_giving_what_another_gives(
    manager, world, rule
):
    new = sold_by_a_deleted_rule(world, rule)
    address = link_to_move(manager.get(page_of(new.product)))
    (chosen,) = re.findall(r'name="chosen" value="([\d,]+)"', shown(manager.get(address)))
    manager.post(address, {"chosen": chosen, "only_end": "1"})
    world.settle()
    for course in Destination.objects.all():
        assert not world.access("ann@example.com", course)
    # They paid, and are not in: the rule that is there now is offered for them.
    assert "2 buyers paid and got nothing for it." in words(manager.get(page_of(new.product)))
    # But something was given.
    bought = EventLog.objects.earliest("pk")
    pages = [
        manager.get(reverse("admin:events_eventlog_change", args=[bought.pk])),
        manager.get(reverse("admin:integrations_customer_change", args=[bought.customer_id])),
        manager.get(reverse("admin:events_eventlog_changelist")),
        manager.get(page_of(new.product)),
    ]
    for page in pages:
        assert "Paid, access ended</span>" in shown(page)
        assert "Paid, nothing given</span>" not in shown(page)
    assert "a person ended what was given for it." in words(pages[0])
    assert "(order 1); a person ended what it gave." in words(pages[1])


def test_coverage_leads_to_the_buyers_of_a_deleted_rule_when_it_adds_one(manager, world, rule):
    new = sold_by_a_deleted_rule(world, rule)
    new.enabled = False
    new.save()
    turned_on = press(manager, new, "switch_on")
    told = "2 buyers got Ink through a deleted rule, and keep it. See and move them"
    assert told in said(turned_on)


def test_who_may_not_move_buyers_is_not_led_to_those_of_a_deleted_rule(world, rule):
    new = sold_by_a_deleted_rule(world, rule)
    page = shown(signed_in(roles.VIEWER).get(page_of(new.product)))
    assert "given-by-rule" not in page


def test_who_has_a_course_by_a_rule_and_was_refunded_is_marked_where_they_are_seen(
    manager, world, rule
):
    ending().delete()
    for number in (1, 2):
        world.sell(product__id=77, customer__email=f"b{number}@example.com", order__id=number)
    world.sell("20_product", product__id=77, customer__email="b1@example.com", order__id=1)
    world.settle()
    text = words(manager.get(reverse("admin:given-by-rule"), {"rule": rule.pk}))
    assert len(re.findall(r"order 1 Order 1 was refunded on \d", text)) == 1
    assert "Order 2 was refunded" not in text


def test_a_refunded_buyer_of_a_changed_rule_cannot_be_moved_but_access_can_be_ended(
    manager, world, rule
):
    ending().delete()
    for number in (1, 2):
        world.sell(product__id=77, customer__email=f"b{number}@example.com", order__id=number)
    world.settle()
    save(manager, rule, "Faces")
    world.sell("20_product", product__id=77, customer__email="b1@example.com", order__id=1)
    world.settle()
    page = f"{reverse('admin:given-by-rule')}?rule={rule.pk}"
    look = manager.get(page)
    assert "End Ink for 1 refunded buyer" in words(look)
    _, refunded = re.findall(r'name="chosen" value="([\d,]+)"', shown(look))
    done = manager.post(page, {"chosen": refunded, "only_end": "1"}, follow=True)
    assert "End what the rule gave before" in words(done)
    world.settle()
    ink = Destination.objects.get(name="Ink")
    assert [world.access(f"b{number}@example.com", ink) for number in (1, 2)] == [False, True]
    assert "refunded buyer" not in words(manager.get(page))
    # It gave something, and nothing is owed anymore.
    bought = EventLog.objects.get(order_id="1", trigger="product_purchased")
    assert not bought.gave_nothing
    # Without the button for it, nothing is done for a refunded buyer.
    world.sell("20_product", product__id=77, customer__email="b2@example.com", order__id=2)
    (refunded,) = re.findall(r'name="chosen" value="([\d,]+)"', shown(manager.get(page)))
    manager.post(page, {"chosen": refunded})
    world.settle()
    assert world.access("b2@example.com", ink)


def test_nobody_is_moved_to_a_course_that_the_same_purchase_has_given_by_another_rule(
    manager, world, rule
):
    world.rule("product_purchased", GIVES, Destination.objects.get(name="Faces"), "77")
    world.sell(product__id=77)
    world.settle()
    product = rule.product
    rule.delete()
    page = words(manager.get(reverse("admin:given-by-rule"), {"product": product.pk}))
    assert "End what a deleted rule gave" in page
    assert "Give Faces" not in page
    assert "End Ink for 1 buyer" in page


def test_the_rules_page_says_what_still_names_the_old_course_for_as_long_as_one_does(
    manager, world, rule
):
    assert "still names" not in words(manager.get(page_of(rule)))
    save(manager, rule, "Faces")
    for role in (roles.MANAGER, roles.VIEWER):
        text = words(signed_in(role).get(page_of(rule)))
        assert "1 other rule of Product 77 still names Ink. See the product" in text
    text = words(manager.get(page_of(ending())))
    assert "No rule of this product gives Ink anymore. See the product" in text
    faces = Destination.objects.get(name="Faces")
    settle(manager)
    assert ending().destination == faces
    for each in (rule, ending()):
        assert "See the product" not in words(manager.get(page_of(each)))


def test_after_moving_no_rule_is_named_that_an_earlier_edit_has_left(manager, world, rule):
    # The rule that ends Old is left from an earlier edit.
    world.rule("product_refunded", ENDS, world.course("Old"), product="77")
    event = world.sell(product__id=77)
    world.settle()
    Rule.objects.filter(destination__name="Ink", trigger="product_refunded").delete()
    save(manager, rule, "Faces")
    assert "1 rule here is still about Old" in words(manager.get(page_of(rule.product)))
    page = f"{reverse('admin:given-by-rule')}?rule={rule.pk}"
    moved = manager.post(page, {"chosen": event.pk}, follow=True)
    assert not [text for text in said(moved) if "still name" in text]
