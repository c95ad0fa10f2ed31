"""Find what each integration in the file offers, from the database or from the site itself.

A site is called only if that can matter: the site or its key is new, or the file names a course,
bundle or signup field that is not stored. The address of a Notify URL is checked if it is new.
Nothing of the configuration is stored here. Reading a site with its stored key records the calls,
as any reading does, and may pause the site or note that it cannot be reached.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from django.conf import settings

from integrations import app_registry
from integrations.app_registry import AppSpec
from integrations.calls import rate_limit
from integrations.errors import LimitReached
from integrations.models import CallBudget, Integration, ProfileField
from integrations.notify_url import address_check, signature
from integrations.secrets import SecretUnreadable
from integrations.steps import drive
from integrations.thinkific import catalog, catalog_reading
from integrations.thinkific.catalog_reading import Catalog
from integrations.thinkific.client import Client
from integrations.thinkific.explain import FAULTS, explain
from rules.configuration.entries import Configuration, IntegrationEntry, MappingEntry, RuleEntry
from rules.configuration.faults import Faults
from rules.configuration.stored import Stored

# Seconds that one call may wait for its slot behind the calls of the workers.
_MAX_WAIT = 120.0
Progress = Callable[[str], object]


@dataclass(slots=True)
class Site:
    """An integration that the file names.

    `row`: its row, or None if it is not in the database yet.
    `new_secret`: the secret to store, or "" if the stored one stays.
    `found`: the catalog, if it was just read from the site.
    `destinations`: the courses and bundles that rules can use, {(kind, id): name}.
    `fields`: the signup fields.
    `url`: the checked address of a Notify URL.
    `chosen`: the signup field's ID for each mapping of the file.
    """

    app: AppSpec
    row: Integration | None
    new_secret: str = field(repr=False)
    found: Catalog | None = None
    destinations: dict[tuple[str, int], str] = field(default_factory=dict)
    fields: list[ProfileField] = field(default_factory=list)
    url: str = ""
    chosen: dict[MappingEntry, int] = field(default_factory=dict)


def look(
    configuration: Configuration, stored: Stored, faults: Faults, progress: Progress
) -> dict[str, Site]:
    """Return the sites by integration name. One that cannot be read is left out, with a fault.

    Calls Thinkific, so it must not run inside a transaction.
    """
    entries = {entry.name: entry for entry in configuration.integrations}
    wanted: dict[str, list[RuleEntry]] = {name: [] for name in entries}
    for rule in configuration.rules:
        wanted.setdefault(rule.integration, []).append(rule)
    found = {}
    for name, rules in wanted.items():
        entry, row = entries.get(name), stored.integrations.get(name)
        place = entry.place if entry else rules[0].place
        if entry and not _consistent(entry, row, stored, faults):
            continue
        try:
            site = _look(entry, row, rules, stored, partial(progress, name))
        except ValueError as error:
            faults.add(place, f"`url`: {error}")
            continue
        except FAULTS as error:
            about = "" if entry else f"{name} could not be read. "
            faults.add(place, f"{about}{explain(error)}")
            continue
        if site is not None:
            found[name] = site
    return found


def _consistent(
    entry: IntegrationEntry, row: Integration | None, stored: Stored, faults: Faults
) -> bool:
    if row is not None and row.app != entry.app.key:
        faults.add(
            entry.place,
            f"{row} is of the app {row.app} and stays it. Give another integration a name of its "
            "own.",
        )
        return False
    if not entry.app.has_catalog:
        return True
    if row is not None and row.site != entry.site:
        faults.add(
            entry.place,
            f"{row} is the site {row.site} and stays it. Give another site a name of its own.",
        )
        return False
    other = stored.site_names.get(entry.site)
    if row is None and other is not None:
        faults.add(entry.place, f"the site {entry.site} is connected as {other}. Use that name.")
        return False
    if row is None and not entry.secret:
        faults.add(entry.place, "`secret` is missing: the site's API key or access token.")
        return False
    return True


def _look(
    entry: IntegrationEntry | None,
    row: Integration | None,
    rules: list[RuleEntry],
    stored: Stored,
    progress: Callable[[], object],
) -> Site | None:
    """Look at one integration. Returns None if it is in neither the file nor the database.

    Raises the errors of reading a site, and ValueError for a bad address of a Notify URL.
    """
    app = entry.app if entry else app_registry.of(row) if row else None
    if app is None:
        return None
    secret = _new_secret(entry, row)
    if not app.has_catalog:
        made = "" if row else signature.new_secret()
        return Site(app, row, secret or made, url=_checked_url(entry, row))
    known = (stored.destinations(row) if row else {}) | _by_hand(entry)
    if entry and secret:
        progress()
        found = _try_key(entry.site, secret, row)
        return Site(app, row, secret, found, known | _listed(found), _fields(found))
    if row is None:
        return None
    site = Site(app, row, "", None, known, stored.fields(row))
    if _knows(site, entry, rules, stored):
        return site
    progress()
    found = catalog.read(row)
    return Site(app, row, "", found, known | _listed(found), _fields(found))


def _checked_url(entry: IntegrationEntry | None, row: Integration | None) -> str:
    """Return the file's address, checked by DNS lookup if it is new, or else the stored one."""
    if row is not None and (entry is None or entry.url == row.url):
        return row.url
    assert entry is not None
    return address_check.check_url(entry.url, allow_private=settings.ALLOW_PRIVATE_NOTIFY_URLS)


def _new_secret(entry: IntegrationEntry | None, row: Integration | None) -> str:
    """Return the file's secret if it differs from the stored one, else ""."""
    if entry is None or not entry.secret:
        return ""
    try:
        return "" if row and row.secret() == entry.secret else entry.secret
    except SecretUnreadable:
        return entry.secret


def _knows(
    site: Site, entry: IntegrationEntry | None, rules: Iterable[RuleEntry], stored: Stored
) -> bool:
    labels = {each.label.strip().casefold() for each in site.fields}
    for mapping in entry.mappings if entry else ():
        kept = entry and stored.mapped(entry.name, mapping)
        if mapping.thinkific.casefold() not in labels and not kept:
            return False
    return all(
        rule.needs is None or rule.needs in site.destinations or rule.key in stored.rules
        for rule in rules
    )


def _by_hand(entry: IntegrationEntry | None) -> dict[tuple[str, int], str]:
    wanted = entry.destinations if entry else ()
    return {(each.kind.value, each.number): each.name for each in wanted}


def _listed(found: Catalog) -> dict[tuple[str, int], str]:
    return {key: str(values["name"]) for key, values in found.destinations.items()}


def _fields(found: Catalog) -> list[ProfileField]:
    return [ProfileField(external_id=key, **values) for key, values in found.fields.items()]


def _try_key(site: str, secret: str, row: Integration | None) -> Catalog:
    """Read the catalog with a key that is not stored yet. Raises the errors in FAULTS."""
    client = Client(
        base_url=settings.THINKIFIC_API_URL,
        site=site,
        secret=secret,
        before_call=partial(_take_slot, row) if row else _Pace(),
        deadline=settings.CALL_DEADLINE_SECONDS,
        version=settings.VERSION,
    )
    try:
        return drive(catalog_reading.fetch(), client.send)
    except LimitReached as error:
        if row:
            rate_limit.block(row.pk, CallBudget.Blocked.LIMIT, error.seconds)
        raise


class _Pace:
    """Spaces out the calls to a site that has no call budget yet, as a budget would."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self) -> None:
        gap, ahead = rate_limit.spacing()
        time.sleep(max(0.0, self._next - ahead - time.monotonic()))
        self._next = max(self._next, time.monotonic()) + gap


def _take_slot(row: Integration) -> None:
    """Wait for a slot of the site. Ignores a pause that the old key may have caused."""
    why, seconds = rate_limit.blocked_for(row.pk)
    if why == CallBudget.Blocked.LIMIT and seconds > 0:
        raise rate_limit.SiteBlocked(why, seconds)
    time.sleep(rate_limit.take_slot(row.pk, max_wait=_MAX_WAIT, pause=float("inf")))
