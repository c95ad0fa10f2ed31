"""Sessions: their two time limits, their list, and how to end them from elsewhere."""

import logging
import re
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as given
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from config.models import Session
from config.staff import browsers
from config.staff.session_store import BEGAN, SEEN
from integrations.models import Act, AuditEntry
from integrations.secrets import digest
from tests.support.pages import client_of, markup, person, press, said, words

# A session ends by the clock and by a form.
pytestmark = pytest.mark.first_database

HOUR, DAY = 3600, 24 * 3600
PAGE, LOG = "/admin/sessions/", "/admin/events/eventlog/"
PASSWORD = "correct horse battery staple"
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/19.0 Mobile/15E148 Safari/604.1"
)


@pytest.fixture
def mia(db) -> User:
    return User.objects.create_superuser("mia@example.com", "mia@example.com", PASSWORD)


def sign_in(agent: str = FIREFOX, address: str = "203.0.113.7") -> Client:
    client = Client(REMOTE_ADDR=address, headers={"User-Agent": agent})
    client.post("/admin/login/", {"username": "mia@example.com", "password": PASSWORD})
    return client


def age(client: Client, seconds: float, *names: str) -> None:
    """Make these times of the client's session so many seconds older."""
    session = client.session
    for name in names or (BEGAN, SEEN):
        session[name] -= seconds
    session.save()


def row_of(client: Client) -> Session:
    return Session.objects.get(pk=client.session.session_key)


def is_in(client: Client) -> bool:
    return client.get(LOG).status_code == 200


def buttons(answer: Any) -> list[str]:
    """The values of the buttons that end one session."""
    return re.findall(r'name="end" value="([0-9a-f]{64})"', markup(answer))


def number_of(client: Client) -> str:
    return digest(client.session.session_key or "")


def writes(client: Client, headers: dict[str, str] | None = None) -> int:
    """How many statements change a row when the client opens a page."""
    with CaptureQueriesContext(connection) as asked:
        assert client.get(LOG, headers=headers).status_code == 200
    return sum("UPDATE" in query["sql"] or "INSERT" in query["sql"] for query in asked)


# Their ends


def test_a_session_ends_eight_hours_after_it_was_last_used(mia):
    client = sign_in()
    left = row_of(client).expire_date - timezone.now()
    assert timedelta(hours=7, minutes=59) < left <= timedelta(hours=8)
    assert client.cookies[given.SESSION_COOKIE_NAME]["max-age"] == 8 * HOUR
    Session.objects.update(expire_date=timezone.now())
    assert not is_in(client)


def test_a_session_ends_two_weeks_after_signing_in_however_much_it_is_used(mia):
    client = sign_in()
    age(client, 14 * DAY - HOUR)
    assert is_in(client)
    left = row_of(client).expire_date - timezone.now()
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
    age(client, 2 * HOUR)
    assert not is_in(client)


def test_use_is_written_down_once_a_minute_and_not_with_every_click(mia):
    client = sign_in()
    assert writes(client) == 0
    age(client, 61, SEEN)
    before = row_of(client).seen_at
    assert before
    assert writes(client) == 1
    assert (row_of(client).seen_at or before) > before


def test_a_page_that_loads_itself_again_keeps_no_session_alive(mia):
    client = sign_in()
    age(client, 61, SEEN)
    assert writes(client, {"Admit-Reload": "1"}) == 0


# The list


def test_the_page_lists_each_with_its_browser_address_and_times(mia):
    sign_in(SAFARI, "198.51.100.9")
    here = sign_in()
    text = words(here.get(PAGE))
    assert "Firefox on Windows This one" in text
    assert "Safari on iPhone" in text
    assert "198.51.100.9" in text
    assert "203.0.113.7" in text
    assert "A session ends 8 hours after it was last used" in text
    for row in Session.objects.all():
        assert row.pk not in markup(here.get(PAGE))


def test_nobody_sees_the_sessions_of_others_but_owners(mia):
    sam = person("Viewer")
    client = client_of(sam)
    assert "127.0.0.1" not in words(client.get(reverse("admin:person-sessions", args=[mia.pk])))
    assert len(buttons(client.get(PAGE))) == 1
    boss = sign_in()
    assert len(buttons(boss.get(reverse("admin:person-sessions", args=[sam.pk])))) == 1
    missing = boss.get(reverse("admin:person-sessions", args=[sam.pk + 100]))
    assert missing.status_code == 404


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (FIREFOX, "Firefox on Windows"),
        (SAFARI, "Safari on iPhone"),
        ("Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0 Safari/537.36", "Chrome on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on Windows"),
        ("Mozilla/5.0 (Linux; Android 15) Chrome/140.0 Safari/537.36", "Chrome on Android"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15) Version/19 Safari/605", "Safari on Mac"),
        ("curl/8.0 (Linux)", "Unknown browser on Linux"),
        ("<script>", "Unknown browser"),
        ("", "Unknown browser"),
    ],
)
def test_a_browser_is_called_as_people_call_it(agent: str, name: str):
    assert browsers.name(agent) == name


# Ending them


def test_one_session_is_ended_from_another(mia):
    there, here = sign_in(SAFARI), sign_in()
    (other,) = [each for each in buttons(here.get(PAGE)) if each != number_of(here)]
    assert said(here.post(PAGE, {"end": other}, follow=True)) == ["That session has ended."]
    assert (is_in(there), is_in(here)) == (False, True)
    again = here.post(PAGE, {"end": other}, follow=True)
    assert said(again) == ["That session had ended already."]


def test_signing_out_everywhere_ends_this_one_too(mia):
    there, here = sign_in(), sign_in()
    answer = here.post(PAGE, {"end": "all"}, follow=True)
    assert said(answer) == ["Mia@example.com is signed out everywhere."]
    assert (is_in(there), is_in(here)) == (False, False)
    assert not Session.objects.filter(user=mia).exists()


def test_the_session_in_use_can_be_ended_as_the_others(mia):
    here = sign_in()
    answer = here.post(PAGE, {"end": number_of(here)}, follow=True)
    assert said(answer) == ["You are signed out."]
    assert not is_in(here)


def test_an_owner_signs_a_person_out_and_only_this_person(mia):
    sam = person("Viewer")
    theirs, boss = client_of(sam), sign_in()
    place = reverse("admin:person-sessions", args=[sam.pk])
    answer = boss.post(place, {"end": "all"}, follow=True)
    assert said(answer) == [f"{sam.get_username().capitalize()} is signed out everywhere."]
    assert (is_in(theirs), is_in(boss)) == (False, True)
    # The number of somebody else's session does nothing here.
    boss.post(place, {"end": number_of(boss)})
    assert is_in(boss)


def test_a_changed_password_ends_the_other_sessions(mia):
    there, here = sign_in(), sign_in()
    fresh = "another good passphrase"
    form = {"old_password": PASSWORD, "new_password1": fresh, "new_password2": fresh}
    assert here.post("/admin/password_change/", form).status_code == 302
    assert (is_in(there), is_in(here)) == (False, True)
    assert Session.objects.filter(user=mia).count() == 1


def test_a_person_who_is_switched_off_has_no_session_left(mia):
    sam = person("Viewer")
    client_of(sam)
    press(sign_in(), sam, "switch_off")
    assert not Session.objects.filter(user=sam).exists()


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "You are signed out Sign in again"),
        ("es", "Ha cerrado la sesión Volver a iniciar sesión"),
    ],
)
def test_who_signs_out_reads_so_in_our_frame_and_can_sign_in_again(mia, language, said):
    page = sign_in().post("/admin/logout/", headers={"accept-language": language})
    assert said in words(page)
    assert f'href="{reverse("admin:login")}"' in page.content.decode()
    assert "quality time" not in words(page)


def test_signing_in_and_out_is_logged_with_the_address(mia, caplog):
    caplog.set_level(logging.INFO)
    client = sign_in(address="198.51.100.9")
    client.post("/admin/logout/")
    lines = [each for each in caplog.records if each.name == "config.staff.sign_in_events"]
    assert [line.message for line in lines] == ["signed_in", "signed_out"]
    assert {getattr(line, "address", "") for line in lines} == {"198.51.100.9"}
    assert {getattr(line, "user", 0) for line in lines} == {mia.pk}


def test_the_page_says_what_happened_at_sign_in_lately_and_from_where(mia):
    sign_in(address="198.51.100.9").post("/admin/logout/")
    stranger = Client(REMOTE_ADDR="192.0.2.5")
    for account in ("MIA@example.com", "nobody@example.com"):
        stranger.post("/admin/login/", {"username": account, "password": "wrong"})
    _, _, lately = words(sign_in().get(PAGE)).partition("Lately")
    for line in (
        "mia@example.com Signed in 203.0.113.7",
        "Somebody not signed in Failed to sign in 192.0.2.5",
        "mia@example.com Signed out 198.51.100.9",
        "mia@example.com Signed in 198.51.100.9",
    ):
        assert line in lately
    assert lately.count("Failed to sign in") == 1
    assert AuditEntry.objects.filter(act=Act.SIGN_IN_FAILED).count() == 2
    assert "nobody@example.com" not in str(list(AuditEntry.objects.values()))
