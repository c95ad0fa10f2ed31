"""What an answer says about an integration as a whole: that it is open, or why it is not."""

from dataclasses import dataclass
from typing import Protocol

from integrations.errors import OutsideError
from integrations.models import SiteAnswer


@dataclass(frozen=True, slots=True)
class Finding:
    """The state of an integration. `error` is what stops it, or why its state is unknown.

    `neutral` means that a call which concerns no customer found it out.
    """

    state: SiteAnswer
    error: OutsideError | None = None
    neutral: bool = True


class Learning(Protocol):
    """Something that keeps findings until they are written, such as an attempt."""

    connected: bool

    def found(self, finding: Finding) -> None:
        """Note what an answer says about the integration as a whole."""
