"""`manage.py setup`: the first run of a real installation."""

import sys
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.core.validators import validate_email
from django.db import transaction
from django.utils import timezone

from config import env_file
from config.environment import web_parts
from config.staff import people
from integrations import audit, credentials
from integrations.audit import Act
from integrations.models import Marketplace
from integrations.secrets import SecretUnreadable

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
        parser.add_argument(
            "--second-factor",
            metavar="yes|no",
            help="whether everybody who signs in needs a code of an app as well (default: yes)",
        )
        parser.add_argument("--samcart", default="SamCart", help="a name for the SamCart account")

    def handle(self, **options: Any) -> None:
        url = self._answer("--public-url", options, "This server's address, https://…", public_url)
        zone = self._answer("--time-zone", options, "Time zone, as America/New_York", time_zone)
        email = self._answer("--email", options, "Your e-mail address", email_address)
        self._write_down(PUBLIC_URL=url, TIME_ZONE=zone, **self._second_factor(options))
        call_command("migrate", verbosity=0)
        self.stdout.write("The database is ready.")
        self._person(email, url)
        self._account(options["samcart"], url)
        self._next_steps(url)

    def _answer(
        self, option: str, options: dict[str, Any], question: str, read: Callable[[str], str]
    ) -> str:
        """Return the option's value, or ask a person until the answer is valid.

        Raises CommandError.
        """
        given = options[option.removeprefix("--").replace("-", "_")]
        try:
            if given is not None:
                return read(given)
        except ValueError as error:
            raise CommandError(str(error), returncode=2) from None
        if not sys.stdin.isatty():
            raise CommandError(f"Give {option}: there is no terminal to ask at.", returncode=2)
        while True:
            try:
                return read(input(f"{question}: "))
            except ValueError as error:
                self.stdout.write(str(error))
            except EOFError:
                raise CommandError("Nothing was changed.") from None

    def _second_factor(self, options: dict[str, Any]) -> dict[str, str]:
        """Return the setting to write.

        Only the first run asks; later the option alone changes it.
        """
        option, name = "--second-factor", "REQUIRE_SECOND_FACTOR"
        if options["second_factor"] is None:
            if env_file.path().exists():
                return {}
            if not sys.stdin.isatty():
                return {name: "true"}
        question = "Ask everybody for a second factor at sign-in, a code of an app? (yes)"
        return {name: self._answer(option, options, question, yes_or_no)}

    def _write_down(self, **values: str) -> None:
        keys = {
            "SECRET_KEY": settings.SECRET_KEY,
            "FIELD_ENCRYPTION_KEYS": ",".join(settings.FIELD_ENCRYPTION_KEYS),
        }
        file = env_file.path()
        try:
            if env_file.create_if_missing(**keys, **values):
                self.stdout.write(f"Wrote {file.name} with fresh keys. Keep a copy of it safe.")
            else:
                env_file.update(**values)
                self.stdout.write(f"Wrote the address and the time zone into {file.name}.")
        except OSError as error:
            raise CommandError(f"{file} cannot be written ({error.strerror or error}).") from None

    def _person(self, email: str, url: str) -> None:
        person = User.objects.filter(username=people.user_name(email)).first()
        if person is not None and person.has_usable_password():
            self.stdout.write(f"{email} can sign in already; the password stays as it is.")
            return
        with transaction.atomic():
            if person is None:
                # No password yet: a printed one would hardly ever be changed.
                person = User.objects.create_superuser(email, email=email)
                audit.record(Act.PERSON_ADDED, person, after=people.stored(person))
            try:
                link = people.new_link(person)
            except ValueError as error:
                raise CommandError(str(error)) from None
        self.stdout.write(f"{email} chooses a password, and signs in, under {url}{link.path}")
        until = timezone.localtime(link.until)
        self.stdout.write(
            f"The link works once, until {until:%d %b %H:%M}, and nobody else should see it. "
            "Another one: manage.py new_password"
        )

    def _account(self, name: str, url: str) -> None:
        account, is_new = Marketplace.objects.get_or_create(name=name)
        if is_new:
            audit.record_added(Act.ACCOUNT_ADDED, [account])
        try:
            if not credentials.webhook_secret(account):
                credentials.add_webhook_secret(account)
            path = urlsplit(credentials.webhook_address(account)).path
        except SecretUnreadable as error:
            raise CommandError(str(error)) from None
        audit.record(Act.ADDRESS_SHOWN, account)
        self.stdout.write(f"The address for {account} (keep it secret): {url}{path}")

    def _next_steps(self, url: str) -> None:
        self.stdout.write(
            "\nNext:\n"
            "1. Start Admit: .venv/bin/python manage.py up\n"
            "2. Open the link above, choose a password, and add your Thinkific site under "
            "Integrations.\n"
            "3. In SamCart add a webhook (Notify URL) with the address above, for Product "
            "Purchased,\n   Product Refunded, Subscription Canceled, Recovered and Restarted."
        )


def public_url(text: str) -> str:
    """Return the address of a server without a slash at its end.

    Raises ValueError with a sentence.
    """
    url = text.strip().rstrip("/")
    parts = web_parts(url)
    if parts is None or "@" in parts.netloc or url != f"{parts.scheme}://{parts.netloc}":
        raise ValueError(f"{url} is no address of a server. Example: https://admit.example.com")
    if parts.scheme == "http" and parts.hostname not in LOCAL:
        raise ValueError("SamCart needs an https address.")
    return url


def time_zone(text: str) -> str:
    """Return the name of a time zone. Raises ValueError with a sentence."""
    zone = text.strip()
    if zone not in available_timezones():
        raise ValueError(f"{zone} is no time zone. Example: America/New_York")
    return zone


def yes_or_no(text: str) -> str:
    """Return "true" or "false" for .env; nothing typed means yes.

    Raises ValueError with a sentence.
    """
    word = text.strip().casefold()
    if word in {"", "y", "yes"}:
        return "true"
    if word in {"n", "no"}:
        return "false"
    raise ValueError(f"{word} is neither yes nor no.")


def email_address(text: str) -> str:
    """Return an e-mail address in lower case. Raises ValueError with a sentence."""
    email = text.strip().lower()
    try:
        validate_email(email)
    except ValidationError:
        raise ValueError(f"{email} is no e-mail address.") from None
    return email
