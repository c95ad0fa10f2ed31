"""Count rows up to a limit, and write such a count: 37, or "10,000+"."""

from typing import Any

from django.db.models import IntegerField, Model, QuerySet, Subquery

from integrations.sentences import Said, format_number, say

# Counting stops here: beyond it the exact number does not matter, and takes long to find out.
MAX_COUNT = 10_000


def count(rows: QuerySet[Any]) -> int:
    """Return how many rows there are, at most MAX_COUNT."""
    return rows.order_by()[:MAX_COUNT].count()


class NumberOf(Subquery):
    """The number of rows that a query finds. Unlike an aggregate, it obeys the query's limit."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) AS these)"
    output_field = IntegerField()


def count_each(model: type[Model], *rows: QuerySet[Any]) -> tuple[int, ...]:
    """Return what `count` returns for each of these rows of the model, with one query."""
    numbers = [NumberOf(each.order_by().values("pk")[:MAX_COUNT]) for each in rows]
    found = model._default_manager.order_by().values_list(*numbers)[:1]
    return next(iter(found), (0,) * len(rows))


def format_count(number: int) -> Said:
    """Write a count, for a figure or in a sentence: "37", or "10,000+" from MAX_COUNT on."""
    if number >= MAX_COUNT:
        return say("{number}+", number=MAX_COUNT)
    return Said(format_number(number), number)
