"""The filter of Coverage: rows with a word in their name, and rows of some products."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self, TypeVar
from urllib.parse import urlencode

from django.urls import reverse

from config.admin.parts import params
from events.reports.products.coverage import Judged
from integrations.sentences import Said, say, say_count

LONGEST_WORD = 100
# How many products an address may name: a server reads 4,094 characters of one.
MAX_PRODUCTS = 200
Row = TypeVar("Row", bound=Judged)


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter. `only` holds the numbers of the products; empty means all rows."""

    word: str = ""
    only: tuple[int, ...] = ()

    @classmethod
    def read(cls, given: Mapping[str, str]) -> Self:
        """Return the filter that the address or the form names."""
        only = params.row_ids(given.get("only", "").split(","))[:MAX_PRODUCTS]
        return cls(params.word(given.get("q"), LONGEST_WORD), tuple(only))

    def of(self, rows: Iterable[Row]) -> list[Row]:
        """Return the rows that the filter lets through."""
        if not self.only and not self.word:
            return list(rows)
        only, word = set(self.only), self.word.casefold()
        return [
            row
            for row in rows
            if word in name_of(row).casefold() and (not only or row.number in only)
        ]

    @property
    def numbers(self) -> str:
        """The numbers of the products, as a form sends them."""
        return ",".join(map(str, self.only))

    @property
    def query(self) -> str:
        """The filter as the query of an address; "" for all rows."""
        asked = {"q": self.word, "only": self.numbers}
        # A query may hold commas as they are.
        return urlencode({name: value for name, value in asked.items() if value}, safe=",")

    @property
    def address(self) -> str:
        return reverse("admin:coverage") + (f"?{self.query}" if self.only or self.word else "")

    @property
    def chip(self) -> Said | str:
        """The label of the chip that removes the products from the filter; "" without any."""
        if not self.only:
            return ""
        return say_count(len(self.only), "Only this 1 product", "Only these {number} products")

    @property
    def without_chip(self) -> str:
        return Filter(self.word).address


def of_products(numbers: Iterable[int]) -> Filter:
    """Return a filter for these products; beyond MAX_PRODUCTS, the last ones."""
    return Filter(only=tuple(numbers)[-MAX_PRODUCTS:])


def name_of(row: Judged) -> str:
    return say("Every product") if row.number is None else row.name
