"""Rows in the order of their names as people sort them, on every database.

Ó stands next to O, and Lesson 2 before Lesson 10.
"""

import re
from typing import Any

from django.db.models import Func, OrderBy, TextField

from integrations.search_terms import fold

# The function of `sorted_as` in SQLite, which config.sqlite adds to each connection.
SORTED_AS = "ADMIT_SORTED_AS"
# Every number is compared by so many digits, its last ones.
DIGITS = 12
_NUMBER = re.compile("[0-9]+")


def sorted_as(text: str) -> str:
    """The text that stands for a name in a list that is sorted: no case, no accents."""
    return _NUMBER.sub(lambda found: found[0].zfill(DIGITS)[-DIGITS:], fold(text))


class SortedAs(Func):
    """`sorted_as` of a column."""

    function = SORTED_AS
    arity = 1
    output_field = TextField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        marks = r"[\u0300-\u036F]"
        bare = f"LOWER(REGEXP_REPLACE(NORMALIZE(%(expressions)s, NFKD), '{marks}', '', 'g'))"
        # First each number gets zeros before it, then all but its last digits go.
        longer = f"REGEXP_REPLACE({bare}, '([0-9]+)', '{'0' * DIGITS}\\1', 'g')"
        cut = f"REGEXP_REPLACE({longer}, '[0-9]*([0-9]{{{DIGITS}}})', '\\1', 'g')"
        template = f'{cut} COLLATE "C"'
        return self.as_sql(compiler, connection, template=template, **context)


def by_name(field: str = "name", **nulls: bool) -> OrderBy:
    """For order_by; `nulls` are those of `asc`."""
    return SortedAs(field).asc(**nulls)
