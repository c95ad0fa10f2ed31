"""The apps that an integration can belong to: APPS has one spec for each.

Code that needs to know how apps differ asks the spec and never compares keys. This module is not
named `apps`, because Django imports a module of that name before the models are loaded.
"""

from collections.abc import Iterable

from integrations.app_spec import AppSpec
from integrations.models import Integration
from integrations.notify_url.app import SPEC as NOTIFY_URL
from integrations.thinkific.app import SPEC as THINKIFIC

__all__ = ["APPS", "NOTIFY_URL", "THINKIFIC", "AppSpec", "of", "with_catalog"]

APPS: dict[str, AppSpec] = {spec.key.value: spec for spec in (THINKIFIC, NOTIFY_URL)}


def of(integration: Integration) -> AppSpec:
    """Return the spec of the integration's app."""
    return APPS[integration.app]


def with_catalog() -> Iterable[str]:
    """Return the keys of the apps whose integrations have courses, bundles and signup fields."""
    return [key for key, spec in APPS.items() if spec.has_catalog]
