"""Show e-mail addresses with the domain in its own script, unless that could deceive."""

import unicodedata

import idna

_PUNYCODE = "xn--"
# Scripts that are commonly mixed in one word.
_EAST_ASIAN = {
    *("CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "BOPOMOFO", "HANGUL"),
}
# Letters of other scripts that look Latin. A word made only of these could pass for a Latin one.
_LIKE_LATIN = frozenset("асԁеһіјӏорԛѕԝхуъьҽпгѵѡαικνορυωηχτահյոսցօ")


def readable_email(email: str) -> str:
    """Return a normalized address as people read it: "hans@müller.example", not punycode.

    The domain stays in punycode if a label mixes scripts, only looks Latin, or is not valid.
    """
    local, at, domain = email.rpartition("@")
    labels = domain.split(".")
    written = [_written(label) for label in labels]
    return local + at + ".".join(labels if None in written else map(str, written))


def decoded(label: str) -> str:
    """Return a label of a domain without punycode. Raises UnicodeError if it is invalid."""
    if not label.startswith(_PUNYCODE):
        return label
    return label.removeprefix(_PUNYCODE).encode("ascii").decode("punycode")


def _written(label: str) -> str | None:
    """Return the label in its own script, or None if that must not be shown."""
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
    """Return a letter's script: the first word of its Unicode name, such as "LATIN"."""
    name = unicodedata.name(letter, "").partition(" ")[0]
    return "EAST ASIAN" if name in _EAST_ASIAN else name
