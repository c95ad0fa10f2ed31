"""Spanish: choose "y" or "e" and "o" or "u" by the sound of the next word."""

import re
from collections.abc import Mapping

# A conjunction right before a fact of a sentence: "{others} y {last}".
_BEFORE_A_FACT = re.compile(r"\b([yo]) \{(\w+)\}")
# Words that begin with the sound of i: "Inés" and "hilo", but not "hielo" or "Yolanda".
_SOUNDS_LIKE_Y = re.compile(r"\W*(?:h?[ií](?![aeouáéóú])|y(?![aeiouáéíóú]))", re.IGNORECASE)
# Words and numbers that begin with the sound of o: "ocho", "once mil".
_SOUNDS_LIKE_O = re.compile(r"\W*(?:h?[oó]|8|11(?!\d))", re.IGNORECASE)


def fitted(text: str, facts: Mapping[str, str]) -> str:
    """Return the template `text` with its conjunctions fitted to the facts: "Ana e Inés"."""

    def fitting(found: re.Match[str]) -> str:
        word, fact = found[1], facts.get(found[2], "")
        if word == "y" and _SOUNDS_LIKE_Y.match(fact):
            word = "e"
        elif word == "o" and _SOUNDS_LIKE_O.match(fact):
            word = "u"
        return f"{word} {{{found[2]}}}"

    return _BEFORE_A_FACT.sub(fitting, text)
