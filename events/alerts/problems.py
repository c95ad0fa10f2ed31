"""What can be wrong with an installation, as data: a code, facts, and how long it may last."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

MINUTES = timedelta(minutes=1)


class Code(StrEnum):
    """Each cause of an alert. The value is what the database and scripts know it by."""

    NO_WORKER = "no_worker"
    KEY_REFUSED = "key_refused"
    SITE_PAUSED = "site_paused"
    OVERDUE = "overdue"
    SPOOL_WAITS = "spool_waits"
    DISK_LOW = "disk_low"
    CANARY_FAILED = "canary_failed"
    SILENCE = "silence"
    NOTHING_GIVEN = "nothing_given"
    NEEDS_A_PERSON = "needs_a_person"
    BRAKE_ON = "brake_on"
    TOKEN_ENDS = "token_ends"  # noqa: S105 - no password
    BACKUP_OLD = "backup_old"
    NOT_CHECKED = "not_checked"


@dataclass(frozen=True, slots=True)
class Kind:
    """What holds for every problem of one code.

    A shorter one than `lasts` is nobody's business. One that `stops_sales` keeps buyers out.
    `page` is the name of the admin page to go to.
    """

    title: str
    page: str
    stops_sales: bool = False
    lasts: timedelta = timedelta()


KINDS: dict[Code, Kind] = {
    Code.NO_WORKER: Kind("No worker runs", "admin:queue", stops_sales=True, lasts=3 * MINUTES),
    Code.KEY_REFUSED: Kind(
        "A key is refused", "admin:integrations_integration_changelist", stops_sales=True
    ),
    Code.SITE_PAUSED: Kind("A site is paused", "admin:queue", stops_sales=True, lasts=10 * MINUTES),
    Code.OVERDUE: Kind("Actions are overdue", "admin:queue", stops_sales=True, lasts=10 * MINUTES),
    Code.SPOOL_WAITS: Kind(
        "Sales wait outside of the database", "admin:queue", stops_sales=True, lasts=5 * MINUTES
    ),
    Code.DISK_LOW: Kind("A disk is nearly full", "admin:index", stops_sales=True),
    Code.CANARY_FAILED: Kind("The canary does not get through", "admin:samcart", stops_sales=True),
    Code.SILENCE: Kind("No sale for unusually long", "admin:samcart", stops_sales=True),
    Code.NOTHING_GIVEN: Kind("Paid, and nothing given", "admin:index"),
    Code.NEEDS_A_PERSON: Kind("Actions need a person", "admin:events_rulerun_changelist"),
    Code.BRAKE_ON: Kind("Too many endings at once", "admin:events_rulerun_changelist"),
    Code.TOKEN_ENDS: Kind("An access token ends", "admin:integrations_integration_changelist"),
    Code.BACKUP_OLD: Kind("No recent backup", "admin:index"),
    # What is not looked at may be what stops sales.
    Code.NOT_CHECKED: Kind(
        "Not everything can be checked", "admin:alerts", stops_sales=True, lasts=3 * MINUTES
    ),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong now.

    `subject` tells two of the same code apart and never changes while it lasts: a row's number or
    a folder. `since` is None where only the alert itself knows. `buyers` is how many people it
    keeps out, as far as that is known. A rise of `stage` is worth another message. `facts` are for
    the sentence, and may be stored as JSON.
    """

    code: Code
    subject: str = ""
    since: datetime | None = None
    buyers: int = 0
    stage: int = 0
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> Kind:
        return KINDS[self.code]

    @property
    def key(self) -> tuple[str, str]:
        return self.code.value, self.subject

    def has_lasted(self, now: datetime, began_at: datetime | None = None) -> bool:
        """Whether it is old enough to be told; `began_at` is when it was first seen."""
        since = self.since or began_at
        return not self.kind.lasts or (since is not None and now - since >= self.kind.lasts)
