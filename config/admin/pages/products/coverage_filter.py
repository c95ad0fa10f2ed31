"""Which rows Coverage shows: those with a word in their name, and those of some products."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self, TypeVar
from urllib.parse import urlencode

from django.urls import reverse

from config.admin.parts import params
from events.reports.coverage import Judged
from integrations.sentences import Said, say, say_count

LONGEST_WORD = 100
# So many products an address names: a server reads 4,094 characters of one.
MOST = 200
Row = TypeVar("Row", bound=Judged)


@dataclass(frozen=True, slots=True)
class Filter:
    """`only` are the numbers of the products, none of them for all."""

    word: str = ""
    only: tuple[int, ...] = ()

    @classmethod
    def read(cls, given: Mapping[str, str]) -> Self:
        """As the address or the form has it."""
        only = params.row_ids(given.get("only", "").split(","))[:MOST]
        return cls(params.word(given.get("q"), LONGEST_WORD), tuple(only))

    def of(self, rows: Iterable[Row]) -> list[Row]:
        """Those of these rows that are shown."""
        only, word = set(self.only), self.word.casefold()
        return [
            row
            for row in rows
            if word in name_of(row).casefold()
            and (not only or (row.product is not None and row.product.pk in only))
        ]

    @property
    def numbers(self) -> str:
        """The products as a form sends them."""
        return ",".join(map(str, self.only))

    @property
    def query(self) -> str:
        """As the address has it, "" for all rows."""
        asked = {"q": self.word, "only": self.numbers}
        # A comma is one where a query stands.
        return urlencode({name: value for name, value in asked.items() if value}, safe=",")

    @property
    def address(self) -> str:
        return reverse("admin:coverage") + (f"?{self.query}" if self.only or self.word else "")

    @property
    def chip(self) -> Said | str:
        """What the chip says that takes the products off, "" where there are none."""
        if not self.only:
            return ""
        return say_count(len(self.only), "Only this 1 product", "Only these {number} products")

    @property
    def without_chip(self) -> str:
        return Filter(self.word).address


def of_products(numbers: Iterable[int]) -> Filter:
    """These products alone."""
    return Filter(only=tuple(numbers)[-MOST:])


def name_of(row: Judged) -> str:
    return say("Every product") if row.product is None else row.product.name
