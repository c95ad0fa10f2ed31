"""What can go wrong outside, named by what Admit does about it.

    OutsideError          every error of an outside system
     ├─ Refused           give up at once and say why: the request itself is not acceptable
     ├─ Retry             try again later: the outside is down, slow or hard to understand
     ├─ KeyRejected       ask whether the whole site is closed to us, and stop it then
     ├─ LimitReached      ask whether the whole site wants a pause, and stop it then
     └─ OutOfTime         stop here: the caller's own time is up and nothing was sent

Every `message` is plain text for a course creator: what happened, to what, what to do. It carries
no key. Those of Thinkific carry no HTTP status either (that is `status`); those of a receiver do,
because its owner will look for it. How it goes on depends on who asked: `goes_on` says it where
Admit tries again by itself.
"""

import math

from django.utils.translation import gettext_lazy as _

from integrations.sentences import say, say_count

TRIES_AGAIN = _("Admit tries again by itself.")


class OutsideError(Exception):
    """An outside system did not do what was asked; `status` is its HTTP status, if it gave one.

    `code` names the kind for scripts and for our own logic; it stays the same when the words do
    not.
    """

    code = "outside"

    def __init__(self, message: str, *, status: int | None = None, code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code or type(self).code

    @property
    def goes_on(self) -> str:
        """How an action that ended so goes on by itself, as a sentence; "" when it does not."""
        return ""


class Refused(OutsideError):
    """The request was turned down for good; sending it again would change nothing.

    `details` are the outside's own words, one per fault ("email: has already been taken"),
    `fields` the names or labels of the fields that they blame, in the outside's spelling.
    `what` is the message without what a person may do about it.
    """

    code = "refused"

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str = "",
        details: tuple[str, ...] = (),
        fields: frozenset[str] = frozenset(),
        what: str = "",
    ) -> None:
        super().__init__(message, status=status, code=code)
        self.what = what or message
        self.details = details
        self.fields = fields

    def says(self, text: str) -> bool:
        """Whether one of the details contains this text, in capitals or not."""
        wanted = text.casefold()
        return any(wanted in detail.casefold() for detail in self.details)


class Retry(OutsideError):
    """It may work later.

    `in_doubt`: a change may have been made although no answer says so, so look before sending it
    again. That is assumed unless the caller knows better: a doubt too many costs one read, one
    too few enrolls twice. `seconds`: the pause that the outside asked for (1 to 900), or None.
    """

    code = "no_answer"

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str = "",
        in_doubt: bool = True,
        seconds: float | None = None,
    ) -> None:
        super().__init__(message, status=status, code=code)
        self.in_doubt = in_doubt
        self.seconds = seconds

    @property
    def goes_on(self) -> str:
        if self.in_doubt:
            return say("It may have been done anyway, so Admit looks before it tries again.")
        return say(TRIES_AGAIN)


class KeyRejected(OutsideError):
    """The site did not let us in (401 or 403), or the key cannot be sent (no status).

    The message takes it for a statement about the site: wrong key, wrong subdomain, or a plan
    without API access. `alone` says what the same answer means when the site lets us in with
    other requests, and `then` what a person may do about that.
    """

    code = "key_rejected"

    def __init__(
        self, message: str, *, status: int | None = None, alone: str = "", then: str = ""
    ) -> None:
        super().__init__(message, status=status)
        self.alone = alone or message
        self.then = then


class LimitReached(OutsideError):
    """The site's limit of calls is used up; it may be called again after `seconds` (1 to 900)."""

    code = "limit_reached"

    def __init__(self, message: str, *, seconds: float, status: int | None = None) -> None:
        super().__init__(message, status=status)
        self.seconds = seconds

    @property
    def goes_on(self) -> str:
        return say_count(
            math.ceil(self.seconds),
            "Admit goes on by itself in 1 second.",
            "Admit goes on by itself in {number} seconds.",
        )


class OutOfTime(OutsideError):
    """The caller's own time, or its lease, was up before the call was sent."""

    code = "out_of_time"

    @property
    def goes_on(self) -> str:
        return say("It goes on at once.")
