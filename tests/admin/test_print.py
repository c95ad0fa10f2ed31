"""A customer's page prints as one clean sheet for people: purchases, access and decisions."""

import re

import pytest
from django.urls import reverse
from django.utils import timezone

from config.staff import roles
from events.models import RuleRun
from events.reports.system import api_calls
from integrations.models import Customer
from tests.support import browsing
from tests.support.pages import markup, signed_in, words


@pytest.mark.first_database
def test_the_sheet_says_in_words_what_happened_and_shows_no_call(place):
    run = RuleRun.objects.filter(status="done", target__startswith="course").latest("pk")
    page = reverse("admin:integrations_customer_change", args=[run.customer_id])
    answer = signed_in(roles.VIEWER).get(page)
    text = words(answer)
    assert str(run.message) in text
    assert api_calls.of_runs([run])[run.pk]
    for of_machines in ("POST", "GET", "http://", "Its answer", "enrollments?"):
        assert of_machines not in text
    year = timezone.localdate().year
    assert f"Days without a year are in {year}, and all times are in UTC." in text
    assert "user_id" not in text


@pytest.mark.first_database
def test_the_sheet_says_what_each_order_cost_and_nothing_about_signing_in(place):
    bought = place.world.sell(customer__email="paula@example.com", order__id=700601)
    place.world.settle()
    page = reverse("admin:integrations_customer_change", args=[bought.customer_id])
    source = markup(signed_in(roles.SUPPORT).get(page))
    (sums,) = re.findall(r'<p class="soft on-paper">(Price [^<]+)</p>', source)
    assert re.fullmatch(r"Price \d+\.\d\d\. Total of the order \d+\.\d\d\.", sums)
    assert re.search(r'<span class="on-screen">If it does not open, [^<]+</span>', source)
    # It is in what SamCart sent, which a viewer may not see.
    assert "Total of the order" not in words(signed_in(roles.VIEWER).get(page))


@pytest.mark.browser
def test_what_is_printed_has_the_facts_and_nothing_to_press(place, address, browser, tmp_path):
    customer = Customer.objects.filter(runs__status="done").latest("pk")
    with browsing.window(browser, browsing.Look(browsing.WIDE)) as context:
        page = context.new_page()
        browsing.let_in(page, address, place.people["Owner"])
        page.goto(address + reverse("admin:integrations_customer_change", args=[customer.pk]))
        assert page.locator("[data-print]").is_visible()
        page.locator("[data-print]").evaluate("button => { button.hidden = true }")
        assert not page.locator("[data-print]").is_visible()  # as it is without script
        assert not page.locator(".on-paper").first.is_visible()
        page.emulate_media(media="print")
        assert page.locator(".on-paper").first.is_visible()
        assert not any(each.is_visible() for each in page.locator(".on-screen").all())
        assert page.get_by_role("heading", level=1).is_visible()
        for hidden in ("button", "nav a", "#header", "textarea", "input"):
            shown = [each for each in page.locator(hidden).all() if each.is_visible()]
            assert shown == [], hidden
        links = page.locator("a", has_text="See the rule").all()
        assert links
        assert not any(link.is_visible() for link in links)
