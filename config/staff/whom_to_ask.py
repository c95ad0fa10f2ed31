"""Whom a person can ask to do what the person may not do."""

from collections import defaultdict
from collections.abc import Sequence

from django.contrib.auth.models import User
from django.db.models import Q
from django.http import HttpRequest

from integrations.sentences import say
from integrations.who import OWNERS_ONLY

# What pages ask others for. No other app has permissions of these codenames.
ASKED_FOR = (
    "rules.add_rule",
    "rules.change_rule",
    "integrations.change_integration",
    "integrations.add_product",
    "integrations.see_address_marketplace",
    "events.by_hand_grant",
    "events.rerun_eventlog",
    "events.retry_rulerun",
    OWNERS_ONLY,
)
MAX_NAMED = 3
_NAMES = "_whom_to_ask"


def names(request: HttpRequest, permission: str) -> Sequence[str]:
    """Return the names of up to MAX_NAMED active people who may do that, owners last.

    `permission` is one of ASKED_FOR. People without a full name are left out, but for an owner,
    who is "an owner" beside people with names. Takes one query for a request, whatever is asked.
    """
    found = getattr(request, _NAMES, None)
    if found is None:
        found = _read()
        setattr(request, _NAMES, found)
    return found[permission][:MAX_NAMED]


def _read() -> dict[str, list[str]]:
    held = "groups__permissions__codename"
    asked = {each.partition(".")[2]: each for each in ASKED_FOR}
    people = User.objects.filter(Q(is_superuser=True) | Q(**{f"{held}__in": asked}))
    rows = people.filter(is_active=True, is_staff=True).order_by("is_superuser", "pk")
    found: dict[str, list[str]] = defaultdict(list)
    nameless_owner = False
    for first, last, owner, permission in rows.values_list(
        "first_name", "last_name", "is_superuser", held
    ):
        name = f"{first} {last}".strip()
        nameless_owner |= owner and not name
        for each in ASKED_FOR:
            if name and (owner or each == asked.get(permission)) and name not in found[each]:
                found[each].append(name)
    if nameless_owner:
        for people_named in found.values():
            people_named.append(say("an owner"))
    return found
