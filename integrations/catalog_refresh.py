"""Read a site's catalog while a person waits, for a limited time.

A thread with its own database connection does the reading. After that time it continues in the
background, and what it finds is stored anyway.
"""

import copy
import logging
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from django.db import connections

from integrations.models import Integration
from integrations.sentences import say
from integrations.thinkific import catalog
from integrations.thinkific.catalog import Changes
from integrations.thinkific.explain import FAULTS, explain_plainly

log = logging.getLogger(__name__)
MAX_WAIT = 10.0  # seconds


@dataclass(frozen=True, slots=True)
class RefreshOutcome:
    """How a refresh ended: `changes`, or a `fault` in plain words; neither while it goes on."""

    changes: Changes | None = None
    fault: str = ""

    @property
    def goes_on(self) -> bool:
        return self.changes is None and not self.fault

    def sentence(self) -> str:
        """Say what happened, to follow "Art Academy: "."""
        if self.changes is not None:
            return say("refreshed. {changes}", changes=self.changes.sentence())
        if self.fault:
            return say("not refreshed. {fault}", fault=self.fault)
        return say(
            "still being read, in the background. In a minute, check under Last refreshed whether "
            "it is done."
        )


@dataclass(slots=True)
class _Reading:
    """A reading under way, with its own copy of the integration. `over` is set when it ends."""

    integration: Integration
    over: threading.Event = field(default_factory=threading.Event)
    outcome: RefreshOutcome = RefreshOutcome()


# The readings of this process. A caller that asks for a site being read waits for that reading.
_readings: dict[tuple[int, int], _Reading] = {}
_guard = threading.Lock()


def refresh(integration: Integration, *, wait: float = MAX_WAIT) -> RefreshOutcome:
    """Read and store the site's catalog. Waits at most `wait` seconds; then the reading goes on.

    The integration must be committed, because the reading cannot see the caller's transaction.
    """
    return refresh_all([integration], wait=wait)[0]


def refresh_all(
    integrations: Iterable[Integration], *, wait: float = MAX_WAIT
) -> list[RefreshOutcome]:
    """Do the same as `refresh` for several sites in parallel, in `wait` seconds altogether."""
    until = time.monotonic() + wait
    begun = [_begin(integration) for integration in integrations]
    for reading in begun:
        reading.over.wait(max(0.0, until - time.monotonic()))
    return [reading.outcome for reading in begun]


def _begin(integration: Integration) -> _Reading:
    # Keyed by the secret's version: a reading with an old key says nothing about a new one.
    key = integration.pk, integration.secret_version
    with _guard:
        if key in _readings:
            return _readings[key]
        # A copy: if the caller's object gets a new key meanwhile, this answer is about the old one.
        reading = _readings[key] = _Reading(copy.copy(integration))
    # A daemon thread, so that a stopping server does not wait for it. The next refresh reads again.
    threading.Thread(target=_read, args=(key, reading), daemon=True, name="refresh").start()
    return reading


def _read(key: tuple[int, int], reading: _Reading) -> None:
    try:
        reading.outcome = RefreshOutcome(changes=catalog.refresh(reading.integration))
    except FAULTS as error:
        reading.outcome = RefreshOutcome(fault=explain_plainly(error))
    except Exception:
        log.exception("refresh_broke", extra={"integration": reading.integration.pk})
        fault = say(
            "Admit itself failed while it read the site, not Thinkific. Call your technician."
        )
        reading.outcome = RefreshOutcome(fault=fault)
    finally:
        connections.close_all()
        with _guard:
            del _readings[key]
        reading.over.set()
