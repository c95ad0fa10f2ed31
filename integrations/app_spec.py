"""What Admit knows about an app, to connect it, call it and describe it."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from integrations.calls.exchanges import Exchange
from integrations.calls.findings import Finding
from integrations.models import Integration, SiteAnswer
from integrations.sentences import Text

T = TypeVar("T")
AfterCall = Callable[[Exchange], None]
Steps = Generator[Any, Any, T]


class Client(Protocol):
    """Sends the calls of an app's actions to one of its integrations."""

    def send(self, call: Any, /) -> Any:
        """Send one call and return its answer. Raises an OutsideError of `integrations.errors`."""


class Checked(Protocol):
    """Wraps steps to check what each answer says about the integration as a whole."""

    def __call__(self, attempt: Any, steps: Steps[T], /) -> Steps[T]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AppSpec:
    """One app.

    `key`: stored with its integrations, and written in the configuration file.
    `outside`: how sentences name the system that is called.
    `secret`: how sentences name the secret that connects an integration.
    `has_catalog`: it has courses, bundles and signup fields.
    `calls_at_once`: the most calls under way to one integration.
    `calls_per_minute`: the most calls a minute to one integration; 0 means no limit.
    `share_of_threads`: the share of the sending threads that all its integrations may use together.
    `client`: returns a client for an integration; its second argument runs after each call. Raises
    SecretUnreadable.
    `checked`: wraps a run's steps and notes what each answer says about the integration as a whole.
    `take_effect`: applies such a finding.
    `question`: the steps that find out whether a paused integration is open again. None if a pause
    simply ends when its time is over.
    `try_now`: does the same for a person, who waits at most ten seconds.
    """

    key: Integration.App
    label: str
    outside: Text
    secret: Text
    has_catalog: bool
    calls_at_once: int
    calls_per_minute: Callable[[], int]
    share_of_threads: float
    client: Callable[[Integration, AfterCall], Client]
    checked: Checked
    take_effect: Callable[[Integration, Finding], None]
    question: Callable[[], Steps[Finding]] | None
    try_now: Callable[[Integration], SiteAnswer]
