"""Two people edit one thing: the second is told, keeps their entries, and decides."""

import html
import re
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Browser, expect

from config.staff import roles
from events.reports.customers import letter
from integrations import credentials
from integrations.models import Integration, Marketplace, Product
from rules.models import Rule
from tests.support import browsing, factories, scenery
from tests.support.pages import client_of, person, signed_in, words

pytestmark = pytest.mark.first_database
TITLE = "Changed by somebody else meanwhile"


def form(page: Any, path: str = "") -> dict[str, list[str]]:
    """What a browser would send of a page's form, or of the form that posts to this path."""
    text = page.content.decode()
    if path:
        found = re.search(rf'<form[^>]*action="{path}"[^>]*>(.*?)</form>', text, re.DOTALL)
        assert found, path
        text = found[1]
    sent: dict[str, list[str]] = {}
    for tag in re.findall(r"<input[^>]*>", text):
        fact = {key: html.unescape(value) for key, value in re.findall(r'([\w-]+)="([^"]*)"', tag)}
        box = fact.get("type") in {"checkbox", "radio"}
        if fact.get("name") and (not box or re.search(r"\schecked\b", tag)):
            sent.setdefault(fact["name"], []).append(fact.get("value", "on" if box else ""))
    for name, written in re.findall(
        r'<textarea[^>]*name="(\w+)"[^>]*>(.*?)</textarea>', text, re.S
    ):
        sent[name] = [html.unescape(written).removeprefix("\n")]
    return sent


def anyway(client: Client, refused: Any) -> Any:
    """Press [Save mine anyway]."""
    found = re.search(r'<form method="post" action="([^"]*)" class="panel">', words_of(refused))
    assert found
    path = html.unescape(found[1])
    return client.post(path, form(refused, re.escape(found[1])), follow=True)


def add(client: Client, look: Any) -> None:
    """Press the button of the page that shows the rules of Coverage first."""
    client.post(reverse("admin:coverage"), form(look) | {"looked": ["yes"]})


def words_of(page: Any) -> str:
    return str(page.content.decode())


@pytest.fixture
def sam(db: None) -> Client:
    return client_of(person(roles.MANAGER, first_name="Sam", email="sam@example.com"))


@pytest.fixture
def noor(db: None) -> Client:
    return signed_in(roles.MANAGER, first_name="Noor")


@pytest.fixture
def rule(db: None) -> Rule:
    made: Rule = factories.RuleFactory.create(product=factories.ProductFactory.create())
    return made


def other_course(rule: Rule) -> Any:
    return factories.DestinationFactory.create(name="Course Nine", integration=rule.integration)


def test_a_rule_that_somebody_changed_meanwhile_is_not_saved_over(sam, noor, rule):
    page = reverse("admin:rules_rule_change", args=[rule.pk])
    mine, theirs = form(noor.get(page)), form(sam.get(page))
    nine = other_course(rule)
    sam.post(page, theirs | {"destination": [str(nine.pk)]})
    mine.pop("enabled")
    refused = noor.post(page, mine)
    rule.refresh_from_db()
    assert (rule.destination, rule.enabled) == (nine, True)
    said = words(refused)
    assert TITLE in said
    assert "changed a rule on" in said
    assert "Sam" in said
    assert "Course Nine" in said
    assert "State On Off" in said


def test_mine_can_be_saved_all_the_same(sam, noor, rule):
    page, course = reverse("admin:rules_rule_change", args=[rule.pk]), rule.destination
    mine = form(noor.get(page))
    sam.post(page, form(sam.get(page)) | {"destination": [str(other_course(rule).pk)]})
    mine.pop("enabled")
    answer = anyway(noor, noor.post(page, mine))
    rule.refresh_from_db()
    assert (rule.destination, rule.enabled) == (course, False)
    assert TITLE not in words(answer)


def test_a_third_change_is_told_too(sam, noor, rule):
    page = reverse("admin:rules_rule_change", args=[rule.pk])
    mine = form(noor.get(page))
    sam.post(page, form(sam.get(page)) | {"destination": [str(other_course(rule).pk)]})
    refused = noor.post(page, mine)
    switched_off = form(sam.get(page))
    switched_off.pop("enabled")
    sam.post(page, switched_off)
    assert TITLE in words(anyway(noor, refused))


def test_who_enters_the_same_as_somebody_else_is_not_asked(sam, noor, rule):
    page = reverse("admin:rules_rule_change", args=[rule.pk])
    nine = other_course(rule)
    mine = form(noor.get(page)) | {"destination": [str(nine.pk)]}
    sam.post(page, form(sam.get(page)) | {"destination": [str(nine.pk)]})
    assert TITLE not in words(noor.post(page, mine, follow=True))


def test_going_on_without_script_keeps_from_when_the_page_was_opened(sam, noor, rule):
    page = reverse("admin:rules_rule_change", args=[rule.pk])
    opened = form(noor.get(page))
    sam.post(page, form(sam.get(page)) | {"destination": [str(other_course(rule).pk)]})
    again = noor.post(page, opened | {"go_on": ["1"]}, follow=True)
    assert TITLE in words(noor.post(page, form(again)))


def test_a_form_with_an_error_keeps_from_when_it_was_opened(sam, noor, rule):
    product: Product = rule.product
    page = reverse("admin:integrations_product_change", args=[product.pk])
    chosen = {"marketplace": [str(product.marketplace_id)], "kind": ["product"]}
    mine = form(noor.get(page)) | chosen
    sam.post(page, mine | {"name": ["Theirs"]})
    wrong = noor.post(page, mine | {"external_id": [""]})
    carried = form(wrong)["as_opened"]
    refused = noor.post(page, mine | {"name": ["Mine"], "as_opened": carried})
    assert "Name Theirs Mine" in words(refused)


def test_a_field_mapping_and_a_name_are_both_told(sam, noor, db):
    site = factories.IntegrationFactory.create(name="Art Academy")
    field = factories.ProfileFieldFactory.create(integration=site, label="Company")
    page = reverse("admin:integrations_integration_change", args=[site.pk])
    mine = form(noor.get(page)) | {"name": ["Mine"]}
    theirs = form(sam.get(page)) | {
        "field_mappings-0-samcart_field": ["company"],
        "field_mappings-0-profile_field": [str(field.pk)],
    }
    sam.post(page, theirs)
    said = words(noor.post(page, mine))
    assert TITLE in said
    assert "Company company –" in said
    assert "Name Art Academy Mine" in said


def test_a_key_that_was_typed_is_asked_for_again(sam, noor, db):
    site: Integration = factories.IntegrationFactory.create(name="Art Academy")
    page = reverse("admin:integrations_integration_change", args=[site.pk])
    mine = form(noor.get(page)) | {"secret": ["typed-key-of-noor"]}
    credentials.save(site, "another-key-of-sam")
    refused = noor.post(page, mine)
    assert TITLE in words(refused)
    assert "typed-key-of-noor" not in words_of(refused)
    assert "secret" in form(refused)


def test_the_name_of_an_account_is_not_lost(sam, noor, db):
    account = Marketplace.objects.create(name="Main shop")
    page, rename = reverse("admin:samcart"), reverse("admin:samcart-rename", args=[account.pk])
    mine, theirs = form(noor.get(page), rename), form(sam.get(page), rename)
    sam.post(rename, theirs | {"name": ["Theirs"]})
    refused = noor.post(rename, mine | {"name": ["Mine"]})
    assert "Name Theirs Mine" in words(refused)
    anyway(noor, refused)
    account.refresh_from_db()
    assert account.name == "Mine"


def test_the_letter_is_not_lost(sam, noor, db):
    page = reverse("admin:letter")
    mine, theirs = form(noor.get(page)), form(sam.get(page))
    sam.post(page, theirs | {"text": ["Dear {first name}"]})
    refused = noor.post(page, mine | {"text": ["Hello {first name}\r\nyou"]})
    assert "changed the letter to customers" in words(refused)
    assert letter.current().text == "Dear {first name}"
    anyway(noor, refused)
    assert letter.current().text == "Hello {first name}\nyou"


def test_a_role_and_a_person_are_watched_too(db):
    owner = User.objects.create_superuser("mia@example.com", "mia@example.com", "pw")
    mia, other = client_of(owner), client_of(User.objects.create_superuser("lee@example.com"))
    group = Group.objects.create(name="Helpers")
    for thing, name in ((group, "auth_group"), (person(roles.VIEWER), "auth_user")):
        page = reverse(f"admin:{name}_change", args=[thing.pk])
        mine, theirs = form(mia.get(page)), form(other.get(page))
        both = {"email": ["a@example.com"], "role": [roles.VIEWER]}
        other.post(page, theirs | both | {"name": ["Theirs"]})
        refused = mia.post(page, mine | both | {"name": ["Mine"]})
        assert "Name Theirs Mine" in words(refused), name


def test_a_row_of_coverage_whose_rules_changed_is_not_saved(sam, noor, rule):
    page, nine = reverse("admin:coverage"), other_course(rule)
    mine = form(noor.get(page)) | {f"give-{rule.product_id}": ["Course Nine"]}
    sam.post(reverse("admin:rules_rule_delete", args=[rule.pk]), {"post": "yes"})
    refused = noor.post(page, mine)
    assert "deleted a rule on" in words(refused)
    assert not Rule.objects.filter(destination=nine).exists()
    add(noor, anyway(noor, refused))
    assert Rule.objects.filter(destination=nine).exists()


def test_another_row_of_coverage_may_change(sam, noor, rule):
    page, nine = reverse("admin:coverage"), other_course(rule)
    other: Any = factories.ProductFactory.create(marketplace=rule.marketplace)
    mine = form(noor.get(page)) | {f"give-{other.pk}": ["Course Nine"]}
    sam.post(reverse("admin:rules_rule_delete", args=[rule.pk]), {"post": "yes"})
    add(noor, noor.post(page, mine, follow=True))
    assert Rule.objects.filter(destination=nine).exists()


@pytest.mark.browser
def test_in_a_browser_both_values_stand_side_by_side_and_mine_is_saved(
    place: scenery.Scenery, address: str, browser: Browser
):
    rule = Rule.objects.filter(product__isnull=False, enabled=True).earliest("pk")
    where = f"{address}{reverse('admin:rules_rule_change', args=[rule.pk])}"
    with browsing.window(browser, browsing.Look(script=False)) as context:
        page = context.new_page()
        browsing.let_in(page, address, place.people["Manager"])
        page.goto(where)
        page.get_by_label("On", exact=True).uncheck()
        with browsing.window(browser, browsing.LOOKS[0]) as elsewhere:
            theirs = elsewhere.new_page()
            browsing.let_in(theirs, address, place.people["Owner"])
            theirs.goto(where)
            theirs.locator("#part-when summary").click()
            theirs.get_by_label("Subscription Charged").check()
            theirs.get_by_role("button", name="Save").click()
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("heading", name=TITLE)).to_be_visible()
        expect(page.locator("tr", has_text="Trigger")).to_contain_text("Subscription Charged")
        page.get_by_role("button", name="Save mine anyway").click()
        expect(page.get_by_role("heading", name=TITLE)).to_be_hidden()
    rule.refresh_from_db()
    assert (rule.trigger, rule.enabled) == ("product_purchased", False)
