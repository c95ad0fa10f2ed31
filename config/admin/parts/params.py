"""Reads values from an address or a form, as numbers only if they can be."""

from collections.abc import Iterable
from typing import Any, TypeVar

from django.db.models import Model, QuerySet

Row = TypeVar("Row", bound=Model)
# A number with more digits overflows the database's integers.
DIGITS = 18
LAST_PAGE = 99_999
# No name is longer, and SQLite refuses to look for a text of 50,000 bytes.
LONGEST_WORD = 200


def row_id(text: Any) -> int | None:
    """Return the text as a row's number; None for anything else that an address may hold.

    ASCII digits only, because `str.isdecimal` accepts those of other scripts too.
    """
    plain = isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= DIGITS
    return int(text) if plain else None


def row_ids(texts: Iterable[Any]) -> list[int]:
    """Return the numbers among these texts."""
    return [number for text in texts if (number := row_id(text)) is not None]


def row_in(rows: QuerySet[Row], text: Any) -> Row | None:
    """Return the one of these rows whose number this text is, else None."""
    number = row_id(text)
    return None if number is None else rows.filter(pk=number).first()


def word(text: Any, longest: int = LONGEST_WORD) -> str:
    """Return a part of a name to look for: cut, and without NUL, which PostgreSQL refuses."""
    return str(text or "").replace("\x00", "")[:longest].strip()


def page_number(text: Any) -> int:
    """Return the page number, 1 for anything else.

    Capped, because it is multiplied by the page size.
    """
    return min(row_id(text) or 1, LAST_PAGE)
