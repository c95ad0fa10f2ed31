"""`manage.py setup`: the first run of a real installation."""

import secrets
import sys
from argparse import ArgumentParser
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.core.validators import validate_email

from config import env_file
from integrations import connect
from integrations.models import Marketplace

LOCAL = {"localhost", "127.0.0.1", "::1"}


class Command(BaseCommand):
    help = (
        "First run: public address, time zone, first person. Asks for what is not given. Example: "
        "manage.py setup --public-url https://admit.example.com --time-zone Europe/Berlin "
        "--email me@example.com"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--public-url", help="the https address of this server")
        parser.add_argument("--time-zone", help="such as America/New_York")
        parser.add_argument("--email", help="of the first person, who may do everything")
        parser.add_argument("--samcart", default="SamCart", help="a name for the SamCart account")

    def handle(self, **options: Any) -> None:
        url = self._public_url(options["public_url"])
        zone = self._time_zone(options["time_zone"])
        email = self._email(options["email"])
        env_file.update(PUBLIC_URL=url, TIME_ZONE=zone)
        self.stdout.write(f"Wrote the address and the time zone into {env_file.path().name}.")
        call_command("migrate", verbosity=0)
        self.stdout.write("The database is ready.")
        self._person(email)
        self._account(options["samcart"], url)
        self._next_steps(url)

    def _public_url(self, given: str | None) -> str:
        url = (given or self._ask("Address of this server (https://…)", "--public-url")).strip()
        parts = urlsplit(url.rstrip("/"))
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path:
            raise CommandError(
                f"{url} is no address of a server. Example: https://admit.example.com",
                returncode=2,
            )
        if parts.scheme == "http" and parts.hostname not in LOCAL:
            raise CommandError("SamCart needs an https address.", returncode=2)
        return url.rstrip("/")

    def _time_zone(self, given: str | None) -> str:
        zone = (given or self._ask("Time zone, such as America/New_York", "--time-zone")).strip()
        if zone not in available_timezones():
            raise CommandError(f"{zone} is no time zone. Example: America/New_York", returncode=2)
        return zone

    def _email(self, given: str | None) -> str:
        email = (given or self._ask("Your e-mail address", "--email")).strip().lower()
        try:
            validate_email(email)
        except ValidationError:
            raise CommandError(f"{email} is no e-mail address.", returncode=2) from None
        return email

    def _ask(self, question: str, option: str) -> str:
        if not sys.stdin.isatty():
            raise CommandError(f"Give {option}: there is nobody to ask.", returncode=2)
        return input(f"{question}: ")

    def _person(self, email: str) -> None:
        people = get_user_model().objects
        if people.filter(username=email).exists():
            self.stdout.write(f"{email} can sign in already; the password stays as it is.")
            return
        password = secrets.token_urlsafe(12)
        people.create_superuser(email, email=email, password=password)
        self.stdout.write(f"{email} can sign in with the password {password}")
        self.stdout.write("It is shown this once; change it after the first sign-in.")

    def _account(self, name: str, url: str) -> None:
        account, _ = Marketplace.objects.get_or_create(name=name)
        if not connect.webhook_secret(account):
            connect.add_webhook_secret(account)
        path = urlsplit(connect.webhook_address(account)).path
        self.stdout.write(f"The address for {account} (keep it secret): {url}{path}")

    def _next_steps(self, url: str) -> None:
        self.stdout.write(
            "\nNext:\n"
            "1. Start Admit: .venv/bin/python manage.py up\n"
            f"2. Sign in at {url}/admin/ and add your Thinkific site under Integrations.\n"
            "3. In SamCart add a webhook (Notify URL) with the address above, for Product "
            "Purchased,\n   Product Refunded, Subscription Canceled, Recovered and Restarted."
        )
