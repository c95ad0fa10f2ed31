"""Read the configuration file into entries, and check what needs only the file itself."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from integrations import app_registry, credentials
from integrations.app_registry import AppSpec
from integrations.models import Destination
from integrations.notify_url import address_check, signature
from integrations.samcart.normalize import normalize_id
from integrations.samcart.unreadable import Unreadable
from integrations.thinkific import site_address as sites
from rules.actions import ACTIONS
from rules.configuration import document
from rules.configuration.document import Entry
from rules.configuration.entries import (
    ANY,
    OWN,
    Configuration,
    DestinationEntry,
    IntegrationEntry,
    MappingEntry,
    MarketplaceEntry,
    RuleEntry,
)
from rules.configuration.faults import EntryPosition, Faults
from rules.configuration.fields import Fields
from rules.models import MOST_DAYS
from rules.triggers import Category, Trigger

Read = TypeVar("Read")


def read(raw: bytes, environ: Mapping[str, str], faults: Faults) -> Configuration:
    """Read the file. Raises Faulty if it is not usable YAML. Faults of entries go to `faults`."""
    content = document.load(raw)
    unsound: set[tuple[str, str]] = set()
    whole = Fields(EntryPosition("", 0, content.line), content, faults, environ)
    whole.only("marketplaces", "integrations", "rules")

    def section(
        name: str, hints: tuple[str, ...], reader: Callable[[Fields], Read | None]
    ) -> tuple[Read, ...]:
        read_ones = []
        for fields in _entries(content, name, hints, faults, environ):
            entry = reader(fields)
            if fields.sound and entry is not None:
                read_ones.append(entry)
            else:
                unsound.add((name, fields.hint("name")))
        return tuple(read_ones)

    configuration = Configuration(
        section("marketplaces", ("name",), _marketplace),
        section("integrations", ("name",), _integration),
        section("rules", ("marketplace", "trigger"), _rule),
        frozenset(unsound),
    )
    _check_twice(configuration, faults)
    return configuration


def _entries(
    content: Entry,
    section: str,
    hints: tuple[str, ...],
    faults: Faults,
    environ: Mapping[str, str],
) -> Iterable[Fields]:
    rows = content.get(section) or []
    if not isinstance(rows, list):
        faults.add(content.line, f"`{section}` must be a list, each entry beginning with `- `.")
        return
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, Entry):
            faults.add(
                EntryPosition(section, number, content.line), "must be lines of `key: value`."
            )
            continue
        unnamed = Fields(EntryPosition(section, number, row.line), row, faults, environ)
        yield Fields(
            EntryPosition(section, number, row.line, unnamed.hint(*hints)), row, faults, environ
        )


def _marketplace(fields: Fields) -> MarketplaceEntry:
    fields.only("name", "webhook_secret")
    secret = fields.text("webhook_secret", longest=200, needed=False)
    try:
        if secret:
            credentials.check_webhook_secret(secret)
    except ValueError as error:
        fields.fault(f"`webhook_secret`: {error}")
    return MarketplaceEntry(fields.place, fields.text("name", longest=100), secret)


_INTEGRATION_KEYS = ("name", "app", "secret", "enabled")
_CATALOG_KEYS = ("site", "send_welcome_email", "student_field", "field_mappings", "destinations")


def _integration(fields: Fields) -> IntegrationEntry:
    named = fields.choice("app", list(app_registry.APPS), needed=False)
    app = app_registry.APPS.get(named, app_registry.THINKIFIC)
    fields.only(*_INTEGRATION_KEYS, *(_CATALOG_KEYS if app.has_catalog else ("url",)))
    return IntegrationEntry(
        place=fields.place,
        name=fields.text("name", longest=100),
        app=app,
        site=_site(fields) if app.has_catalog else "",
        url="" if app.has_catalog else fields.text("url", longest=address_check.LONGEST),
        secret=_secret(fields, app),
        send_welcome_email=fields.flag("send_welcome_email"),
        student_field=_student_field(fields),
        enabled=fields.flag("enabled"),
        mappings=_mappings(fields),
        destinations=_destinations(fields),
    )


def _site(fields: Fields) -> str:
    site = fields.text("site", longest=300)
    try:
        return sites.subdomain(site) if site else ""
    except ValueError as error:
        fields.fault(f"`site`: {error}")
        return ""


def _student_field(fields: Fields) -> str | None:
    """Return the field's name, "" if the file says that there is none, or None if it is silent."""
    if "student_field" not in fields.entry:
        return None
    return fields.text("student_field", longest=255) if fields.entry["student_field"] else ""


def _secret(fields: Fields, app: AppSpec) -> str:
    secret = fields.text("secret", longest=4000, needed=False)
    try:
        if secret and not app.has_catalog:
            signature.key_of(secret)
    except ValueError as error:
        fields.fault(f"`secret`: {error}")
    return secret


def _mappings(fields: Fields) -> tuple[MappingEntry, ...]:
    found: dict[str, MappingEntry] = {}
    for inner in _inside(fields, "field_mappings", "samcart", "thinkific"):
        mapping = MappingEntry(
            inner.text("samcart", longest=255), inner.text("thinkific", longest=255)
        )
        fields.sound = fields.sound and inner.sound
        if found.setdefault(mapping.thinkific.casefold(), mapping) is not mapping and inner.sound:
            fields.fault(f"the signup field {mapping.thinkific} is filled twice.")
    return tuple(found.values())


def _destinations(fields: Fields) -> tuple[DestinationEntry, ...]:
    found: dict[tuple[str, int], DestinationEntry] = {}
    for inner in _inside(fields, "destinations", "kind", "id", "name"):
        kind = inner.choice("kind", Destination.Kind.values)
        number, name = inner.number("id"), inner.text("name", longest=255)
        fields.sound = fields.sound and inner.sound
        if not inner.sound:
            continue
        entry = DestinationEntry(Destination.Kind(kind), number, name)
        if found.setdefault((kind, number), entry) is not entry:
            fields.fault(f"the {kind} {number} stands twice under `destinations`.")
    return tuple(found.values())


def _inside(fields: Fields, key: str, *known: str) -> Iterator[Fields]:
    """Yield the entries of the list under `key`. They may only have the `known` keys."""
    rows = fields.entry.get(key) or []
    if not isinstance(rows, list) or not all(isinstance(row, Entry) for row in rows):
        form = ", ".join(f"{name}: …" for name in known)
        fields.fault(f"`{key}` must be a list of {{{form}}}.")
        return
    for row in rows:
        assert isinstance(row, Entry)
        inner = Fields(replace(fields.place, line=row.line), row, fields.faults, fields.environ)
        inner.only(*known)
        yield inner


_RULE_KEYS = (
    "marketplace",
    "product",
    "product_name",
    "trigger",
    "integration",
    "action",
    "destination",
    "ends",
    "days_later",
    "enabled",
)


def _rule(fields: Fields) -> RuleEntry | None:
    fields.only(*_RULE_KEYS)
    marketplace = fields.text("marketplace", longest=100)
    integration = fields.text("integration", longest=100)
    trigger = fields.choice("trigger", Trigger.values)
    action = fields.choice("action", list(ACTIONS))
    destination = _destination(fields, action)
    ends = _ends(fields, action)
    delay_days = _delay_days(fields, action)
    enabled = fields.flag("enabled")
    product = _product(fields)
    product_name = fields.text("product_name", longest=255, needed=False)
    if product and trigger and Trigger(trigger).category is Category.COURSES:
        fields.fault("Courses triggers carry no product. Leave `product` out: a global rule.")
    if product_name and "product" not in fields.entry:
        fields.fault("`product_name` needs `product`, the product's SamCart ID.")
    if not fields.sound:
        return None
    return RuleEntry(
        place=fields.place,
        marketplace=marketplace,
        product=product,
        product_name=product_name,
        trigger=Trigger(trigger),
        integration=integration,
        action=ACTIONS[action],
        destination=destination,
        ends_all=ends == ANY,
        delay_days=delay_days,
        enabled=enabled is not False,
    )


def _destination(fields: Fields, action: str) -> int | None:
    if not action or ACTIONS[action].target is not None:
        return fields.number("destination")
    if "destination" in fields.entry:
        fields.fault(f"{action} has no `destination`. Leave the line out.")
    return None


def _delay_days(fields: Fields, action: str) -> int:
    if "days_later" not in fields.entry:
        return 0
    if action and not ACTIONS[action].ends_access:
        fields.fault(f"{action} ends no access. Leave `days_later` out.")
        return 0
    days = fields.number("days_later")
    if days > MOST_DAYS:
        fields.fault(f"`days_later` is at most {MOST_DAYS}.")
    return days


def _ends(fields: Fields, action: str) -> str:
    if action and "ends" in fields.entry and not ACTIONS[action].ends_access:
        fields.fault(f"{action} ends no access. Leave `ends` out.")
        return ""
    return fields.choice("ends", (OWN, ANY), needed=False)


def _product(fields: Fields) -> str:
    """Return the SamCart ID as events carry it, or "" for a global rule.

    An empty or zero `product` is a fault, so that it never makes a rule global by accident.
    """
    text = fields.text("product", longest=64, needed=False)
    try:
        product = normalize_id(text, what="`product`")
    except Unreadable as error:
        fields.fault(error.reason)
        return ""
    if text and not product:
        fields.fault("`product` is 0, which is no product. Leave the line out for a global rule.")
    return product


def _check_twice(configuration: Configuration, faults: Faults) -> None:
    marketplaces, integrations = configuration.marketplaces, configuration.integrations
    _once(((e.name, e.place) for e in marketplaces), "has the same `name` as", faults)
    secrets = ((e.webhook_secret, e.place) for e in marketplaces if e.webhook_secret)
    _once(secrets, "has the same `webhook_secret` as", faults)
    _once(((e.name, e.place) for e in integrations), "has the same `name` as", faults)
    _once(((e.site, e.place) for e in integrations if e.site), "has the same `site` as", faults)
    _once(((e.key, e.place) for e in configuration.rules), "is the same rule as", faults)


def _once(keys: Iterable[tuple[object, EntryPosition]], what: str, faults: Faults) -> None:
    first: dict[object, EntryPosition] = {}
    for key, place in keys:
        if first.setdefault(key, place) is not place:
            faults.add(place, f"it {what} {first[key].section}[{first[key].number}].")
