"""Any value in the address or form of a page gets a page, never a server error."""

from urllib.parse import urlencode

import pytest
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from config.admin.parts.params import page_number, row_id
from config.staff import roles
from events.models import EventLog, RuleRun
from integrations.models import Integration, Product
from rules.models import Rule
from tests.support.pages import said, signed_in
from tests.support.world import World

# As it stands in an address: NUL with half a surrogate pair and bytes of no text, what only looks
# like a number, and what no column holds.
HOSTILE = ["a%00%ED%A0%80%FF%22%3C", "%C2%B2", "9" * 30]
LISTS = {
    "integrations_integration": "q p o id__in",
    "integrations_product": "q p kind__regex",
    "integrations_destination": "q p integration__id__exact kind__exact",
    "integrations_customer": "q p",
    "rules_rule": "q p scope__exact state integration__id__exact integration__id__in "
    "trigger__exact action__exact destination__id__exact",
    "events_eventlog": "q p result trigger__exact product product_name integration received "
    "order_id__regex received_at__year",
    "events_rulerun": "q p status__exact integration action__exact received",
    "auth_user": "q p",
    "auth_group": "q p",
}
BULK = {
    "integrations_integration": "refresh_ticked",
    "rules_rule": "turn_on turn_off delete_selected",
    "events_eventlog": "retry_chosen rerun_chosen deal_with_chosen",
    "events_rulerun": "retry_chosen do_chosen_anyway end_on_rules_day dismiss_chosen",
}
PAGES = {
    "admin:simulate": "event product trigger email account",
    "admin:new-rule": "product account integration action trigger q",
    "admin:new-rule-added": "rule",
}
NUMBERS = [
    ("7", 7),
    ("007", 7),
    ("9" * 18, 10**18 - 1),
    ("9" * 19, None),
    ("²", None),
    ("٣", None),
    ("-1", None),
    ("1.0", None),
    ("1_0", None),
    (" 1", None),
    ("", None),
    (None, None),
]


@pytest.fixture
def shop(world: World) -> World:
    course = world.course()
    world.rule("product_purchased", "create_course_enrollment", course)
    world.sell("10_product")
    world.settle()
    return world


def addresses(text: str) -> list[str]:
    """Each list and page with the text in each thing that it reads from its address."""
    asked = [(reverse(f"admin:{name}_changelist"), keys) for name, keys in LISTS.items()]
    asked += [(reverse(name), keys) for name, keys in PAGES.items()]
    product, site = Product.objects.get(), Integration.objects.get()
    asked.append((reverse("admin:integrations_product_copy", args=[product.pk]), "from"))
    found = [f"{page}?{key}={text}" for page, keys in asked for key in keys.split()]
    begun = urlencode(
        {
            "product": product.pk,
            "integration": site.pk,
            "action": "create_course_enrollment",
            "trigger": "product_purchased",
        }
    )
    found += [
        f"{reverse('admin:new-rule')}?{begun}&{key}={text}"
        for key in ("destination", "courses_like")
    ]
    return found


def faults(owner: Client, asked: list[str]) -> list[str]:
    owner.raise_request_exception = False
    answers = [(address, owner.get(address, follow=True)) for address in asked]
    return [f"{a.status_code} {address}" for address, a in answers if a.status_code != 200]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_in_an_address_breaks_a_page(shop: World, text: str):
    owner = signed_in(roles.MANAGER, is_superuser=True)
    assert faults(owner, addresses(text)) == []


@pytest.mark.parametrize(
    "asked",
    [
        "events_eventlog_changelist?order_id__regex=(",
        "events_rulerun_changelist?action__exact=no_kind_of_action",
    ],
)
def test_a_list_that_is_asked_for_what_it_cannot_filter_says_so_and_shows_all(
    shop: World, asked: str
):
    owner = signed_in(roles.MANAGER, is_superuser=True)
    name, question = asked.split("?")
    answer = owner.get(f"{reverse(f'admin:{name}')}?{question}", follow=True)
    assert answer.status_code == 200
    assert "The link has a filter that this list does not know" in answer.content.decode()
    assert "dana" in answer.content.decode().lower()


@pytest.mark.parametrize(
    ("name", "action"), [(name, each) for name, all in BULK.items() for each in all.split()]
)
def test_what_is_ticked_and_no_row_is_said_and_nothing_is_changed(
    shop: World, name: str, action: str
):
    owner = signed_in(roles.MANAGER, is_superuser=True)
    page, before = reverse(f"admin:{name}_changelist"), everything()
    for text in ("x", "9" * 30, "\x00", "²", ""):
        # Nor is anything done with the row that is ticked beside it.
        ticked = {"action": action, ACTION_CHECKBOX_NAME: [1, text], "post": "yes"}
        answer = owner.post(page, ticked, follow=True)
        assert answer.status_code == 200
        assert said(answer) == [
            "Nothing was done: one of the chosen lines is not in this list. Choose again."
        ]
    assert everything() == before


def test_every_bulk_action_is_tried_with_what_is_no_row(rf):
    request = rf.get("/")
    request.user = get_user_model()(is_superuser=True)
    found = {}
    for model, keeper in admin.site._registry.items():
        if actions := keeper.get_actions(request):
            found[f"{model._meta.app_label}_{model._meta.model_name}"] = set(actions)
    assert found == {name: set(actions.split()) for name, actions in BULK.items()}


def everything() -> list[list[object]]:
    return [list(model.objects.order_by("pk").values()) for model in (EventLog, Rule, RuleRun)]


@pytest.mark.parametrize(("text", "number"), NUMBERS)
def test_only_digits_that_a_column_holds_are_the_number_of_a_row(text, number):
    assert row_id(text) == number


def test_no_page_number_is_so_high_that_its_rows_cannot_be_counted():
    assert [page_number(text) for text in ("3", "0", "x", None)] == [3, 1, 1, 1]
    assert page_number("9" * 18) < 10**6
