"""Deleting a wrong rule offers to delete its companions; pages name those that remain."""

import html
import re
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client
from django.urls import reverse

from config.admin.pages.rules import left_over
from config.admin.parts.buttons import page_of
from config.staff import roles
from events.reports.owed import recent_sales
from events.reports.products import coverage as reports
from integrations.models import Destination, Product
from rules import changing, leftovers, pairing
from rules.models import Rule
from rules.short_sentences import in_short
from tests.support import factories, queued
from tests.support.pages import bulk, press, said, signed_in, words
from tests.support.world import World

pytestmark = pytest.mark.first_database

GIVES, ENDS = "create_course_enrollment", "expire_course_enrollment"
LEFT = "4 rules here are still about Ink, which no purchase of this product gives anymore."
OVERVIEW = "leftover rules are about access that is no longer given."


@pytest.fixture
def manager(db) -> Client:
    return signed_in(roles.MANAGER)


def sold(world: World, course: str, product: str = "77") -> Rule:
    """The rule that gives this course to buyers, made by the form with its four companions."""
    there = Destination.objects.filter(name=course).first()
    rule = world.rule("product_purchased", GIVES, there or world.course(course), product=product)
    pairing.add(pairing.companions([rule]))
    return rule


@pytest.fixture
def wrong(world: World) -> Rule:
    return sold(world, "Ink")


def delete_page(rule: Rule) -> str:
    return reverse("admin:rules_rule_delete", args=[rule.pk])


def shown(page: Any) -> str:
    return str(page.content.decode())


def sent(page: Any, button: str = "") -> dict[str, Any]:
    """What the form on the page that asks sends by this button."""
    names = ("companion", "_selected_action")
    found: dict[str, Any] = {
        name: re.findall(rf'name="{name}" value="(\d+)"', shown(page)) for name in names
    }
    return found | {"post": "yes", "action": "delete_selected"} | ({button: "1"} if button else {})


def delete_alone(client: Client, rule: Rule) -> Any:
    return client.post(delete_page(rule), sent(client.get(delete_page(rule))), follow=True)


def product_page(product: Product) -> str:
    return reverse("admin:integrations_product_change", args=[product.pk])


def settle(client: Client, page: Any, how: str, **more: str) -> Any:
    keys = re.findall(r'name="left" value="([^"]+)"', shown(page))
    return client.post(reverse("admin:left-over"), {"left": keys, how: "1"} | more, follow=True)


def undo(client: Client, page: Any) -> Any:
    address = re.findall(r'action="(/admin/undo-step/[^"]+)"', shown(page))[0]
    return client.post(address, follow=True)


# Deleting


def test_the_page_that_asks_names_the_companions_and_what_they_would_go_on_to_do(manager, wrong):
    text = words(manager.get(delete_page(wrong)))
    assert "These 4 rules belong to it, and would keep running:" in text
    for trigger in (*pairing.ENDS, *pairing.GIVES_BACK):
        assert str(trigger.label) in text
    assert "Later buyers whose payment recovers, or who are restarted, would still get Ink." in text
    assert "Delete all 5 rules Delete only this rule No, keep it" in text


def test_students_are_said_to_keep_their_access_only_where_somebody_has_some(manager, wrong):
    lists = "admin:rules_rule_changelist"

    def asked() -> list[str]:
        pages = manager.get(delete_page(wrong)), bulk(manager, lists, "delete_selected", wrong)
        return [words(page) for page in pages]

    keep = "Students keep the access they have."
    assert [keep in text for text in asked()] == [False, False]
    queued.grant(queued.run(wrong.destination))
    assert [keep in text for text in asked()] == [True, True]


def test_deleting_from_a_products_page_leads_back_to_it_and_never_elsewhere(manager, wrong):
    product, short = product_page(wrong.product), in_short(wrong.sentence())
    assert " → enroll in " in short
    links = re.findall(rf'href="({delete_page(wrong)}[^"]*)"', shown(manager.get(product)))
    asked = html.unescape(links[0])
    done = manager.post(asked, sent(manager.get(asked)), follow=True)
    assert done.request["PATH_INFO"] == product
    assert f"Deleted a moment ago: {short}" in words(done)
    one, two = Rule.objects.order_by("pk")[:2]
    for rule, back in ((one, "https://evil.example/"), (two, page_of(two))):
        page = f"{delete_page(rule)}?{urlencode({'back': back})}"
        done = manager.post(page, {"post": "yes"}, follow=True)
        assert done.request["PATH_INFO"] == reverse("admin:rules_rule_changelist")


def test_all_are_deleted_in_one_step_and_come_back_by_one_undo(manager, wrong):
    before = set(Rule.objects.values_list("pk", "trigger", "destination"))
    page, short = manager.get(delete_page(wrong)), in_short(wrong.sentence())
    done = manager.post(delete_page(wrong), sent(page, "too"), follow=True)
    assert f"4 rules that belonged to “{short}” are deleted as well." in said(done)
    assert not Rule.objects.exists()
    assert "Deleted a moment ago: 5 rules, among them" in words(done)
    back = undo(manager, done)
    assert said(back) == ["Undone: 5 rules are back."]
    assert set(Rule.objects.values_list("pk", "trigger", "destination")) == before
    assert "Deleted a moment ago" not in words(back)


def test_a_later_buyer_gets_nothing_by_the_wrong_rule_once_all_are_deleted(manager, world, wrong):
    page = manager.get(delete_page(wrong))
    manager.post(delete_page(wrong), sent(page, "too"))
    sold(world, "Faces")
    world.sell(product__id=77)
    event = world.sell(trigger="subscription_recovered", product__id=77)
    world.settle()
    assert {run.destination_name for run in event.runs.all()} == {"Faces"}


def test_only_what_the_page_showed_is_deleted_too(manager, world, wrong):
    page = manager.get(delete_page(wrong))
    kept = Rule.objects.filter(trigger="product_refunded").get()
    data = sent(page, "too")
    data["companion"].remove(str(kept.pk))
    manager.post(delete_page(wrong), data)
    assert list(Rule.objects.all()) == [kept]


def test_what_ends_more_than_the_rule_gave_is_no_companion(manager, world, wrong):
    Rule.objects.filter(trigger="product_refunded").update(ends_all=True)
    assert "These 3 rules belong to it" in words(manager.get(delete_page(wrong)))


def test_what_another_rule_needs_is_no_companion_of_a_deleted_one(manager, world, wrong):
    twin = world.rule("subscription_charged", GIVES, Destination.objects.get(), product="77")
    text = words(manager.get(delete_page(wrong)))
    assert "Yes, delete" in text
    assert "belong to it" not in text
    assert not leftovers.left_over_without({wrong.pk}).exists()
    assert leftovers.left_over_without({wrong.pk, twin.pk}).count() == 4


def test_of_a_global_rule_the_global_companions_are_named(manager, world):
    rule = world.rule("product_purchased", GIVES, world.course("Ink"))
    pairing.add(pairing.companions([rule]))
    assert "These 4 rules belong to it" in words(manager.get(delete_page(rule)))


def test_rules_that_are_deleted_together_take_the_companions_of_all_along(manager, world, wrong):
    other = sold(world, "Ink", "78")
    lists = reverse("admin:rules_rule_changelist")
    page = bulk(manager, "admin:rules_rule_changelist", "delete_selected", wrong, other)
    text = words(page)
    assert "These 8 rules belong to them, and would keep running:" in text
    assert "Delete all 10 rules Delete only the 2 chosen" in text
    assert "a refund or a cancellation does not end the access that they gave" in text
    done = manager.post(lists, sent(page, "too"), follow=True)
    assert not Rule.objects.exists()
    assert "8 rules that belonged to them are deleted as well." in said(done)
    assert said(undo(manager, done)) == ["Undone: 10 rules are back."]


def test_a_companion_that_is_chosen_as_well_is_not_named_twice(manager, wrong):
    every = list(Rule.objects.all())
    page = bulk(manager, "admin:rules_rule_changelist", "delete_selected", *every)
    assert "belong to it" not in words(page)
    assert "Yes, delete them" in words(page)


def test_who_has_it_is_told_that_a_refund_ends_it_no_more(manager, world, wrong):
    world.sell(product__id=77)
    world.settle()
    text = words(manager.get(delete_page(wrong)))
    assert "1 buyer has access through this rule, and keeps it until you end it. See who" in text
    assert "Once all of these rules are gone, a refund or a cancellation does not end it" in text


def test_turning_a_rule_off_says_what_still_gives_its_course(manager, wrong):
    told = said(press(manager, wrong, "switch_off"))
    # Four are still on: that a refund or a cancellation still ends it is right.
    assert Rule.objects.filter(enabled=True).count() == 4
    assert any(
        text.startswith("2 rules that give it back are still on. Later buyers whose payment")
        for text in told
    )
    # It may be turned on again, so nothing is left over.
    assert OVERVIEW not in words(manager.get(reverse("admin:index")))


# What stays


def test_what_is_left_is_said_where_people_look(manager, world, wrong):
    told = "4 rules of Watercolor are still about Ink, which no purchase of it gives anymore."
    Product.objects.update(name="Watercolor")
    done = delete_alone(manager, wrong)
    assert f"{told} See, change or delete them" in said(done)
    new = sold(world, "Faces")
    added = manager.get(f"{reverse('admin:new-rule-added')}?rule={new.pk}")
    assert f"{told} See, change or delete them" in words(added)
    overview = words(manager.get(reverse("admin:index")))
    assert f"4 {OVERVIEW}" in overview
    assert told in overview
    assert LEFT in words(manager.get(product_page(Product.objects.get())))
    coverage = words(manager.get(reverse("admin:coverage")))
    assert f"{LEFT} See them of Watercolor" in coverage


def test_coverage_leads_to_the_rules_and_back(manager, wrong):
    delete_alone(manager, wrong)
    page = shown(manager.get(reverse("admin:coverage")))
    (address,) = re.findall(r'href="(/admin/left-over/\?product=[^"]+)"', page)
    look = manager.get(html.unescape(address))
    assert LEFT in words(look)
    harm = "On Subscription Recovered and Subscription Restarted a later buyer still gets Ink."
    assert harm in words(look)
    done = settle(manager, look, "delete", back=reverse("admin:coverage"))
    assert done.request["PATH_INFO"] == reverse("admin:coverage")
    assert said(done) == ["4 rules deleted."]
    assert not Rule.objects.exists()
    assert said(undo(manager, done)) == ["Undone: 4 rules are back."]


def test_what_is_there_for_the_new_course_is_not_made_twice(manager, world, wrong):
    delete_alone(manager, wrong)
    sold(world, "Faces")
    page = manager.get(product_page(Product.objects.get()))
    assert words(page).count("what is given now already has such a rule") == 4
    assert "Change" not in words(page).partition("Rules of this product")[0].partition(LEFT)[2]
    settle(manager, page, "delete")
    assert set(Rule.objects.values_list("destination__name", flat=True)) == {"Faces"}
    assert Rule.objects.count() == 5


def test_every_rule_that_is_left_is_changed_or_deleted_by_one_button(manager, world, wrong):
    delete_alone(manager, wrong)
    new = world.rule("product_purchased", GIVES, world.course("Faces"), product="77")
    world.rule("subscription_recovered", GIVES, new.destination, product="77", enabled=False)
    page = manager.get(product_page(Product.objects.get()))
    assert "Change 3 rules to Faces, delete 1" in words(page)
    done = settle(manager, page, "change")
    assert said(done) == ["3 rules use Faces from now on. 1 rule deleted."]
    names = Rule.objects.values_list("trigger", "destination__name", "enabled")
    assert set(names) == {
        ("product_purchased", "Faces", True),
        ("product_refunded", "Faces", True),
        ("subscription_canceled", "Faces", True),
        ("subscription_recovered", "Faces", False),
        ("subscription_restarted", "Faces", True),
    }


def test_those_of_many_products_are_settled_at_once(manager, world):
    for number in ("77", "78", "79"):
        rule = sold(world, "Ink", number)
        delete_alone(manager, rule)
        world.rule("product_purchased", GIVES, _faces(world), product=number)
    overview = words(manager.get(reverse("admin:index")))
    assert f"12 {OVERVIEW}" in overview
    assert "12 rules of Product 77, Product 78 and Product 79 are still about access" in overview
    coverage = words(manager.get(reverse("admin:coverage")))
    assert "3 rows have rules about access that is no longer given. See all of them" in coverage
    done = settle(manager, manager.get(reverse("admin:left-over")), "change")
    assert said(done) == ["12 rules use Faces from now on."]
    assert "There are no leftover rules" in words(done)
    assert set(Rule.objects.values_list("destination__name", flat=True)) == {"Faces"}


def _faces(world: World) -> Destination:
    return Destination.objects.filter(name="Faces").first() or world.course("Faces")


@pytest.mark.parametrize("products", [2, 12])
def test_coverage_and_overview_ask_no_more_of_many_products(
    manager, world, products, django_assert_max_num_queries
):
    for number in range(products):
        sold(world, "Ink", str(100 + number)).delete()
    manager.get(reverse("admin:index"))
    with django_assert_max_num_queries(36):
        manager.get(reverse("admin:coverage"))


@pytest.mark.parametrize(
    "rules",
    [
        # A gift for a payment that recovered.
        [("subscription_recovered", GIVES, {})],
        # What another product gave.
        [("product_refunded", ENDS, {"ends_all": True})],
        # A lesson after the last payment, and what ends it.
        [("subscription_completed", GIVES, {}), ("product_refunded", ENDS, {})],
    ],
)
def test_what_a_person_may_well_mean_is_not_called_left_over(manager, world, rules):
    ink = world.course("Ink")
    for trigger, action, facts in rules:
        world.rule(trigger, action, ink, product="77", **facts)
    assert not leftovers.of_product(
        Product.objects.get(), Rule.objects.concerning(Product.objects.get())
    )
    assert "still about Ink" not in words(manager.get(reverse("admin:coverage")))


def test_an_ending_rule_alone_is_named_in_coverage_but_needs_nobody(manager, world):
    world.rule("product_refunded", ENDS, world.course("Ink"), product="77")
    assert "1 rule here is still about Ink" in words(manager.get(reverse("admin:coverage")))
    assert OVERVIEW not in words(manager.get(reverse("admin:index")))


LEFT_EVERYWHERE = "4 global rules are still about Ink, which no purchase gives anymore."


@pytest.fixture
def wrong_everywhere(world: World) -> Rule:
    rule = world.rule("product_purchased", GIVES, world.course("Ink"))
    pairing.add(pairing.companions([rule]))
    return rule


def test_all_rules_that_are_left_over_are_counted_though_not_all_their_products_are_read(
    manager, world, monkeypatch
):
    for number in range(5):
        changing.delete(Rule.objects.filter(pk=sold(world, "Ink", str(100 + number)).pk))
    monkeypatch.setattr(left_over, "PRODUCTS_SHOWN", 4)
    page = manager.get(reverse("admin:index"))
    assert "20 leftover rules are about access that is no longer given." in words(page)
    told = re.findall(r"<p>(20 rules of .*?)</p>", shown(page))
    assert re.search(
        r" and 2 more are still about access that these products no longer give", told[0]
    )
    assert f'href="{reverse("admin:left-over")}"' in told[0]


def test_global_rules_that_are_left_over_are_named_where_those_of_products_are(
    manager, wrong_everywhere
):
    coverage, overview = reverse("admin:coverage"), reverse("admin:index")
    for page in (coverage, overview):
        assert "still about Ink" not in words(manager.get(page))
    done = delete_alone(manager, wrong_everywhere)
    assert f"{LEFT_EVERYWHERE} See, change or delete them" in said(done)
    assert f"Every product by global rules {LEFT_EVERYWHERE} See them" in words(
        manager.get(coverage)
    )
    text = words(manager.get(overview))
    assert f"4 {OVERVIEW}" in text
    assert f"{LEFT_EVERYWHERE} See, change or delete them" in text
    left = Rule.objects.earliest("pk")
    assert "No rule gives Ink anymore. See the global rules" in words(manager.get(page_of(left)))


def test_sales_of_deleted_products_are_not_those_of_every_product(
    world, wrong_everywhere, monkeypatch
):
    monkeypatch.setattr(recent_sales, "MAX_NAMED", 0)
    world.sell("10_product")
    wrong_everywhere.delete()
    Product.objects.all().delete()
    factories.ProductFactory.create(marketplace=wrong_everywhere.marketplace)
    everywhere, _ = reports.judge_all()
    assert everywhere.number is None
    assert everywhere.left_over
    assert not everywhere.gives_nothing_to_buyers
    assert [row.sales for row in reports.coverage()] == [0, 0]


@pytest.mark.parametrize("asked", ["", "?account={account}"])
def test_global_rules_that_are_left_over_are_settled_by_the_same_page(
    manager, wrong_everywhere, asked
):
    wrong_everywhere.delete()
    account = wrong_everywhere.marketplace_id
    page = manager.get(reverse("admin:left-over") + asked.format(account=account))
    assert f"Every product {LEFT_EVERYWHERE} On Subscription Recovered" in words(page)
    done = settle(manager, page, "delete")
    assert "4 rules deleted." in said(done)
    assert not Rule.objects.exists()
    assert done.request["QUERY_STRING"] == "scope__exact=global"


def test_global_rules_that_are_left_over_can_be_about_what_a_global_rule_gives(
    manager, world, wrong_everywhere
):
    ends = Rule.objects.get(trigger="product_refunded")
    Rule.objects.exclude(pk=ends.pk).delete()
    world.rule("product_purchased", GIVES, world.course("Wash"))
    # That of a product is no second one.
    world.rule("product_refunded", ENDS, Destination.objects.get(name="Wash"), product="77")
    page = manager.get(reverse("admin:left-over"))
    assert "you can change it to Wash" in words(page)
    assert "1 rule uses Wash from now on." in said(settle(manager, page, "change"))
    ends.refresh_from_db()
    assert str(ends.destination) == "Wash"


def test_a_global_rule_about_what_a_product_gives_is_not_left_over(manager, world, wrong):
    everywhere = world.rule("product_purchased", GIVES, wrong.destination)
    pairing.add(pairing.companions([everywhere]))
    everywhere.delete()
    assert "still about Ink" not in words(manager.get(reverse("admin:coverage")))
    wrong.delete()
    assert LEFT_EVERYWHERE in words(manager.get(reverse("admin:coverage")))


def test_who_may_not_delete_rules_sees_them_and_no_button(wrong):
    wrong.delete()
    viewer = signed_in(roles.VIEWER)
    for page in (reverse("admin:coverage"), product_page(Product.objects.get())):
        answer = viewer.get(page)
        assert LEFT in words(answer)
        assert "left-over/?" not in shown(answer)
        assert "Delete these 4 rules" not in words(answer)
    assert viewer.post(reverse("admin:left-over"), {"left": "1-"}).status_code == 403
