"""`manage.py rotate_keys`: every stored secret under the first encryption key."""

from enum import Enum
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import QuerySet

from config.models import Authenticator
from integrations import audit, secrets
from integrations.app_registry import APPS
from integrations.audit import Act
from integrations.models import Integration, WebhookSecret

# A secret that is replaced at the very moment is read again; more often than this never happens.
_TRIES = 10


class _End(Enum):
    DONE = "re-encrypted"
    GONE = "deleted meanwhile"
    BUSY = "changed again and again meanwhile"
    UNREADABLE = "cannot be opened with any of FIELD_ENCRYPTION_KEYS, and is left as it is"


class Command(BaseCommand):
    help = (
        "Encrypts every stored secret again with the first of FIELD_ENCRYPTION_KEYS. Put the new "
        "key in front, restart Admit, so that it can read what is written with it, and then "
        "run this; after it the old key may go. Example: manage.py rotate_keys"
    )

    def handle(self, **_: Any) -> None:
        done: dict[str, int] = {}
        faults: list[str] = []
        for app in APPS.values():
            rows = Integration.objects.filter(app=app.key)
            done[app.secret], faults_here = _rotate(rows, "sealed_secret", "{0.name}", app.secret)
            faults += faults_here
        noun, name = "webhook secret", "{0.marketplace} ({0.created_at:%Y-%m-%d})"
        hooks = WebhookSecret.objects.all()
        done[noun], faults_here = _rotate(hooks, "sealed", name, noun)
        faults += faults_here
        if Authenticator.objects.exists():
            noun, factors = "second factor", Authenticator.objects.all()
            done[noun], faults_here = _rotate(factors, "sealed_key", "{0.user}", noun)
            faults += faults_here
        audit.record(Act.KEYS_ROTATED, after={**done, "not re-encrypted": len(faults)})
        *counted, last = [_counted(number, noun) for noun, number in done.items()]
        total = _counted(sum(done.values()), "secret")
        self.stdout.write(f"Re-encrypted {total}: {', '.join(counted)} and {last}.")
        if faults:
            raise CommandError(
                "\n  ".join(
                    [
                        "Not re-encrypted. Put the key that sealed it back into "
                        "FIELD_ENCRYPTION_KEYS and run this again, or enter the secret again:",
                        *faults,
                    ]
                )
            )


def _rotate(rows: QuerySet[Any], field: str, name: str, noun: str) -> tuple[int, list[str]]:
    """How many were re-encrypted, and a sentence for each that was not."""
    done, faults = 0, []
    for row in list(rows.order_by("pk")):
        end = _rotate_one(rows.filter(pk=row.pk), field)
        done += end is _End.DONE
        if end in {_End.BUSY, _End.UNREADABLE}:
            faults.append(f"{noun} of {name.format(row)}: {end.value}.")
    return done, faults


def _rotate_one(rows: QuerySet[Any], field: str) -> _End:
    """Replace the sealed value of the row only if it is still the one that was read."""
    for _ in range(_TRIES):
        sealed = rows.values_list(field, flat=True).first()
        if sealed is None:
            return _End.GONE
        try:
            fresh = secrets.reseal(sealed)
        except secrets.SecretUnreadable:
            return _End.UNREADABLE
        if rows.filter(**{field: sealed}).update(**{field: fresh}):
            return _End.DONE
    return _End.BUSY


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
