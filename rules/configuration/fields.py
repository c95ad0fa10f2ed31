"""Read one entry of the file key by key, taking `${NAME}` from the environment."""

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from integrations.samcart.text import storable
from rules.configuration.document import Entry
from rules.configuration.faults import EntryPosition, Faults

_PLACEHOLDER = re.compile(r"(\$+)\{([^{}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_YES = frozenset({"true", "yes", "on", "1"})
_NO = frozenset({"false", "no", "off", "0"})
_LARGEST_NUMBER = 2**63 - 1


class Unset(Exception):
    """The environment lacks a `${NAME}`. `name` is how to call it in a sentence."""

    def __init__(self, name: str) -> None:
        # Text that is not a valid name may be part of a secret, so it is not shown.
        self.name = f"${{{name}}}" if _NAME.fullmatch(name) else "A ${…}"
        super().__init__(self.name)


def expand(text: str, environ: Mapping[str, str]) -> str:
    """Replace each `${NAME}` by its value; `$${NAME}` becomes a literal `${NAME}`. Raises Unset."""

    def value(match: re.Match[str]) -> str:
        dollars, name = match.groups()
        if len(dollars) > 1:
            return match[0][1:]
        if name not in environ:
            raise Unset(name)
        return environ[name]

    return _PLACEHOLDER.sub(value, text)


def escape(text: str) -> str:
    """Escape the text so that `expand` returns it unchanged."""
    return _PLACEHOLDER.sub(lambda match: f"${match[0]}", text)


@dataclass(slots=True)
class Fields:
    """One entry. Each fault goes to `faults` and sets `sound` to False.

    A method returns "", 0 or None for an optional key that is absent, and also for a faulty one.
    So an entry that is not `sound` must not be used.
    """

    place: EntryPosition
    entry: Entry
    faults: Faults
    environ: Mapping[str, str]
    sound: bool = True

    def fault(self, sentence: str) -> None:
        self.faults.add(self.place, sentence)
        self.sound = False

    def only(self, *known: str) -> None:
        """Note a fault for each key that is not one of these."""
        for key in self.entry:
            if key not in known:
                self.fault(f"there is no key `{key}` here.{_nearest(key, known)}")

    def text(self, key: str, *, longest: int, needed: bool = True) -> str:
        """Return the text without surrounding spaces, if a database can store it."""
        if key not in self.entry:
            if needed:
                self.fault(f"`{key}` is missing.")
            return ""
        value = self.entry[key]
        if isinstance(value, list | Entry):
            self.fault(f"`{key}` must be a single value.")
            return ""
        try:
            text = expand(value or "", self.environ).strip()
        except Unset as unset:
            self.fault(f"{unset.name} in `{key}` is not set in the environment.")
            return ""
        if not text:
            self.fault(f"`{key}` is empty.")
        elif len(text) > longest:
            self.fault(f"`{key}` is longer than {longest} characters.")
        elif text != storable(text, longest):
            self.fault(f"`{key}` has a character that cannot be stored.")
        else:
            return text
        return ""

    def number(self, key: str) -> int:
        """Return a whole number from 1 to 2**63 - 1, or 0 if it is faulty."""
        text = self.text(key, longest=100)
        if not text:
            return 0
        if text.isascii() and text.isdigit() and 0 < int(text) <= _LARGEST_NUMBER:
            return int(text)
        self.fault(f"`{key}` must be a whole number, such as 501.")
        return 0

    def flag(self, key: str) -> bool | None:
        """Return True, False, or None if the key is absent or faulty."""
        text = self.text(key, longest=100, needed=False).casefold()
        if text in _YES:
            return True
        if text and text not in _NO:
            self.fault(f"`{key}` must be true or false.")
        return False if text in _NO else None

    def choice(self, key: str, choices: Collection[str], *, needed: bool = True) -> str:
        """Return one of these words, or "" if the key is absent or faulty."""
        text = self.text(key, longest=200, needed=needed)
        if not text or text in choices:
            return text
        nearest = _nearest(text, choices) or f" There are: {', '.join(choices)}."
        self.fault(f"there is no {key} {text}.{nearest}")
        return ""

    def hint(self, *keys: str) -> str:
        """Return the values of these keys, as far as they can be read, to name the entry."""
        found = []
        for key in keys:
            value = self.entry.get(key)
            try:
                text = expand(value, self.environ) if isinstance(value, str) else ""
            except Unset:
                text = str(value)
            if short := storable(text, 100).strip():
                found.append(short)
        return ", ".join(found)


def _nearest(word: str, words: Collection[str]) -> str:
    near = difflib.get_close_matches(word, words, n=1)
    return f" Did you mean {near[0]}?" if near else ""
