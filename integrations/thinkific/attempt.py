"""The state of one attempt: what is known of a customer on a site, and what was learned.

It reads and writes nothing. `notes` lists what must be kept, in order. The worker's loop
writes the notes before the next call, so that they survive a crash.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from integrations.findings import Finding
from integrations.models import SiteAnswer

# How long a 202 is believed while nothing is to be seen of what it promised.
ACCEPTED_FOR = timedelta(hours=1)
# How long a POST without an answer may still be carried out.
CARRIED_OUT_WITHIN = timedelta(minutes=1)
# The target of the POST that makes a user.
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
    """A user of the site, with the signup fields {id: value} that it holds as far as we know."""

    user_id: int
    administrator: bool = False
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Doubt:
    """A POST that may have been carried out; `accepted`: the site said that it would be, later."""

    sent_at: datetime
    accepted: bool = False


@dataclass(frozen=True, slots=True)
class Remembered:
    """The customer is this user; `replaces`: another account was, and is no longer theirs."""

    account: Account
    replaces: bool


@dataclass(frozen=True, slots=True)
class Accepted:
    """The site said that it would do this later."""

    target: str


@dataclass(frozen=True, slots=True)
class Settled:
    """The doubt about this target is over."""

    target: str


@dataclass(frozen=True, slots=True)
class Gone:
    """The site said whether it has such a course or bundle."""

    kind: str
    number: int
    gone: bool


@dataclass(frozen=True, slots=True)
class FoundOpen:
    """The student had the course before this attempt gave anything.

    `since` is when the access began, `until` when it ends, None where it does not.
    """

    course: int
    since: datetime
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Opened:
    """This attempt has opened what it was to open."""


Note = Remembered | Accepted | Settled | Gone | Finding | FoundOpen | Opened


@dataclass(slots=True)
class Attempt:
    """What steps know and learn. `now` is the time at which the attempt began.

    `labels` are those of the signup fields, by number: Thinkific blames them by label.
    """

    person: Person
    now: datetime
    account: Account | None = None
    doubts: dict[str, Doubt] = field(default_factory=dict)
    labels: Mapping[int, str] = field(default_factory=dict)
    send_welcome_email: bool = False
    of_customer: bool = True  # False: its calls concern no customer, only the site
    connected: bool = False  # the site is known to let us in
    notes: list[Note] = field(default_factory=list)
    calls: int = 0  # begun in this attempt
    user_is_new: bool = False  # created in this attempt: nothing can be enrolled yet
    looked_up: bool = False  # read from the site in this attempt: cannot be outdated
    replaced: bool = False  # another account was remembered, and is no longer the customer's
    former: Account | None = None  # set aside in this attempt

    def in_doubt(self, target: str) -> bool:
        """Whether a POST for this target may have been carried out without our knowing."""
        return target in self.doubts

    def promised(self, target: str) -> bool:
        """Whether the site said that it would do this later, and may still be at it."""
        doubt = self.doubts.get(target)
        return bool(doubt and doubt.accepted and self.now - doubt.sent_at < ACCEPTED_FOR)

    def just_sent(self) -> bool:
        """Whether a POST for some course or bundle went out so lately that it may yet be done."""
        return any(
            self.promised(target) or self.now - doubt.sent_at < CARRIED_OUT_WITHIN
            for target, doubt in self.doubts.items()
            if target != USER
        )

    def settle(self, target: str) -> None:
        """A definite answer is known: the doubt about this target is over."""
        if self.doubts.pop(target, None) is not None:
            self.notes.append(Settled(target))

    def accept(self, target: str) -> None:
        """The site answered 202: it does this later."""
        self.doubts[target] = Doubt(self.doubts[target].sent_at, accepted=True)
        self.notes.append(Accepted(target))

    def remember(self, account: Account) -> None:
        """The customer is this user of the site."""
        before = self.account or self.former
        replaces = before is not None and before.user_id != account.user_id
        self.replaced = self.replaced or replaces
        self.account = account
        self.notes.append(Remembered(account, replaces))

    def set_aside(self) -> None:
        """The remembered account may be gone: act as if there was none, until one is found."""
        self.former, self.account = self.account, None

    def found(self, finding: Finding) -> None:
        """Note what an answer said about the site as a whole."""
        self.connected = finding.state == SiteAnswer.OPEN
        self.notes.append(finding)

    def note_gone(self, kind: str, number: int, *, gone: bool = True) -> None:
        """The site said whether it has this course or bundle."""
        self.notes.append(Gone(kind, number, gone))
