"""Reads single settings from the environment; each error is a sentence that names the setting."""

import datetime
import ipaddress
import logging
import zoneinfo
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import environ
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured

from config.sqlite.connection import Connection

MISSING = object()
LONGEST_NUMBER = 9  # digits: about thirty years in seconds
MAX_DAYS = 36500


def _quote_no_line(record: logging.LogRecord) -> bool:
    # django-environ quotes a line that it cannot read, and such a line may hold a key.
    if record.levelno >= logging.WARNING:
        record.msg, record.args = "A line of .env is not NAME=value and was passed over.", ()
    return True


logging.getLogger("environ.environ").addFilter(_quote_no_line)


class Reader:
    """Typed access to the environment on top of django-environ.

    Every method raises ImproperlyConfigured with a sentence that names the setting.
    """

    def __init__(self) -> None:
        self._env = environ.Env()

    def text(self, name: str, *, default: Any = MISSING, at_least: int = 0) -> str:
        """A text of at least `at_least` characters; required if it has no default."""
        # Not Env.str, which reads a value that begins with $ as the name of another setting.
        value = self._env.ENVIRON.get(name, "" if default is MISSING else default).strip()
        if default is MISSING and not value:
            raise ImproperlyConfigured(
                f"{name} is missing. Set it in .env; `make install` writes one with fresh keys."
            )
        if len(value) < at_least:
            raise ImproperlyConfigured(f"{name} is too short: at least {at_least} characters.")
        return str(value)

    def token(self, name: str) -> str:
        """A secret of at least 20 characters, or "" where none is set."""
        return self.text(name, default="", at_least=20 if self.text(name, default="") else 0)

    def words(self, name: str, *, default: str) -> list[str]:
        """A comma-separated list without spaces and empty entries."""
        return [
            word.strip() for word in self.text(name, default=default).split(",") if word.strip()
        ]

    def networks(
        self, name: str, *, default: str
    ) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        """A comma list of addresses and networks."""
        try:
            return [ipaddress.ip_network(word) for word in self.words(name, default=default)]
        except ValueError as error:
            raise ImproperlyConfigured(
                f"{name} must be a comma list of addresses or networks, such as "
                f"10.0.0.2,192.168.1.0/24: {error}."
            ) from None

    def folder(self, name: str, *, default: Path) -> Path:
        """A folder, which need not exist; a relative path starts beside manage.py."""
        return Path(__file__).resolve().parent.parent / self.text(name, default=str(default))

    def flag(self, name: str, *, default: bool) -> bool:
        """true or false, in the spellings people use."""
        value = self.text(name, default=str(default)).casefold()
        if value in {"true", "1", "yes", "on"}:
            return True
        if value in {"false", "0", "no", "off"}:
            return False
        raise ImproperlyConfigured(f"{name} must be true or false, not {value!r}.")

    def one_of(self, name: str, choices: list[str]) -> str:
        """One of these words, by default the first."""
        value = self.text(name, default=choices[0]).casefold()
        if value not in choices:
            raise ImproperlyConfigured(f"{name} must be {' or '.join(choices)}, not {value!r}.")
        return value

    def whole(self, name: str, *, default: int, at_least: int) -> int:
        """A whole number of at least `at_least`."""
        value = self.text(name, default=str(default))
        digits = value.isascii() and value.isdigit() and len(value) <= LONGEST_NUMBER
        if not digits or int(value) < at_least:
            raise ImproperlyConfigured(
                f"{name} must be a whole number of at least {at_least}, not {value!r}."
            )
        return int(value)

    def days(self, name: str, *, default: int) -> int:
        """The number of days that something is kept; 0 is forever."""
        value = self.text(name, default=str(default))
        digits = value.isascii() and value.isdigit() and len(value) <= LONGEST_NUMBER
        if not digits or int(value) > MAX_DAYS:
            raise ImproperlyConfigured(
                f"{name} must be a whole number of days from 0 (kept for ever) to {MAX_DAYS}, "
                f"not {value!r}."
            )
        return int(value)

    def seconds(self, name: str, *, default: str) -> list[float]:
        """A comma list of seconds, none below 0, at least one."""
        words = self.words(name, default=default)
        try:
            values = [float(word) for word in words]
        except ValueError:
            values = []
        if not values or not all(0 <= value <= 10_000_000 for value in values):
            raise ImproperlyConfigured(
                f"{name} must be seconds in a comma list, such as 0,30,120; not {words!r}."
            )
        return values

    def clock(self, name: str) -> datetime.time | None:
        """A time of the day such as 03:30; None when there is none."""
        value = self.text(name, default="")
        try:
            return datetime.datetime.strptime(value, "%H:%M").time() if value else None  # noqa: DTZ007
        except ValueError:
            raise ImproperlyConfigured(
                f"{name} must be a time of the day such as 03:30, not {value!r}."
            ) from None

    def pair(self, name: str, *, default: str) -> tuple[int, int]:
        """Two whole numbers of at least 0."""
        words = self.words(name, default=default)
        plain = all(word.isascii() and word.isdigit() and len(word) <= 4 for word in words)
        if len(words) != 2 or not plain:
            raise ImproperlyConfigured(
                f"{name} must be two whole numbers with a comma, such as {default}; not {words!r}."
            )
        return int(words[0]), int(words[1])

    def recipients(self, name: str) -> list[Any]:
        """A comma list of public keys, of age or SSH, as pyrage takes them; may be empty."""
        words = self.words(name, default="")
        try:
            return [_recipient(word) for word in words]
        except ValueError:
            raise ImproperlyConfigured(
                f"{name} must be a public key of age (age1...) or SSH (ssh-ed25519 ...), or a "
                "comma list of them. `age-keygen -o key.txt` makes one and prints it."
            ) from None

    def web_address(self, name: str, *, default: str, path: bool = False) -> str:
        """An http or https address without a slash at its end, and with a path only if `path`."""
        value = self.text(name, default=default).rstrip("/")
        parts = web_parts(value)
        if parts is None or parts.query or parts.fragment or (parts.path and not path):
            raise ImproperlyConfigured(
                f"{name} must be an address such as https://admit.example.com"
                f"{'/path' if path else ', without a path'}; not {value!r}."
            )
        return value

    def called_address(self, name: str) -> str:
        """An http or https address, with any path and query, or "" where none is set.

        It may hold a secret, so no message shows it.
        """
        value = self.text(name, default="")
        if value and web_parts(value) is None:
            raise ImproperlyConfigured(
                f"{name} must be an address such as https://watch.example.com/path."
            )
        return value

    def mail_server(self, name: str) -> dict[str, Any]:
        """Django's EMAIL_ settings, from an address such as smtp+tls://user:password@host:587."""
        if not self.text(name, default=""):
            return {"EMAIL_HOST": ""}
        try:
            found = dict(self._env.email_url(name))
        except (ValueError, environ.ImproperlyConfigured):
            found = {}
        if not found.get("EMAIL_HOST"):
            raise ImproperlyConfigured(
                f"{name} must be smtp://host:25, smtp+tls://user:password@host:587 or "
                "smtp+ssl://user:password@host:465."
            )
        return found

    def time_zone(self, name: str, *, default: str) -> str:
        """The name of a time zone of the IANA database."""
        value = self.text(name, default=default)
        try:
            zoneinfo.ZoneInfo(value)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            raise ImproperlyConfigured(
                f"{name} must be a time zone such as Europe/Berlin, not {value!r}."
            ) from None
        return value

    def fernet_keys(self, name: str) -> list[str]:
        """Keys that cryptography's Fernet takes; at least one. Never shown in a message."""
        keys = [word.strip() for word in self.text(name).split(",") if word.strip()]
        if not keys:
            raise ImproperlyConfigured(f"{name} holds no key. `make install` writes one.")
        for number, key in enumerate(keys, start=1):
            try:
                Fernet(key)
            except ValueError:
                raise ImproperlyConfigured(
                    f"{name}: key {number} is not a key. A key is 32 random bytes in URL-safe "
                    "base64, as `make install` writes them."
                ) from None
        return keys

    def database(self, name: str, *, default: Path, lock_seconds: float) -> dict[str, Any]:
        """Django's DATABASES entry, SQLite or PostgreSQL, with the options that they need.

        `lock_seconds` is how long SQLite waits for another writer.
        """
        try:
            entry = dict(self._env.db_url(name, default=f"sqlite:///{default}"))
        except (ValueError, environ.ImproperlyConfigured):
            entry = {}
        engine = entry.get("ENGINE", "")
        if engine == "django.db.backends.sqlite3":
            return entry | sqlite_options(entry, default, lock_seconds)
        if engine == "django.db.backends.postgresql":
            more = {"ENGINE": "config.postgresql", "CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}
            return entry | more
        raise ImproperlyConfigured(
            f"{name} must be sqlite:///path or postgres://user:password@host:5432/name."
        )


def web_parts(address: str) -> SplitResult | None:
    """Return the parts of an http or https address; None for anything else."""
    try:
        parts = urlsplit(address)
        good = parts.scheme in {"http", "https"} and parts.hostname and (parts.port or 1) > 0
    except ValueError:
        return None
    return parts if good and not any(sign.isspace() for sign in address) else None


def sqlite_options(entry: dict[str, Any], default: Path, lock_seconds: float) -> dict[str, Any]:
    """WAL with full synchronization: an event that was acknowledged survives a power loss."""
    file = Path(str(entry.get("NAME") or default))
    if not file.is_absolute():
        file = default.parent.parent / file
    file.parent.mkdir(parents=True, exist_ok=True)
    return {
        "NAME": str(file),
        # Opening the file again for each request and run would cost more than the work itself.
        "CONN_MAX_AGE": 60,
        "OPTIONS": {
            # IMMEDIATE takes the write lock at the start: a later upgrade fails at once when busy.
            "transaction_mode": "IMMEDIATE",
            "timeout": lock_seconds,
            "factory": Connection,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
        },
    }


def _recipient(word: str) -> Any:
    import pyrage  # loaded only if a recipient is set

    kind = pyrage.ssh if word.startswith("ssh-") else pyrage.x25519
    try:
        return kind.Recipient.from_str(word)
    except pyrage.RecipientError as error:
        raise ValueError from error
