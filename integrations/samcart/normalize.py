"""Normalize IDs and e-mail addresses, so that the same thing is always written the same way."""

import re
import unicodedata

import idna
from django.utils.translation import gettext_lazy as _

from integrations.samcart.text import is_none, json_kind
from integrations.samcart.unreadable import Unreadable
from integrations.sentences import Text, say

MAX_ID_LENGTH = 64
MAX_EMAIL_LENGTH = 320

NO_EMAIL = _("The order carries no e-mail address.")

_NUMBER = re.compile(r"[+-]?[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?")
_EXACT_FLOAT = 2**53  # from here on, a float stands for several whole numbers

_NEVER_IN_EMAIL = frozenset('<>()[]\\,;:"')
_DOMAIN_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
# Letters and marks by category, but invisible (Unicode: Default_Ignorable).
_UNSEEN = frozenset(
    map(
        chr,
        [
            *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0),
            *range(0x180B, 0x1810),
            *range(0xFE00, 0xFE10),
            *range(0xE0100, 0xE01F0),
        ],
    )
)


def normalize_id(value: object, *, what: Text) -> str:
    """Return a SamCart ID as text: 1, "1", "001", 1.0 and "1.0" all become "1".

    An absent ID (null, blank, [] and 0, PHP's ways to write "none") becomes "". IDs that are not
    numbers are only stripped. `what` names the ID in the error's reason. Raises Unreadable for
    everything that could become an ID only by guessing: true, 1.5, -1, lists, more than 64
    characters.
    """
    if is_none(value):
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Unreadable(
            say(
                "The {what} is {kind} where a number is expected.",
                what=what,
                kind=json_kind(value),
            )
        )
    if isinstance(value, str):
        return _text_id(value.strip(), what=what)
    return _number_id(value, what=what)


def split_ids(value: object, *, what: Text) -> list[str]:
    """Return the IDs of a product: one, or several that a legacy body joins with commas."""
    if not isinstance(value, str) or "," not in value:
        return [normalize_id(value, what=what)]
    ids = [normalize_id(piece, what=what) for piece in value.split(",")]
    return list(filter(None, ids)) or [""]


def normalize_email(text: str) -> str:
    """Return the match key of an e-mail address, or "" if it is unusable.

    The match key is stripped, in NFC and lower case, with the domain in punycode.
    """
    return examine_email(text)[0]


def examine_email(text: str) -> tuple[str, str]:
    """Return (match key, "") of an e-mail address, or ("", a sentence that says what is wrong)."""
    text = strip_invisible(text)
    if not text:
        return "", say(NO_EMAIL)
    # Check the length first: composing half a million combining marks takes minutes.
    if len(text) > MAX_EMAIL_LENGTH:
        return "", _too_long()
    problem = _character_problem(text)
    if problem:
        return "", problem
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())
    local, _, domain = text.rpartition("@")
    if not local or not domain or "@" in local:
        return "", say('The e-mail address needs exactly one "@", with text on both sides.')
    if not _NEVER_IN_EMAIL.isdisjoint(text):
        return "", say("The e-mail address has a bracket, comma, colon or another wrong character.")
    domain = _ascii_domain(domain)
    if not domain:
        return "", say('After the "@" an e-mail address has a domain, such as example.com.')
    if len(local) + 1 + len(domain) > MAX_EMAIL_LENGTH:
        return "", _too_long()
    return f"{local}@{domain}", ""


def _too_long() -> str:
    return say("The e-mail address is longer than {number} characters.", number=MAX_EMAIL_LENGTH)


def strip_invisible(text: str) -> str:
    """Remove spaces and invisible characters, which pasting may add, from both ends of the text."""
    start, end = 0, len(text)
    while start < end and _is_unseen(text[start]):
        start += 1
    while start < end and _is_unseen(text[end - 1]):
        end -= 1
    return text[start:end]


def _is_unseen(character: str) -> bool:
    if character.isascii():
        return character.isspace() or not character.isprintable()
    # A lone surrogate is damage, not an invisible character, so it stays for the check to find.
    category = unicodedata.category(character)
    return category[0] == "Z" or category in {"Cc", "Cf"} or character in _UNSEEN


def _too_long_id(what: Text) -> Unreadable:
    return Unreadable(
        say(
            "The {what} is longer than {number} characters.",
            what=what,
            number=MAX_ID_LENGTH,
        )
    )


def _text_id(text: str, *, what: Text) -> str:
    if len(text) > MAX_ID_LENGTH:
        raise _too_long_id(what)
    if not (text.isascii() and text.isprintable()):
        raise Unreadable(say("The {what} holds characters that an id cannot hold.", what=what))
    if text.isdigit():
        return _number_id(int(text), what=what)
    # In a form every number is text, so 1.0 comes as "1.0".
    return _number_id(float(text), what=what) if _NUMBER.fullmatch(text) else text


def _number_id(number: float, *, what: Text) -> str:
    exact = isinstance(number, int)
    if number < 0 or not (exact or float(number).is_integer()):
        raise Unreadable(say("The {what} is negative or not a whole number.", what=what))
    if not exact and number >= _EXACT_FLOAT:
        raise Unreadable(say("The {what} is too large a number to be exact.", what=what))
    text = str(int(number) or "")
    if len(text) > MAX_ID_LENGTH:
        raise _too_long_id(what)
    return text


def _character_problem(text: str) -> str:
    if text.isascii() and text.isprintable() and " " not in text:
        return ""
    for character in text:
        if character.isspace():
            return say("The e-mail address has a space or a line break in it.")
        if (
            unicodedata.category(character).startswith("C")
            or character in _UNSEEN
            or character == "\N{REPLACEMENT CHARACTER}"
        ):
            return say("The e-mail address holds an invisible or damaged character.")
    return ""


def _ascii_domain(domain: str) -> str:
    try:
        mapped = idna.uts46_remap(domain, std3_rules=False)  # a few domains have an underscore
    except idna.IDNAError:
        return ""
    # A trailing dot only marks the name as complete.
    labels = [_ascii_label(label) for label in mapped.removesuffix(".").split(".")]
    usable = len(labels) > 1 and all(map(_DOMAIN_LABEL.fullmatch, labels))
    return ".".join(labels) if usable else ""


def _ascii_label(label: str) -> str:
    # Not idna.encode, which refuses emoji: IDNA 2008 forbids them, but such domains receive mail.
    return label if label.isascii() else f"xn--{label.encode('punycode').decode()}"
