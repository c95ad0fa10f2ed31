"""E-mail addresses as people read them: the domain in its own script, unless that could deceive."""

import unicodedata

import idna

_PUNYCODE = "xn--"
# What these scripts are written with together.
_EAST_ASIAN = {
    *("CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "BOPOMOFO", "HANGUL"),
}
# Letters of other scripts that look like Latin ones: a word of these alone could pass for Latin.
_LIKE_LATIN = frozenset("асԁеһіјӏорԛѕԝхуъьҽпгѵѡαικνορυωηχτահյոսցօ")


def readable_email(email: str) -> str:
    """Return a normalized address as it is shown to people: "hans@müller.example", not punycode.

    The domain stays in punycode when it mixes scripts, looks like Latin letters but is none, or
    is no possible name.
    """
    local, at, domain = email.rpartition("@")
    labels = domain.split(".")
    written = [_written(label) for label in labels]
    return local + at + ".".join(labels if None in written else map(str, written))


def decoded(label: str) -> str:
    """Return a part of a domain without its punycode. Raises UnicodeError for what is none."""
    if not label.startswith(_PUNYCODE):
        return label
    return label.removeprefix(_PUNYCODE).encode("ascii").decode("punycode")


def _written(label: str) -> str | None:
    """The label in its own script; None when it must not be shown so."""
    if not label.startswith(_PUNYCODE):
        return label
    try:
        text = idna.ulabel(label)
    except idna.IDNAError:
        return None
    letters = {sign for sign in text if unicodedata.category(sign)[0] == "L"}
    deceives = letters <= _LIKE_LATIN or len(set(map(_script, letters))) != 1
    return None if deceives else text


def _script(letter: str) -> str:
    """By the first word of its name, which Unicode gives each letter: "LATIN", "CYRILLIC"."""
    name = unicodedata.name(letter, "").partition(" ")[0]
    return "EAST ASIAN" if name in _EAST_ASIAN else name
