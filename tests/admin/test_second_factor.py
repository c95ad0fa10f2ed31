"""The second factor: set up, asked for after the password, recovered, and removed."""

import re
import time
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Browser, Page, expect

from config.models import Authenticator, RecoveryCode
from config.staff import second_factor
from integrations.models import Act, AuditEntry
from tests.support import browsing
from tests.support.pages import client_of, confirmed, markup, person, press, said, words
from tests.support.second_factor import add, code

pytestmark = pytest.mark.first_database

PASSWORD = "correct horse battery staple"
LOG = "/admin/events/eventlog/"
SIGN_IN, PAGE = "/admin/login/", "/admin/second-factor/"
ASKS = "The code that your app shows now"
SETS_UP = "Set up your second factor"


@pytest.fixture(autouse=True)
def _no_step_ends_meanwhile(request, monkeypatch) -> None:
    if not request.node.get_closest_marker("browser"):
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now)


@pytest.fixture
def mia(db) -> User:
    return User.objects.create_superuser("mia@example.com", "mia@example.com", PASSWORD)


def with_password(person: User, page: str = LOG) -> tuple[Client, Any]:
    """The browser of somebody who has given the password, and the page that follows."""
    client = Client()
    form = {"username": person.username, "password": PASSWORD, "next": page}
    return client, client.post(SIGN_IN, form, follow=True)


def give(client: Client, code: str) -> Any:
    return client.post(f"{SIGN_IN}?next={LOG}", {"code": code, "next": LOG})


def is_in(client: Client) -> bool:
    return client.get(LOG).status_code == 200


def codes_on(answer: Any) -> list[str]:
    found = re.search(r'<textarea id="codes"[^>]*>(.*?)</textarea>', answer.content.decode(), re.S)
    assert found, words(answer)
    return found[1].splitlines()


# Signing in


def test_after_the_password_a_code_is_asked_for_and_nothing_else_opens_before(mia):
    add(mia)
    client, answer = with_password(mia)
    assert ASKS in words(answer)
    assert "Sign out" not in words(answer)
    for page in (LOG, PAGE, "/admin/", "/admin/password_change/", "/admin/sessions/"):
        assert client.get(page)["Location"].startswith(SIGN_IN), page
    assert give(client, code(mia))["Location"] == LOG
    assert is_in(client)


def test_without_a_second_factor_the_password_is_enough(mia):
    client, answer = with_password(mia)
    assert answer.redirect_chain[-1][0] == LOG
    assert is_in(client)


@pytest.mark.parametrize("wrong", ["", "000000", "nonsense", "\u0660" * 6, "0" * 400])
def test_a_wrong_code_lets_nobody_in(mia, wrong: str):
    add(mia)
    client, _ = with_password(mia)
    assert "This code is wrong, or was used already." in words(give(client, wrong))
    assert not is_in(client)


def test_a_code_works_once(mia):
    add(mia)
    first, second = with_password(mia)[0], with_password(mia)[0]
    used = code(mia)
    give(first, used)
    give(second, used)
    assert (is_in(first), is_in(second)) == (True, False)
    assert is_in(first)


@pytest.mark.parametrize(("seconds", "taken"), [(-30, True), (30, True), (-90, False), (90, False)])
def test_a_clock_may_be_wrong_by_half_a_minute(mia, seconds: int, taken: bool):
    add(mia)
    client, _ = with_password(mia)
    give(client, code(mia, seconds=seconds))
    assert is_in(client) is taken


def test_a_code_of_somebody_else_does_not_do(mia):
    add(mia)
    other = person(is_superuser=True)
    add(other)
    client, _ = with_password(mia)
    give(client, code(other))
    assert not is_in(client)


def test_codes_are_tried_a_few_times_and_then_not_looked_at(mia):
    add(mia)
    client, _ = with_password(mia)
    for _ in range(5):
        give(client, "000000")
    text = words(give(client, code(mia)))
    assert "Too many tries for this account. Try again in 5 minutes, or ask an owner" in text
    assert not is_in(client)
    # The password has a count of its own.
    assert ASKS in words(with_password(mia)[1])


def test_a_recovery_code_works_once_however_it_is_written(mia):
    written = add(mia)[0]
    client, _ = with_password(mia)
    assert give(client, f" {written.upper().replace(' ', '-')} ")["Location"] == LOG
    assert RecoveryCode.objects.count() == 9
    (text,) = said(client.get(LOG))
    assert text.startswith("Recovery codes left: 9.")
    again, _ = with_password(mia)
    give(again, written)
    assert not is_in(again)


def test_who_is_halfway_in_can_leave(mia):
    add(mia)
    client, _ = with_password(mia)
    assert client.post(SIGN_IN, {"leave": "1"})["Location"] == SIGN_IN
    assert ASKS not in words(client.get(SIGN_IN))


def test_the_key_of_the_session_changes_when_the_code_is_given(mia):
    add(mia)
    client, _ = with_password(mia)
    before = client.session.session_key
    give(client, code(mia))
    assert client.session.session_key != before


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example", "javascript:x"])
def test_the_code_leads_nowhere_else(mia, elsewhere: str):
    add(mia)
    client, _ = with_password(mia)
    answer = client.post(SIGN_IN, {"code": code(mia), "next": elsewhere})
    assert answer["Location"] == "/admin/"


def test_a_new_link_for_the_password_does_not_take_the_place_of_the_code(mia):
    from config.staff import people

    add(mia)
    client = Client()
    form = client.get(people.new_link(mia).path, follow=True)
    chosen = {"new_password1": "another good one 77", "new_password2": "another good one 77"}
    answer = client.post(form.redirect_chain[-1][0], chosen, follow=True)
    assert ASKS in words(answer)
    assert not is_in(client)


def test_a_secret_that_cannot_be_opened_is_said_and_a_recovery_code_still_works(mia, settings):
    recovery = add(mia)
    settings.FIELD_ENCRYPTION_KEYS = ["b3RoZXItb3RoZXItb3RoZXItb3RoZXItb3RoZXItb3Q="]
    client, _ = with_password(mia)
    assert "cannot be opened with FIELD_ENCRYPTION_KEYS" in words(give(client, "123456"))
    give(client, recovery[0])
    assert is_in(client)


def test_each_step_stands_in_the_audit(mia):
    client = client_of(mia)
    client.get(PAGE)
    client.post(PAGE, {"code": "000000"})
    client.post(PAGE, {"code": code(mia)})
    client.post(reverse("admin:second-factor-new-codes"))
    client.post("/admin/logout/")
    client, _ = with_password(mia)
    give(client, "000000")
    give(client, code(mia, seconds=30))
    press(client, mia, "remove_second_factor")
    acts = AuditEntry.objects.filter(kind="user", number=str(mia.pk)).order_by("pk")
    assert list(acts.values_list("act", flat=True)) == [
        Act.SECOND_FACTOR_FAILED,
        Act.SECOND_FACTOR_ON,
        Act.RECOVERY_CODES_MADE,
        Act.SIGNED_OUT,
        Act.SECOND_FACTOR_FAILED,
        Act.SIGNED_IN,
        Act.SECOND_FACTOR_OFF,
    ]


# Setting it up


def test_it_is_set_up_by_the_first_code_and_recovery_codes_are_shown_once(mia):
    client, elsewhere = client_of(mia), client_of(mia)
    page = client.get(PAGE)
    assert SETS_UP in words(page)
    assert '<div class="qr" role="img" aria-label="QR code for the app"><svg' in markup(page)
    assert second_factor.secret_text(Authenticator.objects.get()) in words(page)
    assert is_in(client)
    assert "This code is wrong" in words(client.post(PAGE, {"code": "000000"}))
    assert second_factor.of(mia) is None
    codes = codes_on(client.post(PAGE, {"code": code(mia)}))
    assert len(set(codes)) == 10
    assert is_in(client)
    assert not is_in(elsewhere)
    text = words(client.get(PAGE))
    assert "10 recovery codes left." in text
    assert codes[0] not in text


def test_the_secret_is_the_same_until_it_is_confirmed_and_never_shown_after(mia):
    client = client_of(mia)
    client.get(PAGE)
    secret = second_factor.secret_text(Authenticator.objects.get())
    assert secret in words(client.get(PAGE))
    client.post(PAGE, {"code": code(mia)})
    again = markup(client.get(PAGE))
    assert secret not in again
    assert 'class="qr"' not in again


def test_a_secret_that_another_session_was_shown_lets_no_one_in(mia, settings):
    settings.REQUIRE_SECOND_FACTOR = True
    thief, _ = with_password(mia)
    seen = Authenticator.objects.get().key()
    client, page = with_password(mia)
    assert second_factor.secret_text(Authenticator.objects.get()) in words(page)
    assert Authenticator.objects.get().key() != seen
    give(client, code(mia))
    assert is_in(client)
    assert not is_in(thief)


def test_a_code_of_a_secret_that_is_no_longer_the_one_sets_nothing_up(mia):
    first, second = client_of(mia), client_of(mia)
    first.get(PAGE)
    earlier = code(mia)
    second.get(PAGE)
    page = first.post(PAGE, {"code": earlier})
    assert "This code is wrong" in words(page)
    assert second_factor.secret_text(Authenticator.objects.get()) in words(page)
    assert second_factor.of(mia) is None


def test_nothing_of_it_lies_readable_in_the_database(mia):
    client = client_of(mia)
    client.get(PAGE)
    codes = codes_on(client.post(PAGE, {"code": code(mia)}))
    authenticator = Authenticator.objects.get()
    stored = authenticator.sealed_key + " ".join(
        RecoveryCode.objects.values_list("digest", flat=True)
    )
    assert authenticator.key().hex() not in stored
    assert second_factor.secret_text(authenticator).replace(" ", "") not in stored
    assert codes[0].replace(" ", "") not in stored


def test_where_everybody_needs_one_it_is_set_up_after_the_password(mia, settings):
    settings.REQUIRE_SECOND_FACTOR = True
    client, answer = with_password(mia)
    assert SETS_UP in words(answer)
    assert "Everybody here needs one." in words(answer)
    for page in (LOG, "/admin/", PAGE, "/admin/password_change/"):
        assert client.get(page)["Location"].startswith(SIGN_IN), page
    answer = give(client, code(mia))
    assert len(codes_on(answer)) == 10
    assert f'href="{LOG}"' in answer.content.decode()
    assert is_in(client)


def test_who_was_signed_in_when_it_became_required_sets_it_up_as_well(mia, settings):
    client = client_of(mia)
    assert is_in(client)
    settings.REQUIRE_SECOND_FACTOR = True
    assert SETS_UP in words(client.get(LOG, follow=True))


# Changing and removing it


def test_new_recovery_codes_end_the_old_ones(mia):
    old = add(mia)[0]
    client, _ = with_password(mia)
    give(client, code(mia))
    confirmed(client)
    fresh = codes_on(client.post(reverse("admin:second-factor-new-codes")))
    assert old not in fresh
    for written, taken in ((old, False), (fresh[0], True)):
        other, _ = with_password(mia)
        give(other, written)
        assert is_in(other) is taken


def test_one_takes_it_away_oneself_and_other_sessions_end(mia):
    add(mia)
    clients = [with_password(mia)[0] for _ in range(2)]
    for number, client in enumerate(clients):
        give(client, code(mia, seconds=30 * number))
    confirmed(clients[0])
    answer = clients[0].post(reverse("admin:second-factor-remove"), follow=True)
    assert said(answer)[0].startswith("Your second factor is removed. From now on the password")
    assert second_factor.of(mia) is None
    assert (is_in(clients[0]), is_in(clients[1])) == (True, False)


def test_an_owner_takes_it_away_from_a_person_who_is_then_signed_out(mia):
    sam = person("Viewer")
    add(sam)
    client = client_of(sam)
    assert press(client_of(mia), sam, "remove_second_factor").status_code == 200
    assert second_factor.of(sam) is None
    assert client.get(LOG)["Location"].startswith(SIGN_IN)


def test_the_only_owner_comes_back_in_by_one_command(mia):
    add(mia)
    client = client_of(mia)
    out = StringIO()
    call_command("new_password", "--without-second-factor", stdout=out)
    assert "mia@example.com has no second factor anymore" in out.getvalue()
    assert "/admin/auth/user/welcome/" in out.getvalue()
    assert second_factor.of(mia) is None
    assert not is_in(client)
    call_command("new_password", "--without-second-factor", stdout=out)
    assert "mia@example.com has no second factor." in out.getvalue()


def test_a_link_alone_leaves_the_second_factor(mia):
    add(mia)
    call_command("new_password", stdout=StringIO())
    assert second_factor.of(mia)


@pytest.mark.browser
def test_a_person_sets_it_up_signs_out_and_signs_in_by_it(
    transactional_db, settings, browser: Browser
):
    mia = User.objects.create_superuser("mia@example.com", "mia@example.com", PASSWORD)
    with browsing.serving() as address, browsing.window(browser, browsing.LOOKS[0]) as context:
        page: Page = context.new_page()
        troubles: list[str] = []
        page.on(
            "console", lambda line: troubles.append(line.text) if line.type == "error" else None
        )
        browsing.sign_in(page, address, mia.username, PASSWORD)
        page.goto(f"{address}{PAGE}")
        expect(page.locator(".qr svg")).to_be_visible()
        page.get_by_label("Code of six digits").fill(code(mia))
        page.get_by_role("button", name="Turn it on").click()
        expect(page.get_by_label("Recovery codes")).to_be_visible()
        page.get_by_role("link", name="I have kept them").click()
        page.locator("details.person summary").click()
        page.get_by_role("button", name="Sign out").click()
        browsing.sign_in(page, address, mia.username, PASSWORD)
        page.get_by_label(ASKS).fill(code(mia, seconds=30))
        page.get_by_role("button", name="Sign in", exact=True).click()
        expect(page.locator("#user-tools")).to_be_visible()
    assert troubles == []
