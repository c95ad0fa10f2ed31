"""Guess which course a product is about: names that share most of their words."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping

# Words that say nothing about the subject.
PREPOSITIONS = {"at", "by", "for", "from", "in", "of", "on", "to", "with"}
COMMON = frozenset(PREPOSITIONS | {"a", "an", "and", "my", "the", "your"})
# The share of common words from which two names are similar; 1 means all words.
ENOUGH = 0.5
# If more names than this are equally similar, none of them is a useful guess.
MAX_GUESSES = 2


class SimilarNames:
    """An index of names by word, so that a lookup does not compare with every name."""

    def __init__(self, names: Mapping[str, str]) -> None:
        """Index `names`, given as {key: name}. `most_like` returns keys."""
        self._words = {key: _words(name) for key, name in names.items()}
        self._by_word: dict[str, list[str]] = defaultdict(list)
        self._alike: dict[frozenset[str], list[str]] = defaultdict(list)
        for key, words in self._words.items():
            self._alike[words].append(key)
            for word in words:
                self._by_word[word].append(key)

    def most_like(self, name: str) -> list[str]:
        """Return the keys of similar names, the most similar first, at most MAX_GUESSES."""
        wanted = _words(name)
        # No name is more similar than one of the same words, and most courses have such a product.
        found = self._alike.get(wanted, []) if wanted else []
        found = found or self._most_shared(wanted)
        return sorted(found) if len(found) <= MAX_GUESSES else []

    def _most_shared(self, wanted: frozenset[str]) -> list[str]:
        shared = Counter(key for word in wanted for key in self._by_word.get(word, ()))
        score = {
            key: 2 * count / (len(wanted) + len(self._words[key])) for key, count in shared.items()
        }
        best = max(score.values(), default=0.0)
        return [key for key in score if score[key] == best] if best >= ENOUGH else []


def _words(name: str) -> frozenset[str]:
    """Return the words that matter, without a final s so that plurals match."""
    found = re.findall(r"\w+", name.casefold())
    return frozenset(word.removesuffix("s") or word for word in found if word not in COMMON)
