"""Errors of outside systems, named by what Admit does about them.

    OutsideError          every error of an outside system
     ├─ Refused           give up at once and say why: the request itself is not acceptable
     ├─ Retry             try again later: the system is down, slow or hard to understand
     ├─ KeyRejected       ask whether the whole site is closed to us; if so, pause it
     ├─ LimitReached      ask whether the whole site wants a pause; if so, pause it
     └─ OutOfTime         stop here: the caller's own time is up and nothing was sent

Every `message` is plain text for a course creator: what happened, to what, and what to do. It never
contains a key. Thinkific's messages do not contain the HTTP status (see `status`); a receiver's
messages do, because its owner will look for it. If Admit tries again by itself, `goes_on` says so.
"""

import math

from django.utils.translation import gettext_lazy as _

from integrations.sentences import say, say_count

TRIES_AGAIN = _("Admit tries again by itself.")


class OutsideError(Exception):
    """An outside system did not do what was asked. `status` is its HTTP status, if it gave one.

    `code` names the kind of error for scripts and our own logic. It stays the same when the
    wording changes.
    """

    code = "outside"

    def __init__(self, message: str, *, status: int | None = None, code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code or type(self).code

    @property
    def goes_on(self) -> str:
        """A sentence on how the action goes on by itself after this error, or ""."""
        return ""


class Refused(OutsideError):
    """The request was turned down for good; sending it again would change nothing.

    `details` are the system's own words, one per fault ("email: has already been taken"). `fields`
    are the names or labels of the fields that it blames, in its spelling. `what` is the message
    without the advice.
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
        """Return whether one of the details contains this text, ignoring case."""
        wanted = text.casefold()
        return any(wanted in detail.casefold() for detail in self.details)


class Retry(OutsideError):
    """It may work later.

    `in_doubt` means that a change may have been made although no answer says so; look before
    sending it again. This is the default, because a needless doubt costs one read, but a missed
    one enrolls twice. `seconds` is the pause that the system asked for (1 to 900), or None.
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

    The message assumes that this concerns the whole site: wrong key, wrong subdomain, or a plan
    without API access. `alone` says what the same answer means if the site accepts other requests,
    and `then` what a person can do about that.
    """

    code = "key_rejected"

    def __init__(
        self, message: str, *, status: int | None = None, alone: str = "", then: str = ""
    ) -> None:
        super().__init__(message, status=status)
        self.alone = alone or message
        self.then = then


class LimitReached(OutsideError):
    """The site's call limit is used up. It may be called again after `seconds` (1 to 900)."""

    code = "limit_reached"

    def __init__(self, message: str, *, seconds: float, status: int | None = None) -> None:
        super().__init__(message, status=status)
        self.seconds = seconds

    @property
    def goes_on(self) -> str:
        return say_count(
            math.ceil(self.seconds),
            "Admit continues by itself in 1 second.",
            "Admit continues by itself in {number} seconds.",
        )


class OutOfTime(OutsideError):
    """The caller's own time, or its lease, was up before the call was sent."""

    code = "out_of_time"

    @property
    def goes_on(self) -> str:
        return say("It continues at once.")
