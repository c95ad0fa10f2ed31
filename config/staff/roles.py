"""Who may do what: three roles as groups, each a list of permissions and nothing else.

Superusers may do everything, also see the queue and the people.
"""

from typing import Any

MANAGER, SUPPORT, VIEWER = "Manager", "Support", "Viewer"

# Each permission that our pages ask for, in the words of the page on which it is given.
_SEES = {
    "integrations.view_marketplace": "See the SamCart accounts",
    "integrations.view_integration": "See the integrations",
    "integrations.view_destination": "See the courses and bundles",
    "integrations.view_profilefield": "See the signup fields",
    "integrations.view_fieldmapping": "See which custom field fills which signup field",
    "integrations.view_product": "See the products",
    "integrations.view_customer": "See the customers",
    "rules.view_rule": "See the rules",
    "rules.view_namedtype": "See the names given to event types",
    "events.view_eventlog": "See the log of events",
    "events.view_rulerun": "See the actions",
}
_HELPS = {
    # Names and addresses of customers stand there, also those that no page would show.
    "events.view_delivery": "See what SamCart sent and what sites answered, word for word",
    "integrations.check_thinkificuser": "Check a customer in Thinkific",
    "events.retry_rulerun": "Retry and release actions, and do skipped ones anyway",
    "events.dismiss_rulerun": "Dismiss actions",
    "events.rerun_eventlog": "Run the rules again, and enroll earlier buyers",
    "events.dismiss_eventlog": "Mark events as dealt with",
    "events.simulate_eventlog": "Simulate events",
    "events.by_hand_grant": "Give, end and move access by hand, and enter missed orders",
}
_ANSWERS_FOR_DATA = {
    "events.export_eventlog": "Download all data of a customer",
    # Everybody's names and addresses at once.
    "events.csv_eventlog": "Download lists as CSV files",
    "events.erase_eventlog": "Erase a customer's data for good",
}
_SETS_UP = {
    "integrations.add_marketplace": "Add SamCart accounts",
    "integrations.change_marketplace": "Rename SamCart accounts",
    "integrations.delete_marketplace": "Delete SamCart accounts",
    # A person who knows the address can enroll people, so it is a permission of its own.
    "integrations.see_address_marketplace": "See and replace the address for SamCart",
    "integrations.add_integration": "Connect integrations",
    "integrations.change_integration": "Edit and refresh integrations, and replace their keys",
    "integrations.delete_integration": "Delete integrations",
    "integrations.add_fieldmapping": "Add field mappings",
    "integrations.change_fieldmapping": "Edit field mappings",
    "integrations.delete_fieldmapping": "Delete field mappings",
    "integrations.add_product": "Add products",
    "integrations.change_product": "Edit products",
    "integrations.delete_product": "Delete products",
    "integrations.view_auditentry": "See who changed what",
    "rules.add_rule": "Add rules",
    "rules.change_rule": "Edit rules, and turn them on and off",
    "rules.delete_rule": "Delete rules",
    "rules.add_namedtype": "Name event types",
    "rules.change_namedtype": "Rename event types",
    "rules.delete_namedtype": "Delete the names of event types",
}
WORDS: dict[str, str] = _SEES | _HELPS | _ANSWERS_FOR_DATA | _SETS_UP
ROLES: dict[str, tuple[str, ...]] = {
    MANAGER: (*WORDS,),
    SUPPORT: (*_SEES, *_HELPS),
    VIEWER: (*_SEES,),
}
MEANINGS: dict[str, str] = {
    MANAGER: "connects, writes rules, and does all that Support does",
    SUPPORT: (
        "looks up customers, gives access by hand, retries and simulates; sees the setup without "
        "the address"
    ),
    VIEWER: (
        "sees names and results, but neither the address nor what was sent word for word; "
        "changes nothing"
    ),
}


def grant(apps: Any) -> None:
    """Make the groups what ROLES says; `apps` is a registry of models, of now or of a migration.

    Permissions are made where they are missing: Django adds them after the last migration only.
    """
    groups = apps.get_model("auth.Group")._default_manager
    for role, codes in ROLES.items():
        group, _ = groups.get_or_create(name=role)
        group.permissions.set([_permission(apps, code) for code in codes])


def add(apps: Any, code: str) -> None:
    """Give this permission to the groups that ROLES gives it to, and leave what else they have."""
    for group in apps.get_model("auth.Group")._default_manager.all():
        if code in ROLES.get(group.name, ()):
            group.permissions.add(_permission(apps, code))


def take(apps: Any, code: str) -> None:
    """Take this permission from those groups of ROLES that ROLES does not give it to."""
    for group in apps.get_model("auth.Group")._default_manager.filter(name__in=ROLES):
        if code not in ROLES[group.name]:
            group.permissions.remove(_permission(apps, code))


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
