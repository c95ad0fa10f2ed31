"""People: one-time links, roles, and at least one owner at all times."""

import html
import re
from datetime import timedelta
from functools import partial
from typing import Any

import django.apps
import pytest
from django.contrib.auth.models import Group, Permission, User
from django.contrib.auth.tokens import default_token_generator
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from config.staff import people, roles
from tests.support.pages import client_of, markup, press, said, words

pytestmark = pytest.mark.first_database

LIST = "admin:auth_user_changelist"
GOOD = "a long and good passphrase"


@pytest.fixture
def owner(db) -> User:
    roles.grant(django.apps.apps)
    return User.objects.create_superuser("mia@example.com", "mia@example.com", "pw")


@pytest.fixture
def boss(owner) -> Client:
    return client_of(owner)


def new(name: str, role: str, owner: User, **facts: Any) -> User:
    person = User(**facts)
    people.save(person, name=name, email=f"{name}@example.com", role=role, by=owner)
    return person


def add(client: Client, **changes: Any) -> Any:
    data = {"name": "Dana Sample", "email": "Dana@Example.com", "role": "Support"} | changes
    return client.post(reverse("admin:auth_user_add"), data)


def edit(client: Client, person: User, **changes: Any) -> Any:
    data = {
        "name": person.get_full_name() or "Somebody",
        "email": person.email,
        "role": people.role_of(person),
    } | changes
    return client.post(reverse("admin:auth_user_change", args=[person.pk]), data, follow=True)


def link_on(answer: Any) -> str:
    found = re.search(r'id="link-field"[^>]* value="([^"]+)"', markup(answer))
    assert found, markup(answer)
    return html.unescape(found[1])


def choose(link: str, password: str = GOOD, repeated: str = "") -> tuple[Client, Any]:
    """What the person does: open the link, choose a password."""
    client = Client()
    form = client.get(link, follow=True)
    place = form.redirect_chain[-1][0] if form.redirect_chain else link
    data = {"new_password1": password, "new_password2": repeated or password}
    return client, client.post(place, data, follow=True)


# One-time links


def test_a_new_person_gets_a_link_chooses_a_password_and_is_signed_in(boss):
    answer = add(boss)
    person = User.objects.get(username="dana@example.com")
    assert (person.email, person.get_full_name()) == ("dana@example.com", "Dana Sample")
    assert not person.has_usable_password()
    assert "no-store" in answer["Cache-Control"]
    client, welcome = choose(link_on(answer))
    assert said(welcome) == ["Your password is set, and you are signed in."]
    assert client.get(reverse("admin:events_eventlog_changelist")).status_code == 200
    person.refresh_from_db()
    assert person.check_password(GOOD)
    assert Client().login(username="dana@example.com", password=GOOD)


def test_the_link_is_kept_in_no_message_cookie_session_or_log(boss, caplog, capfd):
    answer = add(boss)
    token = link_on(answer).rstrip("/").rpartition("/")[2]
    assert token not in str(answer.cookies)
    assert token not in str(dict(boss.session))
    assert token not in boss.get(reverse(LIST)).content.decode()
    choose(link_on(answer))
    assert token not in caplog.text
    assert token not in "".join(capfd.readouterr())


def test_the_page_says_until_when_the_link_works(boss, settings):
    settings.PASSWORD_RESET_TIMEOUT = 2 * 86400
    until = timezone.localtime(timezone.now() + timedelta(days=2))
    assert f"It works once, until {until.day} {until:%b}" in words(add(boss))


def test_a_link_works_once(boss):
    link = link_on(add(boss))
    choose(link)
    _, again = choose(link, "another good passphrase")
    assert "This link does not work anymore" in words(again)
    assert User.objects.get(email="dana@example.com").check_password(GOOD)


def test_a_new_link_ends_the_one_before(boss):
    first = link_on(add(boss))
    person = User.objects.get(email="dana@example.com")
    second = link_on(press(boss, person, "new_link"))
    assert "does not work anymore" in words(choose(first)[1])
    choose(second)
    person.refresh_from_db()
    assert person.check_password(GOOD)


def test_a_password_stays_until_a_new_one_is_chosen_by_link(boss, owner):
    person = new("sam", "Viewer", owner)
    person.set_password("the old passphrase")
    person.save()
    answer = press(boss, person, "new_link")
    assert "The present password stays valid" in words(answer)
    assert Client().login(username="sam@example.com", password="the old passphrase")
    # Signing in ends the link as well: it was made for somebody who cannot.
    choose(link_on(press(boss, person, "new_link")))
    assert not Client().login(username="sam@example.com", password="the old passphrase")
    assert Client().login(username="sam@example.com", password=GOOD)


def test_a_link_that_is_too_old_is_refused_in_words(boss, monkeypatch, settings):
    link = link_on(add(boss))
    later = default_token_generator._now() + timedelta(seconds=settings.PASSWORD_RESET_TIMEOUT + 2)
    monkeypatch.setattr(default_token_generator, "_now", lambda: later)
    assert "This link does not work anymore" in words(choose(link)[1])


@pytest.mark.parametrize(
    ("password", "repeated", "says"),
    [
        ("12345678", "", "too common"),
        (GOOD, "something else", "didn’t match"),
        ("dana@example.com", "", "too similar"),
    ],
)
def test_a_weak_password_is_refused_in_words(boss, password, repeated, says):
    _, answer = choose(link_on(add(boss)), password, repeated)
    assert says in words(answer)
    assert not User.objects.get(email="dana@example.com").has_usable_password()


@pytest.mark.parametrize("path", ["x/y/", "MQ/set-password/", "99999/abc-def/"])
def test_a_made_up_link_is_refused_in_words(owner, path):
    answer = Client().get(f"/admin/auth/user/welcome/{path}")
    assert answer.status_code == 200
    assert "This link does not work anymore" in words(answer)


def test_the_link_of_somebody_switched_off_does_not_work(boss):
    link = link_on(add(boss))
    person = User.objects.get(email="dana@example.com")
    press(boss, person, "switch_off")
    assert "does not work anymore" in words(choose(link)[1])
    (text,) = said(press(boss, person, "new_link"))
    assert text.endswith("is off. Switch on first.")


# Roles


@pytest.mark.parametrize("role", [*roles.ROLES, "Owner"])
def test_a_person_gets_exactly_the_role_chosen(boss, owner, role: str):
    person = new("sam", "Manager" if role == "Viewer" else "Viewer", owner)
    edit(boss, person, role=role)
    person = User.objects.get(pk=person.pk)
    assert people.role_of(person) == role
    assert person.is_superuser == (role == "Owner")
    held = {name for name, codes in roles.ROLES.items() if person.has_perms(codes)}
    assert (role in held) or role == "Owner"
    assert person.has_perm("rules.add_rule") == (role in {"Manager", "Owner"})
    assert f"{role}" in words(boss.get(reverse(LIST)))


def test_groups_of_the_owners_own_making_stay(boss, owner):
    person = new("sam", "Viewer", owner)
    person.groups.add(Group.objects.create(name="Night shift"))
    edit(boss, person, role="Support")
    assert people.role_of(User.objects.get(pk=person.pk)) == "Night shift, Support"


def test_a_name_and_an_e_mail_are_changed_and_one_signs_in_with_the_new_one(boss, owner):
    person = new("sam", "Viewer", owner)
    edit(boss, person, name="Sam van Dyk", email="SAM@new.example.com")
    person.refresh_from_db()
    assert (person.first_name, person.last_name) == ("Sam", "van Dyk")
    assert person.username == person.email == "sam@new.example.com"


def test_saving_a_person_keeps_a_password_and_an_end_of_the_sign_in_of_meanwhile(boss, owner):
    person = new("sam", "Viewer", owner)
    about, theirs = User.objects.get(pk=person.pk), User.objects.get(pk=person.pk)
    theirs.set_password("a-new-password-of-sam")
    theirs.save()
    people.switch_off(theirs, by=owner)
    people.save(about, name="Sam Dyk", email="sam@example.com", role="Support", by=owner)
    stored = User.objects.get(pk=person.pk)
    assert stored.get_full_name() == "Sam Dyk"
    assert stored.check_password("a-new-password-of-sam")
    assert not stored.is_active


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"email": "MIA@example.com"},
            "There is already a person with the address mia@example.com.",
        ),
        ({"email": "nonsense"}, "Enter a valid email address."),
        ({"email": ""}, "This field is required."),
        ({"name": ""}, "This field is required."),
        ({"role": ""}, "This field is required."),
        ({"role": "King"}, "Select a valid choice."),
    ],
)
def test_a_person_who_cannot_be_is_refused_in_words(boss, changes, says: str):
    answer = add(boss, **changes)
    assert says in words(answer)
    assert "link-field" not in answer.content.decode()
    assert User.objects.count() == 1


def test_a_role_whose_group_was_deleted_is_refused_in_words(boss):
    Group.objects.get(name="Support").delete()
    assert "There is no role Support anymore." in words(add(boss))
    assert User.objects.count() == 1


# An owner always stays


def test_nobody_takes_away_their_own_ownership(boss, owner):
    new("sam", "Owner", owner)
    answer = edit(boss, owner, role="Manager")
    assert "You cannot take away your own ownership." in words(answer)
    assert User.objects.get(pk=owner.pk).is_superuser


def test_nobody_switches_themselves_off_nor_is_offered_to(boss, owner):
    new("sam", "Owner", owner)
    path = reverse("admin:auth_user_do_switch_off", args=[owner.pk])
    assert path not in markup(boss.get(reverse(LIST)))
    assert said(press(boss, owner, "switch_off")) == [
        "You cannot turn your own sign-in off. Ask another owner to do it."
    ]
    assert User.objects.get(pk=owner.pk).is_active


@pytest.mark.parametrize("how", ["demote", "switch off"])
def test_the_last_owner_stays(owner, how: str):
    other = new("sam", "Owner", owner)
    # As it would be for one of two owners who take it from each other at once.
    User.objects.filter(pk=owner.pk).update(is_superuser=False)
    viewer = partial(people.save, name="Sam", email="sam@example.com", role="Viewer")
    take: Any = viewer if how == "demote" else people.switch_off
    with pytest.raises(ValueError, match=r"This is the last owner\."):
        take(other, by=owner)
    other.refresh_from_db()
    assert (other.is_superuser, other.is_active) == (True, True)


def test_an_owner_takes_ownership_from_another(boss, owner):
    other = new("sam", "Owner", owner)
    edit(boss, other, role="Viewer")
    assert people.role_of(User.objects.get(pk=other.pk)) == "Viewer"
    assert client_of(other).get(reverse(LIST)).status_code == 403


def test_who_is_switched_off_is_out_at_once_and_back_when_switched_on(boss, owner):
    person = new("sam", "Viewer", owner)
    client = client_of(person)
    log = reverse("admin:events_eventlog_changelist")
    assert client.get(log).status_code == 200
    assert said(press(boss, person, "switch_off")) == ["Sam is off and cannot sign in anymore."]
    assert client.get(log).status_code == 302
    assert said(press(boss, person, "switch_on")) == ["Sam is on again, as Viewer."]
    assert client_of(person).get(log).status_code == 200


# Who sees it


@pytest.mark.parametrize("role", ["", *roles.ROLES])
def test_people_and_groups_are_for_owners_alone(owner, role: str):
    person = new("sam", role or "Viewer", owner)
    if not role:
        person.groups.clear()
    client = client_of(person)
    for name, arguments in (
        ("changelist", []),
        ("add", []),
        ("change", [owner.pk]),
    ):
        assert client.get(reverse(f"admin:auth_user_{name}", args=arguments)).status_code == 403
    assert add(client).status_code == 403
    assert edit(client, person, role="Owner").status_code == 403
    for button in ("new_link", "switch_off", "switch_on"):
        assert press(client, owner, button).status_code == 403, button
    assert client.get(reverse("admin:auth_group_changelist")).status_code == 403
    assert User.objects.count() == 2
    assert not User.objects.get(pk=person.pk).is_superuser


def test_even_a_group_with_every_permission_opens_no_people(owner):
    person = new("sam", "Manager", owner)
    person.user_permissions.set(Permission.objects.all())
    assert client_of(person).get(reverse(LIST)).status_code == 403
    assert edit(client_of(person), person, role="Owner").status_code == 403


def test_nobody_is_deleted(boss, owner):
    person = new("sam", "Viewer", owner)
    path = reverse("admin:auth_user_delete", args=[person.pk])
    assert boss.post(path, {"post": "yes"}).status_code == 403
    assert path not in markup(boss.get(reverse("admin:auth_user_change", args=[person.pk])))
    assert User.objects.filter(pk=person.pk).exists()


def test_the_pages_show_no_wall_of_permissions_and_no_password(boss, owner):
    page = markup(boss.get(reverse("admin:auth_user_change", args=[owner.pk])))
    for name in ("user_permissions", "password", "is_superuser", "date_joined"):
        assert f'name="{name}"' not in page
    assert owner.password not in page
    assert {"name", "email", "role"} <= set(re.findall(r'name="(\w+)"', page))


def test_owners_come_from_the_people_to_what_each_role_may_do(boss):
    roles_page = reverse("admin:auth_group_changelist")
    people = boss.get(reverse("admin:auth_user_changelist")).content.decode()
    assert f'<a href="{roles_page}">What each role may do</a>' in people
    assert "Manager" in words(boss.get(roles_page))


def test_the_list_asks_few_questions_however_many_there_are(
    boss, owner, django_assert_max_num_queries
):
    for number in range(30):
        new(f"person{number}", "Viewer", owner)
    with django_assert_max_num_queries(9):
        page = boss.get(reverse(LIST))
    assert "31 people" in words(page)


def test_a_hostile_name_is_escaped(boss, owner):
    hostile = "<script>alert(1)</script>\u202egnp"
    edit(boss, new("sam", "Viewer", owner), name=hostile)
    for path in (LIST, "admin:auth_user_change"):
        arguments = [User.objects.get(email="sam@example.com").pk] if "change" in path[-6:] else []
        page = markup(boss.get(reverse(path, args=arguments)))
        assert "<script>alert" not in page


def test_signing_in_asks_for_the_e_mail_and_says_whom_to_ask(db):
    wrong = {"username": "sam@example.com", "password": "not this one"}
    text = Client().post(reverse("admin:login"), wrong).content.decode()
    assert "E-mail:" in text
    assert "E-mail or password is wrong; capitals matter in the password." in text
    assert "ask the owner of this Admit for a new link" in text
