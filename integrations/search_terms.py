"""What a customer is found by: the words of names and the parts of the e-mail, in plain letters.

Only standard Python, so that both databases find the same, whatever their collation.
"""

import unicodedata
from itertools import pairwise

from integrations.samcart.readable import decoded

# A longer term is cut, and so is a longer word that is searched for.
MAX_TERM = 320
# Letters that Unicode does not decompose, in lower case, and what people type for them.
_PLAIN = str.maketrans(
    {
        "\N{LATIN SMALL LETTER DOTLESS I}": "i",
        "ø": "o",
        "ł": "l",
        "đ": "d",
        "ð": "d",
        "ħ": "h",
        "ŧ": "t",
        "æ": "ae",
        "œ": "oe",
        "þ": "th",
        **dict.fromkeys("\u2018\u2019\u02bc`", "'"),
        **dict.fromkeys("\u2010\u2012\u2013\u2014\u2212", "-"),
        # Hangul fillers: letters by category, yet nothing is seen of them.
        "\u115f": "",
        "\u1160": "",
    }
)
_INVISIBLE = {"Cc", "Cf", "Cs"}


def visible(text: str) -> str:
    """The text without control and format characters, and without spaces around it."""
    kept = (
        character
        for character in text
        if character.isspace() or unicodedata.category(character) not in _INVISIBLE
    )
    return "".join(kept).strip()


def fold(text: str) -> str:
    """The text as it is compared: without case, accents, ligatures and widths, in any script."""
    if text.isascii() and text.isprintable():  # as most are, and lists are sorted by it
        return text.strip().lower().replace("`", "'")  # of _PLAIN, all that is in ASCII
    folded = unicodedata.normalize("NFKD", visible(text)).casefold()
    # Folding the case can bring accents back together.
    folded = unicodedata.normalize("NFKD", folded)
    bare = "".join(sign for sign in folded if not unicodedata.category(sign).startswith("M"))
    return bare.translate(_PLAIN)


def words(text: str) -> list[str]:
    """The words of a search; each has to begin a term of the customer."""
    found = (_trimmed(word)[:MAX_TERM] for word in fold(text).split())
    return list(dict.fromkeys(found))


def terms(email: str, first_name: str, last_name: str) -> list[str]:
    """The terms of a customer, sorted: each name, and the e-mail from the start of each word on.

    A search for the beginning of a term therefore finds a part of the e-mail across dots and "@".
    `email` is normalized: its domain counts in punycode and as people write it. The top-level
    domain is no term of its own, and neither is anything that another term begins with.
    """
    found = {part for name in fold(f"{first_name} {last_name}").split() for part in _parts(name)}
    for address in {fold(email), fold(_written(email))}:
        found |= {part for part in _parts(address) if "." in part or part == address}
    return _longest(found)


def terms_as_sent(email: str, name: str) -> list[str]:
    """The terms of an address that cannot be used and the name beside it, sorted.

    Such an address need not look like one, so each word of it counts.
    """
    return _longest({part for word in fold(f"{email} {name}").split() for part in _parts(word)})


def _longest(parts: set[str]) -> list[str]:
    """The parts, cut and sorted, without those that another one begins with."""
    cut = sorted(part[:MAX_TERM] for part in parts)
    return [term for term, following in pairwise([*cut, ""]) if not following.startswith(term)]


def _parts(text: str) -> set[str]:
    """The text from its start, and from the start of each word in it."""
    starts = (at for at in range(1, len(text)) if text[at].isalnum() and not text[at - 1].isalnum())
    return {text, *(text[at:] for at in starts)} - {""}


def _trimmed(word: str) -> str:
    """The word from its first to its last letter or digit; all of it when it has none."""
    kept = [at for at, sign in enumerate(word) if sign.isalnum()]
    return word[kept[0] : kept[-1] + 1] if kept else word


def _written(email: str) -> str:
    """The e-mail with its domain as people write it, not in punycode."""
    name, at, domain = email.rpartition("@")
    return name + at + ".".join(map(_label, domain.split(".")))


def _label(label: str) -> str:
    try:
        return decoded(label)
    except UnicodeError:
        return label
