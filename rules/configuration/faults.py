"""Collect everything that is wrong with a configuration file, each fault with its place."""

from collections.abc import Iterable
from dataclasses import dataclass, field


class Faulty(Exception):
    """The file cannot be applied, and nothing was. `faults` has one sentence per reason."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


@dataclass(frozen=True, slots=True)
class EntryPosition:
    """The place of an entry: "Line 12, rules[3] (Main shop, product_purchased)".

    `number` counts from 1 in its section. An empty `section` means the file as a whole.
    """

    section: str
    number: int
    line: int
    hint: str = ""

    def __str__(self) -> str:
        if not self.section:
            return f"Line {self.line}"
        hint = f" ({self.hint})" if self.hint else ""
        return f"Line {self.line}, {self.section}[{self.number}]{hint}"


@dataclass(slots=True)
class Faults:
    """A collection of faults. `sentences` returns them in the order of the file."""

    _found: list[tuple[int, str]] = field(default_factory=list)

    def add(self, where: EntryPosition | int, sentence: str) -> None:
        """Add a fault of an entry, or of a line given by its number."""
        line = where if isinstance(where, int) else where.line
        place = f"Line {where}" if isinstance(where, int) else str(where)
        self._found.append((line, f"{place}: {sentence}"))

    def sentences(self) -> list[str]:
        return [text for _, text in sorted(self._found, key=lambda fault: fault[0])]
