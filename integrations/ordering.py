"""Rows in the order of their names as people sort them: Ó next to O, on every database."""

from typing import Any

from django.db.models import Func, OrderBy, TextField

# The function of search_terms.fold in SQLite, which config.sqlite adds to each connection.
FOLD = "ADMIT_FOLD"


class Folded(Func):
    """A text without case and accents."""

    function = FOLD
    arity = 1
    output_field = TextField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        marks = r"[\u0300-\u036F]"
        template = (
            f"LOWER(REGEXP_REPLACE(NORMALIZE(%(expressions)s, NFKD), '{marks}', '', 'g'))"
            ' COLLATE "C"'
        )
        return self.as_sql(compiler, connection, template=template, **context)


def by_name(field: str = "name", **nulls: bool) -> OrderBy:
    """For order_by; `nulls` are those of `asc`."""
    return Folded(field).asc(**nulls)
