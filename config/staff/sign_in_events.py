"""Records sign-ins in the audit, and in the log with the address that they came from."""

import logging

from django.contrib.auth.models import User
from django.core.signing import Signer
from django.db.models import QuerySet
from django.http import HttpRequest

from config.staff import confirmation, sessions
from config.staff.sign_in import client_address
from integrations import audit
from integrations.audit import Act
from integrations.models import AuditEntry

log = logging.getLogger(__name__)

ACTS = (
    Act.SIGNED_IN,
    Act.SIGNED_OUT,
    Act.SIGN_IN_FAILED,
    Act.CONFIRM_FAILED,
    Act.SESSIONS_ENDED,
    Act.LINK_MADE,
    Act.PASSWORD_CHANGED,
    Act.SECOND_FACTOR_ON,
    Act.SECOND_FACTOR_OFF,
    Act.SECOND_FACTOR_FAILED,
    Act.RECOVERY_CODES_MADE,
    Act.RECOVERY_CODE_USED,
)
LATEST = 20
# Characters of the hash of an account that does not exist, six bits each.
HASH_LENGTH = 8


def record(act: Act, request: HttpRequest, person: User, *, note: str = "") -> None:
    """Note that this happened to the person."""
    audit.record(act, person, note=note)
    log.info(act.value, extra=_known(request, person))


def failed(act: Act, request: HttpRequest, person: User | None, *, typed: str = "") -> None:
    """Note that a password, a code or a confirmation was wrong.

    `person` is None where no account has the e-mail that was `typed`. That may be a password, so
    the log has a keyed hash of it: enough to see that the same was tried again.
    """
    audit.record(act, person)
    unknown = {"account": _hashed(typed)} if person is None else {}
    log.warning("sign_in_failed", extra=_known(request, person) | unknown | {"act": act.value})


def signed_in(request: HttpRequest, person: User) -> None:
    """Begin the session: the person has given everything that is asked for."""
    sessions.begin(request)
    confirmation.note(request)
    record(Act.SIGNED_IN, request, person)


def latest(person: User) -> QuerySet[AuditEntry]:
    """Return the latest sign-in events of this person, newest first."""
    about = AuditEntry.objects.filter(kind="user", number=str(person.pk), act__in=ACTS)
    return about.order_by("-pk")[:LATEST]


def _hashed(typed: str) -> str:
    return Signer(salt="config.staff.sign_in_events").signature(typed.strip().casefold())[
        :HASH_LENGTH
    ]


def _known(request: HttpRequest, person: User | None) -> dict[str, str | int]:
    who: dict[str, str | int] = {} if person is None else {"user": person.pk}
    return who | {"address": client_address(request)}
