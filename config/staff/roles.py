"""Who may do what: three roles as groups, each a list of permissions and nothing else.

Superusers may do everything, and also see the queue and the people.
"""

from typing import Any

from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from integrations.sentences import Text

# OWNER is how superusers are shown; the others are names of groups.
OWNER, MANAGER, SUPPORT, VIEWER = "Owner", "Manager", "Support", "Viewer"
SEVERAL = ", "
_NAMES: dict[str, Text] = {
    OWNER: _("Owner"),
    MANAGER: _("Manager"),
    SUPPORT: pgettext_lazy("role", "Support"),
    VIEWER: _("Viewer"),
}

# Each permission that our pages ask for, in the words of the page on which it is given.
_SEES: dict[str, Text] = {
    "integrations.view_marketplace": _("See the SamCart accounts"),
    "integrations.view_integration": _("See the integrations"),
    "integrations.view_destination": _("See the courses and bundles"),
    "integrations.view_profilefield": _("See the signup fields"),
    "integrations.view_fieldmapping": _("See which custom field fills which signup field"),
    "integrations.view_product": _("See the products"),
    "integrations.view_customer": _("See the customers"),
    "rules.view_rule": _("See the rules"),
    "rules.view_namedtype": _("See the names given to event types"),
    "events.view_eventlog": _("See the log of events"),
    "events.view_rulerun": _("See the actions"),
}
_HELPS: dict[str, Text] = {
    # It shows names and addresses of customers, also those that appear on no other page.
    "events.view_delivery": _("See what SamCart sent and what sites answered, word for word"),
    "integrations.check_thinkificuser": _("Check a customer in Thinkific"),
    "events.retry_rulerun": _("Retry and release actions, and do skipped ones anyway"),
    "events.dismiss_rulerun": _("Dismiss actions"),
    "events.rerun_eventlog": _("Run the rules again, and enroll earlier buyers"),
    "events.dismiss_eventlog": _("Mark events as dealt with"),
    "events.simulate_eventlog": _("Simulate events"),
    "events.by_hand_grant": _("Give, end and move access by hand, and enter missed orders"),
}
_ANSWERS_FOR_DATA: dict[str, Text] = {
    "events.export_eventlog": _("Download all data of a customer"),
    # These files have everybody's names and addresses at once.
    "events.csv_eventlog": _("Download lists as CSV files"),
    "events.erase_eventlog": _("Erase a customer's data for good"),
}
_SETS_UP: dict[str, Text] = {
    "integrations.add_marketplace": _("Add SamCart accounts"),
    "integrations.change_marketplace": _("Rename SamCart accounts"),
    "integrations.delete_marketplace": _("Delete SamCart accounts"),
    # A person who knows the address can enroll people, so it is a permission of its own.
    "integrations.see_address_marketplace": _("See and replace the address for SamCart"),
    "integrations.add_integration": _("Connect integrations"),
    "integrations.change_integration": _("Edit and refresh integrations, and replace their keys"),
    "integrations.delete_integration": _("Delete integrations"),
    "integrations.add_fieldmapping": _("Add field mappings"),
    "integrations.change_fieldmapping": _("Edit field mappings"),
    "integrations.delete_fieldmapping": _("Delete field mappings"),
    "integrations.add_product": _("Add products"),
    "integrations.change_product": _("Edit products"),
    "integrations.delete_product": _("Delete products"),
    "integrations.view_auditentry": _("See who changed what"),
    "rules.add_rule": _("Add rules"),
    "rules.change_rule": _("Edit rules, and turn them on and off"),
    "rules.delete_rule": _("Delete rules"),
    "rules.add_namedtype": _("Name event types"),
    "rules.change_namedtype": _("Rename event types"),
    "rules.delete_namedtype": _("Delete the names of event types"),
}
WORDS: dict[str, Text] = _SEES | _HELPS | _ANSWERS_FOR_DATA | _SETS_UP
ROLES: dict[str, tuple[str, ...]] = {
    MANAGER: (*WORDS,),
    SUPPORT: (*_SEES, *_HELPS),
    VIEWER: (*_SEES,),
}
MEANINGS: dict[str, Text] = {
    MANAGER: _("connects, writes rules, and does all that Support does"),
    SUPPORT: _(
        "looks up customers, gives and ends access by hand, retries and simulates; sees the setup, "
        "but not the secret address that SamCart sends to"
    ),
    VIEWER: _(
        "sees names and results, but neither the secret address that SamCart sends to nor what "
        "was sent word for word; changes nothing"
    ),
}


def display_name(name: str) -> str:
    """Return the name of a role, or of SEVERAL, in the language of the reader.

    Roles that an owner added keep the name that they were given.
    """
    return SEVERAL.join(str(_NAMES.get(each, each)) for each in name.split(SEVERAL))


def grant(apps: Any) -> None:
    """Give each group exactly the permissions that ROLES names.

    `apps` is a registry of models, today's or a migration's. Missing permissions are made here,
    because Django adds them only after the last migration.
    """
    groups = apps.get_model("auth.Group")._default_manager
    permissions = _permissions(apps)
    for role, codes in ROLES.items():
        group, _ = groups.get_or_create(name=role)
        group.permissions.set([permissions[code] for code in codes])


def add(apps: Any, code: str) -> None:
    """Give this permission to the groups that have it in ROLES. Their other permissions stay."""
    for group in apps.get_model("auth.Group")._default_manager.all():
        if code in ROLES.get(group.name, ()):
            group.permissions.add(_permission(apps, code))


def revoke(apps: Any, code: str) -> None:
    """Take this permission from the groups of ROLES that do not have it there."""
    for group in apps.get_model("auth.Group")._default_manager.filter(name__in=ROLES):
        if code not in ROLES[group.name]:
            group.permissions.remove(_permission(apps, code))


def _permissions(apps: Any) -> dict[str, Any]:
    """Return the permission of each code in WORDS, reading all existing ones in one query."""
    there = {
        (each.content_type.app_label, each.content_type.model, each.codename): each
        for each in apps.get_model("auth.Permission")
        ._default_manager.select_related("content_type")
        .filter(codename__in=[code.split(".")[1] for code in WORDS])
    }
    return {code: there.get(_place(code)) or _permission(apps, code) for code in WORDS}


def _place(code: str) -> tuple[str, str, str]:
    """Split a code into app, model and codename."""
    app, codename = code.split(".")
    return app, codename.rpartition("_")[2], codename


def _permission(apps: Any, code: str) -> Any:
    app, model, codename = _place(code)
    kinds = apps.get_model("contenttypes.ContentType")._default_manager
    kind, _ = kinds.get_or_create(app_label=app, model=model)
    found, _ = apps.get_model("auth.Permission")._default_manager.get_or_create(
        content_type=kind,
        codename=codename,
        defaults={"name": f"Can {codename.replace('_', ' ')}"},
    )
    return found
