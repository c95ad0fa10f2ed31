"""Products, rules, the guided new rule and the simulation, as a creator uses them."""

import html
import re
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.db import connection
from django.http import HttpRequest
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import expect

from config.admin.pages.products import products
from config.staff import roles
from events.models import EventLog, RuleRun
from events.reports import simulation
from events.reports.products import subscriptions
from integrations import audit
from integrations.audit import Act
from integrations.models import (
    AuditEntry,
    Customer,
    Destination,
    Integration,
    Product,
    ThinkificUser,
)
from rules import copying, pairing
from rules.actions import ACTIONS
from rules.models import Rule, Scope
from rules.short_sentences import in_short
from rules.triggers import Trigger
from tests.support import browsing, factories
from tests.support.pages import bulk, markup, press, rows, said, signed_in, words
from tests.support.place import place_for
from tests.support.queued import event

pytestmark = pytest.mark.first_database


@pytest.fixture
def manager(place) -> Client:
    return signed_in(roles.MANAGER)


def product(number: str) -> Product:
    return Product.objects.get(external_id=number)


# Pairing


# The badge of an event that lacked a rule which is still missing.
NO_RULE = re.compile(r'badge-wait"><svg[^>]*><use[^>]*></use></svg>No rule<')
BY_SUBSCRIPTION = [
    "product_refunded",
    "subscription_canceled",
    "subscription_recovered",
    "subscription_restarted",
]


@pytest.mark.parametrize(
    ("ends", "subscription", "holes"),
    [
        ([], False, ["product_refunded"]),
        ([], True, BY_SUBSCRIPTION),
        ([("product_refunded", True)], False, []),
        ([("product_refunded", False)], False, ["product_refunded"]),
        ([("product_refunded", True)], True, BY_SUBSCRIPTION[1:]),
        ([("product_partially_refunded", True)], False, ["product_refunded"]),
    ],
)
def test_what_takes_nothing_away_is_a_hole(db, ends, subscription, holes):
    giving = factories.RuleFactory.create(product=factories.ProductFactory.create())
    same = {"destination": giving.destination, "product": giving.product}
    for trigger, enabled in ends:
        factories.RuleFactory.create(
            trigger=trigger, action="expire_course_enrollment", enabled=enabled, **same
        )
    found = pairing.holes(giving.product, Rule.objects.all(), subscription=subscription)
    assert found == holes


def test_ending_another_course_closes_no_hole_and_a_global_rule_does(db):
    giving = factories.RuleFactory.create(product=factories.ProductFactory.create())
    ending = {"trigger": "product_refunded", "action": "expire_course_enrollment"}
    factories.RuleFactory.create(product=giving.product, **ending)
    assert pairing.holes(giving.product, Rule.objects.all(), subscription=False)
    factories.RuleFactory.create(destination=giving.destination, **ending)
    assert not pairing.holes(giving.product, Rule.objects.all(), subscription=False)


@pytest.mark.parametrize("enabled", [True, False])
def test_a_rule_for_a_subscription_trigger_says_that_the_product_is_one(db, enabled):
    giving = factories.RuleFactory.create(product=factories.ProductFactory.create())
    same = {"destination": giving.destination, "product": giving.product}
    ending = {"action": "expire_course_enrollment"} | same
    factories.RuleFactory.create(trigger="product_refunded", **ending)
    assert not pairing.holes(giving.product, Rule.objects.all(), subscription=False)
    factories.RuleFactory.create(trigger="subscription_canceled", enabled=enabled, **ending)
    found = pairing.holes(giving.product, Rule.objects.all(), subscription=False)
    assert found == BY_SUBSCRIPTION[2 if enabled else 1 :]


def test_a_global_subscription_rule_says_nothing_of_one_product(db):
    giving = factories.RuleFactory.create(product=factories.ProductFactory.create())
    ending = {"destination": giving.destination, "action": "expire_course_enrollment"}
    for trigger in ("product_refunded", "subscription_canceled"):
        factories.RuleFactory.create(trigger=trigger, **ending)
    assert not pairing.holes(giving.product, Rule.objects.all(), subscription=False)


def test_a_rule_whose_course_has_gone_leaves_no_hole(db):
    giving = factories.RuleFactory.create(product=factories.ProductFactory.create())
    Destination.objects.update(gone_at=timezone.now())
    assert not pairing.holes(giving.product, Rule.objects.all(), subscription=True)


def test_companions_end_access_and_give_it_back_and_are_proposed_once(db):
    product = factories.ProductFactory.create()
    giving = factories.RuleFactory.create(product=product, marketplace=product.marketplace)
    proposed = pairing.companions([giving])
    assert [(rule.trigger, rule.action) for rule in proposed] == [
        ("product_refunded", "expire_course_enrollment"),
        ("subscription_canceled", "expire_course_enrollment"),
        ("subscription_recovered", "create_course_enrollment"),
        ("subscription_restarted", "create_course_enrollment"),
    ]
    assert pairing.add(proposed) == 4
    assert pairing.companions([giving]) == []
    assert pairing.companions(proposed[:1]) == []


def test_all_that_is_proposed_closes_every_hole(db):
    product = factories.ProductFactory.create()
    facts = {"product": product, "marketplace": product.marketplace}
    giving = factories.RuleFactory.create(**facts)
    for rule in (giving, factories.RuleFactory.create(marketplace=product.marketplace)):
        pairing.add(pairing.companions([rule]))
        found = pairing.holes(rule.product, Rule.objects.all(), subscription=True)
        assert found == []


def test_what_gives_back_does_not_propose_itself(db):
    product = factories.ProductFactory.create()
    back = Rule(
        marketplace=product.marketplace,
        scope="product",
        product=product,
        trigger="subscription_restarted",
        action="create_course_enrollment",
        destination=(course := factories.DestinationFactory.create()),
        integration=course.integration,
    )
    assert [rule.trigger for rule in pairing.companions([back])] == BY_SUBSCRIPTION[:3]


@pytest.mark.parametrize(
    ("facts", "sold"),
    [
        ({}, False),
        ({"subscription_id": "9"}, True),
        ({"trigger": "subscription_charged"}, True),
        ({"trigger": "product_refunded"}, False),
    ],
)
def test_a_product_seen_with_a_subscription_is_sold_by_one(db, facts, sold):
    seen = factories.ProductFactory.create()
    event(None, product=seen, **facts)
    assert subscriptions.sold_by_subscription([seen]) == ({seen.pk} if sold else set())


def test_the_newest_events_of_each_product_tell_by_one_question_how_it_is_sold(
    db, monkeypatch, django_assert_num_queries
):
    monkeypatch.setattr(subscriptions, "MAX_EVENTS", 2)
    lately, formerly, unseen = factories.ProductFactory.create_batch(3)
    for at, product in enumerate([formerly, lately, lately, formerly, formerly]):
        event(None, at=at, product=product, subscription_id="9" if at < 2 else "")
    with django_assert_num_queries(1):
        found = subscriptions.sold_by_subscription([lately, formerly, unseen])
    assert found == {lately.pk}


# Products


def test_products_show_their_rules_and_events(manager):
    page = reverse("admin:integrations_product_changelist")
    text = words(manager.get(page))
    assert "Gift Card 1048004 No rules" in text
    assert "Urban Sketching Club" not in words(manager.get(page, {"q": "1048004"}))
    with CaptureQueriesContext(connection) as asked:
        manager.get(page)
    assert len(asked) <= 10  # however many products there are


def test_products_are_sorted_by_their_sales(manager):
    page = reverse("admin:integrations_product_changelist")
    heading = re.search(
        r'<th scope="col"[^>]*sales[^>]*><a href="([^"]+)"', markup(manager.get(page))
    )
    assert heading
    sorted_ = page + html.unescape(heading[1])
    numbers = [row.sold_lately for row in manager.get(sorted_).context["cl"].result_list]
    assert numbers == sorted(numbers, reverse=True)
    assert numbers[0] > 0
    back = re.search(r'aria-sort="descending"><a href="([^"]+)"', markup(manager.get(sorted_)))
    assert back
    by_name = [row.pk for row in manager.get(page).context["cl"].result_list]
    assert by_name == [row.pk for row in manager.get(page + back[1]).context["cl"].result_list]


def test_the_number_of_sales_leads_to_just_these(db):
    product = factories.ProductFactory.create(name="Ink")
    for number, status in enumerate(("done", "done", "repeat")):
        sold = event(factories.CustomerFactory.create(), product=product, order=str(number))
        EventLog.objects.filter(pk=sold.pk).update(status=status, received_at=timezone.now())
    manager = signed_in(roles.MANAGER)
    for page in (reverse("admin:integrations_product_changelist"), reverse("admin:coverage")):
        shown = manager.get(page).content.decode()
        (link,) = re.findall(r'<a href="([^"]+received=30[^"]*)">2</a>', shown)
        assert rows(manager.get(html.unescape(link))) == 2


@pytest.mark.parametrize(("sales", "shown"), [(0, "0"), (1, "1"), (2, "2"), (3, "2+"), (4, "2+")])
def test_the_sales_of_a_product_are_counted_to_an_end(db, monkeypatch, sales, shown):
    monkeypatch.setattr(products, "MOST_SALES", 2)
    mine, other = factories.ProductFactory.create_batch(2)
    for _ in range(sales):
        event(None, product=mine)
    old = event(None, product=mine)
    EventLog.objects.filter(pk=old.pk).update(received_at=timezone.now() - timedelta(days=31))
    event(None, product=other)
    event(None, product=mine, trigger="product_refunded")
    again = event(None, product=mine)
    EventLog.objects.filter(pk=again.pk).update(status="repeat")
    keeper: Any = admin.site.get_model_admin(Product)
    found = keeper.get_queryset(HttpRequest()).get(pk=mine.pk)
    assert re.sub("<.*?>", "", keeper.sales(found)) == shown


def test_a_product_is_added_by_its_id_before_its_first_event(manager, place):
    data = {"marketplace": place.world.marketplace.pk, "kind": "product"}
    data |= {"external_id": " 77 ", "name": "New course"}
    added = manager.post(reverse("admin:integrations_product_add"), data)
    assert product("77").name == "New course"
    page = reverse("admin:integrations_product_change", args=[product("77").pk])
    assert added["Location"] == page
    answer = manager.post(reverse("admin:integrations_product_add"), data)
    assert "Another product has this SamCart ID already." in words(answer)


@pytest.mark.parametrize(
    ("typed", "taken"),
    [
        ("https://app.samcart.com/products/2002/edit", "2002"),
        ("app.samcart.com/product?id=2002", "2002"),
        ("https://app.samcart.com/products", ""),
        ("https://app.samcart.com/1/products/2002", ""),
    ],
)
def test_of_an_address_only_its_number_is_taken_for_a_products_id(manager, place, typed, taken):
    data = {"marketplace": place.world.marketplace.pk, "kind": "product"}
    answer = manager.post(
        reverse("admin:integrations_product_add"), data | {"external_id": typed, "name": "New"}
    )
    found = Product.objects.filter(name="New").values_list("external_id", flat=True)
    assert list(found) == ([taken] if taken else [])
    assert ("Enter the ID alone" in words(answer)) is not bool(taken)


def offered(answer: Any) -> list[str]:
    """The triggers of the rules that a page offers, each ticked."""
    return re.findall(r'name="pair" value="(\w+)" id="[\w-]+" checked', markup(answer))


def test_the_page_of_a_product_says_what_takes_nothing_away_and_adds_it(manager):
    club = product("1048002")
    Destination.objects.update(gone_at=None)
    address = reverse("admin:integrations_product_change", args=[club.pk])
    page = manager.get(address)
    assert "Nothing takes access away on: Product Refunded, Subscription Canceled." in words(page)
    assert "Nothing gives access back on: Subscription Restarted." in words(page)
    missing = ["product_refunded", "subscription_canceled", "subscription_restarted"]
    assert offered(page) == missing
    assert said(press(manager, club, "end_access")) == [
        "Nothing was selected, so nothing is added."
    ]
    added = said(press(manager, club, "end_access", pair=missing))
    assert added == [
        "Urban Sketching Club: 3 rules added. Product Refunded: Urban Sketching. "
        "Subscription Canceled: Urban Sketching. Subscription Restarted: Urban Sketching."
    ]
    assert "Nothing takes access away" not in words(manager.get(address))
    assert offered(manager.get(address)) == []
    assert said(press(manager, club, "end_access")) == ["They are all there already."]


def test_a_cancellation_that_ended_nothing_is_told_alike_by_chip_advice_and_tick(manager, place):
    sold = product("1048001")
    sold.rules.exclude(trigger="product_purchased").delete()
    Rule.objects.exclude(product=sold).delete()
    address = reverse("admin:integrations_product_change", args=[sold.pk])
    place.world.sell("30_subscription", product__id=1048001)
    sold.refresh_from_db()  # SamCart's own name came with it
    for trigger in BY_SUBSCRIPTION:
        shown = manager.get(address)
        page = words(shown)
        missing = "Subscription Canceled" in page.partition("Rules of this product")[0]
        assert missing == (trigger in BY_SUBSCRIPTION[:2])
        assert bool(NO_RULE.search(shown.content.decode())) == missing
        assert f"(not yet for {sold}: " in words(manager.get(reverse("admin:index")))
        press(manager, sold, "end_access", pair=[trigger])
    shown = manager.get(address)
    assert not NO_RULE.search(shown.content.decode())
    assert "Nothing takes" not in words(shown)
    assert "(not yet for" not in words(manager.get(reverse("admin:index")))


def test_a_product_never_seen_as_a_subscription_is_offered_all_of_them_too(manager):
    sold = product("1048001")
    address = reverse("admin:integrations_product_change", args=[sold.pk])
    page = manager.get(address)
    assert "Nothing takes access away" not in words(page)
    assert offered(page) == BY_SUBSCRIPTION[1:]
    press(manager, sold, "end_access", pair=["subscription_canceled"])
    assert offered(manager.get(address)) == BY_SUBSCRIPTION[2:]
    # Who may not make rules is not asked to.
    assert offered(signed_in(roles.VIEWER).get(address)) == []


def test_rules_are_copied_and_what_is_there_already_is_said(manager):
    gift, club = product("1048004"), product("1048002")
    page = reverse("admin:integrations_product_copy", args=[gift.pk])
    assert "Urban Sketching Club" in words(manager.get(page))
    chosen = f"{page}?from={club.pk}"
    assert "Subscription Recovered → enroll in" in words(manager.get(chosen))
    rules = [str(rule.pk) for rule in club.rules.order_by("pk")]
    place = Destination.objects.get(name="Urban Sketching")
    Destination.objects.filter(pk=place.pk).update(gone_at=None)
    answer = manager.post(chosen, {"rule": rules}, follow=True)
    assert said(answer) == ["2 rules copied to Gift Card."]
    again = said(manager.post(chosen, {"rule": rules[:1]}, follow=True))
    assert again[0] == "0 rules copied to Gift Card."
    assert "This product has this very rule already." in again[1]


def test_a_rule_that_is_off_is_offered_as_such_and_its_copy_is_off(manager):
    gift, club = product("1048004"), product("1048002")
    Destination.objects.update(gone_at=None)
    rule = club.rules.earliest("pk")
    Rule.objects.filter(pk=rule.pk).update(enabled=False)
    chosen = f"{reverse('admin:integrations_product_copy', args=[gift.pk])}?from={club.pk}"
    assert words(manager.get(chosen)).count("(off, and its copy too)") == 1
    manager.post(chosen, {"rule": [rule.pk]})
    assert not gift.rules.get(trigger=rule.trigger).enabled


def test_odd_numbers_copy_nothing(manager):
    address = reverse("admin:integrations_product_copy", args=[product("1048004").pk])
    assert manager.get(f"{address}?from=%C2%B2").status_code == 200
    number = Rule.objects.count()
    assert manager.post(address, {"rule": "²"}).status_code in {200, 302}
    assert Rule.objects.count() == number


def test_who_wants_rules_that_are_there_but_off_is_told_to_turn_them_on(manager):
    sold = product("1048001")
    press(manager, sold, "end_access", pair=BY_SUBSCRIPTION)
    Rule.objects.filter(product=sold, trigger="product_refunded").update(enabled=False)
    page = manager.get(reverse("admin:integrations_product_change", args=[sold.pk]))
    assert "Nothing takes access away on: Product Refunded." in words(page)
    assert "The rules for that are there, but turned off: turn them on below." in words(page)
    assert said(press(manager, sold, "end_access")) == [
        "They are all there already. Turn on those that are off."
    ]


def test_a_rule_is_not_copied_to_a_course_that_has_gone(db):
    rule = factories.RuleFactory.create(product=factories.ProductFactory.create())
    Destination.objects.update(gone_at=timezone.now())
    rule.refresh_from_db()
    made, left = copying.copy([rule], factories.ProductFactory.create())
    assert made == 0
    assert "is gone from Thinkific" in left[0]


# Rules


def test_the_menu_lists_global_rules_and_a_link_those_of_a_course(manager):
    page = reverse("admin:rules_rule_changelist")
    answer = manager.get(page, {"scope__exact": "global"})
    assert "Global rules" in words(answer)
    assert {rule.scope for rule in answer.context["cl"].result_list} == {"global"}
    course = Destination.objects.get(name="Urban Sketching")
    answer = manager.get(page, {"destination__id__exact": course.pk})
    assert {rule.destination for rule in answer.context["cl"].result_list} == {course}


def test_the_page_of_global_rules_is_no_filter_that_one_could_clear(manager):
    page = reverse("admin:rules_rule_changelist")
    text = words(manager.get(page, {"scope__exact": "global"}))
    assert "Clear all filters" not in text
    assert "Remove the filter" not in text
    assert "Clear all filters" in words(manager.get(page, {"scope__exact": "product"}))
    assert "Clear all filters" in words(
        manager.get(page, {"scope__exact": "global", "state": "off"})
    )


def test_each_global_rule_leads_to_its_edit_and_delete_page_and_a_viewer_has_neither(manager):
    page, rule = reverse("admin:rules_rule_changelist"), Rule.objects.filter(scope="global")[0]
    pages = {reverse(f"admin:rules_rule_{what}", args=[rule.pk]) for what in ("change", "delete")}
    buttons = re.compile(r'<a href="([^"]+)" class="button small')
    shown = markup(manager.get(f"{page}?scope__exact=global"))
    assert {address.partition("?")[0] for address in buttons.findall(shown)} == pages
    assert "Every product</td>" not in shown
    viewer = signed_in(roles.VIEWER)
    assert not buttons.findall(markup(viewer.get(f"{page}?scope__exact=global")))


def test_rules_are_found_by_their_state(manager):
    def found(state: str) -> set[int]:
        answer = manager.get(f"{reverse('admin:rules_rule_changelist')}?state={state}")
        return {rule.pk for rule in answer.context["cl"].result_list}

    Destination.objects.filter(name="Urban Sketching").update(gone_at=timezone.now())
    gone = Rule.objects.filter(destination__name="Urban Sketching")
    assert found("gone") == set(gone.values_list("pk", flat=True)) != set()
    on, off = found("on"), found("off")
    assert on
    assert off
    assert on | off == found("") == set(Rule.objects.values_list("pk", flat=True))
    assert not on & off


def test_rules_are_turned_off_and_on(manager):
    rule = Rule.objects.filter(enabled=True).earliest("pk")
    assert rule.product
    assert said(press(manager, rule, "switch_off")) == [
        "1 rule turned off, from the next event on.",
        f"No other rule gives anything to a buyer of {rule.product.name}.",
    ]
    rule.refresh_from_db()
    assert not rule.enabled
    assert said(press(manager, rule, "switch_on"))[0] == "1 rule turned on, from the next event on."
    every = list(Rule.objects.all())
    assert said(bulk(manager, "admin:rules_rule_changelist", "turn_off", *every))
    assert not Rule.objects.filter(enabled=True).exists()
    assert said(bulk(manager, "admin:rules_rule_changelist", "turn_on", *every))
    assert not Rule.objects.filter(enabled=False).exists()


def edit(client: Client, rule: Rule, **changes: Any) -> Any:
    names = ("marketplace", "scope", "product", "trigger", "integration", "action", "destination")
    data = {name: getattr(rule, f"{name}_id", None) or getattr(rule, name) for name in names}
    data |= {"enabled": "on"} | changes
    found = {name: value for name, value in data.items() if value is not None}
    return client.post(reverse("admin:rules_rule_change", args=[rule.pk]), found, follow=True)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"destination": "Drawing Bundle"}, "is not a course"),
        ({"destination": "Urban Sketching"}, "is gone from Thinkific. Choose another."),
        ({"trigger": "course_started"}, "Courses triggers carry no product"),
        ({"trigger": "product_refunded", "action": "expire_course_enrollment"}, "very rule"),
        ({"product": ""}, "A rule for one product names the product"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_in_words(manager, changes, says):
    rule = Rule.objects.get(product__external_id="1048001", trigger="product_purchased")
    Destination.objects.filter(name="Urban Sketching").update(gone_at=timezone.now())
    if "destination" in changes:
        found = Destination.objects.get(name=changes["destination"])
        changes = {"destination": found.pk}
    assert says in words(edit(manager, rule, **changes))
    before = (rule.trigger, rule.action, rule.destination_id, rule.product_id)
    rule.refresh_from_db()
    assert (rule.trigger, rule.action, rule.destination_id, rule.product_id) == before


def test_a_rule_is_edited_on_one_page_and_deleted(manager):
    rule = Rule.objects.get(product__external_id="1048001", trigger="product_purchased")
    other = Destination.objects.get(name="Perspective")
    edit(manager, rule, destination=other.pk)
    rule.refresh_from_db()
    assert rule.destination == other
    delete = reverse("admin:rules_rule_delete", args=[rule.pk])
    page = words(manager.get(delete))
    kept = "8 buyers have access through this rule, and keep it until you end it. See who"
    assert f"{kept} If the course is wrong, its buyers can be moved" in page
    assert "What was done stays in the log." in page
    assert "This is deleted with it" not in page
    manager.post(delete, {"post": "yes"})
    assert not Rule.objects.filter(pk=rule.pk).exists()


# New rule


def step(client: Client, **answers: Any) -> Any:
    return client.get(reverse("admin:new-rule"), answers)


def test_the_sentence_grows_as_one_chooses(manager):
    gift, site = product("1048004"), Integration.objects.get(name="Art Academy")
    text = words(step(manager))
    assert "When … is purchased, enroll the customer in … on Art Academy." in text
    assert "4. Course" in text
    known: dict[str, Any] = {"product": gift.pk}
    assert "When Gift Card is purchased, enroll the customer in …" in words(step(manager, **known))
    known |= {"integration": site.pk, "action": "create_bundle_enrollment"}
    text = words(step(manager, **known))
    assert "Course Started" not in text
    assert "4. Bundle" in text
    assert "Urban Sketching, Drawing Foundations, Perspective" in text
    assert "None of that name." in words(step(manager, courses_like="zzz", **known))
    known |= {"destination": Destination.objects.get(name="Drawing Bundle").pk}
    page = step(manager, **known)
    what = "enroll the customer in the bundle Drawing Bundle on Art Academy."
    assert words(page).count(f"When Gift Card is purchased, {what}") == 1
    ends = "end the customer's access to the bundle Drawing Bundle on Art Academy."
    assert f"When Gift Card is refunded, {ends}" in words(page)
    assert "Add the rule and what is selected" in words(page)
    # What is left out takes what is usual.
    assert "Add the rule" not in words(step(manager, product=gift.pk))
    course = Destination.objects.get(name="Course Two")
    assert "Add the rule" in words(step(manager, product=gift.pk, destination=course.pk))


@pytest.mark.parametrize(
    ("sold", "subscription", "ticked"),
    [
        (None, "yes", BY_SUBSCRIPTION),  # never sold: nobody can know
        ("", "no", BY_SUBSCRIPTION[:1]),
        ("9", "yes", BY_SUBSCRIPTION),
    ],
)
def test_whether_it_is_a_subscription_decides_which_pairs_are_ticked(
    manager, sold, subscription, ticked
):
    new = factories.ProductFactory.create(marketplace=product("1048004").marketplace)
    if sold is not None:
        event(None, product=new, subscription_id=sold, trigger="product_purchased")
    known: dict[str, Any] = {"product": new.pk}
    known |= {"destination": Destination.objects.get(name="Course Two").pk}
    page = step(manager, **known)
    assert f'value="{subscription}" id="subscription-{subscription}" checked' in markup(page)
    assert offered(page) == ticked
    other = {"yes": "no", "no": "yes"}[subscription]
    changed = offered(step(manager, **known, subscription=other, ticked_for=subscription))
    assert changed == (BY_SUBSCRIPTION if other == "yes" else BY_SUBSCRIPTION[:1])
    # What a person ticked stays.
    kept = {"subscription": other, "ticked_for": other, "pair": BY_SUBSCRIPTION[1:2]}
    assert offered(step(manager, **known, **kept)) == BY_SUBSCRIPTION[1:2]


def test_an_answer_about_one_product_presumes_nothing_of_another(manager):
    once, unsold, club = factories.ProductFactory.create_batch(
        3, marketplace=product("1048004").marketplace
    )
    event(None, product=once, trigger="product_purchased")
    event(None, product=club, trigger="product_purchased", subscription_id="9")
    known = {"destination": Destination.objects.get(name="Course Two").pk}
    page = step(manager, product=once.pk, **known)
    assert f"SamCart has sent purchases of {once.name}, but no subscription payment." in words(page)
    sent = dict(re.findall(r'type="hidden" name="(\w+)" value="([\w,]+)"', markup(page)))
    sent |= {"subscription": "no", "pair": "product_refunded"}
    # The page with what was answered for the first product, and the other one chosen in its place.
    for other, why in (
        (unsold, f"No purchase of {unsold.name} has come in yet, so Admit cannot tell."),
        (club, f"SamCart sent a subscription with sales of {club.name}."),
    ):
        page = step(manager, **sent | {"product": other.pk} | known)
        assert why in words(page)
        assert offered(page) == BY_SUBSCRIPTION
    assert offered(step(manager, **sent | {"product": once.pk} | known)) == ["product_refunded"]


def test_several_products_and_courses_make_a_rule_each_in_one_go(manager):
    courses = Destination.objects.filter(name__in=["Course Two", "Perspective"])
    data = {
        "product": [product("1048003").pk, product("1048004").pk],
        "destination": [course.pk for course in courses],
    }
    Rule.objects.filter(product__external_id="1048003").delete()
    page = words(step(manager, **data))
    assert "enroll the customer in Course Two and Perspective on Art Academy." in page
    assert "4 rules" in page
    answer = manager.post(reverse("admin:new-rule"), data, follow=True)
    assert "4 rules added" in words(answer)
    made = product("1048004").rules.values_list("trigger", "destination__name")
    assert set(made) == {("product_purchased", name) for name in ("Course Two", "Perspective")}


def test_a_duplicate_is_told_beside_the_course_before_it_is_chosen(manager):
    rule = Rule.objects.filter(product__external_id="1048001", trigger="product_purchased")[0]
    assert rule.destination is not None
    exists = f"{rule.destination.name} This rule exists already."
    assert exists in words(step(manager, product=rule.product_id))
    two = [rule.product_id, product("1048004").pk]
    assert "exists already for 1 of these 2 products." in words(step(manager, product=two))
    assert "exists already" not in words(step(manager))


def test_too_many_rules_at_once_are_refused_in_words(manager, monkeypatch):
    monkeypatch.setattr("config.admin.pages.rules.rule_draft.MAX_RULES", 1)
    numbers = [product("1048003").pk, product("1048004").pk]
    data = {"product": numbers, "destination": Destination.objects.get(name="Course Two").pk}
    page = words(step(manager, **data))
    assert "This would make 2 rules at once, which is too many." in page
    assert "Add the rules" not in page


def test_without_script_go_on_comes_back_with_what_is_chosen(manager):
    data = {"product": product("1048004").pk, "trigger": "product_refunded", "go_on": "1"}
    answer = manager.post(reverse("admin:new-rule"), data | {"csrfmiddlewaretoken": "x"})
    assert (
        answer.url
        == f"{reverse('admin:new-rule')}?product={data['product']}&trigger=product_refunded"
    )
    assert "When Gift Card is refunded, end the customer" in words(manager.get(answer.url))


def test_only_those_that_are_ticked_are_added_with_the_rule(manager):
    gift, site = product("1048004"), Integration.objects.get(name="Art Academy")
    data = {"product": gift.pk, "integration": site.pk, "action": "create_course_enrollment"}
    data |= {"trigger": "product_purchased"}
    data |= {"destination": Destination.objects.get(name="Course Two").pk}
    data |= {"pair": ["subscription_canceled", "charge_failed"]}
    manager.post(reverse("admin:new-rule"), data)
    triggers = gift.rules.order_by("pk").values_list("trigger", flat=True)
    assert list(triggers) == ["product_purchased", "subscription_canceled"]


def ticked(answer: Any) -> list[str]:
    return re.findall(r'name="product" value="(\d+)" id="p\d+" checked', markup(answer))


def test_products_that_are_ticked_stay_so_while_others_are_looked_for(manager):
    gift = product("1048004")
    found = step(manager, product=gift.pk, products_like="water")
    assert ticked(found) == [str(gift.pk)]
    assert 'type="hidden" name="product"' not in markup(found)
    assert ticked(step(manager, products_like="water")) == []


def test_what_is_ticked_stays_where_it_is_in_its_list(manager):
    gift, course = product("1048004"), Destination.objects.get(name="Perspective")
    site = Integration.objects.get(name="Art Academy")
    known = {"integration": site.pk, "action": "create_course_enrollment"}
    before = step(manager, **known, scope="product").content.decode()
    after = step(manager, **known, product=gift.pk, destination=course.pk).content.decode()
    for name in ("product", "destination"):
        boxes = rf'name="{name}" value="(\d+)"'
        assert re.findall(boxes, before) == re.findall(boxes, after)


@pytest.mark.browser
def test_on_a_phone_the_button_that_adds_the_rule_is_in_view_after_a_choice(
    place, address, browser
):
    look = next(each for each in browsing.LOOKS if each.size == browsing.NARROW)
    with browsing.window(browser, look) as context:
        page = context.new_page()
        browsing.let_in(page, address, place.people["Owner"])
        page.goto(f"{address}{reverse('admin:new-rule')}?product={product('1048004').pk}")
        page.get_by_label("Course Two").check()
        button = page.get_by_role("button", name="Add the rule and what is selected")
        expect(button).to_be_in_viewport()


def test_a_list_that_is_cut_says_so(manager, monkeypatch):
    gift, site = product("1048004"), Integration.objects.get(name="Art Academy")
    known = {"product": gift.pk, "integration": site.pk, "action": "create_course_enrollment"}
    known |= {"trigger": "product_purchased"}
    assert "There are more than" not in words(step(manager))
    assert "There are more than" not in words(step(manager, **known))
    monkeypatch.setattr("config.admin.pages.rules.rule_parts.MAX_FOUND", 2)
    assert "There are more than these 2." in words(step(manager))
    assert "There are more than these 2." in words(step(manager, **known))


def test_more_products_than_fit_at_once_are_said_to_be_left_out(manager, monkeypatch):
    monkeypatch.setattr("config.admin.pages.rules.rule_draft.MAX_PRODUCTS", 1)
    numbers = list(Product.objects.values_list("pk", flat=True)[:3])
    assert "so 2 of those chosen are left out" in words(step(manager, product=numbers))


def test_courses_triggers_are_offered_to_global_rules(manager):
    site = Integration.objects.get(name="Art Academy")
    known = {"scope": "global", "integration": site.pk, "action": "create_course_enrollment"}
    assert "Course Started" in words(step(manager, **known))


@pytest.mark.parametrize("with_pairs", [False, True])
def test_a_rule_is_added_and_run_for_earlier_buyers(manager, place, with_pairs):
    gift, site = product("1048004"), Integration.objects.get(name="Art Academy")
    course = Destination.objects.get(name="Perspective")
    known = {"product": gift.pk, "integration": site.pk, "action": "create_course_enrollment"}
    known |= {"trigger": "product_purchased", "destination": course.pk}
    data = known | ({"pair": BY_SUBSCRIPTION} if with_pairs else {})
    answer = manager.post(reverse("admin:new-rule"), data, follow=True)
    assert said(answer) == []  # the page itself says it
    text = words(answer)
    assert ("5 rules added" if with_pairs else "Rule added") in text
    sentence = "When Gift Card is purchased, enroll the customer in Perspective on Art Academy."
    assert text.count(sentence) == 1
    assert ("The rules run" if with_pairs else "The rule runs") + " from the next event on." in text
    assert text.count("from the next event on.") == text.count("To the product") == 1
    assert gift.rules.count() == (5 if with_pairs else 1)
    assert "2 buyers paid before and got nothing for it." in text
    rule = gift.rules.get(trigger="product_purchased")
    see = re.search(r'href="([^"]+)">See and enroll them</a>', markup(answer))
    assert see
    preview = manager.get(html.unescape(see[1]))
    came = answer.redirect_chain[-1][0]
    assert f'<a href="{html.escape(came)}">Back</a>' in markup(preview)
    # The page of a new rule says the same of them, asked for the rule once more.
    assert "2 buyers paid before and got nothing for it. See and enroll them" in words(
        step(manager, **known)
    )
    run = manager.post(reverse("admin:earlier"), {"rule": rule.pk}, follow=True)
    assert said(run) == ["2 actions queued."]
    place.world.settle()
    assert RuleRun.objects.filter(rule=rule, status="done").count() == 2
    shown = words(step(manager, **known))
    assert "This rule exists since" in shown
    assert "See and enroll them" not in shown
    again = said(manager.post(reverse("admin:new-rule"), known, follow=True))
    assert again == ["Nothing was added: this rule exists already."]


def added(manager: Client) -> dict[str, Any]:
    """Add a rule for the Gift Card, its only one; the answers that added it."""
    known: dict[str, Any] = {
        "product": product("1048004").pk,
        "integration": Integration.objects.get(name="Art Academy").pk,
        "action": "create_course_enrollment",
        "trigger": "product_purchased",
        "destination": Destination.objects.get(name="Perspective").pk,
    }
    manager.post(reverse("admin:new-rule"), known)
    return known


def test_a_rule_that_exists_is_linked_to_and_not_offered_again(manager):
    known = added(manager)
    gift = product("1048004")
    rule = gift.rules.get()
    page = step(manager, **known)
    assert f'href="{reverse("admin:rules_rule_change", args=[rule.pk])}?back=' in markup(page)
    assert "Add the rule " not in words(page)
    assert "Add the selected rules" in words(page)
    assert offered(step(manager, **known, subscription="yes")) == BY_SUBSCRIPTION
    data = known | {"pair": BY_SUBSCRIPTION}
    answer = manager.post(reverse("admin:new-rule"), data, follow=True)
    assert said(answer) == []
    assert "4 rules added" in words(answer)
    text = words(step(manager, **known))
    assert "This rule exists since" in text
    assert "Add the" not in text
    # Only what is new of several is offered.
    other = product("1048002")
    page = step(manager, **known | {"product": [gift.pk, other.pk]})
    assert words(page).count("This rule exists since") == 1
    assert "The rule" in words(page)


def test_a_rule_that_exists_and_is_off_is_turned_on_from_the_page_of_a_new_one(manager):
    known = added(manager)
    rule = product("1048004").rules.get()
    Rule.objects.filter(pk=rule.pk).update(enabled=False)
    page = step(manager, **known)
    switch = reverse("admin:rules_rule_do_switch_on", args=[rule.pk])
    (back,) = re.findall(rf'formaction="{switch}" name="back" value="([^"]+)"', markup(page))
    here = html.unescape(back)
    answer = manager.post(switch, known | {"back": here}, follow=True)
    assert answer.redirect_chain[-1][0] == here
    assert said(answer)[0] == "1 rule turned on, from the next event on."
    assert switch not in markup(answer)
    assert AuditEntry.objects.filter(act=Act.RULE_CHANGED, number=str(rule.pk)).count() == 1
    # Who may only add rules gets no button.
    Rule.objects.filter(pk=rule.pk).update(enabled=False)
    Permission.objects.get(codename="change_rule").group_set.clear()
    page = step(manager, **known)
    assert "and is turned off" in words(page)
    assert switch not in markup(page)


def test_what_has_gone_meanwhile_is_asked_again(manager):
    site = Integration.objects.get(name="Art Academy")
    gone = Destination.objects.get(name="Course Two")
    Destination.objects.filter(pk=gone.pk).update(gone_at=timezone.now())
    data = {"scope": "global", "integration": site.pk, "action": "create_course_enrollment"}
    data |= {"trigger": "product_purchased", "destination": gone.pk}
    answer = manager.post(reverse("admin:new-rule"), data, follow=True)
    assert said(answer) == ["Something was missing or has gone meanwhile. Choose it again."]
    assert "4. Course Choose" in words(answer)


def test_the_catalog_is_refreshed_from_the_last_step(manager, place):
    place.world.school.add_course("Brand new")
    site = Integration.objects.get(name="Art Academy")
    answer = manager.post(
        reverse("admin:new-rule-refresh"),
        {"integration": site.pk, "back": reverse("admin:help")},
        follow=True,
    )
    assert "refreshed." in said(answer)[0]
    assert Destination.objects.filter(name="Brand new").exists()


def test_where_there_are_bundles_the_step_of_the_course_says_how_to_give_one(manager, place):
    site = Integration.objects.get(name="Art Academy")
    asked = {"integration": site.pk, "action": "create_course_enrollment"}
    hint = "For a bundle choose Create Bundle Enrollment under “3. What”."
    assert hint in words(manager.get(reverse("admin:new-rule"), asked))
    of_bundle = asked | {"action": "create_bundle_enrollment"}
    assert hint not in words(manager.get(reverse("admin:new-rule"), of_bundle))
    Destination.objects.filter(kind="bundle").update(gone_at=timezone.now())
    assert hint not in words(manager.get(reverse("admin:new-rule"), asked))


def test_a_new_rule_begins_with_the_school_that_is_used_for_such_a_product(db):
    schools = [factories.IntegrationFactory.create(connection="connected") for _ in range(3)]
    newest = factories.IntegrationFactory.create()
    sold, new, of_another = factories.ProductFactory.create_batch(3)
    Product.objects.filter(pk=new.pk).update(marketplace=sold.marketplace)
    for product_of_it, school in ((sold, schools[0]), (None, schools[1])):
        factories.RuleFactory.create(
            marketplace=sold.marketplace,
            product=product_of_it,
            scope=Scope.PRODUCT if product_of_it else Scope.GLOBAL,
            destination=factories.DestinationFactory.create(integration=school),
        )
    client = signed_in(roles.MANAGER)

    def chosen(bought: Product, **more: int) -> Any:
        shown = client.get(reverse("admin:new-rule"), {"product": bought.pk, **more})
        return shown.context["draft"].integration.pk

    assert chosen(sold) == schools[0].pk
    assert chosen(new) == schools[1].pk
    assert chosen(of_another) == schools[2].pk
    assert chosen(sold, integration=newest.pk) == newest.pk
    page = client.get(reverse("admin:new-rule"), {"product": sold.pk, "destination": 1})
    other = f"?product={sold.pk}&amp;integration={schools[2].pk}#part-courses"
    assert "Or look in another school:" in words(page)
    assert other in page.content.decode()


def test_many_other_schools_are_folded_in_a_list_of_links(db):
    sold = factories.ProductFactory.create()
    schools = [
        factories.IntegrationFactory.create(name=f"School {number}", connection="connected")
        for number in range(7)
    ]
    page = signed_in(roles.MANAGER).get(reverse("admin:new-rule"), {"product": sold.pk})
    here = page.context["draft"].integration
    shown = page.content.decode()
    folded = shown.partition("<summary>Look in another school</summary>")[2].partition("</ul>")[0]
    assert folded.count("<li><a href=") == 6
    for school in schools:
        address = f"?product={sold.pk}&amp;integration={school.pk}#part-courses"
        assert (address in folded) == (school != here)
    assert "Or look in another school:" not in words(page)


def test_a_new_rule_proposes_the_school_of_most_rules_until_a_person_chooses_another(db):
    account = factories.MarketplaceFactory.create()
    sold = factories.ProductFactory.create(marketplace=account)
    paints, kids = (
        factories.IntegrationFactory.create(name=name, connection="connected")
        for name in ("Nora Paints", "Nora Kids")
    )
    lesson = factories.DestinationFactory.create(name="Drawing Faces", integration=paints)
    twin = factories.DestinationFactory.create(name="Drawing Faces", integration=kids)
    other = factories.ProductFactory.create(marketplace=account)
    for each, product_of_it in ((lesson, None), (lesson, sold), (twin, other)):
        scope = Scope.PRODUCT if product_of_it else Scope.GLOBAL
        facts = {"marketplace": account, "product": product_of_it, "scope": scope}
        factories.RuleFactory.create(destination=each, **facts)
    client = signed_in(roles.MANAGER)

    def school(**asked: Any) -> str:
        return str(client.get(reverse("admin:new-rule"), asked).context["draft"].integration)

    new = factories.ProductFactory.create(marketplace=account)
    assert school() == "Nora Paints"
    assert school(product=new.pk) == "Nora Paints"
    proposed = {"integration": paints.pk, "proposed_site": paints.pk}
    assert school(product=other.pk, **proposed) == "Nora Kids"
    assert school(product=other.pk, destination=lesson.pk, **proposed) == "Nora Paints"
    assert school(product=new.pk, integration=kids.pk, proposed_site=paints.pk) == "Nora Kids"
    page = client.get(reverse("admin:new-rule"), {"product": new.pk, "destination": lesson.pk})
    label = re.search(f'<label for="d{lesson.pk}">(.*?)</label>', markup(page))
    assert label
    assert "Nora Paints" in label[1]
    assert f'name="proposed_site" value="{paints.pk}"' in markup(page)


def test_without_a_site_a_rule_asks_for_one_first(db):
    factories.MarketplaceFactory.create()
    assert "in an app such as Thinkific, and none is connected yet" in words(
        step(signed_in(roles.MANAGER))
    )


@pytest.mark.parametrize("query", ["product=x", "integration=%00", "destination=9", "trigger=x"])
def test_odd_addresses_only_ask_again(manager, query):
    assert manager.get(f"{reverse('admin:new-rule')}?{query}").status_code == 200


# Simulation


def test_a_simulation_says_what_would_run_and_why_the_rest_would_not(manager, place):
    data = {"trigger": "product_purchased", "product": product("1048001").pk}
    calls = len(place.world.sandbox.calls)
    counted = [model.objects.count() for model in (EventLog, RuleRun, Customer, ThinkificUser)]
    text = words(manager.get(reverse("admin:simulate"), data | {"email": "new@example.com"}))
    assert "Nothing is sent." in text
    assert "Create the student, with the signup fields" in text
    assert "POST /enrollments" in text
    assert "It is for another product." in text
    assert "The rule is turned off." in text
    assert len(place.world.sandbox.calls) == calls
    assert counted == [
        model.objects.count() for model in (EventLog, RuleRun, Customer, ThinkificUser)
    ]
    assert "such an action would fail" in words(manager.get(reverse("admin:simulate"), data))


def test_a_stored_event_is_simulated_with_what_came_since(manager):
    found = EventLog.objects.get(order_id="1183", trigger="product_purchased")
    text = words(manager.get(reverse("admin:simulate"), {"event": found.pk}))
    assert "order 1183 was refunded on" in text
    assert "It would be skipped. Nothing was given: the refund of order 1183 on" in text


def test_a_delinquent_subscription_runs_the_rules_of_canceled_too(db, settings):
    rule = factories.RuleFactory.create(trigger="subscription_canceled")
    for on, runs in ((True, 1), (False, 0)):
        settings.DELINQUENT_IS_CANCELED = on
        told = simulation.simulate(
            rule.marketplace, Trigger.SUBSCRIPTION_DELINQUENT, email="a@example.com"
        )
        assert len(told.runs) == runs


@pytest.mark.parametrize("kind", ["course", "bundle"])
@pytest.mark.parametrize("known", [False, True])
def test_the_calls_that_are_told_are_those_that_are_made(world, kind, known):
    place = place_for(world, kind)
    if known:
        place.known()
    else:
        place.on_site("other@example.com")
    place.buy()
    planned = ACTIONS[f"create_{kind}_enrollment"].planned_calls(known=known)
    shape = [call.technical.replace("/ID", "/*") for call in planned]
    assert place.calls() == shape
    place.refund()
    planned = ACTIONS[f"expire_{kind}_enrollment"].planned_calls(known=True)
    shape = [call.technical.replace("/ID", "/*") for call in planned]
    assert place.calls() == shape


# Where rules are listed, added to and deleted


def test_all_rules_are_searched_and_grouped_by_product(manager):
    page = reverse("admin:rules_rule_changelist")
    answer = manager.get(page)
    assert "All rules" in words(answer)
    groups = re.findall(r'<th scope="colgroup".*?</th>', markup(answer))
    products = {rule.product_id for rule in answer.context["cl"].result_list}
    assert len(groups) == len(products) > 1
    assert "Every product" in groups[0]
    drawn = answer.context["cl"].result_list[0]
    Rule.objects.filter(pk=drawn.pk).update(enabled=False)
    every = Rule.objects.filter(product=drawn.product_id).count()
    many = "1 rule" if every == 1 else f"{every} rules"
    assert f"Every product · {many} · 1 off" in words(manager.get(page))
    assert "Every product · 1 rule · 1 off" in words(manager.get(page, {"state": "off"}))
    found = manager.get(page, {"q": "zzz"}).context["cl"].result_list
    assert not found
    found = manager.get(page, {"q": "urban"}).context["cl"].result_list
    assert {rule.product.name for rule in found} == {"Urban Sketching Club"}
    assert 'colspan="' not in markup(manager.get(page, {"scope__exact": "global"}))


def test_the_search_is_kept_while_one_chooses_and_saves(manager):
    found = manager.get(reverse("admin:rules_rule_changelist"), {"q": "urban"})
    rule = found.context["cl"].result_list[0]
    page = f"{reverse('admin:rules_rule_change', args=[rule.pk])}?_changelist_filters=q%3Durban"
    assert f'href="{page}"' in markup(found)
    again = manager.post(page, {"trigger": rule.trigger, "action": rule.action, "go_on": "1"})
    assert "_changelist_filters=q%3Durban" in again["Location"]


@pytest.mark.parametrize(
    ("query", "here"), [("", "All rules"), ("?scope__exact=global", "Global rules")]
)
def test_the_menu_marks_the_list_that_is_open_alone(manager, query, here):
    page = markup(manager.get(reverse("admin:rules_rule_changelist") + query))
    side = page.partition("menu-side")[2]
    assert re.findall(r'aria-current="page"><svg.*?</svg><span>([^<]+)<', side) == [here]


def test_a_new_rule_from_the_global_rules_is_global_already(manager):
    page = reverse("admin:rules_rule_changelist")
    link = f'href="{reverse("admin:new-rule")}?scope=global"'
    assert link in markup(manager.get(page, {"scope__exact": "global"}))
    assert link not in markup(manager.get(page))
    assert "When any product is purchased" in words(step(manager, scope="global"))


def test_what_is_deleted_can_be_undone_for_a_minute(manager, monkeypatch):
    rule = Rule.objects.get(product__external_id="1048001", trigger="product_purchased")
    before = audit.values(rule)
    delete = reverse("admin:rules_rule_delete", args=[rule.pk])
    page = manager.post(delete, {"post": "yes"}, follow=True)
    (undo,) = re.findall(r'action="(/admin/undo-step/[^"]+)"', page.content.decode())
    assert "Deleted a moment ago" not in words(
        signed_in(roles.MANAGER).get(page.request["PATH_INFO"])
    )
    assert said(manager.post(undo, follow=True))[0].startswith("Undone: 1 rule is back.")
    assert audit.values(Rule.objects.get(pk=rule.pk)) == before
    assert "Deleted a moment ago" not in words(manager.get(page.request["PATH_INFO"]))
    manager.post(delete, {"post": "yes"})
    assert "Deleted a moment ago" in words(manager.get(page.request["PATH_INFO"]))
    monkeypatch.setattr("config.admin.pages.rules.undoing.undo_offers.OFFER_LASTS", timedelta(0))
    assert "Deleted a moment ago" not in words(manager.get(page.request["PATH_INFO"]))


@pytest.mark.parametrize(
    ("trigger", "action", "enabled", "says"),
    [
        ("product_purchased", "create_course_enrollment", True, "No other rule gives anything"),
        ("product_purchased", "create_course_enrollment", False, "turned off, so nothing changes"),
        (
            "product_refunded",
            "expire_course_enrollment",
            True,
            "Nothing ends the access of buyers of",
        ),
        ("subscription_restarted", "create_course_enrollment", True, "back to buyers of Product"),
    ],
)
def test_deleting_says_what_stops(db, trigger, action, enabled, says):
    sold = factories.ProductFactory.create()
    facts = {"product": sold, "marketplace": sold.marketplace}
    giving = factories.RuleFactory.create(**facts)
    facts |= {"destination": giving.destination, "enabled": enabled}
    if trigger == giving.trigger:
        rule = giving
        Rule.objects.filter(pk=rule.pk).update(enabled=enabled)
        rule.refresh_from_db()
    else:
        rule = factories.RuleFactory.create(trigger=trigger, action=action, **facts)
    page = signed_in(roles.MANAGER).get(reverse("admin:rules_rule_delete", args=[rule.pk]))
    assert says in words(page)


def test_deleting_a_global_rule_says_what_stops_for_a_product(db):
    sold = factories.ProductFactory.create()
    facts = {"marketplace": sold.marketplace, "destination": factories.DestinationFactory.create()}
    ends = {"trigger": "product_refunded", "action": "expire_course_enrollment"}
    other = factories.ProductFactory.create(marketplace=sold.marketplace)
    for each in (sold, other):
        factories.RuleFactory.create(product=each, **facts)
    rule = factories.RuleFactory.create(**ends, **facts)
    page = reverse("admin:rules_rule_delete", args=[rule.pk])
    manager = signed_in(roles.MANAGER)
    assert f"access of buyers of {sold.name} and {other.name} to" in words(manager.get(page))
    factories.RuleFactory.create(product=sold, **ends, **facts)
    assert f"access of buyers of {other.name} to" in words(manager.get(page))
    factories.RuleFactory.create(product=other, **ends, **facts)
    assert "Nothing ends the access" not in words(manager.get(page))


@pytest.mark.parametrize(
    ("trigger", "action", "nothing", "still"),
    [
        (
            "product_refunded",
            "expire_course_enrollment",
            "Nothing ends the access to",
            "Only buyers of {} still lose access to",
        ),
        (
            "subscription_restarted",
            "create_course_enrollment",
            "Nothing gives access to",
            "Only buyers of {} still get access to",
        ),
    ],
)
def test_what_a_global_rule_did_for_all_products_is_still_done_for_one_with_its_own_rule(
    db, trigger, action, nothing, still
):
    sold = factories.ProductFactory.create(name="Watercolor Start")
    facts = {"marketplace": sold.marketplace, "destination": factories.DestinationFactory.create()}
    for product in (None, sold):
        factories.RuleFactory.create(product=product, **facts)
    does = {"trigger": trigger, "action": action}
    rule = factories.RuleFactory.create(product=None, **does, **facts)
    manager = signed_in(roles.MANAGER)
    page = reverse("admin:rules_rule_delete", args=[rule.pk])
    assert nothing in words(manager.get(page))
    factories.RuleFactory.create(product=sold, **does, **facts)
    off = reverse("admin:rules_rule_do_switch_off", args=[rule.pk])
    for told in (words(manager.get(page)), words(manager.post(off, follow=True))):
        assert nothing not in told
        assert still.format("Watercolor Start") in told


def test_a_product_is_added_from_a_new_rule_and_is_chosen_then(manager, place):
    back = f"{reverse('admin:new-rule')}?trigger=product_refunded"
    add = f"{reverse('admin:integrations_product_add')}?{urlencode({'back': back})}"
    page = manager.get(add)
    asked = re.findall(r'<input type="(\w+)" name="(\w+)"', markup(page))
    assert {name for kind, name in asked if kind == "text"} == {"external_id", "name"}
    assert "<select" not in markup(page)
    hidden = {"marketplace": place.world.marketplace.pk, "kind": "product"}
    answer = manager.post(add, hidden | {"external_id": "77", "name": "New"}, follow=True)
    assert "When New is refunded" in words(answer)
    elsewhere = add.partition("?")[0] + "?back=https://example.com/"
    answer = manager.post(elsewhere, hidden | {"external_id": "78", "name": "Newer"})
    assert answer.url.startswith("/admin/")


def test_another_course_in_a_rule_names_the_rules_that_keep_the_old_one(manager):
    rule = Rule.objects.filter(
        trigger="product_purchased", action="create_course_enrollment", product__isnull=False
    ).earliest("pk")
    pairing.add(each for each in pairing.companions([rule]) if not pairing.stored(each))
    others = Rule.objects.filter(product=rule.product, destination=rule.destination)
    number = others.exclude(pk=rule.pk).count()
    other = factories.DestinationFactory.create(integration=rule.integration, name="Course Nine")
    page = reverse("admin:rules_rule_change", args=[rule.pk])
    answers = {
        "scope": "product",
        "product": rule.product_id,
        "trigger": rule.trigger,
        "integration": rule.integration_id,
        "action": rule.action,
        "destination": other.pk,
        "enabled": "on",
    }
    texts = said(manager.post(page, answers, follow=True))
    assert number > 1
    told = f"{number} other rules of {rule.product} still name {rule.destination}."
    assert any(text.startswith(told) and text.endswith("See the product") for text in texts)


def test_several_rules_are_deleted_after_a_page_that_lists_them(manager):
    chosen = list(Rule.objects.order_by("pk")[:2])
    data = {"action": "delete_selected", "_selected_action": [rule.pk for rule in chosen]}
    page = manager.post(reverse("admin:rules_rule_changelist"), data)
    assert "Delete 2 rules?" in words(page)
    for rule in chosen:
        assert in_short(rule.sentence()) in words(page)
    answer = manager.post(reverse("admin:rules_rule_changelist"), data | {"post": "yes"})
    assert answer.status_code == 302
    assert not Rule.objects.filter(pk__in=[rule.pk for rule in chosen]).exists()


def test_of_rules_that_do_not_concern_an_event_all_are_counted_and_some_named(place, monkeypatch):
    monkeypatch.setattr(simulation, "RULES_NAMED", 2)
    account, gift = place.world.marketplace, product("1048004")
    found = simulation.simulate(account, Trigger.PRODUCT_REFUNDED, product=gift)
    assert len(found.others) == 2
    number = len(found.runs) + len(found.nearly) + found.number_of_others
    assert number == Rule.objects.filter(marketplace=account).count()
    asked = {"trigger": "product_refunded", "product": str(gift.pk)}
    page = signed_in(roles.MANAGER).get(reverse("admin:simulate"), asked)
    assert f"{found.number_of_others} other rules are not about this event" in words(page)
    assert "These are the first 2. All rules" in words(page)
