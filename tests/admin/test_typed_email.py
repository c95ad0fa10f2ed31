"""The address that was typed in a search goes along to the form that moves access to it.

So does the repaired one of a customer whose address looks mistyped.
"""

import re
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from config.staff import roles
from integrations.models import Customer
from tests.support.pages import markup, said, signed_in, words
from tests.support.world import World

pytestmark = pytest.mark.first_database
SLIP = "dana+new@exmaple.com"
CUSTOMERS = "admin:integrations_customer_changelist"


@pytest.fixture
def support(db: None) -> Client:
    return signed_in(roles.SUPPORT)


@pytest.fixture
def dana(world: World) -> Customer:
    world.rule("product_purchased", "create_course_enrollment", world.course())
    world.sell(customer__email="dana+new@example.com")
    world.settle()
    return Customer.objects.get()


def link(page: Any, label: str) -> str:
    (found,) = re.findall(rf'<a href="([^"]+)"[^>]*>{label}</a>', markup(page))
    return unescape(found)


def email_in(page: Any) -> str:
    """What the field for the other address holds."""
    (field,) = re.findall(r'<input type="text" name="email"[^>]*>', markup(page))
    return unescape("".join(re.findall(r'value="([^"]*)"', field)))


@pytest.mark.parametrize("search", [CUSTOMERS, "admin:search"])
def test_what_was_typed_stands_in_the_form_that_moves_access(search, support, world, dana):
    found = support.get(reverse(search), {"q": SLIP})
    customer = support.get(link(found, re.escape(dana.email).replace("@", "(?:<wbr>)?@(?:<wbr>)?")))
    form = link(customer, "Move to another e-mail")
    assert email_in(support.get(form)) == SLIP
    sent = {"customer": dana.pk, "email": SLIP, "reason": "She mistyped it."}
    assert said(support.post(form, sent, follow=True)) == [f"The access is being moved to {SLIP}."]


@pytest.mark.parametrize(
    "typed", ["no address", '"><script>x</script>@example.com', "a" * 400 + "@example.com", "dana"]
)
def test_what_is_no_other_address_is_not_carried_along(typed, support, dana):
    typed = dana.email if typed == "dana" else typed
    page = reverse("admin:integrations_customer_change", args=[dana.pk])
    form = link(support.get(page, {"email": typed}), "Move to another e-mail")
    assert form == f"{reverse('admin:move-access')}?customer={dana.pk}"
    shown = support.get(form, {"customer": dana.pk, "email": typed})
    assert email_in(shown) == ""
    assert "<script>x" not in markup(shown)


def test_a_search_for_what_is_no_address_leads_to_the_plain_page(support, dana):
    found = support.get(reverse(CUSTOMERS), {"q": "dana+nwe@"})
    assert "?email=" not in found.content.decode().partition("Did you mean")[2]
    assert "Nothing" in words(found)


DOUBT = "Mistyped? hotmial.com looks like hotmail.com."


def bought(world: World, email: str) -> Customer:
    world.rule("product_purchased", "create_course_enrollment", world.course())
    world.sell(customer__email=email)
    return Customer.objects.get()


def page_of(customer: Customer) -> str:
    return reverse("admin:integrations_customer_change", args=[customer.pk])


def test_a_mistyped_domain_is_noticed_and_the_repaired_address_stands_in_the_form(support, world):
    lou = bought(world, "lou.lund@hotmial.com")
    world.settle()
    assert DOUBT in words(support.get(reverse(CUSTOMERS)))
    page = support.get(page_of(lou))
    letter = markup(page).partition("Letter to the customer")[2].partition("</details>")
    assert DOUBT in letter[0]
    (form,) = re.findall(r'<a class="button small" href="([^"]+)">Move to', markup(page))
    assert email_in(support.get(unescape(form))) == "lou.lund@hotmail.com"
    sent = {"customer": lou.pk, "email": "lou.lund@hotmail.com", "reason": "Mistyped."}
    support.post(unescape(form), sent)
    world.settle()
    assert "Mistyped?" not in words(support.get(page_of(lou)))
    assert "Mistyped?" not in words(support.get(reverse(CUSTOMERS)))


def test_the_button_that_moves_access_stands_once_beside_a_mistyped_domain(support, world):
    lou = bought(world, "lou.lund@hotmial.com")
    world.settle()
    assert words(support.get(page_of(lou))).count("Move to another e-mail") == 1
    dana = Customer.objects.create(email="d@example.com", email_as_sent="d@example.com")
    assert words(support.get(page_of(dana))).count("Move to another e-mail") == 1


def test_without_access_to_move_a_mistyped_domain_is_noticed_without_a_button(support, world):
    world.sell(customer__email="lou.lund@hotmial.com")
    page = support.get(page_of(Customer.objects.get()))
    assert DOUBT in words(page)
    assert '<a class="button small" href="/admin/move-access/' not in markup(page)


def test_who_may_not_move_access_reads_of_a_mistyped_domain(world):
    lou = bought(world, "lou.lund@hotmial.com")
    page = signed_in(roles.VIEWER).get(page_of(lou))
    assert DOUBT in words(page)
    assert "Move to another e-mail" not in words(page)


def test_an_address_that_looks_right_is_not_doubted(support, dana):
    assert "Mistyped?" not in words(support.get(page_of(dana)))
    assert "Mistyped?" not in words(support.get(reverse(CUSTOMERS)))


def test_a_doubted_address_is_told_first_and_nobody_is_sent_to_a_new_password(support, world):
    lou = bought(world, "lou.lund@hotmial.com")
    world.settle()
    shown = words(support.get(page_of(lou)))
    assert shown.index(DOUBT) < shown.index("has had Course")
    assert "signing in" not in shown
    assert "Forgot password?" not in shown
    assert "Please check this address." in shown


def test_who_comes_from_a_similar_address_reads_that_one_is_mistyped(support, dana):
    plain = words(support.get(page_of(dana)))
    assert "signing in" in plain
    assert "Forgot password?" in plain
    assert "probably mistyped" not in plain
    shown = words(support.get(page_of(dana), {"email": SLIP}))
    doubt = f"You looked for {SLIP}, and this is {dana.email}: one of them is probably mistyped."
    assert shown.index(doubt) < shown.index("has had Course")
    assert "signing in" not in shown
    assert "Forgot password?" not in shown
    assert shown.count("Move to another e-mail") == 1
