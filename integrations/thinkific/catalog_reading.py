"""Read what a site offers: courses, bundles with their courses, and signup fields."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from integrations.errors import Refused
from integrations.models import Destination
from integrations.thinkific.calls import Get, Steps, rows

Kind = Destination.Kind
KINDS = {"course": Kind.COURSE, "bundle": Kind.BUNDLE}


@dataclass(frozen=True, slots=True)
class Catalog:
    """What was read from a site: destinations {(kind, ID): values} and fields {ID: values}.

    `unlisted` has the courses of bundles that the site has and does not list, by ID.
    """

    destinations: dict[tuple[str, int], dict[str, Any]]
    unlisted: dict[int, list[int]]
    fields: dict[int, dict[str, Any]]


def fetch(known: Collection[int] = ()) -> Steps[Catalog]:
    """Read the whole catalog into memory. Raises OutsideError.

    `known` are IDs of bundles that the site may have without listing them.
    """
    destinations, asked = yield from _destinations()
    unlisted = yield from _unlisted([number for number in known if number not in asked])
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
    return Catalog(destinations, unlisted, fields)


def _destinations() -> Steps[tuple[dict[tuple[str, int], dict[str, Any]], set[int]]]:
    """Return the listed courses and bundles, and the IDs of all listed bundles.

    Thinkific has no list of bundles. Its list of products names courses and bundles;
    `productable_id` is the ID of the course or bundle, not of the product (source: Thinkific's API
    document). A listed bundle that the site does not have is left out.
    """
    destinations: dict[tuple[str, int], dict[str, Any]] = {}
    asked = set()
    for row in (yield from rows("/products")):
        kind = KINDS.get(str(row.get("productable_type", "")).casefold())
        number = row.get("productable_id")
        if kind is None or not isinstance(number, int):
            continue
        course_ids: list[int] | None = []
        if kind is Kind.BUNDLE:
            asked.add(number)
            course_ids = yield from _course_ids(number)
        if course_ids is None:
            continue
        destinations[kind.value, number] = {
            "name": str(row.get("name") or f"{kind.label} {number}")[:255],
            "published": row.get("status") != "draft",
            "private": row.get("private") if isinstance(row.get("private"), bool) else None,
            "course_ids": course_ids,
        }
    return destinations, asked


def _unlisted(bundles: Collection[int]) -> Steps[dict[int, list[int]]]:
    """Return the courses of those of these bundles that the site answers for.

    A person may have mistyped the number, so a refusal must not keep the catalog from being read.
    """
    found = {}
    for number in bundles:
        try:
            course_ids = yield from _course_ids(number)
        except Refused:
            continue
        if course_ids is not None:
            found[number] = course_ids
    return found


def _course_ids(bundle: int) -> Steps[list[int] | None]:
    """Return the bundle's courses, or None if the site does not have the bundle."""
    try:
        body = (yield Get(f"/bundles/{bundle}")).body
    except Refused as error:
        if error.status != 404:
            raise
        return None
    ids = body.get("course_ids") if isinstance(body, dict) else None
    return [number for number in ids or [] if isinstance(number, int)]
