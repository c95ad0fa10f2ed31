"""One table of who may open which page and press which button; it must be complete."""

from typing import Any

import django.apps
import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, User
from django.urls import reverse

from config.admin.parts.buttons import Buttons
from config.admin.registry import PAGES
from config.staff import roles
from events.models import EventLog, RuleRun
from integrations import audit
from integrations.models import (
    Act,
    AuditEntry,
    Customer,
    Destination,
    Integration,
    Marketplace,
    Product,
)
from rules.models import Rule
from tests.support import factories, queued
from tests.support.pages import client_of, named_addresses, person

pytestmark = pytest.mark.first_database

OWNER, STAFF = "Owner", "staff without a role"
EVERYBODY = {OWNER, roles.MANAGER, roles.SUPPORT, roles.VIEWER}
HELPS = {OWNER, roles.MANAGER, roles.SUPPORT}
SETS_UP = {OWNER, roles.MANAGER}
ALONE = {OWNER}

# Pages of no single model, by name.
MAY_OPEN: dict[str, set[str]] = {
    "samcart": EVERYBODY,
    "samcart-account": EVERYBODY,
    "samcart-address": SETS_UP,
    "samcart-new-secret": SETS_UP,
    "samcart-end-old-address": SETS_UP,
    "samcart-own-rules": SETS_UP,
    "samcart-name-type": SETS_UP,
    "samcart-forget-type": SETS_UP,
    "samcart-rename": SETS_UP,
    "samcart-add": SETS_UP,
    "samcart-delete": SETS_UP,
    "coverage": EVERYBODY,
    "several-products": SETS_UP,
    "csv-log": SETS_UP,
    "csv-actions": SETS_UP,
    "csv-customers": SETS_UP,
    "csv-coverage": SETS_UP,
    "help": EVERYBODY | {STAFF},
    "search": EVERYBODY | {STAFF},
    "search-hits": EVERYBODY | {STAFF},
    "new-rule": SETS_UP,
    "new-rule-added": SETS_UP,
    "new-rule-refresh": SETS_UP,
    "another-course": SETS_UP,
    "earlier": HELPS,
    "given-by-rule": HELPS,
    "refunded": HELPS,
    "left-over": SETS_UP,
    "undo-step": SETS_UP,
    "give-access": HELPS,
    "give-to-anyone": HELPS,
    "end-access": HELPS,
    "keep-access": HELPS,
    "give-back": HELPS,
    "change-last-day": HELPS,
    "move-access": HELPS,
    "enter-order": HELPS,
    "add-note": HELPS,
    "erase-person": SETS_UP,
    "letter": SETS_UP,
    "simulate": HELPS,
    "compare": EVERYBODY,
    "compare-start": HELPS,
    "compare-enroll": HELPS,
    "many-retry": HELPS,
    "many-anyway": HELPS,
    "many-rerun": HELPS,
    "many-dismiss": HELPS,
    "many-days": HELPS,
    "many-deal": HELPS,
    "undo-batch": HELPS,
    "batch": EVERYBODY,
    "queue": ALONE,
    "account": EVERYBODY | {STAFF},
    "sessions": EVERYBODY | {STAFF},
    "person-sessions": ALONE,
    "second-factor": EVERYBODY | {STAFF},
    "second-factor-new-codes": EVERYBODY | {STAFF},
    "second-factor-remove": EVERYBODY | {STAFF},
    "alerts": EVERYBODY,
    "alerts-channel": SETS_UP,  # to add one: everybody may edit what they have
    "alerts-test": EVERYBODY,
    "alerts-delete": EVERYBODY,
    "alerts-silence": HELPS,
}
# What a row has besides its own page, by model and name.
MAY_OPEN_OF_ROW: dict[tuple[str, str], set[str]] = {
    ("product", "copy"): SETS_UP,
    ("eventlog", "download"): HELPS,
}
# Django's own, which ask for themselves, and the link for who cannot sign in yet.
FOR_THEMSELVES = {
    *("index", "login", "logout", "password_change", "password_change_done", "welcome"),
    *("autocomplete", "jsi18n", "view_on_site", "app_list"),
}
# Buttons, by model and name.
MAY_PRESS: dict[tuple[str, str], set[str]] = {
    ("integration", "refresh"): SETS_UP,
    ("integration", "try_now"): SETS_UP,
    ("integration", "turn_on"): SETS_UP,
    ("integration", "turn_off"): SETS_UP,
    ("integration", "send_test"): SETS_UP,
    ("integration", "note_welcome_emails"): SETS_UP,
    ("integration", "need_not_be_private"): SETS_UP,
    ("integration", "new_secret"): SETS_UP,
    ("destination", "mark_gone"): SETS_UP,
    ("destination", "mark_back"): SETS_UP,
    ("destination", "remove"): SETS_UP,
    ("rule", "switch_on"): SETS_UP,
    ("rule", "switch_off"): SETS_UP,
    ("product", "end_access"): SETS_UP,
    ("eventlog", "rerun"): HELPS,
    ("eventlog", "deal_with"): HELPS,
    ("eventlog", "give_email"): HELPS,
    ("eventlog", "give_trigger"): SETS_UP,
    ("rulerun", "retry"): HELPS,
    ("rulerun", "try_now"): HELPS,
    ("rulerun", "release"): HELPS,
    ("rulerun", "do_anyway"): HELPS,
    ("rulerun", "run_again"): HELPS,
    ("rulerun", "dismiss"): HELPS,
    ("rulerun", "refresh"): SETS_UP,
    ("rulerun", "end_now"): HELPS,
    ("rulerun", "keep"): HELPS,
    ("rulerun", "turn_rule_off"): SETS_UP,
    ("customer", "ask_thinkific"): HELPS,
    ("auditentry", "undo"): SETS_UP,
    ("customer", "download_data"): SETS_UP,
    ("user", "new_link"): ALONE,
    ("user", "switch_on"): ALONE,
    ("user", "switch_off"): ALONE,
    ("user", "remove_second_factor"): ALONE,
}
# Bulk actions, by model and name.
MAY_DO_IN_BULK: dict[tuple[str, str], set[str]] = {
    ("integration", "refresh_ticked"): SETS_UP,
    ("rule", "turn_on"): SETS_UP,
    ("rule", "turn_off"): SETS_UP,
    ("rule", "delete_selected"): SETS_UP,
    ("eventlog", "retry_chosen"): HELPS,
    ("eventlog", "rerun_chosen"): HELPS,
    ("eventlog", "deal_with_chosen"): HELPS,
    ("rulerun", "retry_chosen"): HELPS,
    ("rulerun", "dismiss_chosen"): HELPS,
    ("rulerun", "do_chosen_anyway"): HELPS,
    ("rulerun", "end_on_rules_day"): HELPS,
}
# Lists and rows: who sees, who adds, who deletes.
LISTS: dict[Any, tuple[set[str], set[str], set[str]]] = {
    Integration: (EVERYBODY, SETS_UP, SETS_UP),
    Product: (EVERYBODY, SETS_UP, SETS_UP),
    Rule: (EVERYBODY, SETS_UP, SETS_UP),
    Destination: (EVERYBODY, set(), set()),
    EventLog: (EVERYBODY, set(), set()),
    RuleRun: (EVERYBODY, set(), set()),
    Customer: (EVERYBODY, set(), set()),
    AuditEntry: (SETS_UP, set(), set()),
    get_user_model(): (ALONE, ALONE, set()),
    Group: (ALONE, ALONE, ALONE),
}


@pytest.fixture
def things(db) -> dict[Any, Any]:
    """A row of each model that has a page."""
    course = factories.DestinationFactory.create()
    product = factories.ProductFactory.create()
    rule = factories.RuleFactory.create(
        product=product, marketplace=product.marketplace, destination=course
    )
    run = queued.run(course, status="failed")
    roles.grant(django.apps.apps)
    return {
        Integration: course.integration,
        Product: product,
        Rule: rule,
        Destination: course,
        EventLog: run.event,
        RuleRun: run,
        Customer: run.customer,
        AuditEntry: audit.record(Act.RULE_CHANGED, rule, before={"enabled": False}),
        Marketplace: product.marketplace,
        get_user_model(): get_user_model().objects.create_user("somebody"),
        Group: Group.objects.get(name=roles.VIEWER),
    }


def one_of(who: str) -> User:
    facts: dict[str, Any] = {"is_superuser": True} if who == OWNER else {}
    return person(who, **facts)


def keepers() -> list[Buttons]:
    return [each for each in admin.site._registry.values() if isinstance(each, Buttons)]


def test_every_page_button_and_bulk_action_stands_in_the_table(rf, things):
    assert {page.name for page in PAGES} == set(MAY_OPEN)
    assert set(admin.site._registry) == set(LISTS)
    buttons = {(each.opts.model_name, b.name) for each in keepers() for b in each.buttons}
    assert buttons == set(MAY_PRESS)
    request = rf.get("/admin/")
    request.user = get_user_model().objects.create_superuser("o")
    bulk = {
        (each.opts.model_name, name) for each in keepers() for name in each.get_actions(request)
    }
    assert bulk == set(MAY_DO_IN_BULK)


def test_every_address_of_the_admin_stands_in_a_table():
    known = set(MAY_OPEN) | FOR_THEMSELVES
    for model in LISTS:
        meta = model._meta
        whats = ["changelist", "change", "add", "delete"]
        whats += [name for name_of, name in MAY_OPEN_OF_ROW if name_of == meta.model_name]
        whats += [f"do_{name}" for name_of, name in MAY_PRESS if name_of == meta.model_name]
        known |= {f"{meta.app_label}_{meta.model_name}_{what}" for what in whats}
    assert {name for name, _ in named_addresses(admin.site.urls[0])} == known


@pytest.mark.parametrize("who", [OWNER, roles.MANAGER, roles.SUPPORT, roles.VIEWER, STAFF])
def test_each_role_opens_what_the_table_says_and_nothing_else(things, who):
    client = client_of(one_of(who))
    wrong = []
    for page in PAGES:
        arguments = [things[Marketplace].pk] if "<int:account>" in page.address else []
        arguments += [things[User].pk] if "<int:person>" in page.address else []
        arguments += [1] * page.address.count("<int:named>")
        status = client.get(reverse(f"admin:{page.name}", args=arguments)).status_code
        if (status != 403) is not (who in MAY_OPEN[page.name]):
            wrong.append((page.name, status))
    for model, (sees, adds, deletes) in LISTS.items():
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        row = [things[model].pk]
        for what, may, args in (
            ("changelist", sees, []),
            ("change", sees, row),
            ("add", adds, []),
            ("delete", deletes, row),
            *(
                (what, may, row)
                for (of, what), may in MAY_OPEN_OF_ROW.items()
                if of == model._meta.model_name
            ),
        ):
            status = client.get(reverse(f"{name}_{what}", args=args)).status_code
            if (status != 403) is not (who in may):
                wrong.append((f"{model.__name__} {what}", status))
    assert wrong == []


@pytest.mark.parametrize("who", [roles.MANAGER, roles.SUPPORT, roles.VIEWER, STAFF])
def test_each_role_presses_what_the_table_says_and_nothing_else(things, who):
    client = client_of(one_of(who))
    wrong = []
    for keeper in keepers():
        meta = keeper.opts
        for button in keeper.buttons:
            name = f"admin:{meta.app_label}_{meta.model_name}_do_{button.name}"
            address = reverse(name, args=[0])  # nobody's row: who may press is told that
            status = client.post(address).status_code
            may = who in MAY_PRESS[str(meta.model_name), button.name]
            if (status == 403) is may:
                wrong.append((meta.model_name, button.name, status))
    assert wrong == []


@pytest.mark.parametrize("who", [OWNER, roles.MANAGER, roles.SUPPORT, roles.VIEWER, STAFF])
def test_each_role_is_offered_the_bulk_actions_of_the_table(things, rf, who):
    request = rf.get("/admin/")
    request.user = one_of(who)
    for keeper in keepers():
        for name in keeper.get_actions(request):
            assert who in MAY_DO_IN_BULK[str(keeper.opts.model_name), name], (keeper, name)
    offered = {
        (each.opts.model_name, name) for each in keepers() for name in each.get_actions(request)
    }
    assert offered == {key for key, may in MAY_DO_IN_BULK.items() if who in may}


def test_who_is_not_signed_in_is_asked_to(client, things):
    paths = [reverse("admin:index"), reverse("admin:help"), reverse("admin:queue")]
    for model in LISTS:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        paths += [reverse(f"{name}_changelist"), reverse(f"{name}_change", args=[things[model].pk])]
    for path in paths:
        answer = client.get(path)
        assert answer.status_code == 302, path
        assert answer["Location"].startswith(reverse("admin:login")), path
