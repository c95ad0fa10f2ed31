"""What Admit must know of an app to connect it, call it and talk about it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from integrations.errors import OutsideError
from integrations.exchanges import Exchange
from integrations.models import Integration, SiteAnswer

BeforeCall = Callable[[str, str], None]
AfterCall = Callable[[Exchange], None]


class Client(Protocol):
    """Sends the calls of an app's actions to one of its integrations."""

    def send(self, call: Any, /) -> Any:
        """Send one call; its answer. Raises what `integrations.errors` names."""


class Ask(Protocol):
    """Finds out whether an integration that is paused may be called again."""

    def __call__(
        self, integration: Integration, /, *, until: float = ..., impatient: bool = ...
    ) -> SiteAnswer: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AppSpec:
    """One app. `key` is stored with its integrations, and written in the configuration file.

    `outside` is how sentences name what is called, and `secret` what an integration is connected
    with. `has_catalog`: it has courses, bundles and signup fields. At most `calls_at_once` go to
    one integration, and `calls_per_minute` (0: as many as it takes); all integrations of the app
    together take no more than their `share_of_threads`. `client` is called with an integration,
    what is to be done before each call, and what after it. `ask` is called when a pause is over.
    `interpret` says what an error of a run's call is for the run, and pauses the integration where
    that must be; None: the site is asked first, see `thinkific.access_check`.
    """

    key: Integration.App
    label: str
    outside: str
    secret: str
    has_catalog: bool
    calls_at_once: int
    calls_per_minute: Callable[[], int]
    share_of_threads: float
    client: Callable[[Integration, BeforeCall, AfterCall], Client]
    ask: Ask
    interpret: Callable[[Integration, OutsideError], OutsideError] | None = None
