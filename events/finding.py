"""Finding a customer by whatever somebody knows: e-mail or a part of it, name, order number."""

import difflib
from dataclasses import dataclass

from django.db.models import Q

from events.models import EventLog
from integrations.models import Customer

MOST = 50
SIMILAR = 5
# So many addresses are compared with a mistyped one.
COMPARED = 2000


@dataclass(frozen=True, slots=True)
class Found:
    """The customers that fit, and when none does, those whose address looks like it."""

    customers: list[Customer]
    similar: list[Customer]


def find(term: str) -> Found:
    """At most fifty customers; an exact e-mail or order number stands for itself."""
    word = term.replace("\x00", "").strip()[:320]
    if not word:
        return Found([], [])
    exact = list(Customer.objects.filter(email=word.lower()))
    if exact:
        return Found(exact, [])
    of_order = EventLog.objects.filter(order_id=word[:64], customer__isnull=False)
    ids = set(of_order.order_by("-pk").values_list("customer", flat=True)[:MOST])
    by_order = list(Customer.objects.filter(pk__in=ids).order_by("email"))
    if by_order:
        return Found(by_order, [])
    first, _, last = word.partition(" ")
    named = Q(first_name__icontains=word) | Q(last_name__icontains=word)
    if last.strip():
        named |= Q(first_name__istartswith=first, last_name__istartswith=last.strip())
    by_text = Customer.objects.filter(Q(email__contains=word.lower()) | named)
    customers = list(by_text.order_by("email")[:MOST])
    return Found(customers, [] if customers else _similar(word.lower()))


def _similar(email: str) -> list[Customer]:
    """Addresses that differ by a slip: the same name elsewhere, or a few other letters."""
    if "@" not in email:
        return []
    name, _, domain = email.partition("@")
    near = Customer.objects.filter(
        Q(email__startswith=f"{name}@") | Q(email__startswith=name[:2], email__endswith=domain[-6:])
    )
    known = dict(near.order_by("email").values_list("email", "pk")[:COMPARED])
    close = difflib.get_close_matches(email, known, n=SIMILAR, cutoff=0.8)
    same_name = [each for each in known if each.startswith(f"{name}@")][:SIMILAR]
    ids = [known[each] for each in dict.fromkeys([*same_name, *close])][:SIMILAR]
    return list(Customer.objects.filter(pk__in=ids).order_by("email"))
