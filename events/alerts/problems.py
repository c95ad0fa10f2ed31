"""What can be wrong with an installation, as data: a code, facts, and how long it may last."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from integrations.sentences import Text
from integrations.who import OWNERS_ONLY

MINUTES = timedelta(minutes=1)


class ProblemCode(StrEnum):
    """The causes of alerts. Values are stored and read by scripts, so they must not change."""

    NO_WORKER = "no_worker"
    KEY_REFUSED = "key_refused"
    SITE_PAUSED = "site_paused"
    OVERDUE = "overdue"
    SPOOL_WAITS = "spool_waits"
    DISK_LOW = "disk_low"
    CANARY_FAILED = "canary_failed"
    SILENCE = "silence"
    NOTHING_GIVEN = "nothing_given"
    REFUNDED_STILL_IN = "refunded_still_in"
    NEEDS_A_PERSON = "needs_a_person"
    BRAKE_ON = "brake_on"
    TOKEN_ENDS = "token_ends"  # noqa: S105 - no password
    BACKUP_OLD = "backup_old"
    NOT_CHECKED = "not_checked"


@dataclass(frozen=True, slots=True)
class Kind:
    """What is true of every problem with one code.

    Nobody is told of a problem before it has lasted for `lasts`. One that `stops_sales` keeps
    buyers out. `page` names the admin page where it is fixed, `place` is the place on it, and
    `button` is the text of the link; with `of_subject`, the problem's subject is the ID of the row
    that the page shows. A problem without a button is fixed outside Admit. Only who has the
    `permission` can fix it there.
    """

    title: Text
    page: str
    button: Text = ""
    place: str = ""
    of_subject: bool = False
    permission: str = ""
    stops_sales: bool = False
    lasts: timedelta = timedelta()


INTEGRATION = "admin:integrations_integration_change"
EDIT = "integrations.change_integration"
BY_HAND = "events.by_hand_grant"
KINDS: dict[ProblemCode, Kind] = {
    ProblemCode.NO_WORKER: Kind(
        _("No worker is running"),
        "admin:queue",
        _("See the queue"),
        permission=OWNERS_ONLY,
        stops_sales=True,
        lasts=3 * MINUTES,
    ),
    ProblemCode.KEY_REFUSED: Kind(
        _("A key is rejected"),
        INTEGRATION,
        _("Enter a new key"),
        "#id_secret",
        of_subject=True,
        permission=EDIT,
        stops_sales=True,
    ),
    ProblemCode.SITE_PAUSED: Kind(
        _("An integration is paused"),
        INTEGRATION,
        _("See it, and try now"),
        of_subject=True,
        stops_sales=True,
        lasts=10 * MINUTES,
    ),
    ProblemCode.OVERDUE: Kind(
        _("Actions are overdue"),
        "admin:queue",
        _("See the queue"),
        permission=OWNERS_ONLY,
        stops_sales=True,
        lasts=10 * MINUTES,
    ),
    ProblemCode.SPOOL_WAITS: Kind(
        _("Sales are waiting outside the database"),
        "admin:queue",
        _("See the queue"),
        permission=OWNERS_ONLY,
        stops_sales=True,
        lasts=5 * MINUTES,
    ),
    ProblemCode.DISK_LOW: Kind(_("A disk is nearly full"), "admin:index", stops_sales=True),
    ProblemCode.CANARY_FAILED: Kind(
        _("The hourly test event does not get through"),
        "admin:samcart",
        _("See the address"),
        stops_sales=True,
    ),
    ProblemCode.SILENCE: Kind(
        _("No sales for an unusually long time"),
        "admin:samcart",
        _("See the address"),
        stops_sales=True,
    ),
    ProblemCode.NOTHING_GIVEN: Kind(
        _("Paid, and nothing given"), "admin:index", _("See the products"), "#nothing"
    ),
    ProblemCode.REFUNDED_STILL_IN: Kind(
        _("Refunded, but still has access"), "admin:refunded", _("See who"), permission=BY_HAND
    ),
    ProblemCode.NEEDS_A_PERSON: Kind(
        _("Actions need a person"), "admin:index", _("See them"), "#attention"
    ),
    ProblemCode.BRAKE_ON: Kind(
        _("Too many endings at once"),
        "admin:events_rulerun_changelist",
        _("See the names"),
        "?status__exact=held",
    ),
    ProblemCode.TOKEN_ENDS: Kind(
        _("An access token expires"),
        INTEGRATION,
        _("Enter a new token"),
        "#id_secret",
        of_subject=True,
        permission=EDIT,
    ),
    ProblemCode.BACKUP_OLD: Kind(_("No recent backup"), "admin:index"),
    # A check that failed may have missed something that stops sales.
    ProblemCode.NOT_CHECKED: Kind(
        _("Not everything can be checked"), "admin:alerts", stops_sales=True, lasts=3 * MINUTES
    ),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong now.

    `subject` tells two problems with the same code apart and does not change while they last: the
    ID of a row, a folder, or a code that was not checked. `since` is None if only the alert knows
    it. `buyers` is how many people it keeps out, as far as that is known. A higher `stage` is worth
    another message. `facts` are for the sentence and can be stored as JSON.
    """

    code: ProblemCode
    subject: str = ""
    since: datetime | None = None
    buyers: int = 0
    stage: int = 0
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> Kind:
        return KINDS[self.code]

    @property
    def address(self) -> str:
        """The path of the admin page where it is fixed, with the place on it."""
        args = [self.subject] if self.kind.of_subject else []
        return reverse(self.kind.page, args=args) + self.kind.place

    def may_fix(self, person: User | AnonymousUser) -> bool:
        """Whether this person has the permission that it takes to fix it."""
        needed = self.kind.permission
        return not needed or person.has_perm(needed)

    @property
    def key(self) -> tuple[str, str]:
        return self.code.value, self.subject

    def has_lasted(self, now: datetime, began_at: datetime | None = None) -> bool:
        """Whether it has lasted long enough to be told; `began_at` is when it was first seen."""
        since = self.since or began_at
        return not self.kind.lasts or (since is not None and now - since >= self.kind.lasts)
