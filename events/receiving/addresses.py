"""The secret and the trigger in a webhook's address, as a person may have pasted them."""

import itertools
import unicodedata

# What an address begins with, also as people write it who type it by hand.
BEGINNINGS = {"hook", "hooks", "webhook", "webhooks", "samcart", "sam-cart"}
# What a secret is never made of, and what comes along when an address is copied out of a text: a
# space, a line break, quotes, a bracket, a comma.
_SECRET_SIGNS = frozenset("-_.~")


def secret_and_trigger(path: str) -> tuple[str, str] | None:
    """Secret and trigger of a webhook's address, None for any other path.

    Doubled slashes come of an address pasted behind a slash; a 404 would lose the event.
    """
    parts = [part for part in path.split("/") if part]
    rest = list(itertools.dropwhile(lambda part: part.casefold() in BEGINNINGS, parts))
    if not rest or len(rest) == len(parts):
        return None
    return rest[0], "/".join(rest[1:])


def secrets_in(text: str) -> list[str]:
    """The secrets that this part of an address may mean, the likeliest first.

    A secret may end with a full stop of its own, so the one without it comes second.
    """
    secret = _between(text)
    return list(dict.fromkeys([secret, secret.rstrip(".")]))


def trigger_in(text: str) -> str:
    """The trigger's word without what was pasted along with it; "" when nothing is left."""
    pasted = "".join({char for char in text if unicodedata.category(char)[0] in "ZCP"} - {"-", "_"})
    return text.strip(pasted) if pasted else text


def _between(text: str) -> str:
    """The text from the first to the last character that a secret may have."""
    usable = [number for number, char in enumerate(text) if _is_usable(char)]
    return text[usable[0] : usable[-1] + 1] if usable else ""


def _is_usable(char: str) -> bool:
    return char in _SECRET_SIGNS or (char.isascii() and char.isalnum())
