"""Write to the database what differs from the file. Each change is reported in one sentence."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError

from integrations import audit, credentials, field_mapping, secrets
from integrations.audit import Act
from integrations.models import Destination, FieldMapping, Integration, Marketplace, Product
from integrations.thinkific import catalog
from integrations.thinkific.site_check import accept_key
from rules import changing
from rules.configuration import entered
from rules.configuration.entries import Configuration, IntegrationEntry, MarketplaceEntry, RuleEntry
from rules.configuration.faults import Faulty
from rules.configuration.sites import Site
from rules.configuration.stored import Stored
from rules.models import Rule, Scope

Key = TypeVar("Key")
Row = TypeVar("Row")


class ConcurrentChange(Exception):
    """Somebody else changed rows since the file was checked, so it must be checked again."""


@dataclass(frozen=True, slots=True)
class ApplyReport:
    """What `write` did, in sentences.

    `changes` are the changes made. `left` is what the file does not name and stays because
    `prune` was not asked for. `kept` is what the file does not name but rules still use, so it
    cannot be deleted. `new_addresses` are the accounts that got a new webhook address.
    """

    changes: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    new_addresses: list[Marketplace] = field(default_factory=list)


def write(configuration: Configuration, sites: dict[str, Site], *, prune: bool) -> ApplyReport:
    """Make the database match the file. Call it in a transaction, with a checked configuration.

    Rows that match already are not written. Raises ConcurrentChange or IntegrityError if somebody
    else changed something since the check, and Faulty if a rule is not valid.
    """
    report = ApplyReport()
    stored = Stored.load(lock=True)
    for marketplace in configuration.marketplaces:
        _write_marketplace(marketplace, stored, report)
    for integration in configuration.integrations:
        _write_integration(integration, sites[integration.name], stored, report)
    named = {entry.name for entry in configuration.integrations}
    for name, site in sites.items():
        if name not in named and site.found and site.row:
            catalog.store(site.row, site.found)
    _write_rules(configuration, stored, report)
    _leave_or_delete(configuration, sites, stored, report, prune=prune)
    return report


def _write_marketplace(entry: MarketplaceEntry, stored: Stored, report: ApplyReport) -> None:
    row = stored.marketplaces.get(entry.name)
    if row is None:
        row = stored.marketplaces[entry.name] = Marketplace.objects.create(name=entry.name)
        audit.record_added(Act.ACCOUNT_ADDED, [row])
        report.changes.append(f"Add SamCart account {row}.")
    current = credentials.current_secret(row)
    if not entry.webhook_secret:
        if current is None:
            credentials.add_webhook_secret(row)
            report.new_addresses.append(row)
            report.changes.append(f"Make a webhook address for {row}.")
        return
    digest = secrets.digest(entry.webhook_secret)
    if current is None or current.digest != digest or current.expires_at is not None:
        credentials.add_webhook_secret(row, entry.webhook_secret)
        replaced = "; the old one works for 7 more days" if current else ""
        report.changes.append(f"Set the webhook secret of {row}{replaced}.")


def _write_integration(
    entry: IntegrationEntry, site: Site, stored: Stored, report: ApplyReport
) -> None:
    row = stored.integrations.get(entry.name)
    if (row is None) != (site.row is None):
        raise ConcurrentChange
    if row is None:
        row = Integration(name=entry.name, app=entry.app.key, site=entry.site)
        stored.integrations[entry.name] = row
    is_new = row.pk is None
    changed = _set_switches(row, entry)
    if site.url != row.url:
        row.url, row.site = site.url, urlsplit(site.url).hostname or ""
        changed.append("new address")
    if site.new_secret and not is_new:
        changed.append(f"new {entry.app.secret}")
    if is_new or changed:
        credentials.save(row, site.new_secret)
    told = _store(entry, row, site)
    made = entered.write(entry, row)
    if is_new:
        report.changes.append(f"Add integration {row} (site {row.site}): {told}")
    elif changed:
        report.changes.append(f"Change integration {row}: {', '.join(changed)}.")
    report.changes.extend(made)
    _write_mappings(entry, row, site, report)


def _set_switches(row: Integration, entry: IntegrationEntry) -> list[str]:
    changed = []
    if entry.send_welcome_email not in {None, row.send_welcome_email}:
        row.send_welcome_email = bool(entry.send_welcome_email)
        changed.append(f"welcome e-mail {_switch(row.send_welcome_email)}")
    if entry.student_field not in {None, row.student_field}:
        row.student_field = entry.student_field or ""
        changed.append(f"student field {row.student_field or 'none'}")
    if entry.enabled not in {None, row.enabled}:
        row.enabled = bool(entry.enabled)
        changed.append(f"turned {_switch(row.enabled)}")
    return changed


def _store(entry: IntegrationEntry, row: Integration, site: Site) -> str:
    if not entry.app.has_catalog:
        made = "Admit made its secret. Press New secret on its page for one to copy."
        return "it signs with the secret of the file." if entry.secret else made
    if site.found is None:
        return ""
    told = catalog.store(row, site.found).sentence()
    if site.new_secret:
        accept_key(row)
    return told


def _write_mappings(
    entry: IntegrationEntry, row: Integration, site: Site, report: ApplyReport
) -> None:
    fields = {each.external_id: each for each in row.profile_fields.all()}
    there = {each.profile_field_id: each for each in row.field_mappings.all()}
    before = field_mapping.by_label(row)
    for wanted in entry.mappings:
        target = _there(fields, site.chosen[wanted])
        mapping = there.get(target.pk) or FieldMapping(integration=row, profile_field=target)
        if mapping.samcart_field == wanted.samcart:
            continue
        verb = "Change" if mapping.pk else "Add"
        mapping.samcart_field = wanted.samcart
        mapping.save()
        report.changes.append(f"{verb} field mapping {mapping} on {row}.")
    field_mapping.note(row, before)


def _write_rules(configuration: Configuration, stored: Stored, report: ApplyReport) -> None:
    products = _write_products(configuration, stored, report)
    names = {entry.integration for entry in configuration.rules}
    destinations = {
        (each.integration_id, each.kind, each.external_id): each
        for each in Destination.objects.filter(integration__name__in=names)
    }
    new = []
    for entry in configuration.rules:
        rule = stored.rules.get(entry.key)
        if rule is None:
            new.append(_new_rule(entry, stored, products, destinations))
            off = "" if entry.enabled else " (off)"
            report.changes.append(f"Add rule: {new[-1]}{off}.")
        else:
            report.changes.extend(_set_rule_switches(rule, entry))
    changing.add_all(new)


def _set_rule_switches(rule: Rule, entry: RuleEntry) -> list[str]:
    told = []
    before = audit.values(rule)
    if rule.ends_all != entry.ends_all:
        rule.ends_all = entry.ends_all
        what = "whatever gave it" if rule.ends_all else "only what its purchase gave"
        told.append(f"End {what} by rule: {rule}.")
    if rule.delay_days != entry.delay_days:
        rule.delay_days = entry.delay_days
        told.append(f"End {rule.delay_days or 'no'} days later by rule: {rule}.")
    if rule.enabled != entry.enabled:
        rule.enabled = entry.enabled
        told.append(f"Turn {_switch(rule.enabled)} rule: {rule}.")
    if told:
        rule.save(update_fields=["enabled", "ends_all", "delay_days"])
        audit.record_change(Act.RULE_CHANGED, rule, before)
    return told


def _new_rule(
    entry: RuleEntry,
    stored: Stored,
    products: dict[tuple[str, str], Product],
    destinations: dict[tuple[int, str, int], Destination],
) -> Rule:
    integration = _there(stored.integrations, entry.integration)
    destination = None
    if entry.needs is not None:
        destination = _there(destinations, (integration.pk, *entry.needs))
        destination.integration = integration
    rule = Rule(
        marketplace=_there(stored.marketplaces, entry.marketplace),
        scope=Scope.PRODUCT if entry.product else Scope.GLOBAL,
        product=products[entry.marketplace, entry.product] if entry.product else None,
        trigger=entry.trigger,
        integration=integration,
        action=entry.action.key,
        destination=destination,
        ends_all=entry.ends_all,
        delay_days=entry.delay_days,
        enabled=entry.enabled,
    )
    try:
        rule.clean()
    except ValidationError as error:
        raise Faulty([f"{entry.place}: {' '.join(error.messages)}"]) from None
    return rule


def _write_products(
    configuration: Configuration, stored: Stored, report: ApplyReport
) -> dict[tuple[str, str], Product]:
    """Return all products by (account name, SamCart ID), after adding those that only the file has.

    An existing product keeps its name, because SamCart sends it with each event.
    """
    there = Product.objects.filter(kind=Product.Kind.PRODUCT).select_related("marketplace")
    products = {(each.marketplace.name, each.external_id): each for each in there}
    names: dict[tuple[str, str], str] = {}
    for rule in configuration.rules:
        key = (rule.marketplace, rule.product)
        if rule.product and key not in products:
            names[key] = names.get(key) or rule.product_name
    for (marketplace, number), name in names.items():
        product = Product.objects.named(
            _there(stored.marketplaces, marketplace).pk, Product.Kind.PRODUCT.value, number, name
        )
        products[marketplace, number] = product
        audit.record_added(Act.PRODUCT_ADDED, [product])
        report.changes.append(f"Add product {number} to {marketplace}: {product}.")
    return products


def _leave_or_delete(
    configuration: Configuration,
    sites: dict[str, Site],
    stored: Stored,
    report: ApplyReport,
    *,
    prune: bool,
) -> None:
    named = {entry.key for entry in configuration.rules}
    targets = {
        (entry.name, sites[entry.name].chosen[mapping])
        for entry in configuration.integrations
        for mapping in entry.mappings
    }
    rules = [rule for key, rule in stored.rules.items() if key not in named]
    left = entered.not_named(configuration)
    mappings = [
        each
        for each in stored.mappings
        if (each.integration.name, each.profile_field.external_id) not in targets
    ]
    told = [f"rule: {rule}" for rule in rules]
    told += [f"field mapping: {each} on {each.integration}" for each in mappings]
    if not prune:
        report.left.extend(told + [f"entered by hand: {entered.described(each)}" for each in left])
        return
    changing.delete(Rule.objects.filter(pk__in=[rule.pk for rule in rules]))
    for mapping in mappings:
        gone = {str(mapping.profile_field): mapping.samcart_field}
        audit.record(Act.MAPPING_CHANGED, mapping.integration, before=gone)
        mapping.delete()
    report.changes.extend(f"Delete {text}." for text in told)
    for each in left:
        if each.rules.exists():
            report.kept.append(f"entered by hand: {entered.described(each)}")
        else:
            report.changes.append(f"Delete {entered.described(each)}, which was entered by hand.")
            audit.record(Act.COURSE_REMOVED, each)
            each.delete()


def _there(rows: Mapping[Key, Row], key: Key) -> Row:
    try:
        return rows[key]
    except KeyError:
        raise ConcurrentChange from None


def _switch(on: bool) -> str:
    return "on" if on else "off"
