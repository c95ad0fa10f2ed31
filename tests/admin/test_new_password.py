"""Signing in with an e-mail in any case, and a new password for the only owner."""

from io import StringIO
from typing import Any

import pytest
from django.conf import settings as given
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from config.staff import people
from tests.support import live
from tests.support.pages import markup, words

pytestmark = pytest.mark.first_database

PASSWORD = "a long and good passphrase"


def owner(name: str, **facts: Any) -> User:
    return User.objects.create_superuser(name, name, PASSWORD, **facts)


def signs_in_as(typed: str, password: str = PASSWORD) -> str:
    """Whom the sign-in page lets in; "" for nobody."""
    client = Client()
    client.post(reverse("admin:login"), {"username": typed, "password": password})
    number = client.session.get("_auth_user_id")
    return User.objects.get(pk=number).get_username() if number else ""


def new_password(*arguments: str) -> str:
    out = StringIO()
    call_command("new_password", *arguments, stdout=out)
    return out.getvalue()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("made", "typed"),
    [
        ("mia@example.com", "Mia@Example.COM"),
        ("Mia@Example.com", "mia@example.com"),
        ("Mia@Example.com", " MIA@example.com "),
        ("mia@müller.example", "MIA@MÜLLER.example"),
        ("Ольга@example.com", "ольга@EXAMPLE.com"),
    ],
)
def test_the_e_mail_is_taken_in_any_capitals(made: str, typed: str):
    owner(made)
    assert signs_in_as(typed) == made
    assert signs_in_as(typed, PASSWORD.upper()) == ""


@pytest.mark.django_db
def test_two_who_differ_by_capitals_alone_both_sign_in():
    for name in ("Mia@Example.com", "mia@example.com"):
        owner(name)
    assert signs_in_as("Mia@Example.com") == "Mia@Example.com"
    assert signs_in_as("mia@example.com") == "mia@example.com"
    assert signs_in_as("MIA@EXAMPLE.COM") == "mia@example.com"


@pytest.mark.django_db
def test_of_two_others_the_one_who_is_on_is_meant():
    owner("MIA@example.com", is_active=False)
    owner("Mia@Example.com")
    assert signs_in_as("mia@example.com") == "Mia@Example.com"


@pytest.mark.django_db
def test_nobody_is_still_nobody():
    assert signs_in_as("mia@example.com") == ""
    assert people.user_name("Mia@example.com") == "Mia@example.com"


@pytest.mark.django_db
@pytest.mark.parametrize("arguments", [(), ("MIA@example.com",), (" mia@example.com ",)])
def test_the_only_owner_gets_a_link_by_one_command(arguments: tuple[str, ...], settings):
    settings.PUBLIC_URL = "https://admit.example.com"
    owner("mia@example.com")
    first, said = new_password(*arguments).splitlines()
    assert first.startswith("https://admit.example.com/admin/")
    assert said.startswith("Under this link mia@example.com chooses a new password. It works once")
    client = Client()
    form = client.get(first.removeprefix(settings.PUBLIC_URL), follow=True)
    chosen = {"new_password1": "another good one 7", "new_password2": "another good one 7"}
    client.post(form.redirect_chain[-1][0], chosen)
    assert signs_in_as("mia@example.com", PASSWORD) == ""
    assert signs_in_as("mia@example.com", "another good one 7") == "mia@example.com"


@pytest.mark.django_db
def test_what_makes_no_link_says_why():
    with pytest.raises(CommandError, match="No owner can sign in"):
        new_password()
    owner("mia@example.com")
    owner("sam@example.com")
    with pytest.raises(CommandError, match=r"The owners are mia@example\.com, sam@example\.com"):
        new_password()
    with pytest.raises(CommandError, match=r"Nobody signs in with x@example\.com\."):
        new_password("x@example.com")
    User.objects.filter(username="sam@example.com").update(is_active=False)
    with pytest.raises(CommandError, match=r"sam@example\.com is off"):
        new_password("sam@example.com")


@pytest.mark.django_db
@pytest.mark.parametrize("page", ["/admin/login/", "/admin/auth/user/welcome/spent/link/"])
def test_the_pages_before_sign_in_say_how_the_only_owner_gets_in_again(page: str):
    before, _, fold = words(Client().get(page)).partition("For your technician")
    assert "If you are the only owner, call your technician." in before
    assert "manage.py" not in before
    assert "manage.py new_password" in fold


def test_a_command_says_which_admit_this_is(tmp_path):
    with live.installation(tmp_path, seeded=False, bare=True) as admit:
        for asked in ("--version", "version"):
            told = admit.manage(asked)
            assert (told.returncode, told.stdout) == (0, f"Admit {given.VERSION}\n")


@pytest.mark.django_db
def test_the_foot_of_each_page_says_which_admit_this_is_and_tells_no_stranger(settings):
    settings.VERSION = "7.8.9"
    client = Client()
    assert "7.8.9" not in client.get("/admin/login/").content.decode()
    client.force_login(owner("mia@example.com"))
    for page in ("/admin/", "/admin/events/eventlog/", "/admin/help/"):
        foot = markup(client.get(page)).partition('<footer id="footer">')[2]
        assert foot.strip().startswith("Admit 7.8.9")
