"""Values from an address or a form, read as numbers only where they can be."""

from collections.abc import Iterable
from typing import Any, TypeVar

from django.db.models import Model, QuerySet

Row = TypeVar("Row", bound=Model)
# More digits than a row's number has overflow the database's own.
DIGITS = 18
LAST_PAGE = 99_999
# A longer text is no part of a name, and SQLite refuses to look for one of 50,000 bytes.
LONGEST_WORD = 200


def row_id(text: Any) -> int | None:
    """The row's number that this text is; None for all else that people put into an address.

    Digits of ASCII alone: `str.isdecimal` knows those of other scripts too.
    """
    plain = isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= DIGITS
    return int(text) if plain else None


def row_ids(texts: Iterable[Any]) -> list[int]:
    """Those of several that are one."""
    return [number for text in texts if (number := row_id(text)) is not None]


def row_in(rows: QuerySet[Row], text: Any) -> Row | None:
    """The one of these rows whose number this text is."""
    number = row_id(text)
    return None if number is None else rows.filter(pk=number).first()


def word(text: Any, longest: int = LONGEST_WORD) -> str:
    """A part of a name to look for: cut, and without NUL, which PostgreSQL takes nowhere."""
    return str(text or "").replace("\x00", "")[:longest].strip()


def page_number(text: Any) -> int:
    """Of which page; the first for what is none. Bounded, because it is multiplied by its rows."""
    return min(row_id(text) or 1, LAST_PAGE)
