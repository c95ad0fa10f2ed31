"""Make the terms that find a customer: words of the name and parts of the e-mail, plain letters.

All of it is Python, so both databases find the same, whatever their collation.
"""

import unicodedata
from itertools import pairwise

from integrations.samcart.readable import decoded

# Characters. Longer terms and longer search words are cut.
MAX_TERM = 320
# Lower-case letters that Unicode does not decompose, and what people type instead of them.
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
        # Hangul fillers: letters by category, but invisible.
        "\u115f": "",
        "\u1160": "",
    }
)
_INVISIBLE = {"Cc", "Cf", "Cs"}


def visible(text: str) -> str:
    """Remove control and format characters, and the spaces around the text."""
    kept = (
        character
        for character in text
        if character.isspace() or unicodedata.category(character) not in _INVISIBLE
    )
    return "".join(kept).strip()


def fold(text: str) -> str:
    """Return the text for comparing: without case, accents, ligatures and widths, in any script."""
    if text.isascii() and text.isprintable():  # a shortcut: most are, and sorting lists calls this
        return text.strip().lower().replace("`", "'")  # the only ASCII sign in _PLAIN
    folded = unicodedata.normalize("NFKD", visible(text)).casefold()
    # Folding the case can compose accents again.
    folded = unicodedata.normalize("NFKD", folded)
    bare = "".join(sign for sign in folded if not unicodedata.category(sign).startswith("M"))
    return bare.translate(_PLAIN)


def words(text: str) -> list[str]:
    """Return the words of a search. A customer matches if each word begins one of their terms."""
    found = (_trimmed(word)[:MAX_TERM] for word in fold(text).split())
    return list(dict.fromkeys(found))


def terms(email: str, first_name: str, last_name: str) -> list[str]:
    """Return the sorted terms of a customer: each name, and the e-mail from the start of each word.

    So a search for the beginning of a term also finds a part of the e-mail with dots and "@".
    `email` is normalized; its domain is used both in punycode and as people write it. Left out are
    the top-level domain alone, and every term that another term begins with.
    """
    found = {part for name in fold(f"{first_name} {last_name}").split() for part in _parts(name)}
    for address in {fold(email), fold(_written(email))}:
        found |= {part for part in _parts(address) if "." in part or part == address}
    return _longest(found)


def terms_as_sent(email: str, name: str) -> list[str]:
    """Return the sorted terms of an unusable e-mail address and the name sent with it.

    The address may be any text, so each of its words counts.
    """
    return _longest({part for word in fold(f"{email} {name}").split() for part in _parts(word)})


def _longest(parts: set[str]) -> list[str]:
    """Return the parts, cut and sorted, without those that another part begins with."""
    cut = sorted(part[:MAX_TERM] for part in parts)
    return [term for term, following in pairwise([*cut, ""]) if not following.startswith(term)]


def _parts(text: str) -> set[str]:
    """Return the whole text, and the rest of it from the start of each further word."""
    starts = (at for at in range(1, len(text)) if text[at].isalnum() and not text[at - 1].isalnum())
    return {text, *(text[at:] for at in starts)} - {""}


def _trimmed(word: str) -> str:
    """Return the word from its first to its last letter or digit, or all of it if it has none."""
    kept = [at for at, sign in enumerate(word) if sign.isalnum()]
    return word[kept[0] : kept[-1] + 1] if kept else word


def _written(email: str) -> str:
    """Return the e-mail with its domain as people write it, not in punycode."""
    name, at, domain = email.rpartition("@")
    return name + at + ".".join(map(_label, domain.split(".")))


def _label(label: str) -> str:
    try:
        return decoded(label)
    except UnicodeError:
        return label
