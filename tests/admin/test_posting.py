"""A Viewer changes nothing, whatever they post to whichever address."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import django.apps
import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection

from config.staff import roles
from events.models import EventLog, RuleRun
from integrations.models import Customer, Marketplace
from tests.support import scenery
from tests.support.pages import client_of, named_addresses, person

pytestmark = pytest.mark.first_database
APPS = ("integrations", "events", "rules", "auth", "admin")
# What each person has alone, or what looking itself may write down.
OWN = {"AuditEntry", "AlertChannel", "AlertMessage", "LogEntry"}
NOT_ASKED = {"login", "logout", "view_on_site"}
READING = ("SELECT", "SAVEPOINT", "RELEASE", "ROLLBACK")


def rows() -> dict[str, list[Any]]:
    """Every row of the tables that a person could change by a page."""
    models = [
        model
        for app in APPS
        for model in django.apps.apps.get_app_config(app).get_models()
        if model.__name__ not in OWN
    ]
    return {
        model.__name__: list(model._default_manager.order_by("pk").values()) for model in models
    }


@contextmanager
def statements_that_write() -> Iterator[list[str]]:
    """What is asked of the database meanwhile, but for what only reads."""
    found: list[str] = []

    def note(execute: Any, sql: str, *others: Any) -> Any:
        if not sql.lstrip().upper().startswith(READING):
            found.append(sql)
        return execute(sql, *others)

    with connection.execute_wrapper(note):
        yield found


def address(route: str, facts: dict[str, str]) -> str:
    """The route as the address of the newest row of its model."""
    if "object_id" in route:
        app, name = route.split("/")[:2]
        newest = django.apps.apps.get_model(app, name)._default_manager.order_by("pk").last()
        facts = facts | {"object_id": str(newest.pk if newest else 0)}
    return "/admin/" + re.sub(r"<(?:\w+:)?(\w+)>", lambda found: facts[found[1]], route)


def changed_by(somebody: User) -> set[str]:
    """The names of the addresses where a post of this person changed something."""
    client = client_of(somebody)
    event, run, customer = (each.objects.latest("pk").pk for each in (EventLog, RuleRun, Customer))
    account = Marketplace.objects.latest("pk").pk
    facts = {"account": str(account), "person": str(somebody.pk), "named": "1"}
    facts |= {"uidb64": "x", "token": "x", "app_label": "events"}
    said = {
        **{"post": "yes", "action": "retry_chosen", "_selected_action": run, "select_across": "1"},
        **{"customer": customer, "event": event, "run": run, "account": account},
        **{"email": "eve@example.com", "reason": "x", "name": "Eve", "role": "owner"},
        **{"is_superuser": "on", "is_staff": "on", "enabled": "on", "text": "x"},
    }
    before, changed = rows(), set()
    for name, route in named_addresses(admin.site.urls[0]):
        if name in NOT_ASKED:
            continue
        with statements_that_write() as written:
            client.post(address(route, facts), said)
        # To compare all rows takes longer than most posts.
        now = rows() if written else before
        if now != before:
            changed.add(name)
        before = now
    return changed


@pytest.mark.parametrize("role", [roles.VIEWER, ""])
def test_who_only_looks_changes_nothing_by_any_post(place: scenery.Scenery, role: str):
    assert changed_by(person(role)) == set()


def test_the_same_posts_by_an_owner_change_much(place: scenery.Scenery):
    """Else the test above would prove little."""
    assert len(changed_by(person(is_superuser=True))) >= 15
