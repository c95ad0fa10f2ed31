"""Sentences for people, each in the reader's language and time zone.

`say` makes a sentence from a whole English sentence and its facts. Pages show it like any text. A
SentenceField stores the English sentence and the facts, so each reader gets it in their language.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from django.db import models
from django.utils import dateformat, timezone
from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.translation import get_language, gettext, ngettext, override

from integrations import spanish
from integrations.former_sentences import NOW

if TYPE_CHECKING:
    _TextField = models.TextField[str, str]
else:
    _TextField = models.TextField

# A text, or a lazy one that is translated when it is shown: a constant made by gettext_lazy.
Text = str | Promise
# What a sentence is made of, in a form that JSON can hold.
Source = str | int | float | dict[str, Any]


def gettext_noop(text: str) -> str:
    """Mark a text for translation, like Django's function, but without needing settings.

    It has Django's name, because makemessages looks for that.
    """
    return text


ENGLISH = "en"
# Date patterns. They are translated, because Spanish writes "23 nov".
DAY, YEAR = gettext_noop("j M"), gettext_noop("j M Y")
MINUTE, FULL = gettext_noop("j M H:i"), gettext_noop("j M H:i T")
LONG = gettext_noop("j F Y")  # in a letter
# Sources that are JSON objects begin so; no sentence does.
OBJECT = "{"
# What the functions below raise for an old text that only looks like a source.
NO_SOURCE = (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError)
DATE = len("2026-11-23")


class Said(str):
    """A sentence in the language that was active when it was made, with its source."""

    __slots__ = ("source",)
    source: Source

    def __new__(cls, text: str, source: Source | None = None) -> "Said":
        said = super().__new__(cls, text)
        said.source = text if source is None else source
        return said


def say(text: Text, /, **facts: Any) -> Said:
    """Make a sentence. `text` is the whole sentence in English, with {names} for its facts.

    `text` must be a literal, or a gettext_lazy of one, so that makemessages finds it. A fact is a
    text (also a lazy one), a sentence, or a number. Numbers are written with separators, so pass
    an ID as text.
    """
    with_ = {name: _source(fact) for name, fact in facts.items()}
    english = _english(text)
    return _made({"say": english, "with": with_} if with_ else {"say": english})


def say_count(number: int, one: str, many: str, /, **facts: Any) -> Said:
    """Make the sentence for this {number}: "1 buyer paid." or "{number} buyers paid."."""
    source: dict[str, Any] = {"one": one, "many": many, "number": number}
    return _made(source | {"with": {name: _source(fact) for name, fact in facts.items()}})


def joined(parts: Iterable[object], by: str = " ") -> Said:
    """Join sentences, leaving out empty ones."""
    return _made({"all": [_source(part) for part in parts if part], "by": by})


def separator(names: Iterable[object]) -> str:
    """Return what separates these names in a list: a semicolon if one of them has a comma."""
    return "; " if any(", " in str(name) for name in names) else ", "


def separated(names: Iterable[object]) -> Said:
    """List names: "Ink, Oil" or "Ink, Basics; Oil"."""
    names = [*names]
    return joined(names, separator(names))


def format_day(day: date, pattern: str = "") -> Said:
    """Write a day: "23 Nov", with the year unless it is this year. A datetime counts as its day.

    `pattern` is one of DAY, YEAR, MINUTE ("23 Nov 14:02"), FULL, which adds the time zone, or LONG
    ("23 November 2026").
    """
    return _made({"at": day.isoformat(), "as": pattern})


def format_number(number: float) -> str:
    """Write a number as the active language does: "1,204"."""
    return str(number_format(number, use_l10n=True, force_grouping=True))


def format_time(moment: datetime) -> Said:
    """Write a time to the minute: "23 Nov 14:02"."""
    return format_day(moment, MINUTE)


def _made(source: Source) -> Said:
    return Said(_text(source), source)


def _english(text: Text) -> str:
    if isinstance(text, str):
        return text
    if get_language() == ENGLISH:  # a shortcut, because `override` takes long
        return str(text)
    with override(None):
        return str(text)


def _source(fact: object) -> Source:
    if isinstance(fact, Promise):
        return {"say": _english(fact)}
    if isinstance(fact, int | float) and not isinstance(fact, bool):
        return fact
    text = fact if isinstance(fact, str) else str(fact)  # the name of a row may be a sentence
    return text.source if isinstance(text, Said) else str(text)


def _text(source: Source) -> str:
    if isinstance(source, str):
        return source
    if isinstance(source, int | float):
        return format_number(source)
    for kind, made in _KINDS.items():
        if kind in source:
            return made(source)
    return ""


def _one_sentence(source: Mapping[str, Any]) -> str:
    english = NOW.get(source["say"], source["say"])
    return _filled(gettext(english), english, source)


def _counted(source: Mapping[str, Any]) -> str:
    one, many = (NOW.get(source[form], source[form]) for form in ("one", "many"))
    number = source["number"]
    facts = {"number": number, **source["with"]}
    english = one if number == 1 else many
    return _filled(ngettext(one, many, number), english, {"with": facts})


def _in_a_row(source: Mapping[str, Any]) -> str:
    return str(source["by"]).join(_text(part) for part in source["all"])


def _day(source: Mapping[str, Any]) -> str:
    day: date = date.fromisoformat(source["at"][:DATE])
    if len(source["at"]) > DATE:
        moment = datetime.fromisoformat(source["at"])
        day = timezone.localtime(moment) if timezone.is_aware(moment) else moment
    pattern = source["as"] or (DAY if day.year == timezone.localdate().year else YEAR)
    return dateformat.format(day, gettext(pattern))


_KINDS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "say": _one_sentence,
    "one": _counted,
    "all": _in_a_row,
    "at": _day,
}


# A sentence that ends with a name that was cut has no full stop of its own.
CUT, CUT_AND_STOP = "…", "…."


def _filled(text: str, english: str, source: Mapping[str, Any]) -> str:
    """Return the text with its facts, or the English one if a translation does not fit them."""
    facts: Mapping[str, str]
    facts = {name: _text(fact) for name, fact in source.get("with", {}).items()}
    if not facts:
        return text
    if (get_language() or "").startswith("es"):
        text, facts = spanish.contracted(spanish.fitted(text, facts), facts)
    try:
        return text.format_map(facts).replace(CUT_AND_STOP, CUT)
    except (KeyError, ValueError, IndexError):
        return english.format_map(facts)


class SentenceField(_TextField):
    """A field that stores a sentence by its source. Reading it gives text in the active language.

    Text that `say` did not make stays as it is.
    """

    def deconstruct(self) -> tuple[str, str, Any, Any]:
        """Appear in migrations as the text field that it is in the database."""
        name, _, arguments, options = super().deconstruct()
        return name, "django.db.models.TextField", arguments, options

    def from_db_value(self, value: str | None, *_: object) -> Said | None:
        """Called by Django for each value that a query finds."""
        return None if value is None else read(value)

    def get_prep_value(self, value: Any) -> Any:
        """Called by Django for each value that goes into the database."""
        return write(value) if isinstance(value, str) else super().get_prep_value(value)


class SentencesField(models.JSONField):
    """A JSON field whose texts may be sentences, stored and read as in a SentenceField."""

    def deconstruct(self) -> tuple[str, str, Any, Any]:
        """Appear in migrations as the JSON field that it is in the database."""
        name, _, arguments, options = super().deconstruct()
        return name, "django.db.models.JSONField", arguments, options

    def from_db_value(self, value: str | None, *context: Any) -> Any:
        """Called by Django for each value that a query finds."""
        return _each_text(read, super().from_db_value(value, *context))

    def get_prep_value(self, value: Any) -> Any:
        """Called by Django for each value that goes into the database."""
        return super().get_prep_value(_each_text(write, value))


def _each_text(change: Callable[[str], str], value: Any) -> Any:
    """Return the JSON with each of its texts changed, including the keys of objects."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list | tuple):
        return [_each_text(change, each) for each in value]
    if isinstance(value, dict):
        return {_each_text(change, key): _each_text(change, each) for key, each in value.items()}
    return value


def changed(sentence: Said, change: Callable[[str], str]) -> Said:
    """Return the sentence with its facts changed. The program's own words around them stay."""
    return _made(_with_facts(sentence.source, change))


def _with_facts(source: Source, change: Callable[[str], str]) -> Source:
    if isinstance(source, str):
        return change(source)
    if not isinstance(source, dict):
        return source
    if "all" in source:
        return source | {"all": [_with_facts(part, change) for part in source["all"]]}
    facts = {name: _with_facts(fact, change) for name, fact in source.get("with", {}).items()}
    return source | {"with": facts} if facts else source


def parts(sentence: Said) -> list[Said]:
    """Return the sentences that `joined` put together, or just the sentence if it is not joined."""
    source = sentence.source
    if isinstance(source, dict) and "all" in source:
        return [_made(part) for part in source["all"]]
    return [sentence]


def facts(sentence: Said) -> dict[str, Said]:
    """Return the facts of a sentence that `say` made, by name; {} for any other text."""
    source = sentence.source
    found = source.get("with", {}) if isinstance(source, dict) else {}
    return {name: _made(fact) for name, fact in found.items()}


def read(kept: str) -> Said:
    """Return the sentence from the form that `write` returned."""
    if not kept.startswith(OBJECT):
        return Said(kept)
    try:
        source = json.loads(kept)
        return _made(source) if source.keys() & _KINDS.keys() else Said(kept)
    except NO_SOURCE:  # an older version stored it as plain text
        return Said(kept)


def write(sentence: str) -> str:
    """Return the form in which a sentence is stored: JSON if `say` made it, or else plain text."""
    source = sentence.source if isinstance(sentence, Said) else str(sentence)
    if isinstance(source, str) and not source.startswith(OBJECT):
        return source
    if isinstance(source, str):
        source = {"all": [source], "by": ""}
    return json.dumps(source, ensure_ascii=False, separators=(",", ":"))
