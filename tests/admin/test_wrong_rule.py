"""A wrong rule is put right in few steps, and pages name the short way first."""

import html
import re
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from config.admin.parts.buttons import page_of
from config.staff import roles
from events.models import Batch, EventLog
from events.reports.earlier import backfill
from integrations.models import AuditEntry, Destination, Product
from rules import pairing
from rules.models import Rule
from tests.support.pages import client_of, markup, person, plain, press, said, signed_in, words
from tests.support.world import World

pytestmark = pytest.mark.first_database

GIVES, ENDS = "create_course_enrollment", "expire_course_enrollment"
CHANGES = "admin:integrations_auditentry_changelist"


@pytest.fixture
def manager(db) -> Client:
    return signed_in(roles.MANAGER)


@pytest.fixture
def owner(admin_user: User) -> Client:
    return client_of(admin_user)


@pytest.fixture
def rule(world: World) -> Rule:
    """A purchase of 77 gives Ink. Faces is there, too."""
    world.course("Faces")
    return world.rule("product_purchased", GIVES, world.course("Ink"), product="77")


def buy(world: World, *numbers: int) -> list[EventLog]:
    """Buyers of 77, one for each number, which is that of the order, too."""
    found = [
        world.sell(product__id=77, customer__email=f"b{each}@example.com", order__id=each)
        for each in numbers
    ]
    world.settle()
    return found


def test_who_deletes_a_rule_that_gave_something_is_led_to_changing_its_course_instead(
    manager, world, rule
):
    ends = world.rule("product_refunded", ENDS, rule.destination, product="77")
    told = "Change the course instead"
    delete = "admin:rules_rule_delete"
    assert told not in words(manager.get(reverse(delete, args=[rule.pk])))
    buy(world, 1)
    shown = manager.get(reverse(delete, args=[rule.pk]))
    assert f'<a href="{page_of(rule)}">\n      {told}</a>' in shown.content.decode()
    assert told not in words(manager.get(reverse(delete, args=[ends.pk])))


def refund(world: World, number: int) -> None:
    world.sell(
        "20_product",
        product__id=77,
        customer__email=f"b{number}@example.com",
        order__id=number,
    )
    world.settle()


def given(rule: Rule) -> str:
    return f"{reverse('admin:given-by-rule')}?rule={rule.pk}"


def save(client: Client, rule: Rule, course: str, **more: Any) -> Any:
    """Choose another course on the rule's page and press Save; the page that follows."""
    names = ("scope", "product", "trigger", "integration", "action")
    sent = {name: getattr(rule, f"{name}_id", None) or getattr(rule, name) for name in names}
    sent |= {"destination": Destination.objects.get(name=course).pk, "enabled": "1"} | more
    return client.post(page_of(rule), sent, follow=True)


def delete(client: Client, rule: Rule, back: str) -> Any:
    page = reverse("admin:rules_rule_delete", args=[rule.pk])
    return client.post(f"{page}?{urlencode({'back': back})}", {"post": "yes"}, follow=True)


def buttons(page: Any, *, primary: bool = False) -> list[str]:
    """The labels of the page's own buttons in their order, perhaps only of the primary ones."""
    body = markup(page).partition("<main")[2]
    found = re.findall(r'<(a|button)\b[^>]*class="(button[^"]*)"[^>]*>(.*?)</\1>', body)
    return [plain(label) for _, css, label in found if not primary or "primary" in css.split()]


# Who has it through a rule


def test_the_page_of_a_rules_buyers_says_which_rule_it_is_about(manager, world, rule):
    buy(world, 1)
    text = words(manager.get(given(rule)))
    assert "When Example Course One is purchased, enroll the customer in Ink on Art" in text
    delete(manager, rule, "")
    assert "Deleted rule: Product Purchased, Example Course One" in words(manager.get(given(rule)))
    of_product = f"{reverse('admin:given-by-rule')}?product={rule.product_id}"
    assert "Bought: Example Course One" in words(manager.get(of_product))


def test_changing_the_course_comes_before_deleting_the_rule_and_leads_to_the_move(
    manager, world, rule
):
    buy(world, 1)
    page = manager.get(given(rule))
    shown = buttons(page)
    assert shown.index("Change its course") < shown.index("Delete the rule")
    (link,) = re.findall(r'href="([^"]+)">Change its course', markup(page))
    assert html.unescape(link).startswith(page_of(rule))
    (back,) = re.findall(
        r'type="hidden" name="back" value="([^"]+)"', markup(manager.get(html.unescape(link)))
    )
    after = save(manager, rule, "Faces", back=html.unescape(back))
    assert after.request["PATH_INFO"] == reverse("admin:given-by-rule")
    assert "Move 1 buyer to Faces" in buttons(after, primary=True)
    assert not [text for text in said(after) if "See and move them" in text]


def test_after_deleting_the_rule_its_page_has_no_link_to_itself_and_ends_nothing_first(
    manager, world, rule
):
    buy(world, 1)
    page = delete(manager, rule, given(rule))
    assert page.request["PATH_INFO"] == reverse("admin:given-by-rule")
    assert not [text for text in said(page) if "See them and end it" in text]
    shown = buttons(page)
    assert shown.index("Give them another course") < shown.index("End Ink for 1 buyer")
    assert "End Ink for 1 buyer" not in buttons(page, primary=True)


@pytest.mark.parametrize("where", ["added", "product", "turned on"])
def test_who_is_moved_to_the_right_rule_is_not_offered_to_be_enrolled_too(
    manager, world, rule, where
):
    buy(world, 1, 2)
    rule.delete()
    new = world.rule(
        "product_purchased", GIVES, Destination.objects.get(name="Faces"), product="77"
    )
    pages = {
        "added": f"{reverse('admin:new-rule-added')}?rule={new.pk}",
        "product": page_of(new.product),
    }
    if where == "turned on":
        Rule.objects.update(enabled=False)
        page = press(manager, new, "switch_on")
    else:
        page = manager.get(pages[where])
    text = words(page)
    assert "2 buyers got Ink through a deleted rule, and keep it. See and move them" in text
    assert "See and enroll them" not in text


def test_who_lacks_the_right_course_and_has_no_wrong_one_is_still_enrolled(manager, world, rule):
    Rule.objects.update(enabled=False)
    buy(world, 1)
    Rule.objects.update(enabled=True)
    buy(world, 2)
    rule.delete()
    new = world.rule(
        "product_purchased", GIVES, Destination.objects.get(name="Faces"), product="77"
    )
    text = words(manager.get(f"{reverse('admin:new-rule-added')}?rule={new.pk}"))
    assert "1 buyer got Ink through a deleted rule, and keeps it. See and move them" in text
    assert "1 buyer paid before and got nothing for it. See and enroll them" in text


def test_after_an_undo_the_page_does_not_take_the_rule_or_the_undo_for_the_mistake(
    owner, world, rule
):
    colleague = client_of(person(roles.MANAGER, first_name="Nora"))
    save(colleague, rule, "Faces")
    buy(world, 1)
    changed = AuditEntry.objects.filter(act="rule_changed").latest("pk")
    before = words(owner.get(given(rule)))
    assert "Was the rule wrong?" in before
    press(owner, changed, "undo")
    text = words(owner.get(given(rule)))
    assert "Move 1 buyer to Ink" in text
    assert "undo it there" not in text
    assert "Was the rule wrong?" not in text
    assert "Delete the rule" not in text
    overview = words(owner.get(reverse("admin:index")))
    assert "1 buyer got Faces through this rule, and keeps it. See and move them" in overview
    world.settle()
    chosen = owner.get(given(rule)).context["chosen"]
    owner.post(given(rule), {"chosen": ",".join(map(str, chosen))})
    world.settle()
    assert "Was the rule wrong?" not in words(owner.get(given(rule)))


@pytest.mark.parametrize("enrolled", [False, True])
def test_the_rules_of_one_product_have_one_link_to_its_earlier_buyers(
    manager, world, rule, enrolled
):
    Rule.objects.update(enabled=enrolled)
    buy(world, 1)
    Rule.objects.update(enabled=True)
    names = ("Wash", "Oil") if enrolled else ("Wash",)
    new = [rule] if not enrolled else []
    new += [
        world.rule("product_purchased", GIVES, world.course(name), product="77") for name in names
    ]
    asked = urlencode([("rule", each.pk) for each in new])
    page = manager.get(f"{reverse('admin:new-rule-added')}?{asked}")
    text = words(page)
    told = (
        "1 earlier buyer does not have all of this: Wash and Oil."
        if enrolled
        else "1 buyer paid before and got nothing for it."
    )
    assert text.count(told) == 1
    (link,) = re.findall(r'href="([^"]+)">See and enroll them', markup(page))
    both = manager.get(html.unescape(link))
    assert "Earlier buyers, for 2 rules" in words(both)
    sent = {"rule": [each.pk for each in new], "back": reverse("admin:index")}
    manager.post(reverse("admin:earlier"), sent)
    world.settle()
    assert all(world.access("b1@example.com", each.destination) for each in new if each.destination)


# Only refunded buyers are left


def test_where_only_refunded_buyers_are_left_all_places_offer_to_end_it(owner, world, rule):
    buy(world, 1, 2)
    refund(world, 2)
    save(owner, rule, "Faces")
    page = owner.get(given(rule))
    chosen = ",".join(map(str, page.context["chosen"]))
    moved = owner.post(given(rule), {"chosen": chosen}, follow=True)
    told = "1 refunded or canceled buyer was not moved, and still has Ink. See and end it"
    assert told in said(moved)
    world.settle()
    changes = words(owner.get(reverse(CHANGES)))
    assert "was refunded or canceled since. See and end it" in changes
    page = owner.get(given(rule))
    assert "End Ink for 1 refunded buyer" in buttons(page, primary=True)
    assert "Refunded or canceled: can only be ended" in words(page)
    assert "There is nothing to do for any of these." not in words(page)
    assert "Move buyers to" not in words(page)
    refunded = page.context["refunded"]
    ended = owner.post(
        given(rule), {"chosen": ",".join(map(str, refunded)), "only_end": "1"}, follow=True
    )
    assert not [text for text in said(ended) if "was not moved" in text]


# After a rule was deleted


def test_after_a_rule_was_deleted_its_products_page_says_each_thing_once_and_undo_first(
    manager, world, rule
):
    pairing.add(pairing.companions([rule]))
    buy(world, 1)
    page = delete(manager, rule, page_of(rule.product))
    text = words(page)
    assert not said(page)
    assert text.count("still about Ink") == 1
    assert text.count("1 buyer got Ink") == 1
    assert text.lower().count("deleted a moment ago") == 2  # once more for screen readers
    assert "successfully" not in text
    shown = [label for label in buttons(page) if label.startswith(("Undo", "See them and end"))]
    assert shown[0].startswith("Undo")
    primary = buttons(page, primary=True)
    assert [label for label in primary if label.startswith("Undo")]
    assert "See them and end it" not in primary


def test_a_page_that_offers_no_undo_still_says_that_the_rule_was_deleted(manager, world, rule):
    page = delete(manager, rule, reverse("admin:index"))
    assert "deleted successfully" in said(page)[0]


# A move that was undone


def undo_move(client: Client, world: World) -> None:
    page = f"{reverse('admin:undo-batch')}?number={Batch.objects.get().pk}"
    client.post(page, {"chosen": ",".join(map(str, client.get(page).context["chosen"]))})
    world.settle()


def test_after_a_move_was_undone_the_customers_page_says_it_once_and_offers_to_move_first(
    manager, world, rule
):
    (event,) = buy(world, 1)
    save(manager, rule, "Faces")
    manager.post(given(rule), {"chosen": event.pk})
    world.settle()
    undo_move(manager, world)
    assert event.customer
    page = manager.get(page_of(event.customer))
    text = words(page)
    told = "The rule that gave Ink (order 1) gives Faces now."
    assert text.count(told) == 1
    shown = markup(page)
    assert re.search(r'<a class="button small" href="[^"]+">Move this buyer</a>', shown)
    assert "Enroll this buyer now" not in shown


def test_the_button_for_one_buyer_moves_that_buyer_alone(manager, world, rule):
    bought, other = buy(world, 1, 2)
    save(manager, rule, "Faces")
    manager.post(given(rule), {"chosen": f"{bought.pk},{other.pk}"})
    world.settle()
    undo_move(manager, world)
    assert bought.customer
    shown = markup(manager.get(page_of(bought.customer)))
    (link,) = re.findall(r'<a class="button small" href="([^"]+)">Move this buyer</a>', shown)
    page = manager.get(unescape(link))
    assert "Move 1 buyer to Faces" in words(page)
    assert "b1@example.com" in words(page)
    assert "b2@example.com" not in words(page)
    manager.post(page.context["form_action"], {"chosen": f"{bought.pk},{other.pk}"})
    world.settle()
    faces = Destination.objects.get(name="Faces")
    assert world.access("b1@example.com", faces)
    assert not world.access("b2@example.com", faces)


@pytest.mark.parametrize("how", ["changed", "deleted"])
def test_the_results_of_the_undo_of_a_move_lead_to_moving_them_again(manager, world, rule, how):
    (event,) = buy(world, 1)
    page = given(rule)
    if how == "changed":
        save(manager, rule, "Faces")
    else:
        page = f"{reverse('admin:given-by-rule')}?product={rule.product_id}"
        rule.delete()
        faces = Destination.objects.get(name="Faces")
        world.rule("product_purchased", GIVES, faces, product="77")
    manager.post(page, {"chosen": event.pk})
    world.settle()
    undo_move(manager, world)
    undo = manager.get(f"{reverse('admin:batch')}?number={Batch.objects.latest('pk').pk}")
    assert "To undo this, move them again. See and move them" in words(undo)
    assert "cannot be undone itself" not in words(undo)
    (link,) = re.findall(r'href="([^"]+)">See and move them', markup(undo))
    assert "Move 1 buyer to Faces" in buttons(manager.get(html.unescape(link)))


# After enrolling


@pytest.mark.parametrize("all_of_them", [True, False])
def test_the_way_back_after_enrolling_everybody_leads_past_the_list_that_is_empty_now(
    manager, world, rule, monkeypatch, all_of_them
):
    Rule.objects.update(enabled=False)
    buy(world, 1, 2)
    Rule.objects.update(enabled=True)
    if not all_of_them:
        monkeypatch.setattr(backfill, "MAX_EVENTS", 1)
    home = reverse("admin:index")
    sent = {"rule": rule.pk, "back": home}
    done = markup(manager.post(reverse("admin:earlier"), sent, follow=True))
    (way,) = re.findall(r'<p class="way"><a href="([^"]+)">Back', done)
    assert (way == home) is all_of_them
    assert (reverse("admin:earlier") in way) is not all_of_them


# Another person's change


@pytest.fixture
def colleague(db) -> Client:
    return client_of(person(roles.MANAGER, first_name="Max", last_name="Berg"))


OVERVIEW = "admin:index"
TOLD = r"Max Berg changed {rule} on \d+ \w+ from Ink to Faces\. See the change by Max Berg on "
MAY_BE_UNDONE = "If the change was a mistake, undo it there."


@pytest.mark.parametrize("everything", [False, True])
def test_what_a_changed_course_left_behind_is_told_as_that_change_and_is_no_step_to_set_up(
    manager, world, rule, colleague, everything
):
    world.rule("product_refunded", ENDS, rule.destination, product="77")
    buy(world, 1)
    if everything:
        Rule.objects.update(product=None, scope="global")
        rule.refresh_from_db()
    assert "not yet for" not in words(manager.get(reverse(OVERVIEW)))
    save(colleague, rule, "Faces", **({"product": ""} if everything else {}))
    page = manager.get(reverse(OVERVIEW))
    text = words(page)
    assert "not yet for" not in text
    assert "Add them" not in text
    told = TOLD.format(rule="the rule" if everything else "a rule of Example Course One")
    assert re.search(told, text)
    assert text.index("See the change by Max Berg") < text.index("See, change or delete them")
    assert MAY_BE_UNDONE in text
    assert "1 leftover rule is about access that is no longer given." in text
    left = manager.get(reverse("admin:left-over"))
    pages = [left] if everything else [left, manager.get(page_of(rule.product))]
    for each in pages:
        assert re.search(TOLD.format(rule="the rule"), words(each))
        assert MAY_BE_UNDONE in words(each)
        assert "Nothing takes access away on" not in words(each)


def test_a_course_that_never_had_such_a_rule_is_a_step_to_set_up_beside_one_left_behind(
    manager, world, rule, colleague
):
    world.rule("product_refunded", ENDS, rule.destination, product="77")
    world.rule("product_purchased", GIVES, world.course("Wash"), product="77")
    save(colleague, rule, "Faces")
    text = words(manager.get(reverse(OVERVIEW)))
    assert f"(not yet for {rule.product}: Product Refunded)" in text


def test_the_step_to_add_rules_leads_to_them_in_view(manager, world, rule):
    page = markup(manager.get(reverse(OVERVIEW)))
    assert f'href="{page_of(rule.product)}#add-rules"' in page
    shown = markup(manager.get(page_of(rule.product)))
    before, _, form = shown.partition('id="add-rules"')
    assert before.count("<details") == before.count("</details>")
    assert "Add the rules that end access and give it back" in form.partition("</form>")[0]


def test_on_the_products_page_another_persons_change_comes_before_moving_and_weighs_as_much(
    manager, world, rule, colleague
):
    world.rule("product_refunded", ENDS, rule.destination, product="77")
    buy(world, 1)
    save(colleague, rule, "Faces")
    page = manager.get(page_of(rule.product))
    box = markup(page).partition("through this rule, and keeps it.")[2].partition("</div>")[0]
    links = re.findall(r'<a class="button([^"]*)" href="[^"]+">([^<]+)<', box)
    assert [label.partition(" on ")[0] for _, label in links] == [
        "See the change by Max Berg",
        "See and move them",
    ]
    assert len({css.strip() for css, _ in links}) == 1
    assert "See and move them" not in buttons(page, primary=True)
    assert "If the change was right, first move these buyers, or end it for them." in words(page)
    mine = colleague.get(page_of(rule.product))
    assert "See and move them" in buttons(mine, primary=True)
    assert "First move these buyers, or end it for them." in words(mine)
    support = signed_in(roles.SUPPORT).get(page_of(rule.product))
    assert "See the change" not in words(support)


def test_the_page_of_a_buyer_names_the_change_and_offers_to_move_but_not_to_enroll(
    manager, world, rule, colleague
):
    (event,) = buy(world, 1)
    save(colleague, rule, "Faces")
    assert event.customer
    text = words(manager.get(page_of(event.customer)))
    assert re.search(
        r"The rule that gave Ink \(order 1\) gives Faces now\. Max Berg changed the rule on "
        r"\d+ \w+ from Ink to Faces\. See the change Move this buyer",
        text,
    )
    assert "Enroll this buyer now" not in text
    assert "Enrolling this buyer" not in text
    support = words(signed_in(roles.SUPPORT).get(page_of(event.customer)))
    assert "from Ink to Faces. Move this buyer" in support


def test_the_page_of_a_buyer_who_gets_a_course_in_addition_offers_to_enroll_but_not_to_move(
    manager, world, rule, colleague
):
    (event,) = buy(world, 1)
    save(colleague, rule, "Faces")
    world.rule("product_purchased", GIVES, Destination.objects.get(name="Ink"), product="77")
    assert event.customer
    text = words(manager.get(page_of(event.customer)))
    assert "Enrolling this buyer gives Faces, and Ink stays open. See the change" in text
    assert "Enroll this buyer now" in text
    assert "Move this buyer" not in text


def test_what_an_undo_changed_back_is_not_named_as_a_mistake_to_a_buyer(
    manager, world, rule, colleague
):
    save(colleague, rule, "Faces")
    (event,) = buy(world, 1)
    press(manager, AuditEntry.objects.filter(act="rule_changed").latest("pk"), "undo")
    assert event.customer
    text = words(manager.get(page_of(event.customer)))
    assert "The rule that gave Faces (order 1) gives Ink now. Move this buyer" in text


def to_faces(client: Client, world: World, rule: Rule) -> Rule:
    """Change the rule that ends Ink on a refund, made with all others of its kind, to Faces."""
    Product.objects.update(name="Watercolor")
    pairing.add(pairing.companions([rule]))
    ending = Rule.objects.get(trigger="product_refunded")
    save(client, ending, "Faces")
    ending.refresh_from_db()
    return ending


STOPPED = (
    "Nothing ends the access of buyers of Watercolor to Ink on Art Academy on Product "
    "Refunded anymore."
)


def test_a_refund_rule_that_was_changed_is_told_with_who_changed_it_and_what_nothing_ends_now(
    manager, world, rule, colleague
):
    ending = to_faces(colleague, world, rule)
    told = rf"{TOLD.format(rule='{}')}"
    told = told.replace(r"Faces\. ", rf"Faces\. {re.escape(STOPPED)} ")
    overview = words(manager.get(reverse(OVERVIEW)))
    assert re.search(told.format("a rule of Watercolor"), overview)
    about = "1 rule of Watercolor is about Faces, which no purchase of it gives."
    assert f"{about} See, change or delete them" in overview
    left = manager.get(reverse("admin:left-over"))
    for each in (left, manager.get(page_of(rule.product))):
        text = words(each)
        assert re.search(told.format("the rule"), text)
        assert "1 rule here is about Faces, which no purchase of this product gives." in text
        assert "They were made together with" not in text
        shown = [label for label in buttons(each) if label != "Cancel"]
        first = next(label for label in shown if label.startswith("See the change by Max Berg"))
        assert shown.index(first) < shown.index("Change 1 rule to Ink")
        assert shown.index("Change 1 rule to Ink") < shown.index("Delete this rule")
        fold = markup(each).partition("Delete this rule anyway")[2].partition("</details>")[0]
        assert 'name="delete"' in fold
    assert "anymore" not in words(manager.get(page_of(ending))).partition("History")[0]
    support = words(signed_in(roles.VIEWER).get(reverse(OVERVIEW)))
    assert STOPPED in support
    assert about in support


def test_saving_a_refund_rule_with_another_course_says_what_nothing_ends_any_more(
    colleague, world, rule
):
    Product.objects.update(name="Watercolor")
    pairing.add(pairing.companions([rule]))
    page = save(colleague, Rule.objects.get(trigger="product_refunded"), "Faces")
    assert STOPPED in said(page)
    assert "still name" not in words(page)


def test_a_refund_rule_that_the_purchase_rule_left_behind_later_is_told_as_that_change(
    manager, world, rule, colleague
):
    """Both come to Faces, and then the purchase gives Ink again."""
    ending = to_faces(colleague, world, rule)
    save(manager, rule, "Faces")
    rule.refresh_from_db()
    assert "leftover rule" not in words(manager.get(reverse(OVERVIEW))).partition("3 leftover")[0]
    save(colleague, rule, "Ink")
    text = words(manager.get(reverse("admin:left-over")))
    assert re.search(r"Max Berg changed the rule on \d+ \w+ from Faces to Ink\.", text)
    assert "still about Faces, which no purchase of this product gives anymore" in text
    assert ending.destination


# What the page of the buyers names


def test_the_page_that_moves_buyers_names_what_they_have_keep_and_lose(manager, world, rule):
    buy(world, 1)
    buy(world, 2)
    still = words(manager.get(given(rule)))
    assert still.startswith("Who has Ink through this rule")
    assert "then you can move the buyers of Ink to the other one." in still
    assert "Or delete the rule: then you can end Ink for them." in still
    page = delete(manager, rule, given(rule))
    shown = words(page)
    assert "End Ink for 2 buyers" in shown
    assert "Let 2 buyers keep Ink" in shown
    assert "Admit does not ask about these buyers again." in shown
    assert "You make a rule that gives the other course" in shown
    assert not re.search(r"\b(keeps?|end|about) (it|access)\b", shown), shown
    address = page.request["PATH_INFO"] + "?" + page.request["QUERY_STRING"]
    kept = ",".join(map(str, page.context["grants"]))
    manager.post(address, {"keepers": kept, "keep": "1"})
    assert "Ask about Ink again" in words(manager.get(address))


def test_the_page_says_who_has_nothing_through_a_rule_by_the_name_of_its_course(manager, rule):
    assert "Nobody has Ink through this rule now." in words(manager.get(given(rule)))
