"""The state of one attempt: what is known about a customer on a site, and what was learned.

It reads and stores nothing itself. `notes` lists, in order, what must be stored. The worker's loop
stores the notes before the next call, so that they survive a crash.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from integrations.calls.findings import Finding
from integrations.models import SiteAnswer

# How long a 202 ("done later") is believed while its result does not show.
ACCEPTED_FOR = timedelta(hours=1)
# How long a POST without an answer may still be carried out.
CARRIED_OUT_WITHIN = timedelta(minutes=1)
# The target of the POST that creates a user.
USER = "user"


@dataclass(frozen=True, slots=True)
class Person:
    """The customer as SamCart named them."""

    email: str
    email_as_sent: str = ""
    first_name: str = ""
    last_name: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the site, with its signup fields {ID: value} as far as we know them."""

    user_id: int
    administrator: bool = False
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Doubt:
    """A POST that may have been carried out. `accepted`: the site said that it will be, later."""

    sent_at: datetime
    accepted: bool = False


@dataclass(frozen=True, slots=True)
class Remembered:
    """The customer is this user. `replaces`: it takes the place of another remembered account."""

    account: Account
    replaces: bool


@dataclass(frozen=True, slots=True)
class Accepted:
    """The site said that it will do this later (202)."""

    target: str


@dataclass(frozen=True, slots=True)
class Settled:
    """The doubt about this target is over."""

    target: str


@dataclass(frozen=True, slots=True)
class GivenBefore:
    """What has been open since before `moment` was not given by the purchase that ended.

    This says nothing of the courses of `but` ("course:501"), because Admit may have opened them.
    """

    moment: datetime
    but: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Gone:
    """The site said whether this course or bundle is gone."""

    kind: str
    number: int
    gone: bool


@dataclass(frozen=True, slots=True)
class FoundOpen:
    """The student had the course before this attempt gave anything.

    `since` is when the access began, `until` when it ends, or None if it does not end.
    """

    course: int
    since: datetime
    until: datetime | None


@dataclass(frozen=True, slots=True)
class FoundEnded:
    """The student's access to the course had ended before this attempt gave anything."""

    course: int


@dataclass(frozen=True, slots=True)
class Opened:
    """This attempt gave the access that it was meant to give."""


Note = Remembered | Accepted | Settled | Gone | Finding | FoundOpen | FoundEnded | Opened


@dataclass(slots=True)
class Attempt:
    """What steps know and learn. `now` is when the attempt began.

    `labels` are the labels of signup fields by ID, because Thinkific names refused fields by label.
    """

    person: Person
    now: datetime
    account: Account | None = None
    doubts: dict[str, Doubt] = field(default_factory=dict)
    labels: Mapping[int, str] = field(default_factory=dict)
    send_welcome_email: bool = False
    of_customer: bool = True  # False: the calls concern no customer, only the site
    connected: bool = False  # the site is known to let us in
    notes: list[Note] = field(default_factory=list)
    calls: int = 0  # begun in this attempt
    noted_user: int = 0  # all whose enrollments were read to note what was open before
    user_is_new: bool = False  # created in this attempt, so not enrolled in anything yet
    looked_up: bool = False  # read from the site in this attempt, so not outdated
    replaced: bool = False  # the customer's remembered account was replaced by another one
    former: Account | None = None  # the account that was set aside in this attempt

    def in_doubt(self, target: str) -> bool:
        """Return whether a POST for this target may have been carried out without our knowing."""
        return target in self.doubts

    def promised(self, target: str) -> bool:
        """Return whether the site said that it will do this later, and may still do it."""
        doubt = self.doubts.get(target)
        return bool(doubt and doubt.accepted and self.now - doubt.sent_at < ACCEPTED_FOR)

    def just_sent(self) -> bool:
        """Return whether a POST for any course or bundle is recent enough to still take effect."""
        return any(
            self.promised(target) or self.now - doubt.sent_at < CARRIED_OUT_WITHIN
            for target, doubt in self.doubts.items()
            if target != USER
        )

    @property
    def may_have_enrolled(self) -> bool:
        """Whether a POST for a course or bundle may have been carried out without our knowing."""
        return any(target != USER for target in self.doubts)

    def settle(self, target: str) -> None:
        """End the doubt about this target, because a definite answer is known."""
        if self.doubts.pop(target, None) is not None:
            self.notes.append(Settled(target))

    def accept(self, target: str) -> None:
        """Note that the site answered 202: it will do this later."""
        self.doubts[target] = Doubt(self.doubts[target].sent_at, accepted=True)
        self.notes.append(Accepted(target))

    def remember(self, account: Account) -> None:
        """Note that the customer is this user of the site."""
        before = self.account or self.former
        replaces = before is not None and before.user_id != account.user_id
        self.replaced = self.replaced or replaces
        self.account = account
        self.notes.append(Remembered(account, replaces))

    def set_aside(self) -> None:
        """Act as if no account was remembered, because the remembered one may be gone."""
        self.former, self.account = self.account, None

    def found(self, finding: Finding) -> None:
        """Note what an answer says about the site as a whole."""
        self.connected = finding.state == SiteAnswer.OPEN
        self.notes.append(finding)

    def note_gone(self, kind: str, number: int, *, gone: bool = True) -> None:
        """Note whether the site said that this course or bundle is gone."""
        self.notes.append(Gone(kind, number, gone))
