"""Find customers by what a person types: an e-mail, a part of one, or names, in any script."""

from collections.abc import Callable, Sequence
from typing import Any

from django.db.models import BinaryField, BooleanField, Exists, Func, OuterRef, Q, QuerySet, Value
from django.db.models.expressions import Combinable

from integrations.models import Customer, SearchTerm
from integrations.samcart.normalize import normalize_email
from integrations.search_terms import visible, words

# Rows read per wanted customer: up to this many terms of one customer may match a word before
# other customers are crowded out.
TERMS_EACH = 4
How = Callable[[str], Q | Combinable]


class Holds(Func):
    """A condition: the first bytes contain the second."""

    function = "INSTR"
    template = "%(function)s(%(expressions)s) > 0"
    output_field = BooleanField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, function="pg_catalog.position", **context)


def exact(text: str) -> Customer | None:
    """Return the customer with this exact e-mail, in any case and any spelling of its domain."""
    email = normalize_email(visible(text))
    return Customer.objects.filter(email=email).first() if email else None


def customers(text: str, *, most: int, anywhere: bool = True) -> list[Customer]:
    """Return at most `most` customers, by e-mail, who have a term beginning with each word.

    If there are none, `anywhere` finds those whose terms contain each word, which reads all terms.
    Then an empty result means that no customer's e-mail and names contain these words.
    """
    pks = owners(SearchTerm.objects.all(), "customer", text, most=most, anywhere=anywhere)
    return list(Customer.objects.filter(pk__in=pks).order_by("email"))


def owners(
    terms: QuerySet[Any], owner: str, text: str, *, most: int, anywhere: bool = True
) -> list[int]:
    """Do the same as `customers` for any table of terms. Returns pks of the field `owner`."""
    # The longest word first, because it is usually the rarest.
    found = sorted(words(text), key=len, reverse=True)
    if not found:
        return []
    pks = _pks(terms, owner, found, begins, most)
    return _pks(terms, owner, found, _holds, most) if anywhere and not pks else pks


def begins(word: str) -> Q:
    """Return the condition for terms that begin with a folded word."""
    first = word.encode()
    # UTF-8 has no byte 255, so this is beyond every term that begins with the word.
    return Q(term__gte=first, term__lt=first + b"\xff")


def are_words(meant: Sequence[str], *, begin: int) -> Q:
    """Return the condition for terms that are one of these folded words.

    The first `begin` words may also be followed by a sign or a digit, as in an e-mail address. That
    is too slow to ask for all of them.
    """
    found = Q(term__in=[word.encode() for word in meant])
    for word in meant[:begin]:
        # "A" is beyond the signs and digits that may follow a word, and before all small letters.
        found |= Q(term__gte=word.encode(), term__lt=f"{word}A".encode())
    return found


def _holds(word: str) -> Combinable:
    return Holds("term", Value(word.encode(), BinaryField()))


def _pks(terms: QuerySet[Any], owner: str, found: list[str], how: How, most: int) -> list[int]:
    # Ordered by term, so that the index is only read up to the limit.
    rows = terms.filter(how(found[0])).order_by("term")
    for word in found[1:]:
        rows = rows.filter(Exists(terms.filter(how(word), **{owner: OuterRef(owner)})))
    pks = rows.values_list(owner, flat=True)[: most * TERMS_EACH]
    return list(dict.fromkeys(pks))[:most]
