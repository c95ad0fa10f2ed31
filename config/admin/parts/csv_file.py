"""A list as a CSV file: streamed with flat memory, and safe to open in a spreadsheet."""

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
# A spreadsheet takes a cell that begins so for a formula; an Asian one takes the wide signs too.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", *"\uff1d\uff0b\uff0d\uff20")
# Where a comma is part of a number, a spreadsheet begins a cell after each semicolon.
INNER = re.compile(r"(;\s*)(?=[-=+@\t\r\n\uff1d\uff0b\uff0d\uff20])")
# So that Excel reads UTF-8.
BYTE_ORDER_MARK = "\ufeff"


class _Line:
    """What csv.writer takes for a file: it hands each line back instead of keeping it."""

    def write(self, line: str) -> str:
        return line


def cell(value: Any, zone: tzinfo | None = None) -> str:
    """The value as a text that no spreadsheet carries out; a time as spreadsheets read it."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return timezone.localtime(value, zone).strftime("%Y-%m-%d %H:%M:%S")
    # The first sign counts before and after those that hide are spelled out.
    text, raw = legible(value, LONGEST_CELL), str(value)
    text = INNER.sub(r"\1'", text)
    disarmed = isinstance(value, str) and (raw.startswith(FORMULA) or text.startswith(FORMULA))
    return f"'{text}" if disarmed else text


def numbers(rows: QuerySet[Any]) -> "array[int]":
    """The numbers of these rows in their order: eight bytes each."""
    pks = rows.prefetch_related(None).values_list("pk", flat=True)
    return array("q", pks.iterator(CHUNK))


def in_chunks(
    rows: QuerySet[Any], pks: "array[int]", lines: Callable[[list[Any]], Iterable[Sequence[Any]]]
) -> Iterator[Sequence[Any]]:
    """What `lines` makes of the rows of these numbers, 500 at a time, in this order.

    `rows` is their table, with what the lines need beside it. One that was removed is left out.

    No cursor stays open between the chunks: one would hold a snapshot of the database for as long
    as the person's network takes.
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
    """The file NAME.csv, made line by line while it is sent.

    Times are in this zone (that of the settings without it), which their headings name where they
    have "{zone}".
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
