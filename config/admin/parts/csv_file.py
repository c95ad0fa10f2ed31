"""A list as a CSV file: streamed with constant memory, and safe to open in a spreadsheet."""

import csv
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, tzinfo
from itertools import chain
from typing import Any

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.utils import timezone
from django.utils.http import content_disposition_header

from config.admin.parts.badges import legible
from integrations.sentences import Text

CHUNK = 500
LONGEST_CELL = 2000
# Spreadsheets read a cell that begins so as a formula; Asian ones take the wide signs, too.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", *"\uff1d\uff0b\uff0d\uff20")
# In countries that write numbers with a comma, spreadsheets begin a new cell at a semicolon.
INNER = re.compile(r"(;\s*)(?=[-=+@\t\r\n\uff1d\uff0b\uff0d\uff20])")
# Makes Excel read the file as UTF-8.
BYTE_ORDER_MARK = "\ufeff"


class _Line:
    """A file for csv.writer that returns each line instead of keeping it."""

    def write(self, line: str) -> str:
        return line


def cell(value: Any, zone: tzinfo | None = None) -> str:
    """Return the value as text that no spreadsheet executes; a time in a form that they read."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return timezone.localtime(value, zone).strftime("%Y-%m-%d %H:%M:%S")
    # The first character is checked before and after hidden ones are spelled out.
    text, raw = legible(value, LONGEST_CELL), str(value)
    text = INNER.sub(r"\1'", text)
    disarmed = isinstance(value, str) and (raw.startswith(FORMULA) or text.startswith(FORMULA))
    return f"'{text}" if disarmed else text


def numbers(rows: QuerySet[Any]) -> "array[int]":
    """Return the primary keys of these rows, in their order; eight bytes each."""
    pks = rows.prefetch_related(None).values_list("pk", flat=True)
    return array("q", pks.iterator(CHUNK))


def in_chunks(
    rows: QuerySet[Any], pks: "array[int]", lines: Callable[[list[Any]], Iterable[Sequence[Any]]]
) -> Iterator[Sequence[Any]]:
    """Yield what `lines` makes of the rows with these keys, 500 at a time, in this order.

    `rows` is their table, with what the lines need beside it. Rows deleted meanwhile are left out.

    No cursor stays open between the chunks: it would hold a snapshot of the database for as long as
    the person's download takes.
    """
    for start in range(0, len(pks), CHUNK):
        wanted = pks[start : start + CHUNK].tolist()
        found = rows.in_bulk(wanted)
        yield from lines([found[pk] for pk in wanted if pk in found])


def response(
    name: Text,
    headings: Sequence[Text],
    lines: Iterable[Sequence[Any]],
    zone: tzinfo | None = None,
) -> StreamingHttpResponse:
    """Return the file NAME.csv, made line by line while it is sent.

    Times are in `zone`, by default that of the settings. Headings name it where they have "{zone}".
    """
    writer = csv.writer(_Line())
    zone = zone or timezone.get_default_timezone()
    named = [str(heading).replace("{zone}", str(zone)) for heading in headings]
    first = BYTE_ORDER_MARK + str(writer.writerow(named))
    rest = (str(writer.writerow([cell(each, zone) for each in line])) for line in lines)
    return StreamingHttpResponse(
        chain([first], rest),
        headers={
            "Content-Type": "text/csv; charset=utf-8",
            "Content-Disposition": content_disposition_header(True, f"{name}.csv") or "",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
        },
    )
