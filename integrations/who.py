"""How pages name the people who sign in: by their full name, else by their user name."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

from django.contrib.auth.models import User

from integrations.sentences import say

# Who acts if no person does: as stored, in English.
NOT_SIGNED_IN = "Somebody not signed in"
BY_COMMAND = " (command line)"
# SamCart renames products.
SAMCART = "SamCart"
# What only owners may do, in place of a permission: none has this name, so nobody else has it.
OWNERS_ONLY = "superuser"


def _read() -> dict[str, str]:
    """Return {user name: name to show} for all people with a full name; there are few people."""
    people = User.objects.only("username", "first_name", "last_name")
    full = {each.username: each.get_full_name() for each in people}
    count = Counter(full.values())
    return {
        who: name if count[name] == 1 else f"{name} ({who})" for who, name in full.items() if name
    }


_names: ContextVar[Callable[[], dict[str, str]]] = ContextVar("names", default=_read)


@contextmanager
def remembering() -> Iterator[None]:
    """Read people's names at most once inside, as while a page is made."""
    token = _names.set(cache(_read))
    try:
        yield
    finally:
        _names.reset(token)


def shown_who(who: str) -> str:
    """Return who acted, by the `who` of an entry or any other user name, in the reader's language.

    It is the full name where there is one, with the user name if several people have that name.
    """
    if who == NOT_SIGNED_IN:
        return say("Somebody not signed in")
    if who.endswith(BY_COMMAND):
        return say("{user} (command line)", user=who.removesuffix(BY_COMMAND))
    return _names.get()().get(who, who) if who else ""


def called(part: str) -> list[str]:
    """Return the user names of the people whose full name contains this, in any capitals."""
    like = part.casefold()
    return [who for who, name in _names.get()().items() if like in name.casefold()]
