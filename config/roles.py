"""Who may do what: three roles as groups, each a list of permissions and nothing else.

Superusers may do everything, also see the queue and the people.
"""

from typing import Any

MANAGER, SUPPORT, VIEWER = "Manager", "Support", "Viewer"

_SEES = (
    "integrations.view_marketplace",
    "integrations.view_integration",
    "integrations.view_destination",
    "integrations.view_profilefield",
    "integrations.view_fieldmapping",
    "integrations.view_product",
    "integrations.view_customer",
    "rules.view_rule",
    "rules.view_namedtype",
    "events.view_delivery",
    "events.view_eventlog",
    "events.view_rulerun",
)
_HELPS = (
    "integrations.check_learner",
    "events.retry_rulerun",
    "events.dismiss_rulerun",
    "events.rerun_eventlog",
    "events.dismiss_eventlog",
    "events.simulate_eventlog",
)
_SETS_UP = (
    "integrations.add_marketplace",
    "integrations.change_marketplace",
    "integrations.delete_marketplace",
    # Whoever knows the address can enroll people, so it is a permission of its own.
    "integrations.see_address_marketplace",
    "integrations.add_integration",
    "integrations.change_integration",
    "integrations.delete_integration",
    "integrations.add_fieldmapping",
    "integrations.change_fieldmapping",
    "integrations.delete_fieldmapping",
    "integrations.add_product",
    "integrations.change_product",
    "integrations.delete_product",
    "rules.add_rule",
    "rules.change_rule",
    "rules.delete_rule",
    "rules.add_namedtype",
    "rules.change_namedtype",
    "rules.delete_namedtype",
)
ROLES: dict[str, tuple[str, ...]] = {
    MANAGER: _SEES + _HELPS + _SETS_UP,
    SUPPORT: _SEES + _HELPS,
    VIEWER: _SEES,
}
MEANINGS: dict[str, str] = {
    MANAGER: "connects, writes rules, and does all that Support does",
    SUPPORT: "looks up customers, retries and simulates; sees the setup without the address",
    VIEWER: "sees everything but the webhook address, and changes nothing",
}


def grant(apps: Any) -> None:
    """Make the groups what ROLES says; `apps` is a registry of models, of now or of a migration.

    Permissions are made where they are missing: Django adds them after the last migration only.
    """
    groups = apps.get_model("auth.Group")._default_manager
    for role, codes in ROLES.items():
        group, _ = groups.get_or_create(name=role)
        group.permissions.set([_permission(apps, code) for code in codes])


def _permission(apps: Any, code: str) -> Any:
    app, codename = code.split(".")
    kinds = apps.get_model("contenttypes.ContentType")._default_manager
    kind, _ = kinds.get_or_create(app_label=app, model=codename.rpartition("_")[2])
    found, _ = apps.get_model("auth.Permission")._default_manager.get_or_create(
        content_type=kind,
        codename=codename,
        defaults={"name": f"Can {codename.replace('_', ' ')}"},
    )
    return found
