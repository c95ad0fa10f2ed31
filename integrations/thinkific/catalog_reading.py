"""Read what a site offers: courses, bundles with their courses, and signup fields."""

from dataclasses import dataclass
from typing import Any

from integrations.errors import Refused
from integrations.models import Destination
from integrations.thinkific.calls import Get, Steps, rows

Kind = Destination.Kind
KINDS = {"course": Kind.COURSE, "bundle": Kind.BUNDLE}


@dataclass(frozen=True, slots=True)
class Catalog:
    """What was read from a site: destinations {(kind, ID): values} and fields {ID: values}."""

    destinations: dict[tuple[str, int], dict[str, Any]]
    fields: dict[int, dict[str, Any]]


def fetch() -> Steps[Catalog]:
    """Read the whole catalog into memory. Raises OutsideError.

    Thinkific has no list of bundles. Its list of products names courses and bundles;
    `productable_id` is the ID of the course or bundle, not of the product (source: Thinkific's API
    document). A listed bundle that the site does not have is left out.
    """
    destinations: dict[tuple[str, int], dict[str, Any]] = {}
    for row in (yield from rows("/products")):
        kind = KINDS.get(str(row.get("productable_type", "")).casefold())
        number = row.get("productable_id")
        if kind is None or not isinstance(number, int):
            continue
        course_ids = (yield from _course_ids(number)) if kind is Kind.BUNDLE else []
        if course_ids is None:
            continue
        destinations[kind.value, number] = {
            "name": str(row.get("name") or f"{kind.label} {number}")[:255],
            "published": row.get("status") != "draft",
            "private": row.get("private") if isinstance(row.get("private"), bool) else None,
            "course_ids": course_ids,
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
