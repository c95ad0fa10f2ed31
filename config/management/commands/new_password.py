"""`manage.py new_password`: for an owner who is locked out and has no other owner to ask."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from config.staff import people, second_factor, sessions
from integrations import audit
from integrations.audit import Act


class Command(BaseCommand):
    help = (
        "Print a link under which a person chooses a new password. Without an e-mail it is for "
        "the only owner. Example: manage.py new_password me@example.com"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email", nargs="?", help="what the person signs in with")
        parser.add_argument(
            "--without-second-factor",
            action="store_true",
            help="remove the second factor as well, for a lost phone",
        )

    def handle(self, **options: Any) -> None:
        person = self._person((options["email"] or "").strip())
        try:
            link = people.new_link(person)
        except ValueError as error:
            raise CommandError(str(error)) from None
        if options["without_second_factor"]:
            self._remove_second_factor(person)
        self.stdout.write(f"{settings.PUBLIC_URL}{link.path}")
        self.stdout.write(
            f"Under this link {person} chooses a new password. It works once, "
            f"until {timezone.localtime(link.until):%d %b %H:%M}. Nobody else should see it."
        )

    def _remove_second_factor(self, person: User) -> None:
        if not second_factor.remove(person):
            self.stdout.write(f"{person} has no second factor.")
            return
        sessions.end_all(person)
        audit.record(Act.SECOND_FACTOR_OFF, person)
        self.stdout.write(f"{person} has no second factor anymore, and is signed out everywhere.")

    def _person(self, email: str) -> User:
        owners = list(User.objects.filter(is_superuser=True, is_active=True).order_by("pk"))
        if not owners:
            raise CommandError(
                "No owner can sign in. Make one, with your e-mail address as the user name: "
                "manage.py createsuperuser."
            )
        names = ", ".join(owner.get_username() for owner in owners)
        if email:
            found = User.objects.filter(username=people.user_name(email)).first()
            if found is None:
                raise CommandError(f"Nobody signs in with {email}. The owners are {names}.")
            return found
        if len(owners) != 1:
            raise CommandError(f"Say whom it is for. The owners are {names}.", returncode=2)
        return owners[0]
