"""Who may sign in: their roles, and the one-time links by which they choose their passwords."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.contrib.auth.tokens import default_token_generator
from django.db import transaction
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from django.utils.translation import gettext_lazy as _

from config.staff import roles
from integrations import audit
from integrations.audit import Act
from integrations.models import AuditEntry
from integrations.sentences import Text, say

OWNER = roles.OWNER
# The fields that the page of a person writes.
ENTERED = ("first_name", "last_name", "username", "email", "is_staff", "is_superuser")
# Each role with its meaning, the one with the least rights first.
MEANINGS: dict[str, Text] = {
    roles.VIEWER: roles.MEANINGS[roles.VIEWER],
    roles.SUPPORT: roles.MEANINGS[roles.SUPPORT],
    roles.MANAGER: roles.MEANINGS[roles.MANAGER],
    OWNER: _("does everything, and also sees the queue and the people"),
}


@dataclass(frozen=True, slots=True)
class Link:
    """A path under which a person chooses a password. It works once, and no longer than `until`."""

    path: str
    until: datetime


def signed_in(request: HttpRequest) -> User:
    """Return the signed-in person. Only for views that require sign-in."""
    assert isinstance(request.user, User)
    return request.user


def user_name(typed: str) -> str:
    """Return the user name for this e-mail in any capitals; as typed when no account has it.

    If several differ only in capitals, it is the one typed, else the one in lower case, else the
    oldest one that is on.
    """
    # Compared in Python: databases know the capitals of some scripts only. There are few people.
    everybody = User.objects.order_by("-is_active", "pk").values_list("username", flat=True)
    meant = [name for name in everybody if name.casefold() == typed.casefold()]
    return next((name for name in (typed, typed.lower(), *meant) if name in meant), typed)


def display_name(person: User) -> str:
    """Return the person's name, or else the user name."""
    return person.get_full_name() or person.get_username()


def role_of(person: User) -> str:
    """Return the name of the person's role; "" for a person who may sign in but see nothing."""
    if person.is_superuser:
        return OWNER
    # In Python: lists prefetch the groups.
    held = sorted(group.name for group in person.groups.all())
    return roles.SEVERAL.join(held)


def check(person: User, *, email: str, role: str, by: User) -> None:
    """Raise ValueError with a sentence if `by` may not give the person this e-mail and role.

    Call it in a transaction: if two owners end each other's ownership at once, one must stay.
    """
    if User.objects.exclude(pk=person.pk).filter(username__iexact=email).exists():
        raise ValueError(say("There is already a person with the address {email}.", email=email))
    if role != OWNER:
        _stays_owned(person, by=by)
        if not Group.objects.filter(name=role).exists():
            raise ValueError(
                say(
                    "There is no role {role} anymore. Make it again under Roles.",
                    role=roles.display_name(role),
                )
            )


def save(person: User, *, name: str, email: str, role: str, by: User) -> None:
    """Save the name, the e-mail (which is also the user name) and the role.

    A new person has no password yet. Raises ValueError as `check` does; then nothing is saved.
    """
    with transaction.atomic():
        check(person, email=email, role=role, by=by)
        person.first_name, _, person.last_name = name.partition(" ")
        person.username = person.email = email.lower()
        person.is_staff, person.is_superuser = True, role == OWNER
        before = stored(person)
        if person.pk is None:
            person.set_unusable_password()
            person.save()
        else:
            # A password or an end of the sign-in of the meantime stays.
            person.save(update_fields=ENTERED)
        # Roles that an owner added stay.
        person.groups.remove(*Group.objects.filter(name__in=roles.ROLES))
        if role != OWNER:
            person.groups.add(Group.objects.get(name=role))
        act = Act.PERSON_CHANGED if before else Act.PERSON_ADDED
        audit.record_difference(act, person, before, stored(person))


def stored(person: User) -> dict[str, str]:
    """Return what the audit keeps of a person; nothing for a new one."""
    found = User.objects.filter(pk=person.pk).first() if person.pk else None
    if found is None:
        return {}
    return {"name": found.get_full_name(), "email": found.email, "role": role_of(found)}


def user_names(who: str) -> set[str]:
    """Return this user name, and those that the same person had before.

    A name that belongs to another person now is left out.
    """
    person = User.objects.filter(username=who).only("pk").first()
    if person is None:
        return {who}
    entries = AuditEntry.objects.filter(
        act=Act.PERSON_CHANGED,
        kind=User._meta.model_name,
        number=str(person.pk),
        before__has_key="email",
    )
    former = {(before or {})["email"] for before in entries.values_list("before", flat=True)}
    taken = User.objects.exclude(pk=person.pk).filter(username__in=former)
    return {who} | (former - set(taken.values_list("username", flat=True)) if former else set())


def switch_off(person: User, *, by: User) -> None:
    """End the person's sign-in. Raises ValueError for oneself and for the last owner."""
    if person.pk == by.pk:
        raise ValueError(say("You cannot turn your own sign-in off. Ask another owner to do it."))
    with transaction.atomic():
        _stays_owned(person, by=by)
        if User.objects.filter(pk=person.pk, is_active=True).update(is_active=False):
            audit.record(Act.PERSON_OFF, person)


def switch_on(person: User) -> None:
    """Let the person in again, with the earlier role and password."""
    with transaction.atomic():
        if User.objects.filter(pk=person.pk, is_active=False).update(is_active=True):
            audit.record(Act.PERSON_ON, person)


def new_link(person: User) -> Link:
    """Make a link by which the person chooses a password, once. An old password works until then.

    Earlier links end: at once if the person has no password, else when any of the links is used.
    Raises ValueError for a person who is off.
    """
    if not person.is_active:
        raise ValueError(say("{person} is off. Switch on first.", person=person))
    if not person.has_usable_password():
        # The token is derived from the stored password, so this ends the earlier links.
        person.set_unusable_password()
        person.save(update_fields=["password"])
    token = default_token_generator.make_token(person)
    number = urlsafe_base64_encode(force_bytes(person.pk))
    until = timezone.now() + timedelta(seconds=settings.PASSWORD_RESET_TIMEOUT)
    audit.record(Act.LINK_MADE, person, after={"until": until})
    return Link(reverse("admin:welcome", args=[number, token]), until)


def _stays_owned(person: User, *, by: User) -> None:
    """Raise ValueError if the person's ownership must not end. Call it in a transaction."""
    owners = User.objects.select_for_update().filter(is_superuser=True, is_active=True)
    found = {owner.pk for owner in owners.order_by("pk")}
    if person.pk not in found:
        return
    if person.pk == by.pk:
        raise ValueError(
            say("You cannot take away your own ownership. Ask another owner to do it.")
        )
    if found == {person.pk}:
        raise ValueError(say("This is the last owner. Make another person an owner first."))
