"""People are named alike on all pages: by their full name, else by their user name."""

from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from config.staff import people, roles
from events.access import by_hand
from events.access.by_hand import Author
from integrations import audit
from integrations.audit import Act, Actor, acting
from integrations.models import AuditEntry
from integrations.who import remembering, shown_who
from rules import changing
from rules.models import Rule
from tests.support import factories
from tests.support.pages import client_of, markup, person, signed_in, words
from tests.support.queued import event

CHANGES = reverse("admin:integrations_auditentry_changelist")


@pytest.fixture
def mia(db: None) -> User:
    return person(roles.MANAGER, first_name="Mia", last_name="Flores")


def switch_off(by: User) -> Rule:
    rule: Rule = factories.RuleFactory.create(enabled=True)
    with acting(lambda: Actor(by.username)):
        changing.switch(Rule.objects.filter(pk=rule.pk), on=False)
    return rule


def test_changes_name_a_colleague_in_the_list_the_filter_and_the_search(mia):
    rule, client = switch_off(mia), signed_in(roles.MANAGER)
    page = client.get(CHANGES)
    assert "Mia Flores" in words(page)
    assert mia.username not in words(page)
    filtered = client.get(f"{CHANGES}?who={mia.username}")
    (entry,) = filtered.context["cl"].result_list
    for typed in ("flores", "MIA FLORES", mia.username):
        assert [*client.get(CHANGES, {"q": typed}).context["cl"].result_list] == [entry]
    assert not client.get(CHANGES, {"q": "flora"}).context["cl"].result_list
    entry_page = reverse("admin:integrations_auditentry_change", args=[entry.pk])
    assert "Mia Flores changed a rule" in words(client.get(entry_page))
    rule_page = reverse("admin:rules_rule_change", args=[rule.pk])
    assert "Last changed by Mia Flores" in words(client.get(rule_page))


def test_a_name_leads_to_all_that_the_person_did_newest_first(mia):
    rule = switch_off(mia)
    customer = factories.CustomerFactory.create()
    with acting(lambda: Actor(mia.username)):
        audit.record(Act.INTEGRATION_CHANGED, rule.integration)
        audit.record(Act.ACCESS_GIVEN, customer)
        audit.record(Act.REFUNDED_KEPT, event(customer))
        audit.record(Act.LETTER_CHANGED)
        audit.record(Act.PRODUCT_CHANGED, factories.ProductFactory.create())
    with acting(lambda: Actor("ben@example.com")):
        audit.record(Act.LETTER_CHANGED)
    boss = client_of(person(is_superuser=True))
    mine = f"{CHANGES}?{urlencode({'who': mia.username})}"
    to_mia = f'<a href="{mine}">Mia Flores</a>'
    entry = AuditEntry.objects.filter(who=mia.username).latest("pk")
    for page in (CHANGES, reverse("admin:integrations_auditentry_change", args=[entry.pk])):
        assert to_mia in markup(boss.get(page))
    shown = boss.get(mine)
    acts = [each.act for each in shown.context["cl"].result_list]
    assert acts == [
        "product_changed",
        "letter_changed",
        "refunded_kept",
        "access_given",
        "integration_changed",
        "rule_changed",
    ]
    assert "Undo this change" in words(shown)
    for page in ("admin:auth_user_changelist", "admin:auth_user_change"):
        args = [] if page.endswith("list") else [mia.pk]
        assert mine in markup(boss.get(reverse(page, args=args)))
    with acting(lambda: Actor(mia.username)):
        audit.record(Act.SIGNED_IN, mia)
    assert to_mia in markup(boss.get(reverse("admin:person-sessions", args=[mia.pk])))


def test_what_was_done_under_an_earlier_address_is_found_too(mia):
    mia.username = mia.email = "mia@example.com"
    mia.save()
    switch_off(mia)
    owner = person(is_superuser=True)
    boss = client_of(owner)
    people.save(mia, name="Mia Flores", email="mia@example.org", role=roles.MANAGER, by=owner)
    with acting(lambda: Actor("mia@example.org")):
        audit.record(Act.LETTER_CHANGED)
    page = boss.get(CHANGES, {"who": "mia@example.org"})
    assert [each.act for each in page.context["cl"].result_list] == [
        "letter_changed",
        "rule_changed",
    ]


def test_what_was_done_to_a_person_names_the_person(mia):
    entry = audit.record(Act.PERSON_CHANGED, mia, before={"role": "Viewer"}, after={"role": ""})
    client = signed_in(roles.MANAGER)
    assert "Mia Flores" in words(client.get(CHANGES))
    page = reverse("admin:integrations_auditentry_change", args=[entry.pk])
    assert "Mia Flores" in words(client.get(page))


def test_a_customers_page_and_the_events_name_who_gave_access(mia, world):
    customer = factories.CustomerFactory.create(email="dana@example.com")
    event = by_hand.give(customer, world.course("Ink"), Author(mia.username, "Lost her receipt"))
    world.settle()
    client = signed_in(roles.SUPPORT)
    shown = words(client.get(reverse("admin:integrations_customer_change", args=[customer.pk])))
    assert "by hand (Mia Flores)" in shown
    assert "Mia Flores: Lost her receipt" in shown
    assert mia.username not in shown
    shown = words(client.get(reverse("admin:events_eventlog_change", args=[event.pk])))
    assert "by Mia Flores" in shown
    assert mia.username not in shown


def test_people_of_the_same_name_are_told_apart_and_who_has_none_keeps_the_user_name(mia):
    assert shown_who(mia.username) == "Mia Flores"
    other = person(roles.SUPPORT, first_name="Mia", last_name="Flores")
    assert shown_who(mia.username) == f"Mia Flores ({mia.username})"
    assert shown_who(other.username) == f"Mia Flores ({other.username})"
    assert shown_who(person().username) == User.objects.latest("pk").username
    assert shown_who("gone@example.com") == "gone@example.com"
    assert shown_who("") == ""


def test_names_are_read_once_for_a_page(mia, django_assert_num_queries):
    for _ in range(3):
        switch_off(mia)
    client = client_of(mia)
    with CaptureQueriesContext(connection) as asked:
        client.get(CHANGES)
    names = [each for each in asked if '"last_name" FROM "auth_user"' in each["sql"]]
    assert len(names) == 1
    with remembering(), django_assert_num_queries(1):
        assert [shown_who(who) for who in (mia.username, "gone@example.com")]
