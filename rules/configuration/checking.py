"""Check that a file's entries fit each other, the sites and the database."""

from integrations import secrets
from integrations.models import ProfileField, WebhookSecret
from rules.configuration.entries import Configuration, IntegrationEntry, MappingEntry, RuleEntry
from rules.configuration.faults import Faults
from rules.configuration.sites import Site
from rules.configuration.stored import Stored

_MOST_NAMED = 10


def check(
    configuration: Configuration, stored: Stored, sites: dict[str, Site], faults: Faults
) -> None:
    """Add every fault to `faults`, and set `chosen` of each site for its mappings."""
    _check_webhook_secrets(configuration, faults)
    for entry in configuration.integrations:
        if site := sites.get(entry.name):
            _check_mappings(entry, site, stored, faults)
    marketplaces = {*stored.marketplaces, *(each.name for each in configuration.marketplaces)}
    integrations = {*stored.integrations, *(each.name for each in configuration.integrations)}
    for rule in configuration.rules:
        for section, name, known in (
            ("marketplaces", rule.marketplace, marketplaces),
            ("integrations", rule.integration, integrations),
        ):
            if name not in known and not configuration.may_name(section, name):
                kind = section.removesuffix("s")
                faults.add(rule.place, f"there is no {kind} {name}. Add it, or correct `{kind}`.")
        if site := sites.get(rule.integration):
            _check_destination(rule, site, stored, faults)


def _check_webhook_secrets(configuration: Configuration, faults: Faults) -> None:
    for entry in configuration.marketplaces:
        taken = WebhookSecret.objects.filter(digest=secrets.digest(entry.webhook_secret))
        owner = taken.exclude(marketplace__name=entry.name).select_related("marketplace").first()
        if entry.webhook_secret and owner:
            faults.add(
                entry.place,
                f"this `webhook_secret` belongs to {owner.marketplace}. Choose another one.",
            )


def _check_destination(rule: RuleEntry, site: Site, stored: Stored, faults: Faults) -> None:
    if rule.action.app != site.app.key:
        faults.add(
            rule.place,
            f"{rule.action.key} is no action of {rule.integration}, which is of the app "
            f"{site.app.key}. Correct `action` or `integration`.",
        )
        return
    if rule.needs is None or rule.needs in site.destinations or rule.key in stored.rules:
        return
    kind, _ = rule.needs
    other = {"course": "bundle", "bundle": "course"}[kind]
    if (other, rule.destination) in site.destinations:
        faults.add(
            rule.place,
            f"there is no {kind} {rule.destination} on {rule.integration}: "
            f"{rule.destination} is a {other}. Correct `action` or `destination`.",
        )
        return
    names = [
        f"{number} {name}" for (each, number), name in site.destinations.items() if each == kind
    ]
    faults.add(
        rule.place,
        f"there is no {kind} {rule.destination} on {rule.integration}. Correct "
        "`destination`, or enter it under the integration's `destinations` if Thinkific does not "
        f"list it. {_there_are(names)}",
    )


def _check_mappings(entry: IntegrationEntry, site: Site, stored: Stored, faults: Faults) -> None:
    for mapping in entry.mappings:
        kept = stored.mapped(entry.name, mapping)
        fields = _candidates(site.fields, mapping)
        ids = {each.external_id for each in fields}
        if kept and (not fields or kept.profile_field.external_id in ids):
            site.chosen[mapping] = kept.profile_field.external_id
        elif fault := _fault(entry, mapping, fields, site):
            faults.add(entry.place, fault)
        else:
            site.chosen[mapping] = fields[0].external_id


def _fault(
    entry: IntegrationEntry, mapping: MappingEntry, fields: list[ProfileField], site: Site
) -> str:
    if not fields:
        labels = [each.label for each in site.fields if each.mappable]
        return (
            f"there is no signup field {mapping.thinkific} on {entry.name}. "
            f"Correct `thinkific`. {_there_are(labels)}"
        )
    if len(fields) > 1:
        return (
            f"there are {len(fields)} signup fields {mapping.thinkific} on {entry.name}. "
            "Give each a label of its own in Thinkific."
        )
    if not fields[0].mappable:
        return (
            f"the signup field {mapping.thinkific} is of the type {fields[0].field_type}, "
            "and only fields of the type Text can be filled. Leave it out."
        )
    return ""


def _candidates(fields: list[ProfileField], mapping: MappingEntry) -> list[ProfileField]:
    label = mapping.thinkific
    exact = [each for each in fields if each.label == label]
    return exact or [each for each in fields if each.label.strip().casefold() == label.casefold()]


def _there_are(names: list[str]) -> str:
    if not names:
        return "It has none."
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"It has {', '.join(names[:_MOST_NAMED])}{more}."
