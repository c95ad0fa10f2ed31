"""On Coverage, rules of a product that are turned off are told from rules that are missing."""

import html
import re
from typing import Any, cast

import pytest
from django.contrib.auth.models import Permission, User
from django.db.models import QuerySet
from django.test import Client
from django.urls import reverse

from config.staff import roles
from integrations.audit import Act
from integrations.models import AuditEntry, Destination, Product
from rules import pairing
from rules.models import Rule
from tests.support import factories
from tests.support.pages import markup, plain, said, signed_in, words
from tests.support.shop import Shop

pytestmark = pytest.mark.first_database

PAGE = "admin:coverage"
REFUND = "product_refunded"


@pytest.fixture
def manager(db) -> Client:
    return signed_in(roles.MANAGER)


def course(shop: Shop, name: str) -> Destination:
    facts = {"name": name, "integration": shop.integration}
    return cast(Destination, factories.DestinationFactory.create(**facts))


def save(client: Client, *, button: str = "looked", **changes: Any) -> Any:
    """Send all rows with these changes, such as give_12="Ink"; `button` is the one pressed."""
    sent = {re.sub(r"^(on|give)_", r"\1-", name): value for name, value in changes.items()}
    rows = list(Product.objects.values_list("pk", flat=True))
    return client.post(reverse(PAGE), {"row": rows, **sent, button: "yes"}, follow=True)


def row_of(answer: Any, name: str) -> str:
    """The HTML of the row of this product."""
    rows: list[str] = re.findall(r"<tr\b.*?</tr>", markup(answer), re.DOTALL)
    (found,) = [each for each in rows if f">{name}<" in each]
    return found


@pytest.fixture
def giving(shop: Shop) -> Rule:
    """A rule for Watercolor that gives Ink. All its companions are there, and the refund's is off.

    Product 2, Gouache, has a rule that gives Wash and nothing else.
    """
    rule = _sold(shop, "1", "Watercolor", "Ink")
    pairing.add(pairing.companions([rule]))
    _refunds().update(enabled=False)
    _sold(shop, "2", "Gouache", "Wash")
    return rule


def _sold(shop: Shop, number: str, name: str, gives: str) -> Rule:
    rule = shop.rule(product=number, destination=course(shop, gives))
    assert rule.product is not None
    rule.product.name = name
    rule.product.save()
    return rule


def _refunds() -> QuerySet[Rule]:
    return Rule.objects.filter(trigger=REFUND)


def _turn_on(client: Client, answer: Any, row: str, **entered: Any) -> Any:
    """Press the button "Turn on" in this row, after this was entered."""
    (button,) = re.findall(r'name="turn_on" value="([^"]*)"', row)
    (back,) = re.findall(r'name="back" value="([^"]*)"', markup(answer))
    entered["row"] = re.findall(r'name="row" value="([^"]*)"', markup(answer))
    return save(client, button="looked", turn_on=button, back=html.unescape(back), **entered)


def test_a_rule_that_is_off_is_not_called_missing_and_is_turned_on_in_its_row(manager, giving):
    page = f"{reverse(PAGE)}?q=Watercolor"
    answer = manager.get(page)
    row = row_of(answer, "Watercolor")
    assert "Product Refunded Off Turn on Product Refunded of Watercolor" in plain(row)
    assert f'name="on-{giving.product_id}" value="{REFUND}"' not in row
    assert "Missing" not in plain(row)
    assert "Add what is missing" not in plain(row)
    done = _turn_on(manager, answer, row)
    assert done.redirect_chain[-1][0] == page
    assert said(done)[0] == "1 rule turned on, from the next event on."
    assert "Turn on" not in plain(row_of(done, "Watercolor"))
    entry = AuditEntry.objects.get(act=Act.RULE_CHANGED)
    assert (entry.number, entry.after) == (str(_refunds().get(enabled=True).pk), {"enabled": True})


def test_rules_that_are_off_are_counted_apart_from_those_that_are_missing(manager, giving):
    text = words(manager.get(reverse(PAGE)))
    assert "1 row lacks rules that end access or give it back. Add what is missing" in text
    assert "In 1 row, rules that end access or give it back are off." in text
    (told,) = said(save(manager, missing="every"))
    assert told.startswith("Gouache: 4 rules added.")
    text = words(manager.get(reverse(PAGE)))
    assert "lacks rules" not in text
    assert "In 1 row, rules" in text


def test_what_is_missing_is_added_and_what_is_off_beside_it_is_named(shop, manager, giving):
    shop.rule(product="1", destination=course(shop, "Faces"))
    row = plain(row_of(manager.get(reverse(PAGE)), "Watercolor"))
    assert "Product Refunded of Watercolor Missing Off Turn on" in row
    answer = save(manager, missing=str(giving.product_id))
    off, added, *_ = said(answer)
    assert off == (
        "Watercolor: 1 rule is there, but turned off. Product Refunded: Ink. See its rules"
    )
    assert added.startswith("Watercolor: 4 rules added. Product Refunded: Faces.")
    assert not _refunds().get(destination__name="Ink").enabled
    product = reverse("admin:integrations_product_change", args=[giving.product_id])
    assert f'<a href="{product}">See its rules</a>' in markup(answer)


def test_a_tick_for_a_rule_that_is_off_names_the_rule(manager, giving):
    told = "Watercolor: 1 rule is there, but turned off. Product Refunded: Ink. See its rules"
    assert said(save(manager, **{f"on_{giving.product_id}": REFUND})) == [told]
    assert not _refunds().get().enabled


def test_the_preview_names_what_is_off(shop, manager, giving):
    other = Rule.objects.get(destination__name="Wash").product
    sent: dict[str, Any] = {
        f"on_{each}": [REFUND] for each in (giving.product_id, other and other.pk)
    }
    sent[f"give_{giving.product_id}"] = ["Wash"]
    shown = save(manager, button="review", **sent)
    assert "Add 6 rules" in words(shown)
    assert "Watercolor: 1 rule is there, but turned off. Product Refunded: Ink." in words(shown)
    save(manager, **sent)
    assert _refunds().count() == 3
    assert not _refunds().get(destination__name="Ink").enabled


def test_a_course_that_is_chosen_again_finds_its_rules_off(shop, manager, giving):
    giving.delete()
    answer = save(
        manager,
        **{f"give_{giving.product_id}": "Ink", f"on_{giving.product_id}": REFUND},
    )
    assert "Watercolor: 1 rule is there, but turned off. Product Refunded: Ink. See its rules" in (
        said(answer)
    )
    row = plain(row_of(manager.get(reverse(PAGE)), "Watercolor"))
    assert "Product Refunded Off Turn on Product Refunded of Watercolor" in row


def test_who_may_not_change_rules_sees_that_they_are_off(giving):
    answer = signed_in(roles.VIEWER).get(reverse(PAGE))
    row = plain(row_of(answer, "Watercolor"))
    assert "Product Refunded Off" in row
    assert "Missing" not in row
    assert "Turn on" not in words(answer)


def test_a_global_rule_that_is_off_is_turned_on_in_the_row_of_every_product(shop, manager):
    pairing.add(pairing.companions([shop.rule(destination=course(shop, "Ink"))]))
    _refunds().update(enabled=False)
    answer = manager.get(reverse(PAGE))
    text = words(answer)
    assert "Missing" not in text
    assert "Add what is missing" not in text
    _turn_on(manager, answer, answer.content.decode())
    assert _refunds().get().enabled


@pytest.fixture
def global_refund(shop: Shop) -> Rule:
    """A global rule that is off and would end at a refund what a rule for Watercolor gives."""
    rule = _sold(shop, "1", "Watercolor", "Ink")
    return shop.rule(
        REFUND, destination=rule.destination, action="expire_course_enrollment", enabled=False
    )


def test_a_global_rule_that_is_off_is_named_in_the_row_of_a_product_and_turned_on(
    manager, global_refund
):
    answer = manager.get(reverse(PAGE))
    row = row_of(answer, "Watercolor")
    off = "Product Refunded Off Global rule, for all products: Product Refunded, every product →"
    assert f"{off} end access to Ink · Art Academy Turn on" in plain(row)
    assert "Missing" not in plain(row)
    assert "Add what is missing" not in words(answer)
    assert off in plain(row_of(signed_in(roles.VIEWER).get(reverse(PAGE)), "Watercolor"))
    done = _turn_on(manager, answer, row)
    assert said(done)[0] == "1 rule turned on, from the next event on."
    assert _refunds().get().enabled
    assert "Turn on" not in plain(row_of(done, "Watercolor"))


def test_what_only_a_global_rule_covers_says_so_in_the_row_of_a_product(manager, global_refund):
    Rule.objects.filter(pk=global_refund.pk).update(enabled=True)
    row = plain(row_of(manager.get(reverse(PAGE)), "Watercolor"))
    assert "Product Refunded by global rules" in row
    own = Rule.objects.get(product=Product.objects.get(name="Watercolor"))
    pairing.add([each for each in pairing.companions([own]) if each.trigger == REFUND])
    row = plain(row_of(manager.get(reverse(PAGE)), "Watercolor"))
    assert "Product Refunded" in row
    assert "by global rules" not in row


def test_a_product_that_only_global_rules_serve_is_seen_to_have_none_of_its_own(shop, manager):
    _sold(shop, "1", "Watercolor", "Ink")
    factories.ProductFactory.create(marketplace=shop.marketplace, name="Gouache")
    shop.rule(destination=course(shop, "Bonus"))
    answer = manager.get(reverse(PAGE))
    assert "Bonus (global rule) No rule of its own" in plain(row_of(answer, "Gouache"))
    assert "No rule of its own" not in plain(row_of(answer, "Watercolor"))


def test_a_global_rule_that_is_off_is_turned_on_on_the_page_of_a_product(manager, global_refund):
    product = Product.objects.get(name="Watercolor")
    page = reverse("admin:integrations_product_change", args=[product.pk])
    text = words(manager.get(page))
    assert (
        "Nothing takes access away on: Product Refunded. A global rule for that is there, but "
        "turned off. Turning it on is for all products: "
        "When any product is refunded, end the customer's access to Ink on Art Academy. Turn on"
    ) in text
    note = text.partition("Nothing takes access away")[2].partition("For a subscription:")
    assert "Add the rules that end access" not in note[0]
    assert "When Watercolor is refunded" not in text
    button = reverse("admin:rules_rule_do_switch_on", args=[global_refund.pk])
    assert f'action="{button}"' in manager.get(page).content.decode()
    done = manager.post(button, {"back": page}, follow=True)
    assert done.request["PATH_INFO"] == page
    assert "Nothing takes access away" not in words(done)


def test_what_was_entered_in_other_rows_stays_when_a_rule_is_turned_on(manager, giving):
    gouache = Product.objects.get(name="Gouache")
    answer = manager.get(reverse(PAGE))
    row = row_of(answer, "Watercolor")
    done = _turn_on(manager, answer, row, **{f"give_{gouache.pk}": "Ink"})
    told = said(done)
    assert told[0] == "1 rule turned on, from the next event on."
    assert "What was entered is not saved yet." in told
    assert 'value="Ink" list="courses"' in row_of(done, "Gouache")
    assert "Turn on" not in plain(row_of(done, "Watercolor"))
    assert _refunds().get().enabled
    assert Rule.objects.filter(product=gouache).count() == 1


def test_a_course_that_is_added_is_ended_on_a_trigger_that_has_no_tick_as_its_rule_is_off(
    manager, giving
):
    save(manager, **{f"give_{giving.product_id}": "Wash"})
    assert list(_refunds().values_list("destination__name", "enabled").order_by("pk")) == [
        ("Ink", False),
        ("Wash", True),
    ]


def test_who_may_not_change_rules_turns_on_none_there(giving):
    adds = signed_in()
    adds_rules = Permission.objects.filter(codename__in=["view_rule", "add_rule"])
    User.objects.latest("pk").user_permissions.add(*adds_rules)
    answer = adds.get(reverse(PAGE))
    assert "Off" in plain(row_of(answer, "Watercolor"))
    assert "Turn on" not in words(answer)
    refused = save(adds, turn_on=f"{giving.product_id} {REFUND}")
    assert refused.status_code == 403
    assert not _refunds().get().enabled
