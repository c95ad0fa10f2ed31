"""What Admit must know of an app to connect it, call it and talk about it."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from integrations.exchanges import Exchange
from integrations.findings import Finding
from integrations.models import Integration, SiteAnswer
from integrations.sentences import Text

T = TypeVar("T")
AfterCall = Callable[[Exchange], None]
Steps = Generator[Any, Any, T]


class Client(Protocol):
    """Sends the calls of an app's actions to one of its integrations."""

    def send(self, call: Any, /) -> Any:
        """Send one call; its answer. Raises what `integrations.errors` names."""


class Checked(Protocol):
    """Checks each answer to steps for what it says about the integration as a whole."""

    def __call__(self, attempt: Any, steps: Steps[T], /) -> Steps[T]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AppSpec:
    """One app. `key` is stored with its integrations, and written in the configuration file.

    `outside` is how sentences name what is called, and `secret` what an integration is connected
    with. `has_catalog`: it has courses, bundles and signup fields. At most `calls_at_once` go to
    one integration, and `calls_per_minute` (0: as many as it takes); all integrations of the app
    together take no more than their `share_of_threads`.

    `client` is called with an integration, and with what is to be done after each call; it raises
    SecretUnreadable. `checked` wraps the steps of a run: it looks into each answer, and notes what
    it tells of the integration as a whole, which then takes effect by `take_effect`. `question` are
    the steps that find out whether a paused integration is open again; None: its pause ends when
    its time is over. `try_now` does it for a person, who waits ten seconds at most.
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
