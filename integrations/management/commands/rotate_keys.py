"""`manage.py rotate_keys`: every stored secret under the first encryption key."""

from enum import Enum
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Model

from integrations import secrets
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
        keys, key_faults = _rotate(Integration, "sealed_secret", "API key of {0.name}")
        hooks, hook_faults = _rotate(
            WebhookSecret, "sealed", "webhook secret of {0.marketplace} ({0.created_at:%Y-%m-%d})"
        )
        self.stdout.write(
            f"Re-encrypted {_counted(keys + hooks, 'secret')}: "
            f"{_counted(keys, 'API key')} and {_counted(hooks, 'webhook secret')}."
        )
        if faults := key_faults + hook_faults:
            raise CommandError(
                "\n  ".join(
                    [
                        "Not re-encrypted. Put the key that sealed it back into "
                        "FIELD_ENCRYPTION_KEYS and run this again, or enter the secret again:",
                        *faults,
                    ]
                )
            )


def _rotate(model: type[Model], field: str, name: str) -> tuple[int, list[str]]:
    """How many were re-encrypted, and a sentence for each that was not."""
    done, faults = 0, []
    for row in list(model._default_manager.order_by("pk")):
        end = _rotate_one(model, row.pk, field)
        done += end is _End.DONE
        if end in {_End.BUSY, _End.UNREADABLE}:
            faults.append(f"{name.format(row)}: {end.value}.")
    return done, faults


def _rotate_one(model: type[Model], pk: int, field: str) -> _End:
    """Replace the sealed value only if it is still the one that was read."""
    rows = model._default_manager.filter(pk=pk)
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
