"""What a site offers: courses, bundles with their courses, and signup fields."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import models, transaction
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from integrations import audit, rate_limit
from integrations.audit import Act
from integrations.errors import Refused, Retry
from integrations.models import Destination, Integration, ProfileField
from integrations.sentences import Said, joined, say_count
from integrations.thinkific import explain
from integrations.thinkific.calls import Get, Steps, rows
from integrations.thinkific.session import Session
from integrations.thinkific.site_check import accept_key

Kind = Destination.Kind
KINDS = {"course": Kind.COURSE, "bundle": Kind.BUNDLE}
SIGNUP_FIELD = "signup field"
NOUNS = (Kind.COURSE.value, Kind.BUNDLE.value, SIGNUP_FIELD)
NONE_LISTED = _(
    "Thinkific lists no courses. Courses of its new course builder are not listed: enter them by "
    "number."
)
# The columns that tell a course or bundle, and those that a person's entering sets.
_KEY = ("integration", "kind", "external_id")
_ENTERED = ("name", "by_hand", "unlisted_at", "gone_at")


@dataclass(frozen=True, slots=True)
class Catalog:
    """Found rows by their key: {(kind, id): values} and {id: values}."""

    destinations: dict[tuple[str, int], dict[str, Any]]
    fields: dict[int, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Changes:
    """What a refresh found, and what is different from last time: {noun: how many}."""

    found: Mapping[str, int]
    new: Mapping[str, int]
    unlisted: Mapping[str, int]

    @property
    def none_listed(self) -> bool:
        """Whether Thinkific lists no course at all."""
        return not self.found.get(Kind.COURSE.value)

    def sentence(self) -> Said:
        """ "20 courses, 4 bundles, 4 signup fields (2 new courses, 1 course no longer listed)." """
        found = joined((_FOUND[noun](self.found.get(noun, 0)) for noun in NOUNS), by=", ")
        changes = [
            counted[noun](number)
            for counted, counts in ((_NEW, self.new), (_UNLISTED, self.unlisted))
            for noun in NOUNS
            if (number := counts.get(noun, 0))
        ]
        changed = joined([" (", joined(changes, by=", "), ")"], by="") if changes else ""
        return joined([found, changed, "."], by="")


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


def fetch() -> Steps[Catalog]:
    """Read the whole catalog into memory. Raises OutsideError.

    There is no list of bundles: the products name both, and `productable_id` is the id of
    the course or bundle, not the product's own (vendor's API document).
    """
    destinations: dict[tuple[str, int], dict[str, Any]] = {}
    for row in (yield from rows("/products")):
        kind = KINDS.get(str(row.get("productable_type", "")).casefold())
        number = row.get("productable_id")
        if kind is None or not isinstance(number, int):
            continue
        destinations[kind.value, number] = {
            "name": str(row.get("name") or f"{kind.label} {number}")[:255],
            "published": row.get("status") != "draft",
            "private": row.get("private") if isinstance(row.get("private"), bool) else None,
            "course_ids": (yield from _course_ids(number)) if kind is Kind.BUNDLE else [],
        }
    listed = yield from rows("/custom_profile_field_definitions")
    fields = {
        row["id"]: {
            "label": str(row.get("label") or row["id"])[:255],
            "field_type": str(row.get("field_type") or "")[:100],
            "required": bool(row.get("required")),
        }
        for row in listed
        if isinstance(row.get("id"), int)
    }
    return Catalog(destinations, fields)


def store(integration: Integration, found: Catalog) -> Changes:
    """Bring the rows up to what was found; what is not listed any more is marked, not deleted."""
    with transaction.atomic():
        new, unlisted = _store_destinations(integration, found)
        new_fields, gone_fields = _store_fields(integration, found)
        Integration.objects.filter(pk=integration.pk).update(refreshed_at=Now())
    kinds = Counter(kind for kind, __ in found.destinations)
    return Changes(
        found={**kinds, SIGNUP_FIELD: len(found.fields)},
        new={**new, SIGNUP_FIELD: new_fields},
        unlisted={**unlisted, SIGNUP_FIELD: gone_fields},
    )


def read(integration: Integration) -> Catalog:
    """Read the catalog of a connected site; notes on the integration what hinders it.

    Raises OutsideError, SecretUnreadable, rate_limit.SiteBlocked and rate_limit.NoSlot.
    """
    session = Session(integration)
    try:
        return session.carry_out(fetch())
    except Retry as error:
        _note_unreachable(integration, joined([error.message, explain.LATER]))
        raise
    except Refused as error:
        # It means "this is no school" only where the site has never been read.
        if integration.refreshed_at is None:
            _note_unreachable(integration, error.message)
        raise


def refresh(integration: Integration) -> Changes:
    """Read the site's catalog and store it, because a person asks; raises what `read` raises.

    A pause does not put off a person who asks: the answer makes a new one where it must.
    """
    rate_limit.unblock(integration.pk)
    changes = store(integration, read(integration))
    accept_key(integration)
    return changes


def by_number(integration: Integration, kind: str, number: int, name: str) -> Destination:
    """The course or bundle as it is once a person has entered it, not saved: see `enter`.

    What Thinkific lists keeps its listed name; without a name a known one keeps its own.
    """
    known = integration.destinations.filter(kind=kind, external_id=number).first()
    row = known or Destination(integration=integration, kind=kind, external_id=number)
    if known is None or not known.listed:
        row.name, row.by_hand, row.unlisted_at = name or row.name, True, None
    row.gone_at = None  # a person says that it is there
    return row


def called_otherwise(
    integration: Integration, kind: str, number: int, name: str
) -> Destination | None:
    """What has this number and is not called so: it may be that the number is mistyped.

    To enter the number alone of one that is gone is to say that it is there again.
    """
    known = integration.destinations.filter(kind=kind, external_id=number).first()
    if known is None or known.name.strip().casefold() == name.strip().casefold():
        return None
    return None if known.gone_at and not name.strip() else known


def enter(row: Destination) -> None:
    """Keep what `by_number` made of a person's entry; a refresh leaves it as it is."""
    with transaction.atomic():
        Destination.objects.bulk_create(
            [row], update_conflicts=True, unique_fields=_KEY, update_fields=_ENTERED
        )
        audit.record(Act.COURSE_ENTERED, row, after={"external_id": row.external_id})


def _note_unreachable(integration: Integration, message: str) -> None:
    """The session has noted a rejected key already, and that is the more serious news.

    What was read with an older key says nothing about a new one.
    """
    same = integration.with_same_secret()
    same.exclude(connection=Integration.Connection.REFUSED).update(
        connection=Integration.Connection.UNREACHABLE, connection_message=message
    )


def _course_ids(bundle: int) -> Steps[list[int]]:
    body = (yield Get(f"/bundles/{bundle}")).body
    ids = body.get("course_ids") if isinstance(body, dict) else None
    return [number for number in ids or [] if isinstance(number, int)]


def _store_destinations(
    integration: Integration, found: Catalog
) -> tuple[Counter[str], Counter[str]]:
    """How many of each kind are new in the list, and how many are not listed any more."""
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
    # The courses of a bundle are not listed any more: each action asks for them.
    Destination.objects.filter(pk__in=[row.pk for row in left]).update(
        unlisted_at=Now(), course_ids=[]
    )
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
