"""Finding a customer by whatever somebody knows: e-mail or a part of it, name, order number."""

import difflib
from dataclasses import dataclass

from events.models import EventLog
from integrations import search
from integrations.models import Customer, SearchTerm
from integrations.samcart.identity import normalise_email
from integrations.terms import fold, visible

MOST = 50
SIMILAR = 5
# So many addresses are compared with a mistyped one.
COMPARED = 2000
LONGEST = 320


@dataclass(frozen=True, slots=True)
class Found:
    """The customers that fit, and when none does, those whose address looks like it.

    `only` is the one person the term can mean, if there is one.
    """

    customers: list[Customer]
    similar: list[Customer]
    only: Customer | None = None


def find(term: str) -> Found:
    """At most fifty customers; an exact e-mail or order number stands for itself."""
    word = visible(term[:LONGEST])
    if not word:
        return Found([], [])
    if (meant := search.exact(word)) is not None:
        return Found([meant], [], only=meant)
    customers = _of_order(word) or search.customers(word, most=MOST)
    if not customers:
        return Found([], _similar(word))
    # An address that only contains a whole one is another person's: shown, but not opened.
    email = normalise_email(word)
    sure = not email or fold(customers[0].email) == fold(email)
    return Found(customers, [], only=customers[0] if sure and len(customers) == 1 else None)


def _of_order(number: str) -> list[Customer]:
    of_order = EventLog.objects.filter(order_id=number[:64], customer__isnull=False)
    ids = set(of_order.order_by("-pk").values_list("customer", flat=True)[:MOST])
    return list(Customer.objects.filter(pk__in=ids).order_by("email"))


def _similar(word: str) -> list[Customer]:
    """Addresses that differ by a slip: the same name elsewhere, or a few other letters."""
    email = normalise_email(word) or word.lower()
    name, _, domain = email.rpartition("@")
    if not name:
        return []
    same_name = _addresses(f"{fold(name)}@")
    known = same_name | _addresses(fold(name)[:2], end=domain[-6:])
    close = difflib.get_close_matches(email, known, n=SIMILAR, cutoff=0.8)
    ids = [known[each] for each in dict.fromkeys([*same_name, *close])][:SIMILAR]
    return list(Customer.objects.filter(pk__in=ids).order_by("email"))


def _addresses(beginning: str, *, end: str = "") -> dict[str, int]:
    """The addresses with a part that begins so, and with such an end, and whose they are."""
    of_terms = SearchTerm.objects.filter(search.begins(beginning), customer__email__endswith=end)
    found = of_terms.order_by("term").values_list("customer__email", "customer")
    return dict(found[:COMPARED])
