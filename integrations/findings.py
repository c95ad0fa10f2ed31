"""What an answer says about an integration as a whole: that it is open, or what stops it."""

from dataclasses import dataclass
from typing import Protocol

from integrations.errors import OutsideError
from integrations.models import SiteAnswer


@dataclass(frozen=True, slots=True)
class Finding:
    """The state of the integration; `error` is what stops it, or why nothing is known.

    `neutral`: it was found out by a call that concerns no customer.
    """

    state: SiteAnswer
    error: OutsideError | None = None
    neutral: bool = True


class Learning(Protocol):
    """What keeps findings until they are written: an attempt."""

    connected: bool

    def found(self, finding: Finding) -> None:
        """Note what an answer said about the integration as a whole."""
