"""`manage.py new_password`: for an owner who forgot it and has no other owner to ask."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from config.staff import people


class Command(BaseCommand):
    help = (
        "Print a link under which a person chooses a new password. Without an e-mail it is for "
        "the only owner. Example: manage.py new_password me@example.com"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email", nargs="?", help="what the person signs in with")

    def handle(self, **options: Any) -> None:
        person = self._person((options["email"] or "").strip())
        try:
            link = people.new_link(person)
        except ValueError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{settings.PUBLIC_URL}{link.path}")
        self.stdout.write(
            f"Under this link {person} chooses a new password. It works once, "
            f"until {timezone.localtime(link.until):%d %b %H:%M}. Nobody else should see it."
        )

    def _person(self, email: str) -> User:
        owners = list(User.objects.filter(is_superuser=True, is_active=True).order_by("pk"))
        if not owners:
            raise CommandError("No owner can sign in. Make one: manage.py createsuperuser.")
        names = ", ".join(owner.get_username() for owner in owners)
        if email:
            found = User.objects.filter(username=people.user_name(email)).first()
            if found is None:
                raise CommandError(f"Nobody signs in with {email}. The owners are {names}.")
            return found
        if len(owners) != 1:
            raise CommandError(f"Say whom it is for. The owners are {names}.", returncode=2)
        return owners[0]
