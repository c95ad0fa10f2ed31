"""`manage.py rotate_keys`: re-encrypt every stored secret and body with the first key."""

from collections.abc import Iterator
from enum import Enum
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Max, QuerySet

from config.models import Authenticator
from events.access import erasures
from events.models import AlertChannel, ErasureKey
from events.retention import sealing
from integrations import audit, secrets
from integrations.app_registry import APPS
from integrations.audit import Act
from integrations.models import Integration, WebhookSecret

# Other sealed columns, which may be empty: (model, column, what it holds).
MORE: tuple[tuple[Any, str, str], ...] = (
    (AlertChannel, "sealed_address", "address for alerts"),
    (AlertChannel, "sealed_secret", "secret for alerts"),
    (ErasureKey, "sealed", "key of erasures"),
    (Authenticator, "sealed_key", "second factor"),
)
BODIES: dict[str, str] = {
    sealing.Table.DELIVERIES.value: "payload of SamCart",
    sealing.Table.EXCHANGES.value: "exchange with a site",
}
# How often a secret is read again because somebody replaced it meanwhile.
_TRIES = 10


class _End(Enum):
    DONE = "re-encrypted"
    GONE = "deleted meanwhile"
    BUSY = "changed again and again meanwhile"
    UNREADABLE = "cannot be opened with any of FIELD_ENCRYPTION_KEYS, and is left as it is"


class Command(BaseCommand):
    help = (
        "Encrypts every stored secret, and what SamCart and Thinkific sent, again with the first "
        "of FIELD_ENCRYPTION_KEYS. May be broken off and run again. Put the new "
        "key in front, restart Admit, so that it can read what is written with it, and then "
        "run this; after it the old key may go. Example: manage.py rotate_keys"
    )

    def handle(self, **_: Any) -> None:
        done: dict[str, int] = {}
        faults: list[str] = []
        for rows, field, name, noun in _secrets():
            done[noun], faults_here = _rotate(rows, field, name, noun)
            faults += faults_here
        faults += _renew_list()
        *counted, last = [_counted(number, noun) for noun, number in done.items()]
        total = _counted(sum(done.values()), "secret")
        self.stdout.write(f"Re-encrypted {total}: {', '.join(counted)} and {last}.")
        faults += self._rotate_bodies()
        audit.record(Act.KEYS_ROTATED, after={**done, "not re-encrypted": len(faults)})
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

    def _rotate_bodies(self) -> list[str]:
        """Re-encrypt the bodies, and print how many.

        Returns a sentence for each kind of body of which some cannot be opened.
        """
        faults = []
        for table, (model, _) in sealing.COLUMNS.items():
            last = model.objects.aggregate(last=Max("pk"))["last"] or 0
            done = unreadable = 0
            for _, written, closed in sealing.renew(table, 0, last):
                done, unreadable = done + written, unreadable + closed
            noun = BODIES[table]
            if done:
                self.stdout.write(f"Re-encrypted {_counted(done, noun)}.")
            if unreadable:
                faults.append(f"{_counted(unreadable, noun)}: {_End.UNREADABLE.value}.")
        return faults


def _secrets() -> Iterator[tuple[QuerySet[Any], str, str, str]]:
    """Yield rows, their sealed column, a format string for a row's name, and what it holds."""
    for app in APPS.values():
        rows: QuerySet[Any] = Integration.objects.filter(app=app.key)
        yield rows, "sealed_secret", "{0.name}", str(app.secret)
    name = "{0.marketplace} ({0.created_at:%Y-%m-%d})"
    yield WebhookSecret.objects.all(), "sealed", name, "webhook secret"
    for model, field, noun in MORE:
        rows = model.objects.exclude(**{field: ""})
        if rows.exists():
            yield rows, field, "{0}", noun


def _renew_list() -> list[str]:
    """Write the re-encrypted key into ERASED_FILE as well. Returns a sentence if that failed."""
    try:
        if ErasureKey.objects.exists():
            erasures.restore()
    except (OSError, secrets.SecretUnreadable) as error:
        return [f"ERASED_FILE: not renewed ({type(error).__name__})."]
    return []


def _rotate(rows: QuerySet[Any], field: str, name: str, noun: str) -> tuple[int, list[str]]:
    """Return how many were re-encrypted, and a sentence for each that was not."""
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
    if number == 1:
        return f"1 {noun}"
    first, joint, rest = next(
        (parts for word in (" of ", " for ", " with ") if (parts := noun.partition(word))[1]),
        (noun, "", ""),
    )
    plural = f"{first}es" if first.endswith("s") else f"{first}s"
    return f"{number:,} {plural}{joint}{rest}"
