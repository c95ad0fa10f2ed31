"""The secret and the trigger in a webhook's address, as a person may have pasted them."""

import itertools
import unicodedata

# What an address begins with, including what people type by hand.
BEGINNINGS = {"hook", "hooks", "webhook", "webhooks", "samcart", "sam-cart"}
# Signs that a secret may have beside letters and digits. What else is around it was copied along
# with the address out of a text: a space, a line break, quotes, a bracket, a comma.
_SECRET_SIGNS = frozenset("-_.~")


def secret_and_trigger(path: str) -> tuple[str, str] | None:
    """Return the secret and the trigger of a webhook's path; None for any other path.

    Doubled slashes come from an address pasted behind a slash; a 404 would lose the event.
    """
    parts = [part for part in path.split("/") if part]
    rest = list(itertools.dropwhile(lambda part: part.casefold() in BEGINNINGS, parts))
    if not rest or len(rest) == len(parts):
        return None
    return rest[0], "/".join(rest[1:])


def secrets_in(text: str) -> list[str]:
    """Return the secrets that this part of an address may mean, likeliest first.

    A secret may end in a period of its own, so the one without it comes second.
    """
    secret = _between(text)
    return list(dict.fromkeys([secret, secret.rstrip(".")]))


def trigger_in(text: str) -> str:
    """Return the trigger's word without what was pasted along with it; "" if nothing is left."""
    pasted = "".join({char for char in text if unicodedata.category(char)[0] in "ZCP"} - {"-", "_"})
    return text.strip(pasted) if pasted else text


def _between(text: str) -> str:
    """Return the text from the first to the last character that a secret may have."""
    usable = [number for number, char in enumerate(text) if _is_usable(char)]
    return text[usable[0] : usable[-1] + 1] if usable else ""


def _is_usable(char: str) -> bool:
    return char in _SECRET_SIGNS or (char.isascii() and char.isalnum())
