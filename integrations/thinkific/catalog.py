"""Store what a site offers: courses, bundles with their courses, and signup fields."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import models, transaction
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from integrations import audit
from integrations.audit import Act
from integrations.calls import rate_limit
from integrations.errors import Refused, Retry
from integrations.models import Destination, Integration, ProfileField
from integrations.sentences import Said, joined, say, say_count
from integrations.thinkific import explain, renaming
from integrations.thinkific.catalog_reading import Catalog, fetch
from integrations.thinkific.session import Session
from integrations.thinkific.site_check import accept_key

Kind = Destination.Kind
SIGNUP_FIELD = "signup field"
NOUNS = (Kind.COURSE.value, Kind.BUNDLE.value, SIGNUP_FIELD)
# How many renamed courses and bundles a sentence names.
RENAMED_NAMED = 3
NONE_LISTED = _(
    "Thinkific lists no courses. Courses of its new course builder are not listed: enter them by "
    "number."
)
# The columns that identify a course or bundle, and those that entering it by hand sets.
_KEY = ("integration", "kind", "external_id")
_ENTERED = ("name", "by_hand", "unlisted_at", "gone_at")


@dataclass(frozen=True, slots=True)
class Changes:
    """What a refresh found and how that differs from last time, as {noun: count}.

    `names` has the former and the present name of each course and bundle that was `renamed`.
    """

    found: Mapping[str, int]
    new: Mapping[str, int]
    unlisted: Mapping[str, int]
    renamed: Mapping[str, int] = field(default_factory=dict)
    names: Sequence[tuple[str, str]] = ()

    @property
    def none_listed(self) -> bool:
        """Whether Thinkific lists no course at all."""
        return not self.found.get(Kind.COURSE.value)

    def sentence(self) -> Said:
        """Return, for example, "20 courses, 4 bundles, 4 signup fields (2 new courses).".

        It names the first courses and bundles that were renamed.
        """
        found = joined((_FOUND[noun](self.found.get(noun, 0)) for noun in NOUNS), by=", ")
        changes = [
            counted[noun](number)
            for counted, counts in (
                (_NEW, self.new),
                (_UNLISTED, self.unlisted),
                (_RENAMED, self.renamed),
            )
            for noun in NOUNS
            if (number := counts.get(noun, 0))
        ]
        changed = joined([" (", joined(changes, by=", "), ")"], by="") if changes else ""
        names = (
            say("{old} is now called {new}.", old=old, new=new)
            for old, new in self.names[:RENAMED_NAMED]
        )
        return joined([joined([found, changed, "."], by=""), *names])


_FOUND: dict[str, Callable[[int], Said]] = {
    Kind.COURSE.value: lambda n: say_count(n, "1 course", "{number} courses"),
    Kind.BUNDLE.value: lambda n: say_count(n, "1 bundle", "{number} bundles"),
    SIGNUP_FIELD: lambda n: say_count(n, "1 signup field", "{number} signup fields"),
}
_NEW: dict[str, Callable[[int], Said]] = {
    Kind.COURSE.value: lambda n: say_count(n, "1 new course", "{number} new courses"),
    Kind.BUNDLE.value: lambda n: say_count(n, "1 new bundle", "{number} new bundles"),
    SIGNUP_FIELD: lambda n: say_count(n, "1 new signup field", "{number} new signup fields"),
}
_UNLISTED: dict[str, Callable[[int], Said]] = {
    Kind.COURSE.value: lambda n: say_count(
        n, "1 course no longer listed", "{number} courses no longer listed"
    ),
    Kind.BUNDLE.value: lambda n: say_count(
        n, "1 bundle no longer listed", "{number} bundles no longer listed"
    ),
    SIGNUP_FIELD: lambda n: say_count(
        n, "1 signup field no longer listed", "{number} signup fields no longer listed"
    ),
}
_RENAMED: dict[str, Callable[[int], Said]] = {
    Kind.COURSE.value: lambda n: say_count(n, "1 course renamed", "{number} courses renamed"),
    Kind.BUNDLE.value: lambda n: say_count(n, "1 bundle renamed", "{number} bundles renamed"),
}


def store(integration: Integration, found: Catalog) -> Changes:
    """Update the rows to what was found. What is no longer listed is marked, not deleted."""
    with transaction.atomic():
        renamed = _renamed(integration, found)
        new, unlisted = _store_destinations(integration, found)
        new_fields, gone_fields = _store_fields(integration, found)
        Integration.objects.filter(pk=integration.pk).update(refreshed_at=Now())
    renaming.rename_grants(integration)
    kinds = Counter(kind for kind, __ in found.destinations)
    return Changes(
        found={**kinds, SIGNUP_FIELD: len(found.fields)},
        new={**new, SIGNUP_FIELD: new_fields},
        unlisted={**unlisted, SIGNUP_FIELD: gone_fields},
        renamed=Counter(kind for kind, *_ in renamed),
        names=[(old, now) for _, old, now in renamed],
    )


def read(integration: Integration) -> Catalog:
    """Read the catalog of a connected site, and note on the integration what prevents that.

    Raises OutsideError, SecretUnreadable, rate_limit.SiteBlocked and rate_limit.NoSlot.
    """
    session = Session(integration)
    bundles = integration.destinations.filter(kind=Kind.BUNDLE, gone_at=None)
    try:
        return session.carry_out(fetch(bundles.values_list("external_id", flat=True)))
    except Retry as error:
        _note_unreachable(integration, joined([error.message, explain.LATER]))
        raise
    except Refused as error:
        # It means "this is not a school" only if the site was never read before.
        if integration.refreshed_at is None:
            _note_unreachable(integration, error.message)
        raise


def refresh(integration: Integration) -> Changes:
    """Read the site's catalog and store it for a person. Raises what `read` raises.

    Ends a pause first, because a person asked; the site's answer begins another one if needed.
    """
    rate_limit.unblock(integration.pk)
    changes = store(integration, read(integration))
    accept_key(integration)
    return changes


def by_number(integration: Integration, kind: str, number: int, name: str) -> Destination:
    """Return the unsaved course or bundle that a person enters by its number; `enter` saves it.

    One that Thinkific lists keeps its listed name. If `name` is "", a known one keeps its name.
    """
    known = integration.destinations.filter(kind=kind, external_id=number).first()
    row = known or Destination(integration=integration, kind=kind, external_id=number)
    if known is None or not known.listed:
        row.name, row.by_hand, row.unlisted_at = name or row.name, True, None
    row.gone_at = None  # a person says that it exists
    return row


def find_with_other_name(
    integration: Integration, kind: str, number: int, name: str
) -> Destination | None:
    """Return the course or bundle with this number if it has another name, or None.

    Then the number may be mistyped. Entering a gone one's number without a name means that it
    exists again, so that gives None, too.
    """
    known = integration.destinations.filter(kind=kind, external_id=number).first()
    if known is None or known.name.strip().casefold() == name.strip().casefold():
        return None
    return None if known.gone_at and not name.strip() else known


def enter(row: Destination) -> None:
    """Save what `by_number` returned. A refresh keeps it even though Thinkific does not list it."""
    with transaction.atomic():
        Destination.objects.bulk_create(
            [row], update_conflicts=True, unique_fields=_KEY, update_fields=_ENTERED
        )
        audit.record(Act.COURSE_ENTERED, row, after={"external_id": row.external_id})
    renaming.rename_grants(row.integration)


def _note_unreachable(integration: Integration, message: str) -> None:
    """Note that the site cannot be reached, unless its key was rejected or replaced.

    A rejected key, which the Session has noted already, is the more serious message. An answer to
    an older key says nothing about the new one.
    """
    same = integration.with_same_secret()
    same.exclude(connection=Integration.Connection.REFUSED).update(
        connection=Integration.Connection.UNREACHABLE, connection_message=message
    )


def _renamed(integration: Integration, found: Catalog) -> list[tuple[str, str, str]]:
    """Return the kind, the stored name and the name found of what has another name now."""
    known = integration.destinations.order_by("pk").values_list("kind", "external_id", "name")
    return [
        (kind, name, values["name"])
        for kind, number, name in known
        if (values := found.destinations.get((kind, number))) and values["name"] != name
    ]


def _store_destinations(
    integration: Integration, found: Catalog
) -> tuple[Counter[str], Counter[str]]:
    """Store courses and bundles. Return counts by kind: newly listed, and no longer listed."""
    known = {(row.kind, row.external_id): row for row in integration.destinations.all()}
    listed = {"by_hand": False, "unlisted_at": None, "gone_at": None}
    new: Counter[str] = Counter()
    for (kind, number), values in found.destinations.items():
        row = known.get((kind, number)) or Destination(
            integration=integration, kind=kind, external_id=number
        )
        new[kind] += row.pk is None or not row.listed
        _save_changed(row, values | listed)
    left = [row for key, row in known.items() if key not in found.destinations and row.listed]
    # If the site does not answer for an unlisted bundle, its courses are unknown.
    for (kind, number), row in known.items():
        if kind == Kind.BUNDLE and (kind, number) not in found.destinations:
            _save_changed(row, {"course_ids": found.unlisted.get(number, [])})
    Destination.objects.filter(pk__in=[row.pk for row in left]).update(unlisted_at=Now())
    return new, Counter(row.kind for row in left)


def _store_fields(integration: Integration, found: Catalog) -> tuple[int, int]:
    known = {row.external_id: row for row in integration.profile_fields.all()}
    new = 0
    for number, values in found.fields.items():
        row = known.get(number) or ProfileField(integration=integration, external_id=number)
        new += row.pk is None or row.gone_at is not None
        _save_changed(row, values | {"gone_at": None})
    left = integration.profile_fields.filter(gone_at=None).exclude(external_id__in=found.fields)
    return new, left.update(gone_at=Now())


def _save_changed(row: models.Model, values: dict[str, Any]) -> None:
    if row.pk is not None and all(getattr(row, key) == value for key, value in values.items()):
        return
    for key, value in values.items():
        setattr(row, key, value)
    row.save()
