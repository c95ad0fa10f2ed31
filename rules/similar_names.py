"""Which course a product may be about: names that share most of their words."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping

# Words that say nothing about the subject.
COMMON = frozenset({"a", "an", "and", "the", "for", "of", "in", "on", "to", "with", "my", "your"})
# The share of words that two names have in common; 1 is all of them.
ENOUGH = 0.5
# What is as similar as several others is not meant by any of them.
MOST = 2


class SimilarNames:
    """Names by their words, so that looking one up does not compare it with each of them."""

    def __init__(self, names: Mapping[str, str]) -> None:
        """`names` as {key: name}; keys are what `most_like` returns."""
        self._words = {key: _words(name) for key, name in names.items()}
        self._by_word: dict[str, list[str]] = defaultdict(list)
        for key, words in self._words.items():
            for word in words:
                self._by_word[word].append(key)

    def most_like(self, name: str) -> list[str]:
        """The keys of the most similar names; empty where none is similar enough."""
        wanted = _words(name)
        shared = Counter(key for word in wanted for key in self._by_word.get(word, ()))
        score = {
            key: 2 * count / (len(wanted) + len(self._words[key])) for key, count in shared.items()
        }
        best = max(score.values(), default=0.0)
        found = [key for key in score if score[key] == best]
        return sorted(found) if best >= ENOUGH and len(found) <= MOST else []


def _words(name: str) -> frozenset[str]:
    """The words that matter, in the singular as far as an s makes the plural."""
    found = re.findall(r"\w+", name.casefold())
    return frozenset(word.removesuffix("s") or word for word in found if word not in COMMON)
