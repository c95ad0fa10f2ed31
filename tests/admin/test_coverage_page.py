"""The Coverage page: what each role sees, and many products set up with one Save."""

import html
import re
from typing import Any, cast

import django.apps
import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Browser, Dialog, Page, expect

from config.admin.pages.products import coverage as page
from config.admin.parts.buttons import page_of
from config.staff import roles
from integrations.audit import Act
from integrations.models import AuditEntry, Destination, Marketplace, Product
from rules import pairing
from rules.models import Rule
from tests.support import browsing, factories, fitting
from tests.support.pages import errors, markup, plain, said, signed_in, words
from tests.support.queued import event
from tests.support.shop import Shop

pytestmark = pytest.mark.first_database

NOTHING = "Nothing was added: choose a course or bundle in a row, or select a trigger."
PAGE = "admin:coverage"
FIVE = [
    "product_purchased",
    "product_refunded",
    "subscription_canceled",
    "subscription_recovered",
    "subscription_restarted",
]


@pytest.fixture
def manager(db) -> Client:
    return signed_in(roles.MANAGER)


def course(shop: Shop, name: str, **facts: Any) -> Destination:
    facts.setdefault("integration", shop.integration)
    return cast(Destination, factories.DestinationFactory.create(name=name, **facts))


def product(shop: Shop, number: int, name: str) -> Product:
    return Product.objects.named(shop.marketplace.pk, "product", str(number), name)


def as_checked(answer: Any) -> list[str]:
    """The courses that are ticked on the page."""
    boxes = re.findall(r'<input type="checkbox" name="give-[^>]*>', markup(answer))
    return [re.sub(r'.* value="([^"]*)".*', r"\1", each) for each in boxes if " checked" in each]


def as_shown(client: Client, **query: str) -> dict[str, list[str]]:
    """What the form would send if nothing was changed, by the names of its fields."""
    found: dict[str, list[str]] = {}
    text = markup(client.get(reverse(PAGE), query))
    for tag in re.findall(r"<input[^>]*>", text):
        fact = {key: html.unescape(value) for key, value in re.findall(r'([\w-]+)="([^"]*)"', tag)}
        sent = fact.get("type") != "checkbox" or " checked" in tag
        if sent and fact.get("name", "").partition("-")[0] in {"row", "give", "on"}:
            found.setdefault(fact["name"], []).append(fact.get("value", ""))
    return found


def look(client: Client, **changes: Any) -> Any:
    """Send the form as it is shown, with changes such as give_12=["Course Two"]."""
    sent = as_shown(client) | {name.replace("_", "-", 1): said for name, said in changes.items()}
    return client.post(reverse(PAGE), sent, follow=True)


def press(client: Client, looked: Any, button: str) -> Any:
    """Press a button of the page that shows the rules before they are added."""
    tags = re.findall(r'<input type="hidden"[^>]*>', markup(looked))
    sent: dict[str, list[str]] = {button: ["yes"]}
    for tag in tags:
        fact = {key: html.unescape(value) for key, value in re.findall(r'([\w-]+)="([^"]*)"', tag)}
        sent.setdefault(fact["name"], []).append(fact["value"])
    return client.post(reverse(PAGE), sent, follow=True)


def save(client: Client, **changes: Any) -> Any:
    """Save the form with these changes, and go on where a look comes first."""
    answer = look(client, **changes)
    return press(client, answer, "looked") if b'name="looked"' in answer.content else answer


def triggers(of: Product | None) -> list[str]:
    return sorted(Rule.objects.filter(product=of).values_list("trigger", flat=True))


def row_of(answer: Any, name: str) -> str:
    """The HTML of the row of this product."""
    rows: list[str] = re.findall(r"<tr\b.*?</tr>", markup(answer), re.DOTALL)
    (found,) = [each for each in rows if f">{name}<" in each]
    return found


# What it shows


def test_it_shows_what_each_product_gives_and_marks_what_is_missing(shop, manager):
    shop.rule(product="1", destination=course(shop, "Course Two"))
    product(shop, 1, "Watercolor")
    product(shop, 2, "Gift Card")
    event(factories.CustomerFactory.create(), product=product(shop, 3, "Club"), gave_nothing=True)
    answer = manager.get(reverse(PAGE))
    text = words(answer)
    assert "1 row lacks rules that end access or give it back." in text
    assert "1 product sold in the last 30 days gives nothing." in text
    assert "Course Two" in plain(row_of(answer, "Watercolor"))
    assert "Product Refunded of Watercolor Missing" in plain(row_of(answer, "Watercolor"))
    assert "Gives nothing" in plain(row_of(answer, "Club"))
    assert "No rule" in plain(row_of(answer, "Gift Card"))


def test_buyers_who_got_nothing_can_be_enrolled_once_there_is_a_rule(shop, manager):
    bought = product(shop, 1, "Club")
    event(factories.CustomerFactory.create(), product=bought, gave_nothing=True)
    answer = manager.get(reverse(PAGE))
    assert "Enroll those without access" not in words(answer)
    (link,) = re.findall(r'href="([^"]*result=not_in)"', answer.content.decode())
    assert "1 event" in words(manager.get(html.unescape(link)))
    rule = shop.rule(product="1")
    answer = manager.get(reverse(PAGE))
    assert "Enroll those without access for Club" in words(answer)
    (link,) = re.findall(r'href="([^"]*earlier[^"]*)"', answer.content.decode())
    assert f"rule={rule.pk}" in link
    assert manager.get(html.unescape(link)).status_code == 200


def test_buyers_from_before_all_rules_of_one_save_are_looked_at_together(shop, manager):
    for number, name in ((1, "Club"), (2, "Set")):
        bought = product(shop, number, name)
        event(factories.CustomerFactory.create(), product=bought, gave_nothing=True)
    course(shop, "Course Two")
    found = {each.name: each.pk for each in Product.objects.all()}
    changes = {f"give_{pk}": ["Course Two"] for pk in found.values()}
    answer = save(manager, **changes)
    assert "2 buyers paid before and got nothing for it. See and enroll them" in said(answer)
    assert '<li class="warning">2 buyers paid before' in markup(answer)
    (link,) = re.findall(r'href="([^"]*earlier[^"]*)">See and', markup(answer))
    look = manager.get(html.unescape(link))
    assert "Earlier buyers, for 2 rules" in words(look)
    assert "Enroll these 2 customers now" in words(look)
    assert look.content.count(b'name="rule"') == 2


def test_all_that_is_suggested_is_ticked_at_once_and_nothing_is_added_by_that(shop, manager):
    for number, name in ((1, "Watercolor Basics"), (2, "Portraits")):
        product(shop, number, name)
        course(shop, name)
    kept = product(shop, 3, "Club")
    answer = look(manager, tick="1", **{f"give_{kept.pk}": ["Portraits"]})
    boxes = re.findall(r'<input type="checkbox" name="give-[^>]*>', answer.content.decode())
    assert len(boxes) == 2
    assert all(" checked" in box for box in boxes)
    assert f'name="give-{kept.pk}" value="Portraits"' in answer.content.decode()
    assert not Rule.objects.exists()
    assert "Select all suggestions" not in words(signed_in(roles.VIEWER).get(reverse(PAGE)))


def test_an_empty_shop_is_told_how_products_appear(manager):
    assert "No product yet. Each appears with its first event" in words(manager.get(reverse(PAGE)))


@pytest.mark.parametrize("role", [roles.SUPPORT, roles.VIEWER])
def test_who_may_not_add_rules_sees_the_same_facts_and_changes_nothing(shop, role):
    shop.rule(product="1", destination=course(shop, "Course Two"))
    product(shop, 2, "Gift Card")
    client = signed_in(role)
    answer = client.get(reverse(PAGE))
    assert "Product Refunded Missing" in words(answer)
    assert "Not on Subscription Canceled" in words(answer)
    assert as_shown(client) == {}
    assert "Save" not in words(answer)
    sent = {"row": ["1"], "give-1": ["Course Two"], "missing": "every"}
    assert client.post(reverse(PAGE), sent).status_code == 403
    assert Rule.objects.count() == 1


def test_products_are_found_by_a_part_of_their_name_and_no_list_is_endless(
    shop, manager, monkeypatch
):
    monkeypatch.setattr(page, "ROWS", 2)
    for number, name in enumerate(("Watercolor", "Acrylics", "Zen")):
        product(shop, number, name)
    first, second = (manager.get(reverse(PAGE), {"p": number}) for number in "12")
    assert "1 to 2 of 3" in words(first)
    assert "3 to 3 of 3" in words(second)
    assert row_of(second, "Zen")
    answer = manager.get(reverse(PAGE), {"q": "ZEN"})
    assert "Watercolor" not in words(answer)
    assert row_of(answer, "Zen")
    assert "No product of that name" in words(manager.get(reverse(PAGE), {"q": "none\x00"}))


# Saving


def test_the_message_about_added_rules_leads_to_the_page_that_undoes_that(shop, manager):
    products = [product(shop, number, f"Product {number}") for number in range(2)]
    course(shop, "First")
    answer = save(manager, **{f"give_{each.pk}": ["First"] for each in products})
    (undo,) = re.findall(r'added for 2 products\. <a href="([^"]+)">Undo</a>', markup(answer))
    asked = words(manager.get(html.unescape(undo)))
    assert f"Delete {Rule.objects.count()} rules?" in asked


def test_the_review_says_that_a_product_goes_on_giving_what_it_gives(shop, manager):
    sold = product(shop, 1, "Brushes")
    course(shop, "First"), course(shop, "Second")
    save(manager, **{f"give_{sold.pk}": ["First"]})
    told = "Brushes still gives First as well."
    assert told in words(look(manager, **{f"give_{sold.pk}": ["Second"]}))
    row = row_of(manager.get(reverse(PAGE)), "Brushes")
    gives = sold.rules.get(trigger="product_purchased")
    assert f'<a href="{page_of(gives)}?back=%2Fadmin%2Fcoverage%2F">' in row
    assert 'placeholder="Add another"' in row


def test_one_save_sets_up_every_row_that_was_filled(shop, manager):
    products = [product(shop, number, f"Product {number}") for number in range(3)]
    first, second = course(shop, "First"), course(shop, "Second")
    bundle = course(shop, "Both of them", kind="bundle")
    answer = save(
        manager,
        **{f"give_{products[0].pk}": ["First", "Second", ""]},
        **{f"give_{products[1].pk}": [" both of  THEM (bundle)"]},
        **{f"on_{products[1].pk}": ["product_refunded"]},
    )
    assert triggers(products[0]) == sorted(FIVE * 2)
    assert {each.destination for each in products[0].rules.all()} == {first, second}
    made = products[1].rules.order_by("trigger").values_list("trigger", "action", "destination")
    assert list(made) == [
        ("product_purchased", "create_bundle_enrollment", bundle.pk),
        ("product_refunded", "expire_bundle_enrollment", bundle.pk),
    ]
    assert triggers(products[2]) == []
    assert said(answer) == ["12 rules added for 2 products. Undo"]
    answer = save(manager, **{f"give_{products[2].pk}": ["First"]})
    (text,) = said(answer)
    assert text.startswith("Product 2: 5 rules added. Product Purchased: First. Product Refunded")


def test_the_rules_that_are_about_to_be_added_say_which_are_about_bundles(shop, manager):
    sold = product(shop, 1, "Club")
    course(shop, "First")
    course(shop, "Both of them", kind="bundle", external_id=9)
    shown = look(manager, **{f"give_{sold.pk}": ["First", "Both of them (bundle)"]})
    text = words(shown)
    assert "Product Purchased: gives access to First, Both of them (bundle)" in text
    assert "Product Refunded: ends access to First, Both of them (bundle)" in text


def test_rules_of_several_products_are_shown_before_they_are_added(shop, manager):
    first, second = product(shop, 1, "Club"), product(shop, 2, "<b>Set</b>")
    course(shop, "Course Two")
    bought = shop.rule(product="3", destination=course(shop, "First")).product
    changes = {f"give_{each.pk}": ["Course Two"] for each in (first, second)}
    shown = look(manager, **changes, **{f"give_{bought.pk}": ["First"]})
    assert Rule.objects.count() == 1
    text = words(shown)
    assert "Add 10 rules" in text
    assert (
        "Club Product Purchased: gives access to Course Two Product Refunded: ends access to Course"
        in text
    )
    assert "<b>Set</b>" not in markup(shown)
    assert f"{bought.name} has a rule for First already." in text
    changed = press(manager, shown, "change")
    assert Rule.objects.count() == 1
    assert 'value="Course Two"' in row_of(changed, "Club")
    press(manager, shown, "looked")
    assert triggers(first) == triggers(second) == FIVE
    added = AuditEntry.objects.filter(act=Act.RULE_ADDED)
    assert len(set(added.values_list("at", flat=True))) == 1, "one line under Changes"


def test_what_was_chosen_waits_under_an_address_until_it_is_added_or_discarded(shop, manager):
    bought = product(shop, 1, "Club")
    course(shop, "Course Two")
    answer = manager.post(reverse(PAGE), as_shown(manager) | {f"give-{bought.pk}": ["Course Two"]})
    assert answer.status_code == 302
    shown = manager.get(answer["Location"])
    assert "Add 5 rules" in words(shown)
    waits = "What you chose here is not saved yet."
    assert waits in words(manager.get(reverse(PAGE)))
    assert not Rule.objects.exists()
    press(manager, shown, "forget")
    assert waits not in words(manager.get(reverse(PAGE)))
    assert not Rule.objects.exists()
    press(manager, look(manager, **{f"give_{bought.pk}": ["Course Two"]}), "looked")
    assert triggers(bought) == FIVE
    assert waits not in words(manager.get(reverse(PAGE)))


def test_rules_that_somebody_else_added_meanwhile_end_the_look(shop, manager):
    bought = shop.rule(product="1", destination=course(shop, "First")).product
    product(shop, 2, "Club")
    look(manager, **{f"on_{bought.pk}": ["product_refunded"]})
    pairing.add(pairing.companions(Rule.objects.all()))
    answer = manager.get(reverse(PAGE), {"look": "yes"}, follow=True)
    assert "cannot be added anymore" in words(answer)
    assert Rule.objects.count() == len(FIVE)


def test_what_is_missing_to_one_product_is_added_without_a_look(shop, manager):
    bought = shop.rule(product="1", destination=course(shop, "First")).product
    look(manager, missing=str(bought.pk))
    assert triggers(bought) == FIVE


def test_of_what_is_paid_once_only_the_refund_is_ticked(shop, manager):
    buyer = factories.CustomerFactory.create()
    once, club, unsold = (product(shop, n, name) for n, name in enumerate(("Set", "Club", "New")))
    course(shop, "First")
    event(buyer, product=once, gave_nothing=True)
    event(buyer, product=club, gave_nothing=True, subscription_id="9")
    save(manager, **{f"give_{each.pk}": ["First"] for each in (once, club, unsold)})
    assert triggers(once) == ["product_purchased", "product_refunded"]
    assert triggers(club) == triggers(unsold) == FIVE


def test_what_is_suggested_is_ticked_by_a_person_and_not_by_itself(shop, manager):
    bought = product(shop, 1, "Watercolor for Beginners")
    course(shop, "Watercolor for Beginners")
    answer = manager.get(reverse(PAGE))
    assert "suggested by its name" in plain(row_of(answer, "Watercolor for Beginners"))
    assert said(save(manager)) == [NOTHING]
    save(manager, **{f"give_{bought.pk}": ["Watercolor for Beginners"]})
    assert triggers(bought) == FIVE
    assert "suggested" not in words(manager.get(reverse(PAGE)))


def test_of_two_schools_the_one_that_the_account_uses_is_suggested_and_named(shop, manager):
    kids = factories.IntegrationFactory.create(name="Kids Academy", site="kids")
    for site in (shop.integration, kids):
        course(shop, "Drawing Faces", integration=site)
    shop.rule(destination=course(shop, "Welcome"))
    bought = product(shop, 1, "Drawing Faces")
    shown = look(manager, tick="1")
    names = [name for name in as_checked(shown) if name]
    assert names == ["Drawing Faces on Art Academy"]
    review = look(manager, **{f"give_{bought.pk}": names})
    gives = "Product Purchased: gives access to Drawing Faces on Art Academy"
    assert gives in words(manager.get(review.url) if review.status_code == 302 else review)
    done = save(manager, **{f"give_{bought.pk}": names})
    assert "Product Purchased: Drawing Faces on Art Academy." in " ".join(said(done))
    row = plain(row_of(manager.get(reverse(PAGE)), "Drawing Faces"))
    assert "Drawing Faces Art Academy" in row


def test_where_nothing_is_left_to_review_the_button_for_it_is_not_the_first_thing_to_do(
    shop, manager
):
    def button() -> str:
        found = re.findall(r'<button type="submit" class="(button[^"]*)">Review', page_now())
        return "".join(found)

    def page_now() -> str:
        return markup(manager.get(reverse(PAGE)))

    bought = product(shop, 1, "Watercolor")
    course(shop, "Watercolor")
    assert button() == "button primary"
    save(manager, **{f"give_{bought.pk}": ["Watercolor"]})
    assert button() == "button"


def test_two_courses_of_one_name_are_told_apart_in_the_review(shop, manager):
    kids = factories.IntegrationFactory.create(name="Kids Academy", site="kids")
    for site in (shop.integration, kids):
        course(shop, "Drawing Faces", integration=site)
    bought = product(shop, 1, "Gift")
    both = ["Drawing Faces on Art Academy", "Drawing Faces on Kids Academy"]
    done = save(manager, **{f"give_{bought.pk}": both})
    told = "Drawing Faces on Art Academy, Drawing Faces on Kids Academy"
    assert f"Product Purchased: {told}." in " ".join(said(done))


def test_what_every_product_gives_keeps_no_product_from_being_set_up(shop, manager):
    shop.rule(destination=course(shop, "Welcome"))
    bought = product(shop, 1, "Watercolor")
    course(shop, "Watercolor")
    text = plain(row_of(manager.get(reverse(PAGE)), "Watercolor"))
    assert "Welcome (global rule)" in text
    assert "suggested by its name" in text
    save(manager, **{f"give_{bought.pk}": ["Watercolor"]})
    assert triggers(bought) == FIVE


def test_a_new_course_is_ended_by_what_ends_the_others(shop, manager):
    shop.rule(product="1", destination=course(shop, "First"))
    shop.rule(
        "product_refunded",
        "1",
        destination=Destination.objects.get(),
        action="expire_course_enrollment",
    )
    second = course(shop, "Second")
    bought = Product.objects.get()
    save(manager, **{f"give_{bought.pk}": ["Second"]})
    made = Rule.objects.filter(destination=second).values_list("trigger", flat=True)
    assert sorted(made) == ["product_purchased", "product_refunded"]
    assert Rule.objects.count() == 4


def test_a_tick_adds_what_is_missing_for_courses_that_are_given_already(shop, manager):
    given = course(shop, "First")
    bought = shop.rule(product="1", destination=given).product
    shop.rule("product_refunded", "1", destination=given, action="expire_course_enrollment")
    save(manager, **{f"on_{bought.pk}": ["subscription_canceled"]})
    assert triggers(bought) == ["product_purchased", "product_refunded", "subscription_canceled"]


@pytest.mark.parametrize(("enabled", "more"), [(True, ""), (False, ", and it is turned off")])
def test_a_rule_that_exists_is_left_alone(shop, manager, enabled, more):
    bought = shop.rule(product="1", destination=course(shop, "First"), enabled=enabled).product
    pairing.add(pairing.companions(Rule.objects.all()))
    name = bought.name
    answer = save(manager, **{f"give_{bought.pk}": ["First"]})
    assert said(answer) == [f"{name} has a rule for First already{more}.", NOTHING]
    assert Rule.objects.filter(enabled=enabled, trigger="product_purchased").count() == 1
    assert Rule.objects.count() == 5


def test_a_global_rule_gets_what_ends_it_in_its_own_row(shop, manager):
    shop.rule(destination=course(shop, "First"))
    product(shop, 1, "Watercolor")
    save(manager, **{f"on_all-{shop.marketplace.pk}": ["product_refunded"]})
    assert triggers(None) == ["product_purchased", "product_refunded"]


@pytest.mark.parametrize("button", ["its own", "every"])
def test_one_click_adds_what_is_recommended(shop, manager, button):
    bought = shop.rule(product="1", destination=course(shop, "First")).product
    other = shop.rule(product="2", destination=course(shop, "Second")).product
    missing = str(bought.pk) if button == "its own" else "every"
    answer = save(manager, missing=missing)
    assert triggers(bought) == FIVE
    assert triggers(other) == (FIVE if button == "every" else ["product_purchased"])
    (text,) = said(answer)
    assert (text == "8 rules added for 2 products. Undo") is (button == "every")


def test_the_click_keeps_what_was_entered_in_other_rows(shop, manager):
    bought = shop.rule(product="1", destination=course(shop, "First")).product
    other = product(shop, 2, "Club")
    answer = save(manager, missing=str(bought.pk), **{f"give_{other.pk}": ["First", "Frist"]})
    assert triggers(bought) == FIVE
    assert triggers(other) == []
    assert "What was entered is not saved yet. The rows that need a change are at the top." in said(
        answer
    )
    assert 'value="Frist"' in row_of(answer, "Club")
    assert 'value="First"' in row_of(answer, "Club")


def test_where_the_missing_rules_are_only_off_the_click_says_so(shop, manager):
    bought = shop.rule(product="1", destination=course(shop, "First")).product
    pairing.add(pairing.companions(Rule.objects.all()))
    Rule.objects.exclude(trigger="product_purchased").update(enabled=False)
    (text,) = said(save(manager, missing=str(bought.pk)))
    assert text.startswith(f"{bought.name}: 4 rules are there, but turned off. Product Refunded:")
    assert Rule.objects.count() == 5


def test_a_part_of_one_courses_name_is_enough_and_one_of_two_is_not(shop, manager):
    club, chair = product(shop, 1, "Club"), product(shop, 2, "Chair")
    for name in ("Color Theory in a Weekend", "Drawing Hands", "Drawing Faces"):
        course(shop, name)
    save(manager, **{f"give_{club.pk}": ["color theory"], f"give_{chair.pk}": [""]})
    names = Destination.objects.filter(rules__product=club).values_list("name", flat=True)
    assert set(names) == {"Color Theory in a Weekend"}
    answer = save(manager, **{f"give_{chair.pk}": ["drawing"]})
    assert "No course or bundle is called “drawing”." in html.unescape(errors(answer))


def test_a_course_that_is_spelled_with_a_slip_is_offered_by_its_name(shop, manager):
    club = product(shop, 1, "Club")
    course(shop, "Watercolor for Beginners")
    answer = save(manager, **{f"give_{club.pk}": ["Watercolr"]})
    told = "No course or bundle is called “Watercolr”. Did you mean Watercolor for Beginners?"
    assert told in html.unescape(errors(answer))


# Bad input


@pytest.mark.parametrize(
    ("entered", "sentence"),
    [
        ("Watercolour", "No course or bundle is called “Watercolour”. Choose one from the list."),
        ("Twice", "Several courses or bundles are called “Twice”. Choose from the list."),
        ("Gone", "No course or bundle is called “Gone”. Choose one from the list."),
        ("<b>\x00", "No course or bundle is called “&lt;b&gt;\\u0000”. Choose one from the list."),
    ],
)
def test_a_name_that_means_no_course_is_said_beside_its_row_and_nothing_is_lost(
    shop, manager, entered, sentence
):
    first, second = product(shop, 1, "Club"), product(shop, 2, "Watercolor")
    course(shop, "First")
    course(shop, "Gone", gone_at="2026-11-01T00:00Z")
    course(shop, "Twice")
    course(shop, "Twice", integration=factories.IntegrationFactory.create())
    answer = save(
        manager,
        **{f"give_{first.pk}": ["First on Art Academy"], f"on_{first.pk}": ["product_refunded"]},
        **{f"give_{second.pk}": [entered]},
    )
    assert answer.status_code == 200
    assert not Rule.objects.exists()
    assert html.unescape(sentence) in errors(answer)
    assert "errorlist" in row_of(answer, "Watercolor")
    assert words(answer).index("Watercolor") < words(answer).index("Club")
    kept = row_of(answer, "Club")
    assert "errorlist" not in kept
    assert 'value="First on Art Academy"' in kept
    assert re.findall(r'value="(\w+)"[^>]* checked', kept) == ["product_refunded"]


def test_a_rule_that_somebody_else_made_meanwhile_undoes_the_whole_save(shop, manager, monkeypatch):
    first = product(shop, 1, "Acrylics")
    second = shop.rule(product="2", destination=course(shop, "First")).product
    monkeypatch.setattr(pairing, "stored", lambda rule: None)  # it was not there a moment ago
    answer = save(manager, **{f"give_{each.pk}": ["First"] for each in (first, second)})
    assert Rule.objects.count() == 1
    assert "This product has this very rule already." in errors(answer)
    assert 'value="First"' in row_of(answer, "Acrylics")


def test_courses_of_one_name_are_told_apart_by_kind_site_and_number(shop, manager):
    bought = product(shop, 1, "Watercolor")
    wanted = course(shop, "Twice", external_id=7)
    course(shop, "Twice", external_id=8)
    course(shop, "Twice", kind="bundle", external_id=9)
    text = manager.get(reverse(PAGE)).content.decode()
    names = [html.unescape(each) for each in re.findall(r'<option value="([^"]*)"', text)]
    assert names == ["Twice, number 7", "Twice, number 8", "Twice (bundle)"]
    save(manager, **{f"give_{bought.pk}": [names[0]]})
    assert set(Rule.objects.values_list("destination", flat=True)) == {wanted.pk}


# In a browser

PASSWORD = "only-for-walking"
SUBJECTS = [
    "Watercolor",
    "Acrylics",
    "Charcoal",
    "Perspective",
    "Portraits",
    "Landscapes",
    "Calligraphy",
    "Lettering",
    "Printmaking",
    "Ceramics",
]
# Each press of the mouse, on whatever page.
COUNT = """addEventListener("pointerdown", () => {
  localStorage.pressed = Number(localStorage.pressed ?? 0) + 1;
}, true);"""


@pytest.fixture
def walk(real_shop: Shop, browser: Browser) -> Any:
    """Ten products without a rule, ten courses of similar names, and a manager's window."""
    roles.grant(django.apps.apps)
    person = get_user_model().objects.create_user("noor", password=PASSWORD, is_staff=True)
    person.groups.set(Group.objects.filter(name=roles.MANAGER))
    for number, subject in enumerate(SUBJECTS):
        product(real_shop, number, f"{subject} for Beginners (lifetime access)")
        course(real_shop, f"{subject} for Beginners")
    with browsing.serving() as address, browsing.window(browser, browsing.LOOKS[0]) as context:
        window = context.new_page()
        browsing.sign_in(window, address, "noor", PASSWORD)
        window.add_init_script(COUNT)
        window.goto(f"{address}/admin/")
        yield window


def pressed(window: Page) -> int:
    return int(window.evaluate("localStorage.pressed ?? 0"))


@pytest.mark.browser
def test_ten_products_are_set_up_with_thirteen_clicks(walk: Page):
    walk.locator(".menu-side").get_by_role("link", name="Coverage").click()
    for subject in SUBJECTS:
        walk.get_by_label(f"{subject} for Beginners for {subject}").check()
    walk.get_by_role("button", name="Review the rules").click()
    walk.get_by_role("button", name="Add 50 rules").first.click()
    expect(walk.locator(".messagelist li")).to_have_text(["50 rules added for 10 products. Undo"])
    assert Rule.objects.count() == len(SUBJECTS) * len(FIVE)
    for bought in Product.objects.all():
        assert triggers(bought) == FIVE
        for rule in bought.rules.all():
            assert rule.destination is not None
            assert rule.destination.name.split()[0] == bought.name.split()[0]
    assert pressed(walk) == 13
    expect(walk.get_by_text("lack")).to_have_count(0)


@pytest.mark.browser
def test_a_trigger_that_another_one_covers_fits_the_list(walk: Page):
    for sold in Product.objects.all():
        course = Destination.objects.get(name__startswith=sold.name.split()[0])
        about = {"product": sold, "marketplace": sold.marketplace, "destination": course}
        factories.RuleFactory.create(**about)
        ends = {"trigger": "subscription_canceled", "action": "expire_course_enrollment"}
        factories.RuleFactory.create(**about, **ends)
    walk.locator(".menu-side").get_by_role("link", name="Coverage").click()
    expect(walk.get_by_text("(by Subscription Canceled)").first).to_be_visible()
    assert not fitting.misfits(walk, (768, 1024, 1280, 1440))


@pytest.mark.browser
def test_several_courses_are_typed_for_one_product(walk: Page):
    # Its row has a button of its own, which Enter in another row does not press.
    factories.RuleFactory.create(
        product=Product.objects.get(name__startswith="Acrylics"),
        marketplace=Marketplace.objects.get(),
        destination=Destination.objects.get(name__startswith="Acrylics"),
    )
    walk.locator(".menu-side").get_by_role("link", name="Coverage").click()
    fields = walk.get_by_label("bundle for Ceramics for Beginners")
    expect(fields).to_have_count(1)
    walk.wait_for_load_state("load")  # its script adds the second one
    fields.first.fill("charcoal for beginners")
    fields.first.press("Tab")
    expect(fields).to_have_count(2)
    fields.last.fill("Lettering for Beginners")
    fields.last.press("Enter")
    walk.get_by_role("button", name="Add 10 rules").last.click()
    expect(walk.locator(".messagelist li")).to_have_count(1)
    given = Rule.objects.filter(product__name__startswith="Ceramics").select_related("destination")
    assert {str(rule.destination) for rule in given} == {
        "Charcoal for Beginners",
        "Lettering for Beginners",
    }
    assert Rule.objects.count() == 1 + 2 * len(FIVE)


@pytest.mark.browser
def test_who_leaves_what_is_not_saved_is_asked_and_finds_it_again(walk: Page):
    asked: list[str] = []

    def leave(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    walk.on("dialog", leave)
    overview = walk.locator(".menu-side").get_by_role("link", name="Overview")
    walk.locator(".menu-side").get_by_role("link", name="Coverage").click()
    overview.click()
    walk.go_back()
    walk.get_by_label("Ceramics for Beginners for Ceramics").check()
    walk.get_by_role("button", name="Review the rules").click()
    expect(walk.get_by_role("button", name="Add 5 rules")).to_be_visible()
    assert asked == []
    overview.click()
    expect(walk.get_by_role("heading", name="Overview")).to_be_visible()
    assert asked == ["beforeunload"]
    walk.go_back()
    expect(walk.get_by_role("button", name="Add 5 rules")).to_be_visible()
    assert not Rule.objects.exists()
