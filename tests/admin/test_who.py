"""People are named alike on all pages: by their full name, else by their user name."""

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from config.staff import roles
from events.access import by_hand
from events.access.by_hand import Author
from integrations import audit
from integrations.audit import Act, Actor, acting
from integrations.who import remembering, shown_who
from rules import changing
from rules.models import Rule
from tests.support import factories
from tests.support.pages import client_of, person, signed_in, words

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
