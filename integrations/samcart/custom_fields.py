"""Read custom fields: a buyer's answers to a checkout's own questions."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice

from .body import JsonObject
from .text import line

MAX_FIELDS = 200
MAX_NAME_LENGTH = 255
MAX_VALUE_LENGTH = 2_000


@dataclass(frozen=True, slots=True)
class CustomField:
    """One answer: the question as the buyer saw it, SamCart's slug for it, and the answer."""

    name: str
    slug: str
    value: str


def read_custom_fields(order: JsonObject) -> tuple[CustomField, ...]:
    """Return the custom fields of an order and of its upsells, at most 200.

    SamCart's webhook sends a list of `{name, slug, value}`, its REST API an object keyed by name.
    Anything else is left out: an unreadable field must never cost the buyer the course.
    """
    sent = chain(_fields(order.get("custom_fields")), _fields(order.get("upsell_custom_fields")))
    return tuple(islice(sent, MAX_FIELDS))


def answers(stored: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Return the non-blank answers of stored fields, by name and by slug, both casefolded."""
    found = {}
    for field in stored:
        for key in (field.get("name", ""), field.get("slug", "")):
            if value := field.get("value", "").strip():
                found[key.strip().casefold()] = value
    return found


def _fields(value: object) -> Iterator[CustomField]:
    if isinstance(value, dict):
        entries = [(str(key), entry) for key, entry in islice(value.items(), MAX_FIELDS)]
    elif isinstance(value, list):
        entries = [("", entry) for entry in islice(value, MAX_FIELDS)]
    else:
        return
    for key, entry in entries:
        field = _field(key, entry)
        if field.name or field.slug:
            yield field


def _field(key: str, entry: object) -> CustomField:
    if not isinstance(entry, dict):
        return CustomField(line(key, MAX_NAME_LENGTH), "", _answer(entry))
    return CustomField(
        line(entry.get("name"), MAX_NAME_LENGTH) or line(key, MAX_NAME_LENGTH),
        line(entry.get("slug"), MAX_NAME_LENGTH),
        _answer(entry.get("value")),
    )


def _answer(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):  # several boxes ticked
        return line(", ".join(filter(None, map(_answer, value[:MAX_FIELDS]))), MAX_VALUE_LENGTH)
    if isinstance(value, dict) and value:
        return line(json.dumps(value, ensure_ascii=False), MAX_VALUE_LENGTH)
    return line(value, MAX_VALUE_LENGTH)
