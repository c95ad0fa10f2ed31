"""The Overview says what others changed since a person's last visit."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from config.models import Preference
from config.staff import roles
from integrations.audit import Act, Actor, acting, record
from integrations.who import BY_COMMAND
from rules import changing
from rules.models import Rule
from tests.support import factories
from tests.support.pages import client_of, person, words

pytestmark = [pytest.mark.django_db, pytest.mark.first_database]
OVERVIEW = reverse("admin:index")


@pytest.fixture
def ada() -> User:
    return person(roles.MANAGER)


@pytest.fixture
def client(ada: User) -> Client:
    return client_of(ada)


@pytest.fixture
def ben() -> User:
    return person(roles.MANAGER, first_name="Ben", last_name="Miller")


def last_seen(person: User, **ago: int) -> None:
    """As if the person had last looked at the Overview that long ago."""
    at = timezone.now() - timedelta(**ago)
    Preference.objects.update_or_create(user=person, defaults={"seen_at": at})


def by(who: str, act: Act = Act.RULE_CHANGED, **facts: Any) -> None:
    with acting(lambda: Actor(who)):
        record(act, **facts)


def told(client: Client) -> str:
    found = re.search(r"Since your last visit on .+? See (?:it|them)", words(client.get(OVERVIEW)))
    return found[0] if found else ""


def test_it_says_who_changed_how_much_and_leads_to_just_that(ada, client, ben):
    last_seen(ada, hours=2)
    factories.RuleFactory.create_batch(2, enabled=True)
    with acting(lambda: Actor(ben.username)):
        changing.switch(Rule.objects.all(), on=False)
    by(ben.username, Act.LETTER_CHANGED)
    by(ada.username)
    page = client.get(OVERVIEW)
    assert re.search(r"on \d+ \w+ \d\d:\d\d, Ben Miller changed 2 things\. See them", words(page))
    (address,) = re.findall(r'href="([^"]+\?others=\d+)"', page.content.decode())
    changes = client.get(address)
    assert {line.who for line in changes.context["cl"].result_list} == {ben.username}
    assert len(changes.context["cl"].result_list) == 2
    assert "By others since" in words(changes)


def test_several_people_are_named_and_the_others_counted(ada, client):
    last_seen(ada, hours=2)
    for name in ("ben", "cleo", "dan"):
        by(f"{name}@example.com")
    assert "ben@example.com, cleo@example.com and 1 more changed 3 things." in told(client)


@pytest.mark.parametrize(
    ("who", "act"),
    [
        ("person 1", Act.RULE_CHANGED),
        (f"root{BY_COMMAND}", Act.TIDIED),
        ("ben@example.com", Act.SIGNED_IN),
        ("ben@example.com", Act.EXPORTED),
    ],
)
def test_own_changes_commands_sign_ins_and_looks_do_not_count(ada, client, who, act):
    assert ada.username == "person 1"
    last_seen(ada, hours=2)
    by(who, act)
    assert told(client) == ""


def test_the_line_stays_during_a_visit_and_goes_with_the_next_one(ada, client):
    last_seen(ada, hours=2)
    by("ben@example.com")
    assert told(client)
    last_seen(ada, minutes=29)
    assert told(client)
    last_seen(ada, minutes=31)
    assert told(client)  # the change came after that look
    Preference.objects.update(last_visit_at=timezone.now() + timedelta(seconds=2))
    assert told(client) == ""


def test_the_first_visit_says_nothing(client):
    by("ben@example.com")
    assert told(client) == ""
    assert Preference.objects.get().seen_at is not None


def test_a_look_is_noted_at_most_once_a_minute(ada, client):
    last_seen(ada, seconds=50)
    seen = Preference.objects.get().seen_at
    client.get(OVERVIEW)
    assert Preference.objects.get().seen_at == seen
    last_seen(ada, seconds=70)
    client.get(OVERVIEW)
    assert Preference.objects.filter(seen_at__gt=seen).exists()


@pytest.mark.parametrize("role", [roles.SUPPORT, roles.VIEWER])
def test_who_may_not_see_changes_is_told_nothing(role):
    someone = person(role)
    last_seen(someone, hours=2)
    by("ben@example.com")
    assert told(client_of(someone)) == ""


@pytest.mark.parametrize("asked", ["", "x", "99999999999", "-1", "\x00", "1e5"])
def test_an_address_that_names_no_moment_leaves_nothing_out(client, asked):
    by("ben@example.com")
    page = client.get(reverse("admin:integrations_auditentry_changelist"), {"others": asked})
    if page.status_code == 302:
        page = client.get(page.url)  # the address without it
    assert page.status_code == 200
    assert len(page.context["cl"].result_list) == 1
