"""One search: every kind that the person may see, exact hits first, in a few queries."""

import re

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from playwright.sync_api import Browser, expect

from config.admin import menu, pages_by_name
from config.admin.parts.buttons import page_of
from config.staff import roles
from events.reports.customers import customer_access, customer_search
from integrations import audit
from integrations.audit import Act
from integrations.models import Customer, Destination, Product
from integrations.search_terms import fold
from tests.support import browsing, factories, scenery
from tests.support import shop as shops
from tests.support.pages import markup, signed_in, words
from tests.support.samcart import changed

SEARCH = "admin:search"


def groups(client, term: str) -> list[str]:
    page = markup(client.get(reverse(SEARCH), {"q": term}))
    return re.findall(r"<h2>([^<]*)</h2>\s*<ul class=\"hits\">", page)


@pytest.fixture
def shop(db):
    shop = shops.build()
    event = shop.sell(changed("10_product", order__id=4711))
    product = shops.product_of(event)
    product.name = "Drawing"
    product.save()
    shop.rule(product=product.external_id, destination__name="Drawing Faces")
    return shop


@pytest.mark.first_database
@pytest.mark.parametrize(
    ("term", "found"),
    [
        ("4711", "Orders"),
        ("#4711", "Orders"),
        ("Order 4711", "Orders"),
        ("order #04711", "Orders"),
        ("Pedido 4711", "Orders"),
        ("Dana", "Customers"),
        ("Drawing Faces", "Courses and bundles"),
        ("drawing", "Products"),
        ("Actions", "Pages"),
        ("Art Academy", "Integrations"),
    ],
)
def test_each_kind_is_found_and_the_exact_one_stands_first(shop, term, found):
    assert groups(signed_in(roles.VIEWER), term)[0] == found


@pytest.mark.first_database
def test_a_rule_that_sends_to_a_receiver_is_found_by_its_name(shop):
    crm = factories.ReceiverFactory.create(name="My CRM")
    shop.rule(action="send_http_post", destination=None, integration=crm)
    assert groups(signed_in(roles.VIEWER), "CRM") == ["Rules", "Integrations"]


@pytest.mark.first_database
def test_the_only_hit_is_opened_at_once_and_several_are_listed(shop):
    viewer = signed_in(roles.VIEWER)
    course = Destination.objects.get()
    page = viewer.get(reverse(SEARCH)).content.decode()
    assert page.count('<input type="hidden" name="open" value="only">') == 2
    only = viewer.get(reverse(SEARCH), {"q": str(course.external_id), "open": "only"})
    assert only["Location"] == reverse("admin:integrations_destination_change", args=[course.pk])
    assert viewer.get(reverse(SEARCH), {"q": "drawing", "open": "only"}).status_code == 200
    assert viewer.get(reverse(SEARCH), {"q": "no such", "open": "only"}).status_code == 200


@pytest.mark.first_database
def test_a_course_is_found_by_its_number(shop):
    course = Destination.objects.earliest("pk")
    number = str(course.external_id)
    viewer = signed_in(roles.VIEWER)
    assert "Courses and bundles" in groups(viewer, number)
    assert f"{course.name} {number} · {course.integration}" in words(
        viewer.get(reverse(SEARCH), {"q": number})
    )


@pytest.mark.first_database
def test_a_rule_is_found_by_its_product_and_named_as_in_the_list_of_rules(shop):
    page = signed_in(roles.VIEWER).get(reverse(SEARCH), {"q": "drawing"})
    assert "Product Purchased, Drawing → enroll in Drawing Faces" in words(page)


@pytest.mark.first_database
def test_a_rule_is_found_by_its_trigger(shop):
    refunds = shop.rule(
        trigger="product_refunded", action="expire_course_enrollment", destination__name="Clay"
    )
    page = signed_in(roles.VIEWER).get(reverse(SEARCH), {"q": "refunded"})
    (group,) = [each for each in page.context["groups"] if each.title == "Rules"]
    assert [hit.url.partition("?")[0] for hit in group.hits] == [page_of(refunds)]


def test_who_changes_a_rule_that_was_found_comes_back_to_what_was_found(shop):
    results = f"{reverse(SEARCH)}?q=faces"
    manager = signed_in(roles.MANAGER)
    (rule,) = re.findall(
        r'href="(/admin/rules/rule/\d+/change/[^"]*)"', markup(manager.get(results))
    )
    form = manager.get(rule).context["adminform"].form
    data = {name: form[name].value() or "" for name in form.fields}
    answer = manager.post(rule, data | {"enabled": ""})
    assert answer["Location"] == results


@pytest.mark.first_database
def test_an_exact_address_is_the_only_customer(shop):
    customer = Customer.objects.get()
    page = signed_in(roles.VIEWER).get(reverse(SEARCH), {"q": customer.email})
    assert (
        reverse("admin:integrations_customer_change", args=[customer.pk]) in page.content.decode()
    )
    assert "Exact" in words(page)


@pytest.mark.first_database
def test_an_address_that_nobody_has_offers_those_that_look_like_it(shop):
    customer = Customer.objects.get()
    slip = customer.email.replace("@example.com", "@exmaple.com")
    page = signed_in(roles.VIEWER).get(reverse(SEARCH), {"q": slip})
    assert f"Did you mean {customer.email} ?" in words(page)
    assert reverse("admin:integrations_customer_change", args=[customer.pk]) in str(page.content)


def meant(client: Client, typed: str) -> str:
    text = words(client.get(reverse(SEARCH), {"q": typed}))
    found = re.search(r"Did you mean (.*?)\?", text)
    return found[1] if found else ""


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("Jhon", "John Garcia"),
        ("Jonh Garcia", "John Garcia"),
        ("Johnn", "John Garcia"),
        ("Gartia", "John Garcia"),
        ("Whitfeild", "Wendy Whitfield"),
        ("Garica jhon", "John Garcia"),
        ("drawin", ""),  # the beginning of the name, which is found at once
        ("Drwaing", "Drawing"),
        ("Faecs", "Drawing Faces"),
        ("acuarela basica", "Acuarela B\u00e1sica"),
        ("zzzz", ""),
        ("qx", ""),
    ],
)
def test_a_slip_in_a_name_is_put_right(shop, typed, name):
    factories.CustomerFactory.create(
        email="john.g@example.com", first_name="John", last_name="Garc\u00eda"
    )
    factories.CustomerFactory.create(
        email="whitfield7@example.com", first_name="Wendy", last_name="Whitfield"
    )
    factories.ProductFactory.create(name="Acuarela B\u00e1sica")
    found = meant(signed_in(roles.VIEWER), typed)
    assert fold(name) in fold(found) if name else not found


@pytest.mark.parametrize("typed", ["zeo@example.com", "oze@example.com"])
def test_letters_that_are_swapped_at_the_beginning_of_an_address_are_put_right(db, typed):
    zoe = factories.CustomerFactory.create(email="zoe@example.com")
    assert customer_search.similar(typed)[0] == [zoe]


def test_a_slip_in_the_domain_offers_nobody_who_is_called_otherwise(db):
    tess = factories.CustomerFactory.create(email="tess@example.com")
    for name in ("tessa", "jess", "bess", "tes"):
        factories.CustomerFactory.create(email=f"{name}@example.com")
    assert customer_search.similar("tess@exmple.com")[0] == [tess]


def test_courses_of_one_name_are_told_apart_by_their_schools(db):
    for site in ("Art Academy", "Studio Nord"):
        school = factories.IntegrationFactory.create(name=site)
        factories.DestinationFactory.create(name="Watercolor for Beginners", integration=school)
    page = words(signed_in(roles.SUPPORT).get(reverse(SEARCH), {"q": "watercolour"}))
    for site in ("Art Academy", "Studio Nord"):
        assert f"Watercolor for Beginners on {site}" in page
    assert "mistyped address" not in page


def test_accents_make_no_difference_to_a_customers_name(shop):
    factories.CustomerFactory.create(first_name="Jos\u00e9", last_name="Garc\u00eda")
    for typed in ("garcia", "Garc\u00eda", "jose garcia"):
        assert "Customers" in groups(signed_in(roles.VIEWER), typed)


def test_a_slip_is_looked_for_in_an_index_alone(shop):
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL walks a small table whatever indexes there are")
    with CaptureQueriesContext(connection) as asked:
        customer_search.similar("abcdefghijkl")
    (sql,) = [each["sql"] for each in asked if each["sql"].count(" OR ") > 20]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
        plan = [row[3] for row in cursor.fetchall()]
    assert "MULTI-INDEX OR" in plan
    assert not [step for step in plan if step.startswith("SCAN") or "TEMP B-TREE" in step]


def test_a_slip_costs_few_questions(shop):
    for number in range(30):
        factories.CustomerFactory.create(first_name="John", last_name=f"Smith{number}")
    viewer = signed_in(roles.VIEWER)
    viewer.get(reverse(SEARCH), {"q": "nothing"})
    with CaptureQueriesContext(connection) as one:
        viewer.get(reverse(SEARCH), {"q": "zzzz"})
    with CaptureQueriesContext(connection) as asked:
        assert "John" in meant(viewer, "Jhon")
    assert len(asked) - len(one) <= 4
    assert "INSTR" not in " ".join(each["sql"] for each in asked)


@pytest.mark.first_database
@pytest.mark.parametrize("typed", ["every product", "All Products", "global", "any product"])
def test_global_rules_are_found_by_every_product(shop, typed):
    rule = shop.rule("product_refunded", action="expire_course_enrollment")
    viewer = signed_in(roles.VIEWER)
    page = reverse("admin:rules_rule_change", args=[rule.pk])
    assert page in markup(viewer.get(reverse(SEARCH), {"q": typed}))
    listed = viewer.get(reverse("admin:rules_rule_changelist"), {"q": typed})
    assert [each.pk for each in listed.context["cl"].result_list] == [rule.pk]


@pytest.mark.first_database
def test_a_product_is_found_by_its_former_name(shop):
    product = Product.objects.get(name="Drawing")
    audit.record(
        Act.PRODUCT_CHANGED, product, before={"name": "Sketching"}, after={"name": "Drawing"}
    )
    viewer = signed_in(roles.VIEWER)
    assert "Products" in groups(viewer, "sketch")
    text = words(viewer.get(reverse(SEARCH), {"q": "sketch"}))
    assert f"Drawing {product.external_id} \u00b7 formerly Sketching" in text
    assert "formerly" not in words(viewer.get(reverse(SEARCH), {"q": "drawing"}))


@pytest.mark.first_database
def test_an_exact_address_says_at_once_whether_the_person_is_in(shop):
    customer = Customer.objects.get()
    first = customer_access.describe(customer).lines[0].text
    page = signed_in(roles.VIEWER).get(reverse(SEARCH), {"q": customer.email})
    assert f"{customer.name} Exact {first}" in words(page)


@pytest.mark.first_database
def test_the_buyer_of_an_order_is_a_link(shop):
    page = signed_in(roles.VIEWER).get(reverse(SEARCH), {"q": "4711"}).content.decode()
    number = Customer.objects.get().pk
    assert reverse("admin:integrations_customer_change", args=[number]) in page


@pytest.mark.first_database
def test_what_a_person_may_not_see_is_not_found(shop):
    nobody = signed_in()
    for term in ("4711", "Dana", "Drawing", "Actions"):
        assert groups(nobody, term) == []
    assert groups(nobody, "Help") == ["Pages"]


@pytest.mark.first_database
def test_pages_that_the_menu_does_not_list_are_found_by_those_who_may_open_them(shop):
    support, viewer = signed_in(roles.SUPPORT), signed_in(roles.VIEWER)
    for term, name in (
        ("refunded", "refunded"),
        ("kept on", "refunded"),
        ("missed", "enter-order"),
    ):
        assert groups(support, term) == ["Pages"]
        page = support.get(reverse(SEARCH), {"q": term}).content.decode()
        assert f'href="{reverse(f"admin:{name}")}"' in page
        assert support.get(reverse(f"admin:{name}")).status_code == 200
        assert groups(viewer, term) == []
    for term, name in (
        ("new rule", "new-rule"),
        ("left over", "left-over"),
        ("several", "several-products"),
        ("new integration", "integrations_integration_add"),
    ):
        assert groups(support, term) == []
        assert groups(signed_in(roles.MANAGER), term) == ["Pages"]
        assert signed_in(roles.MANAGER).get(reverse(f"admin:{name}")).status_code == 200


@pytest.mark.first_database
@pytest.mark.parametrize(
    ("term", "name", "role"),
    [
        ("refunded buyers", "refunded", roles.SUPPORT),
        ("keep", "refunded", roles.SUPPORT),
        # What the page was called.
        ("refunded, and still in", "refunded", roles.SUPPORT),
        ("still in", "refunded", roles.SUPPORT),
        ("refund", "refunded", roles.SUPPORT),
        ("reembolsos", "refunded", roles.SUPPORT),
        ("undo", "integrations_auditentry_changelist", roles.MANAGER),
        ("API key", "integrations_integration_changelist", roles.VIEWER),
        ("retry", "events_rulerun_changelist", roles.VIEWER),
        ("add product", "integrations_product_add", roles.MANAGER),
        ("connect thinkific", "integrations_integration_add", roles.MANAGER),
    ],
)
def test_a_page_is_found_by_words_for_what_one_does_there(shop, term, name, role):
    language = "es" if term == "reembolsos" else "en"
    answer = signed_in(role).get(reverse(SEARCH), {"q": term}, HTTP_ACCEPT_LANGUAGE=language)
    page = answer.content.decode()
    assert re.search(rf'<ul class="hits">.*href="{reverse(f"admin:{name}")}"', page, re.DOTALL)


@pytest.mark.first_database
def test_every_page_that_has_other_words_is_one_that_the_search_knows():
    in_menu = {entry.url for _, entries in menu.MENU for entry in entries}
    assert in_menu <= set(pages_by_name.ALSO)
    assert set(pages_by_name.ALSO) <= in_menu | {
        name for _, name, _ in pages_by_name.BESIDE_THE_MENU
    }


@pytest.mark.first_database
@pytest.mark.parametrize("term", ["", "\x00", "%", "'", "<b>x</b>", "x" * 5000, "٣"])
def test_odd_terms_break_nothing_and_are_escaped(shop, term):
    answer = signed_in(roles.VIEWER).get(reverse(SEARCH), {"q": term})
    assert answer.status_code == 200
    assert "<b>x</b>" not in markup(answer)


def test_a_search_costs_few_queries_and_reads_no_table_of_customers(shop):
    for number in range(30):
        factories.CustomerFactory.create(email=f"dana{number}@example.com")
    viewer = signed_in(roles.VIEWER)
    viewer.get(reverse("admin:help"))
    with CaptureQueriesContext(
        connection,
    ) as frame:
        viewer.get(reverse("admin:help"))
    with CaptureQueriesContext(connection) as search:
        viewer.get(reverse(SEARCH), {"q": "dana"})
    assert len(search) - len(frame) <= 8
    sql = " ".join(each["sql"] for each in search)
    assert "INSTR" not in sql
    assert "position" not in sql


@pytest.mark.browser
def test_a_slash_goes_to_the_search_and_a_question_mark_shows_the_keys(place, address, browser):
    with browsing.window(browser, browsing.Look(browsing.WIDE)) as context:
        page = context.new_page()
        browsing.let_in(page, address, place.people["Owner"])
        page.goto(f"{address}/admin/help/")
        page.keyboard.press("?")
        assert page.locator("#find-keys").is_visible()
        page.keyboard.press("Escape")
        assert not page.locator("#find-keys").is_visible()
        page.keyboard.press("/")
        page.keyboard.type("1183/?")
        assert page.locator("#find-all").input_value() == "1183/?"
        assert not page.locator("#find-keys").is_visible()
        page.locator("#find-all").fill("1183")
        page.keyboard.press("Enter")
        page.wait_for_url("**/admin/search/?q=1183&open=only")
        assert page.get_by_role("heading", name="Orders").is_visible()


@pytest.mark.browser
def test_j_and_k_go_through_the_rows_of_a_list_x_ticks_one_and_enter_opens_it(
    place, address, browser
):
    with browsing.window(browser, browsing.Look(browsing.WIDE)) as context:
        page = context.new_page()
        browsing.let_in(page, address, place.people["Manager"])
        page.goto(address + reverse("admin:events_rulerun_changelist"))
        rows = page.locator("#result_list tbody tr")
        page.keyboard.press("k")
        expect(rows.nth(0).locator("a").first).to_be_focused()
        page.keyboard.press("j")
        page.keyboard.press("j")
        page.keyboard.press("k")
        expect(rows.nth(1).locator("a").first).to_be_focused()
        page.keyboard.press("x")
        expect(rows.nth(1).locator("input.action-select")).to_be_checked()
        expect(rows.nth(0).locator("input.action-select")).not_to_be_checked()
        link = rows.nth(1).locator("a").first.get_attribute("href")
        page.keyboard.press("Enter")
        page.wait_for_url(f"**{link}")


# While one types


@pytest.mark.first_database
def test_what_fits_is_a_part_of_a_page_with_a_few_of_each_kind(shop):
    for number in range(9):
        factories.ProductFactory.create(marketplace=shop.marketplace, name=f"Drawing {number}")
    answer = signed_in(roles.VIEWER).get(reverse("admin:search-hits"), {"q": "drawing"})
    page = markup(answer)
    assert "<html" not in page
    assert 'role="listbox"' in page
    assert page.count("/admin/integrations/product/") == 4
    assert "All results for drawing" in words(answer)


@pytest.mark.first_database
@pytest.mark.parametrize("term", ["", "d", "no-such-thing", "\x00", "x" * 5000])
def test_what_is_short_or_fits_nothing_asks_for_no_hits(shop, term):
    answer = signed_in(roles.VIEWER).get(reverse("admin:search-hits"), {"q": term})
    assert answer.status_code == 200
    assert answer.content.decode().count('role="option"') == 1


@pytest.mark.first_database
def test_while_one_types_nothing_is_shown_that_the_person_may_not_see(shop):
    page = signed_in().get(reverse("admin:search-hits"), {"q": "drawing"}).content.decode()
    assert "Drawing" not in page


@pytest.mark.first_database
def test_what_fits_takes_a_handful_of_questions(shop):
    client = signed_in(roles.VIEWER)
    with CaptureQueriesContext(connection) as asked:
        client.get(reverse("admin:search-hits"), {"q": "drawing"})
    assert len(asked) <= 16


@pytest.mark.browser
def test_what_fits_is_shown_while_one_types_and_opened_by_keys(
    place: scenery.Scenery, address: str, browser: Browser
):
    with browsing.window(browser, browsing.LOOKS[0]) as context:
        page = context.new_page()
        said: list[str] = []
        page.on("console", lambda line: said.append(line.text) if line.type == "error" else None)
        browsing.sign_in(page, address, place.people["Manager"], scenery.PASSWORD)
        page.keyboard.press("/")
        field = page.get_by_role("combobox", name="Search everything")
        expect(field).to_be_focused()
        field.press_sequentially("water", delay=20)
        option = page.get_by_role("option", name="Watercolor for Beginners").first
        expect(option).to_be_visible()
        expect(page.locator("#find-said")).to_contain_text("result")
        field.press("ArrowDown")
        expect(page.locator('[role="option"][aria-selected="true"]')).to_have_count(1)
        assert field.get_attribute("aria-activedescendant")
        page.evaluate(AXE_SCRIPT)
        rules = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "best-practice"]}}
        found = page.evaluate("rules => axe.run('header', rules)", rules)["violations"]
        assert [(each["id"], each["nodes"][0]["html"][:200]) for each in found] == []
        field.press("Escape")
        expect(option).to_be_hidden()
        expect(field).to_have_attribute("aria-expanded", "false")
        field.press("ArrowDown")
        expect(option).to_be_visible()
        field.press("ArrowDown")
        field.press("Enter")
        page.wait_for_url("**/change/")
    # The script of axe breaks the policy itself.
    assert [each for each in said if "axe" not in each and "Content Security" not in each] == []
