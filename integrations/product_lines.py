"""Read products as people type or paste them: one per line, with name and SamCart ID."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from integrations import audit
from integrations.audit import Act
from integrations.models import Marketplace, Product
from integrations.models.samcart import stand_in_name
from integrations.samcart.normalize import normalize_id, strip_invisible
from integrations.samcart.text import storable
from integrations.samcart.unreadable import Unreadable
from integrations.sentences import say

LONGEST_NAME = 255
# Pasted spreadsheet cells have tabs between them; a spreadsheet's CSV file may have semicolons.
BETWEEN = "\t;,"
# ADDRESS tells an address from an ID; NUMBER finds a number that stands alone in an address.
ADDRESS = re.compile(r"[/\\?#\s]|www\.")
NUMBER = re.compile(r"(?<=[/=])\d+(?=[/?&#]|$)")
# In a line, where a name can contain anything, only these count as an ID.
IN_LINE = re.compile(r"[0-9]+(\.0+)?|(https?://|www\.|[\w.-]+\.samcart\.com/)\S+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Line:
    """A non-empty line: the product that it names, or the `problem` with it.

    `number` is the line's number, from 1. `known` is the stored product with this ID, if any.
    """

    number: int
    text: str
    name: str = ""
    external_id: str = ""
    known: Product | None = None
    problem: str = ""

    @property
    def is_new(self) -> bool:
        return not (self.known or self.problem)


def samcart_id(typed: str) -> str:
    """Return the ID as SamCart's events carry it. From a pasted address, takes the number in it.

    Raises ValueError with a sentence for the person who typed it.
    """
    text = strip_invisible(typed)
    if ADDRESS.search(text):
        numbers = NUMBER.findall(text)
        if len(numbers) != 1:
            raise ValueError(say("Enter the ID alone: it is the number in the address."))
        text = numbers[0]
    try:
        found = normalize_id(text, what=_("SamCart ID"))
    except Unreadable as error:
        raise ValueError(error.reason) from None
    if not found:
        raise ValueError(say("SamCart gives no product the ID 0."))
    return found


def read(text: str, account: Marketplace) -> list[Line]:
    """Read lines of "name, ID", "ID, name" or an ID alone. Tabs and semicolons separate, too.

    A product given by its ID alone is named after the ID until its first event brings its name.
    """
    typed = enumerate(text.splitlines(), start=1)
    found = [_line(number, stripped) for number, each in typed if (stripped := each.strip())]
    return _compared(found, account)


def add(lines: Iterable[Line], account: Marketplace) -> list[Product]:
    """Create the products of the new lines. Raises IntegrityError if one exists by now."""
    with transaction.atomic():
        made = Product.objects.bulk_create(
            Product(marketplace=account, external_id=each.external_id, name=each.name)
            for each in lines
            if each.is_new
        )
        audit.record_added(Act.PRODUCT_ADDED, made)
    return made


def _line(number: int, text: str) -> Line:
    name, typed = _parted(text)
    line = Line(number, text)
    if not typed:
        problem = say(
            "There is no SamCart ID at its end, which is a number. Write it after the name, with "
            "a comma between."
        )
        return replace(line, problem=problem)
    if "\t" in name:
        return replace(
            line,
            problem=say("It has more than two columns. Leave only the name and the SamCart ID."),
        )
    if len(name) > LONGEST_NAME:
        text = say("The name is longer than {number} characters.", number=LONGEST_NAME)
        return replace(line, problem=text)
    try:
        external_id = samcart_id(typed)
    except ValueError as error:
        return replace(line, problem=str(error))
    named = storable(name, LONGEST_NAME) or stand_in_name(Product.Kind.PRODUCT, external_id)
    return replace(line, name=named, external_id=external_id)


def _parted(line: str) -> tuple[str, str]:
    """Split a line into name and ID. The ID is "" if there is none."""
    for mark in filter(line.__contains__, BETWEEN):
        before, _, after = line.rpartition(mark)
        if _is_id(after):
            return _unquoted(before), _unquoted(after)
        before, _, after = line.partition(mark)
        if _is_id(before):
            return _unquoted(after), _unquoted(before)
    return ("", line) if _is_id(line) else (line, "")


def _is_id(text: str) -> bool:
    return IN_LINE.fullmatch(_unquoted(text)) is not None


def _unquoted(text: str) -> str:
    """Return a cell without the quotation marks that a CSV file puts around it."""
    cell = strip_invisible(text)
    quoted = len(cell) > 1 and cell[0] == cell[-1] == '"'
    return strip_invisible(cell[1:-1].replace('""', '"')) if quoted else cell


def _compared(lines: list[Line], account: Marketplace) -> list[Line]:
    """Mark each line whose ID an earlier line or a stored product already has."""
    ids = {line.external_id for line in lines if line.external_id}
    stored = account.products.filter(kind=Product.Kind.PRODUCT, external_id__in=ids)
    known = {product.external_id: product for product in stored}
    first: dict[str, int] = {}
    found = []
    for line in lines:
        number = first.setdefault(line.external_id, line.number) if line.external_id else 0
        if number and number != line.number:
            problem = say("Line {number} has the same SamCart ID.", number=number)
            found.append(replace(line, problem=problem))
        else:
            found.append(replace(line, known=known.get(line.external_id)))
    return found
