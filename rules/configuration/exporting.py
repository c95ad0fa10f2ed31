"""Export the configuration as a file for `apply_config`, without any secret."""

import re
import unicodedata
from typing import Any

import yaml

from integrations import app_registry
from integrations.models import FieldMapping, Integration, Marketplace, Product
from integrations.samcart.text import storable
from rules.configuration.entries import ANY
from rules.configuration.fields import escape
from rules.models import Rule

_HEAD = """\
# Configuration of Admit, for `manage.py apply_config`.
# Webhook secrets and signing secrets are left out: those that are stored stay, and a new account or
# Notify URL gets a new one."""
_SECRETS = """\
# API keys are left out too. Before applying, set in the environment or in .env:"""


def export() -> str:
    """Return the whole configuration as YAML. API keys are `${NAME}`; a comment lists the names.

    Leaves out mappings of signup fields that are gone, and rules for SamCart courses, which no
    event can match.
    """
    integrations = list(Integration.objects.order_by("pk"))
    with_key = [row for row in integrations if app_registry.of(row).has_catalog]
    names = _placeholders(with_key)
    content = {
        "marketplaces": [{"name": escape(row.name)} for row in Marketplace.objects.order_by("pk")],
        "integrations": [_integration(row, names.get(row.pk, "")) for row in integrations],
        "rules": [_rule(row) for row in _rules()],
    }
    head = [_HEAD]
    if with_key:
        head.append(_SECRETS)
        head += [f"#   {names[row.pk]} (API key of {_plain(row.name)})" for row in with_key]
    written = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=10_000)
    return "\n".join([*head, written])


def _integration(row: Integration, placeholder: str) -> dict[str, Any]:
    named = {"name": escape(row.name), "app": row.app}
    if not app_registry.of(row).has_catalog:
        return named | {"url": escape(row.url), "enabled": row.enabled}
    mappings = (
        FieldMapping.objects.filter(integration=row, profile_field__gone_at=None)
        .select_related("profile_field")
        .order_by("pk")
    )
    entry: dict[str, Any] = {
        **named,
        "site": row.site,
        "secret": f"${{{placeholder}}}",
        "send_welcome_email": row.send_welcome_email,
        "student_field": escape(row.student_field),
        "enabled": row.enabled,
    }
    if rows := [
        {"samcart": escape(each.samcart_field), "thinkific": escape(each.profile_field.label)}
        for each in mappings
    ]:
        entry["field_mappings"] = rows
    by_hand = row.destinations.filter(by_hand=True).order_by("pk")
    if entered := [
        {"kind": each.kind, "id": each.external_id, "name": escape(each.name)} for each in by_hand
    ]:
        entry["destinations"] = entered
    return entry


def _rules() -> list[Rule]:
    rules = Rule.objects.exclude(product__kind=Product.Kind.COURSE).order_by("pk")
    return list(rules.select_related("marketplace", "product", "integration", "destination"))


def _rule(rule: Rule) -> dict[str, Any]:
    entry: dict[str, Any] = {"marketplace": escape(rule.marketplace.name)}
    if rule.product:
        number = rule.product.external_id
        entry["product"] = (
            int(number) if number.isdecimal() and number.isascii() else escape(number)
        )
        entry["product_name"] = escape(rule.product.name)
    entry |= {
        "trigger": rule.trigger,
        "integration": escape(rule.integration.name),
        "action": rule.action,
    }
    if rule.destination:
        entry["destination"] = rule.destination.external_id
    if rule.ends_all:
        entry["ends"] = ANY
    if rule.delay_days:
        entry["days_later"] = rule.delay_days
    return entry | {"enabled": rule.enabled}


def _placeholders(integrations: list[Integration]) -> dict[int, str]:
    """Return a unique name for each integration's API key: {pk: "THINKIFIC_SECRET_ART_ACADEMY"}."""
    names: dict[int, str] = {}
    for row in integrations:
        name = "THINKIFIC_SECRET_" + (_word(row.name) or _word(row.site))
        taken = set(names.values())
        number = 2
        unique = name
        while unique in taken:
            unique, number = f"{name}_{number}", number + 1
        names[row.pk] = unique
    return names


def _word(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Z0-9]+", "_", plain.upper()).strip("_")


def _plain(text: str) -> str:
    """Return the text as one line that fits into a comment."""
    return " ".join(storable(text, 100).split())
