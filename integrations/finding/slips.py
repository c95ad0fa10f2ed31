"""Tell words apart that differ by one slip of the hand: a letter wrong, missing, extra or swapped.

Words are compared as `search_terms.fold` returns them, so accents and capitals make no difference.
"""

import re
from collections.abc import Iterator
from string import ascii_lowercase

from integrations.search_terms import fold

# In shorter words, a slip makes another common word; longer ones would make too many.
SHORTEST, LONGEST = 4, 12
_WORD = re.compile(r"[^\W_]+")
_LETTERS = re.compile(r"[^\W\d_]+")


def one_slip(word: str) -> Iterator[str]:
    """Yield what the folded word may have been meant to be, the likeliest slips first.

    Letters that were swapped, doubled or missed come first. About 50 words for each letter; none
    for a word that is too short or too long.
    """
    if not SHORTEST <= len(word) <= LONGEST:
        return
    for at in range(len(word) - 1):
        if word[at] != word[at + 1]:
            yield word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    for at in range(len(word)):
        yield word[:at] + word[at + 1 :]
    for at in range(len(word) + 1):
        for letter in ascii_lowercase:
            yield word[:at] + letter + word[at:]
    for at, typed in enumerate(word):
        for letter in ascii_lowercase:
            if letter != typed:
                yield word[:at] + letter + word[at + 1 :]


def names_like(typed: str, names: dict[int, str], most: int) -> list[int]:
    """Return the keys of the names in which each typed word begins a word, but for a slip.

    A name that needs fewer slips comes first, then the shorter one. At most `most`.
    """
    wanted = [(word, {*one_slip(word)}) for word in _words(typed)]
    found = []
    for key, name in names.items():
        there = _words(name)
        slips = [_slips(word, meant, there) for word, meant in wanted]
        if slips and None not in slips:
            found.append((sum(each or 0 for each in slips), len(name), key))
    return [key for *_, key in sorted(found)[:most]]


def head(term: str) -> str:
    """Return the letters with which a term begins: "john" of "john7.smith@example.com"."""
    found = _LETTERS.match(term)
    return found[0] if found else ""


def _slips(word: str, meant: set[str], there: list[str]) -> int | None:
    if any(each.startswith(word) for each in there):
        return 0
    return 1 if not meant.isdisjoint(there) else None


def _words(text: str) -> list[str]:
    return _WORD.findall(fold(text))
