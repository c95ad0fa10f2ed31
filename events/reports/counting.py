"""Count rows up to a limit, and write such a count: 37, or "10,000+"."""

from typing import Any

from django.db.models import QuerySet

from integrations.sentences import Said, format_number, say

# Counting stops here: beyond it the exact number does not matter, and takes long to find out.
MAX_COUNT = 10_000


def count(rows: QuerySet[Any]) -> int:
    """Return how many rows there are, at most MAX_COUNT."""
    return rows.order_by()[:MAX_COUNT].count()


def format_count(number: int) -> Said:
    """Write a count, for a figure or in a sentence: "37", or "10,000+" from MAX_COUNT on."""
    if number >= MAX_COUNT:
        return say("{number}+", number=MAX_COUNT)
    return Said(format_number(number), number)
