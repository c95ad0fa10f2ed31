"""Remove one person from texts and JSON, leaving what they say about others."""

import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, quote_plus, unquote_plus

from integrations.sentences import Said, changed

ERASED = "(erased)"
# A shorter word appears in too many other places.
SHORTEST_WORD = 3


class Redactor:
    """Finds a person by e-mail address. Names and other words count only next to an address.

    An address inside a longer one belongs to another person, and does not count.
    """

    def __init__(self, addresses: Iterable[str], words: Iterable[str] = ()) -> None:
        self.addresses = sorted({each.casefold() for each in addresses if each})
        found = {each.strip() for each in words if len(each.strip()) >= SHORTEST_WORD}
        self.words = sorted(found, key=len, reverse=True)
        self._address = _pattern(self.addresses, before=r"(?<![\w.+-])|(?<=%[0-9a-f]{2})")
        self._word = _pattern(self.words, before=r"(?<!\w)|(?<=%[0-9a-f]{2})")

    def needles(self) -> list[str]:
        """Return every way to write the person's addresses, to search a database for."""
        return sorted({form for each in self.addresses for form in _forms(each)})

    def mentions(self, text: str) -> bool:
        """Return whether the text contains an address of the person, in any encoding."""
        if self._address.search(text):
            return True
        return "%" in text and bool(self._address.search(unquote_plus(text)))

    def text(self, text: str) -> str:
        """Return the text, maybe JSON, without the person; unchanged if it has no address."""
        if not self.mentions(text):
            return text
        if isinstance(text, Said):
            return self._sentence(text)
        try:
            value = json.loads(text)
        except ValueError:
            return self._plain(text)
        if isinstance(value, str | int | float):
            return self._plain(text)
        return json.dumps(self.data(value), ensure_ascii=False)

    def data(self, value: Any) -> Any:
        """Return the JSON without the person. An object with their e-mail loses all its values."""
        if isinstance(value, Said):
            return self._sentence(value)
        if isinstance(value, str):
            return self._plain(value)
        if isinstance(value, list):
            return [self.data(each) for each in value]
        if not isinstance(value, dict):
            return value
        if any(
            "mail" in str(key).casefold() and self._is_mentioned(each)
            for key, each in value.items()
        ):
            return _blank(value)
        return {self._key(key): self.data(each) for key, each in value.items()}

    def parts(self, value: Any) -> list[Any]:
        """Return the objects and texts in the JSON that contain an address of the person."""
        if isinstance(value, str):
            return [value] if self.mentions(value) else []
        if isinstance(value, list):
            return [part for each in value for part in self.parts(each)]
        if not isinstance(value, dict):
            return []
        if any(self._is_mentioned(each) for each in (*value, *value.values())):
            return [value]
        return [part for each in value.values() for part in self.parts(each)]

    def _is_mentioned(self, value: Any) -> bool:
        return isinstance(value, str) and bool(self._address.search(value))

    def _key(self, key: Any) -> Any:
        return self.data(key) if self._is_mentioned(key) else key

    def _sentence(self, sentence: Said) -> Said:
        """Return the sentence without the person, still translatable if possible."""
        without = changed(sentence, self._plain)
        return Said(self._plain(without)) if self.mentions(without) else without

    def _plain(self, text: str) -> str:
        if self._address.search(text):
            return self._word.sub(ERASED, self._address.sub(ERASED, text))
        if self.mentions(text):
            return ERASED  # the address is in an encoding that cannot be taken apart
        return self._word.sub(ERASED, text)


def _blank(value: Any) -> Any:
    """Return the same structure without its contents."""
    if isinstance(value, dict):
        return {key: _blank(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_blank(each) for each in value]
    return value if value is None or isinstance(value, bool) else ERASED


def _pattern(texts: Iterable[str], *, before: str) -> re.Pattern[str]:
    forms = sorted({form for text in texts for form in _forms(text)}, key=len, reverse=True)
    if not forms:
        return re.compile(r"(?!)")
    either = "|".join(map(re.escape, forms))
    return re.compile(rf"(?:{before})(?:{either})(?![\w-]|\.\w)", re.IGNORECASE)


def _forms(text: str) -> set[str]:
    """Return the ways in which plain text, JSON, URLs and forms write the text."""
    as_json = {json.dumps(text, ensure_ascii=ascii)[1:-1] for ascii in (True, False)}
    return {text, *as_json, quote(text, safe=""), quote(text), quote_plus(text)}
