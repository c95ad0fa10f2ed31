"""Sort rows by name as people do, with the same result on every database.

Ó comes next to O, and Lesson 2 before Lesson 10.
"""

import re
from typing import Any

from django.db.models import Func, OrderBy, TextField

from integrations.search_terms import fold

# The name of `sorted_as` in SQLite. config.sqlite adds the function to each connection.
SORTED_AS = "ADMIT_SORTED_AS"
# Numbers are compared by this many of their last digits.
DIGITS = 12
_NUMBER = re.compile("[0-9]+")


def sorted_as(text: str) -> str:
    """Return the sort key of a name: no case, no accents, numbers padded with zeros."""
    return _NUMBER.sub(lambda found: found[0].zfill(DIGITS)[-DIGITS:], fold(text))


class SortedAs(Func):
    """The `sorted_as` of a column."""

    function = SORTED_AS
    arity = 1
    output_field = TextField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        marks = r"[\u0300-\u036F]"
        bare = f"LOWER(REGEXP_REPLACE(NORMALIZE(%(expressions)s, NFKD), '{marks}', '', 'g'))"
        # First put zeros before each number, then cut all but its last digits.
        longer = f"REGEXP_REPLACE({bare}, '([0-9]+)', '{'0' * DIGITS}\\1', 'g')"
        cut = f"REGEXP_REPLACE({longer}, '[0-9]*([0-9]{{{DIGITS}}})', '\\1', 'g')"
        template = f'{cut} COLLATE "C"'
        return self.as_sql(compiler, connection, template=template, **context)


def by_name(field: str = "name", **nulls: bool) -> OrderBy:
    """Return the ordering for order_by. `nulls` are the options of `asc`."""
    return SortedAs(field).asc(**nulls)
