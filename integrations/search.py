"""Finding customers by what a person types: an e-mail or a part of it, names, in any script."""

from collections.abc import Callable
from typing import Any

from django.db.models import BinaryField, BooleanField, Exists, Func, OuterRef, Q, QuerySet, Value
from django.db.models.expressions import Combinable

from integrations.models import Customer, SearchTerm
from integrations.samcart.normalize import normalize_email
from integrations.search_terms import visible, words

# So many terms of one customer may fit one word before others are crowded out.
TERMS_EACH = 4
How = Callable[[str], Q | Combinable]


class Holds(Func):
    """Whether bytes hold others anywhere in them."""

    function = "INSTR"
    template = "%(function)s(%(expressions)s) > 0"
    output_field = BooleanField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, function="pg_catalog.position", **context)


def exact(text: str) -> Customer | None:
    """The customer with this very e-mail, however its capitals and its domain are spelled."""
    email = normalize_email(visible(text))
    return Customer.objects.filter(email=email).first() if email else None


def customers(text: str, *, most: int, anywhere: bool = True) -> list[Customer]:
    """At most so many customers, by e-mail, for whom each word of the text begins a term.

    If there are none, `anywhere` finds those whose terms contain each word; that reads all terms.
    So an empty answer means that no customer's e-mail and names contain these words.
    """
    pks = owners(SearchTerm.objects.all(), "customer", text, most=most, anywhere=anywhere)
    return list(Customer.objects.filter(pk__in=pks).order_by("email"))


def owners(
    terms: QuerySet[Any], owner: str, text: str, *, most: int, anywhere: bool = True
) -> list[int]:
    """The same for any table of terms: by number, whom they belong to by the field `owner`."""
    # The longest is mostly the rarest.
    found = sorted(words(text), key=len, reverse=True)
    if not found:
        return []
    pks = _pks(terms, owner, found, begins, most)
    return _pks(terms, owner, found, _holds, most) if anywhere and not pks else pks


def begins(word: str) -> Q:
    """The terms that begin with a folded word."""
    first = word.encode()
    # No byte of UTF-8 is 255.
    return Q(term__gte=first, term__lt=first + b"\xff")


def _holds(word: str) -> Combinable:
    return Holds("term", Value(word.encode(), BinaryField()))


def _pks(terms: QuerySet[Any], owner: str, found: list[str], how: How, most: int) -> list[int]:
    # In the order of the terms, so that the index is read no further than to the limit.
    rows = terms.filter(how(found[0])).order_by("term")
    for word in found[1:]:
        rows = rows.filter(Exists(terms.filter(how(word), **{owner: OuterRef(owner)})))
    pks = rows.values_list(owner, flat=True)[: most * TERMS_EACH]
    return list(dict.fromkeys(pks))[:most]
