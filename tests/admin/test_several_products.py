"""Several products at once: what lines make, a preview, and lines that cannot be read."""

import re
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client
from django.urls import reverse
from playwright.sync_api import expect

from config.admin.pages.products import several_products as page
from config.staff import roles
from integrations import product_lines
from integrations.audit import Act
from integrations.models import AuditEntry, Marketplace, Product
from tests.support import browsing, factories
from tests.support.pages import markup, said, signed_in, words

pytestmark = pytest.mark.first_database

PAGE = "admin:several-products"


@pytest.fixture
def account(db) -> Marketplace:
    found: Marketplace = factories.MarketplaceFactory.create(name="Main")
    return found


@pytest.fixture
def manager(account) -> Client:
    return signed_in(roles.MANAGER)


def look(client: Client, lines: str, **more: Any) -> Any:
    asked = {"marketplace": Marketplace.objects.earliest("pk").pk, "lines": lines}
    return client.post(reverse(PAGE), asked | more)


def save(client: Client, lines: str, **more: Any) -> Any:
    """Press Save on the page that shows what these lines make."""
    seen = look(client, lines).context["seen"]
    return look(client, lines, save="1", seen=seen, **more)


def stored() -> set[tuple[str, str]]:
    return set(Product.objects.values_list("name", "external_id"))


def test_new_rule_leads_to_several_products_as_well_as_to_one(manager):
    factories.DestinationFactory.create()
    shown = markup(manager.get(reverse("admin:new-rule")))
    called = f"{reverse(PAGE)}?{urlencode({'back': reverse('admin:new-rule')})}"
    assert f'href="{called}">Add several products</a>' in shown


@pytest.mark.parametrize(
    ("line", "name", "external_id"),
    [
        ("Yoga, 12", "Yoga", "12"),
        ("Yoga, for two,12", "Yoga, for two", "12"),
        ("Yoga\t12", "Yoga", "12"),
        ("12\tYoga", "Yoga", "12"),
        ("12, Yoga, for two", "Yoga, for two", "12"),
        ("2024\t12", "2024", "12"),
        ("Yoga;12", "Yoga", "12"),
        ('"Yoga, ""for"" two",12', 'Yoga, "for" two', "12"),
        ("Yoga,0012", "Yoga", "12"),
        ("Yoga\t12.0", "Yoga", "12"),
        ("\N{ZERO WIDTH SPACE}Yoga, 12\N{ZERO WIDTH SPACE}", "Yoga", "12"),
        ("Yoga, https://app.samcart.com/products/12/edit", "Yoga", "12"),
        ("12", "Product 12", "12"),
    ],
)
def test_a_line_is_read_as_it_is_typed_or_pasted(account, line, name, external_id):
    (found,) = product_lines.read(f"\n{line}\n", account)
    assert (found.name, found.external_id, found.number) == (name, external_id, 2)
    assert found.is_new


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("Yoga", "no SamCart ID"),
        ("Yoga, level/2", "no SamCart ID"),
        ("Yoga, advanced", "no SamCart ID"),
        ("Yoga\t12\t49", "more than two columns"),
        ("Yoga, 0", "the ID 0"),
        ("Y" * 256 + ", 12", "longer than 255"),
        ("Yoga, " + "1" * 65, "longer than 64"),
        ("Yoga, https://app.samcart.com/products", "the ID alone"),
    ],
)
def test_a_line_that_cannot_be_used_says_why(account, line, problem):
    (found,) = product_lines.read(line, account)
    assert problem in found.problem


def test_nothing_is_made_before_it_was_looked_at(manager):
    answer = look(manager, "Yoga, 12\nDrawing, 13\nnothing")
    assert "2 products will be added. 1 line cannot be used" in words(answer)
    assert not stored()
    assert "Yoga, 12\nDrawing, 13\nnothing" in answer.content.decode()
    manager.post(reverse(PAGE), {"lines": "Yoga, 12", "save": "1"})
    assert not stored()


def test_all_good_lines_are_saved_at_once_and_the_others_stay(manager, account):
    known = factories.ProductFactory.create(marketplace=account, external_id="11", name="Old")
    answer = save(manager, "Yoga, 12\nnothing\nOther, 11\nDrawing\t13\nAgain, 12")
    assert stored() == {("Old", "11"), ("Yoga", "12"), ("Drawing", "13")}
    assert "2 products added." in words(answer)
    left = re.search(r"<textarea[^>]*>\s*(.*?)</textarea>", answer.content.decode(), re.DOTALL)
    assert left is not None
    assert left[1].split("\n") == ["nothing", "Again, 12"]
    added = AuditEntry.objects.filter(act=Act.PRODUCT_ADDED)
    assert {entry.name for entry in added} == {"Yoga", "Drawing"}
    known.refresh_from_db()
    assert known.name == "Old"


def test_what_exists_and_what_is_there_twice_is_said_beside_the_line(manager, account):
    factories.ProductFactory.create(marketplace=account, external_id="11", name="Old")
    text = words(look(manager, "Other, 11\nYoga, 12\nAgain, 12"))
    assert "There already Old" in text
    assert "Line 2 has the same SamCart ID." in text


def test_the_new_products_are_shown_in_coverage_alone(manager, account):
    factories.ProductFactory.create(marketplace=account, external_id="11", name="Old")
    for back in ({}, {"back": "/admin/coverage/"}, {"back": "https://example.com/"}):
        Product.objects.filter(external_id__in=["12", "13"]).delete()
        shown = manager.get(save(manager, "Yoga, 12\nDrawing, 13", **back).url)
        assert shown.request["PATH_INFO"] == reverse("admin:coverage")
        assert said(shown) == ["2 products added."]
        text = words(shown)
        assert "Only these 2 products × Remove this filter" in text
        assert ("Yoga 12" in text, "Drawing 13" in text, "Old 11" in text) == (True, True, False)
    (every,) = re.findall(r'<a class="chosen" href="([^"]+)"', shown.content.decode())
    assert every == reverse("admin:coverage")
    assert "Old 11" in words(manager.get(every))


def test_lines_that_could_not_be_read_are_shown_with_the_others_when_they_are_added(manager):
    first = save(manager, "Yoga, 12\nnothing")
    assert "1 product added. Choose their courses" in said(first)
    (added,) = re.findall(r'name="added" value="([^"]+)"', first.content.decode())
    shown = manager.get(save(manager, "Drawing, 13", added=added).url)
    assert "Only these 2 products" in words(shown)


def test_the_filter_stays_when_the_rules_of_the_new_products_are_entered(manager):
    address = save(manager, "Yoga, 12").url
    numbers = Product.objects.get().pk
    page = manager.get(address).content.decode()
    assert f'<input type="hidden" name="only" value="{numbers}">' in page
    done = manager.post(reverse("admin:coverage"), {"only": numbers, "forget": "yes"})
    assert done.url == address


def test_the_person_is_back_where_the_page_was_called_from(manager):
    copied = reverse("admin:new-rule")
    back = save(manager, "Yoga, 12", back=copied).url
    assert back == f"{copied}?product={Product.objects.get().pk}"
    more = save(manager, "Ink, 13\nClay, 14", back=back).url
    ids = Product.objects.exclude(external_id="12").order_by("pk").values_list("pk", flat=True)
    assert more == f"{back}&product={ids[0]}&product={ids[1]}"
    text = words(manager.get(copied))
    assert "2 products added. Choose their courses" in text
    coverage = manager.get(reverse("admin:coverage")).content.decode()
    called = f"{reverse(PAGE)}?{urlencode({'back': '/admin/coverage/'})}"
    assert called in coverage
    assert 'name="back" value="/admin/coverage/"' in manager.get(called).content.decode()
    products = reverse("admin:integrations_product_changelist")
    assert reverse(PAGE) in manager.get(products).content.decode()


def test_lines_changed_after_the_look_are_shown_once_more(manager):
    seen = look(manager, "Yoga, 12").context["seen"]
    answer = look(manager, "Yoga, 12\nDrawing, 13", save="1", seen=seen)
    assert "Nothing is saved yet" in words(answer)
    assert "2 products will be added." in words(answer)
    assert not stored()


def test_a_product_whose_first_event_comes_in_meanwhile_is_not_made_twice(
    manager, account, monkeypatch
):
    real = product_lines.add

    def meanwhile(lines: Any, account: Marketplace) -> Any:
        Product.objects.named(account.pk, "product", "12", "By SamCart")
        return real(lines, account)

    seen = look(manager, "Yoga, 12\nDrawing, 13").context["seen"]
    monkeypatch.setattr(product_lines, "add", meanwhile)
    answer = look(manager, "Yoga, 12\nDrawing, 13", save="1", seen=seen)
    assert stored() == {("By SamCart", "12")}
    assert "1 product will be added. 1 is there already" in words(answer)


def test_an_ampersand_in_a_name_is_escaped_once(manager):
    page = look(manager, "Ink & Line, 12").content.decode()
    assert "Ink &amp; Line" in page
    assert "&amp;amp;" not in page


def test_of_several_accounts_one_is_chosen_for_all_lines(manager):
    assert "<select" not in markup(manager.get(reverse(PAGE)))
    second = factories.MarketplaceFactory.create(name="Second")
    assert "<select" in markup(manager.get(reverse(PAGE)))
    seen = look(manager, "Yoga, 12", marketplace=second.pk).context["seen"]
    look(manager, "Yoga, 12", marketplace=second.pk, save="1", seen=seen)
    assert Product.objects.get().marketplace == second


def test_without_an_account_the_page_leads_to_one(db):
    assert "First add the account" in words(signed_in(roles.MANAGER).get(reverse(PAGE)))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("  \n ", "Enter at least one product."),
        ("\n".join(f"Yoga, {n}" for n in range(page.MAX_PRODUCTS + 1)), "Add at most 200 at once."),
    ],
)
def test_no_lines_and_too_many_say_so_and_stay(manager, lines, said):
    answer = look(manager, lines)
    assert said in words(answer)
    assert lines.strip() in answer.content.decode()


def test_two_hundred_lines_cost_no_query_each(manager, account, django_assert_max_num_queries):
    lines = "\n".join(f"Yoga, {number}" for number in range(1, page.MAX_PRODUCTS + 1))
    with django_assert_max_num_queries(30):
        look(manager, lines)
    with django_assert_max_num_queries(60):
        save(manager, lines)
    assert Product.objects.count() == page.MAX_PRODUCTS


def test_after_a_product_the_form_of_the_next_one_keeps_account_and_way_back(manager, account):
    second = factories.MarketplaceFactory.create(name="Second")
    add = f"{reverse('admin:integrations_product_add')}?{urlencode({'back': '/admin/coverage/'})}"
    assert 'name="_addanother"' in manager.get(add).content.decode()
    typed = {"marketplace": second.pk, "kind": "product", "name": "Yoga", "external_id": "0012"}
    answer = manager.post(add, typed | {"_addanother": "1"}, follow=True)
    assert "Product added: Yoga." in words(answer)
    assert f'value="{second.pk}" selected' in answer.content.decode()
    assert Product.objects.get().external_id == "12"
    last = answer.redirect_chain[-1][0]
    done = manager.post(last, typed | {"external_id": "13"})
    assert done.url == "/admin/coverage/"
    change = reverse("admin:integrations_product_change", args=[Product.objects.latest("pk").pk])
    assert "_addanother" not in manager.get(change).content.decode()


@pytest.mark.browser
def test_on_a_phone_without_script_lines_are_typed_looked_at_and_saved(place, address, browser):
    with browsing.window(browser, browsing.Look(browsing.NARROW, script=False)) as context:
        page = context.new_page()
        browsing.let_in(page, address, place.people["Manager"])
        page.goto(f"{address}/admin/coverage/")
        page.get_by_role("link", name="Add several products").click()
        page.locator("textarea").fill("Yoga\t77\nno number\nDrawing, 78\nTaken, 1048001")
        page.get_by_role("button", name="Look at the products").click()
        expect(page.get_by_text("2 products will be added.")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") == browsing.NARROW[0]
        page.get_by_role("button", name="Save 2 products").click()
        expect(page.locator("textarea")).to_have_value("no number")
        page.locator("textarea").fill("Clay, 79")
        page.get_by_role("button", name="Look again").click()
        page.get_by_role("button", name="Save 1 product").click()
        assert page.url.startswith(f"{address}/admin/coverage/?only=")
        expect(page.get_by_text("Only these 3 products")).to_be_visible()
        expect(page.get_by_role("row").filter(has_text="Clay")).to_be_visible()


@pytest.mark.browser
def test_a_short_page_is_no_higher_than_the_window_because_of_the_menu(place, address, browser):
    with browsing.window(browser, browsing.Look((1440, 900))) as context:
        page = context.new_page()
        browsing.let_in(page, address, place.people["Owner"])
        page.goto(f"{address}{reverse('admin:account')}")
        assert page.evaluate("document.documentElement.scrollHeight") == 900


def test_the_page_says_where_samcart_shows_the_id_of_a_product(manager):
    shown = words(manager.get(reverse(PAGE)))
    assert "In SamCart open a product; its ID is in the page's address." in shown
